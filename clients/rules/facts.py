"""What is so in a channel, and what was changed, as lines for people."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from clients.render import key_text, moment
from recado.client import ChannelInfo, Deed
from recado.protocol.printable import printable

LISTS = ("operators", "members", "voices", "muted", "banned")
_COLUMN = len("topic_since")
_TOLD_OF_DEEDS = ("channel", "who", "role", "text", "public_key", "token")


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of one of the library's values, without the raw data they were read from."""
    chosen = [field.name for field in dataclasses.fields(value) if field.name != "fields"]
    return {name: _plain(getattr(value, name)) for name in chosen}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return fields_of(value)
    return [_plain(item) for item in value] if type(value) is tuple else value


def channel_lines(info: ChannelInfo) -> Iterator[str]:
    """A channel, one field a line."""
    told = fields_of(info)
    for field in ("channel", "since", "private", "moderated", "founder", "topic", "topic_by", "topic_since"):
        value = told[field]
        yield f"{field:<{_COLUMN}}  {_shown(moment(value) if field.endswith('since') and value else value)}"
    for field in LISTS:
        yield f"{field:<{_COLUMN}}  {', '.join(map(printable, told[field])) or '-'}"


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return ("yes" if value else "no") if isinstance(value, bool) else printable(str(value))


def deed_json(deed: Deed) -> dict[str, Any]:
    """A change's fields; `key` as ``LAMPORT:ORIGIN:SEQ``."""
    return {**fields_of(deed), "key": None if deed.key is None else key_text(deed.key)}


def deed_line(deed: Deed) -> str:
    """One change on one line: when, who, what, and what it is about."""
    by = printable(deed.user) + (" (operator)" if deed.operator else "")
    fields = fields_of(deed)
    told = [f"{name}={_quoted(fields[name])}" for name in _TOLD_OF_DEEDS if fields.get(name) is not None]
    if deed.reason:
        told.append(f"reason={_quoted(deed.reason)}")
    return "  ".join([moment(deed.timestamp), by, printable(deed.do), *told])


def _quoted(value: Any) -> str:
    text = printable(str(value))
    return '"' + text.replace('"', '\\"') + '"' if " " in text or '"' in text or not text else text
