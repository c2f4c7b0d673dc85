"""What a request asks to keep, before it has a place in the log: entries to be, ids, plain forms."""

from collections.abc import Mapping
from typing import Any

import msgspec

from daemons.server.calls import Call
from recado.protocol import names
from recado.protocol.entry import hash16, names_extra
from recado.protocol.errors import Refused
from recado.protocol.messages import CreateChannel, Kind, Level, Login, Message, Publish, Write
from recado.protocol.rule_messages import ChannelRule, Invite, SessionKey, UserRule

Content = tuple[int, str | bytes | None, bytes]  # kind, target, hash of the body
LEVELS = {level.value: level for level in Level}


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An entry before it has a place in the log, and the success data of its answer."""

    kind: Kind
    author: bytes | None
    target: str | bytes
    body: bytes = b""
    extra: bytes | None = None
    status: str = "OK"
    wall_ms: int | None = None
    told: Mapping[str, object] = {}  # more for the answer

    @property
    def content(self) -> Content:
        return (int(self.kind), self.target, hash16(self.body))


class Missing(Refused):
    """What is named does not exist here; a peer may have it on the way."""


def disk_full() -> Refused:
    """The refusal of what a full disk did not take."""
    return Refused("storage_full", "Disco cheio; nada foi guardado")


def request_id(call: Call) -> bytes | None:
    """A write's id: the client's own, or derived if a byte-identical resend can be told (A12)."""
    asked = call.asked.data
    assert isinstance(asked, Write)
    given = names.identifier(asked.id)
    if given is not None or asked.clock is None or asked.timestamp is None:
        return given
    parts: tuple[str, ...] = ()
    match asked:
        case Login(user=user):
            parts = ("login", user.strip())
        case CreateChannel(channel=channel):
            parts = ("channel", channel.strip())
        case Publish(user=user, channel=channel, message=text):
            parts = ("publish", user.strip(), channel.strip(), text)
        case Message(src=src, dst=dst, message=text):
            parts = ("message", src.strip(), dst.strip(), text)
        case UserRule(user=user, do=do, who=who, key=key, role=role, token=token):
            parts = ("user_rule", user.strip(), do, who or "", key or "", role or "", token or "")
            parts += tuple(filter(None, (asked.ssh_key, asked.ssh)))
        case SessionKey(ssh=ssh, key=session):
            parts = ("session_key", ssh, session)
        case ChannelRule(user=user, channel=channel, do=do, who=who, text=said):
            parts = ("channel_rule", user.strip(), channel.strip(), do, who or "", said or "")
        case Invite(user=user, reason=reason):
            parts = ("invite", user.strip(), reason or "")
    return names.derived_id(parts, timestamp=asked.timestamp, clock=call.asked.clock)


def plain_draft(kind: str, content: Any) -> Draft:
    """What a plain `replicate` asks to keep, validated like a client's request.

    It is shown with the time it was said, if `content` tells one.
    """
    wall_ms = names.wall_ms(content.get("timestamp")) if isinstance(content, dict) else None
    match kind, content:
        case "login", {"username": str(user)}:
            name = names.user_name(user)
            return Draft(kind=Kind.LOGIN, author=names.uid(name), target=name, wall_ms=wall_ms)
        case "channel", str(channel) | {"channel": str(channel)} | {"name": str(channel)}:
            return Draft(kind=Kind.CHANNEL, author=None, target=names.channel_name(channel))
        case "channel_message", {"user": str(user), "channel": str(channel), "message": str(text)}:
            author = names.user_name(user)
            return Draft(
                kind=Kind.CHANNEL_MESSAGE,
                author=names.uid(author),
                target=names.channel_name(channel),
                body=names.text(text).encode(),
                extra=names_extra(author),
                wall_ms=wall_ms,
            )
        case "user_message", {"src": str(src), "dst": str(dst), "message": str(text)}:
            author, receiver = names.user_name(src), names.user_name(dst)
            return Draft(
                kind=Kind.USER_MESSAGE,
                author=names.uid(author),
                target=names.uid(receiver),
                body=names.text(text).encode(),
                extra=names_extra(author, dst=receiver),
                wall_ms=wall_ms,
            )
    raise Refused("replicate_invalid", "replicate: type ou content inválido")


def plain_id(kind: str, content: Any) -> bytes:
    """From type and content alone: every server that gets it derives the same id."""
    fields = sorted(content.items(), key=repr) if isinstance(content, dict) else [("name", content)]
    timestamp = content.get("timestamp") if isinstance(content, dict) else None
    parts = (kind, *(f"{key}={value!r}" for key, value in fields))
    return names.derived_id(parts, timestamp=timestamp, clock=None)
