"""The journal's catalog, made from what docs/troubleshooting.md says of each event in the logs.

``journalctl -x`` shows it beside the line.  An entry begins with the event's MESSAGE_ID, which depends on
its name alone.
"""

import re
from collections.abc import Iterator

from daemons.shared.journal import message_id

HEAD = """# /usr/lib/systemd/catalog/recado.catalog: what journalctl -x says of Recado's events.
# Written by `make docs` from docs/troubleshooting.md.
"""
PAGE = "file:///usr/share/doc/recado/troubleshooting.md"
_SECTION = re.compile(r"^### (.+)\n((?:(?!#).*\n)*)", re.MULTILINE)
_LINK = re.compile(r"\[([^]]+)\]\(([^)]+)\)")


def sections(page: str) -> Iterator[tuple[str, str]]:
    """(event, what the page says of it) of each one named in a heading below `In the logs`."""
    logs = page[page.index("\n## In the logs\n") :]
    logs = logs[: logs.index("\n## ", 1)] if "\n## " in logs[1:] else logs
    for heading, text in _SECTION.findall(logs):
        for event in re.findall(r"`([^`]+)`", heading):
            yield event, text


def catalog(page: str) -> str:
    """The whole file."""
    return HEAD + "".join(_entry(event, text) for event, text in sections(page))


def _entry(event: str, text: str) -> str:
    head = (
        f"\n-- {message_id(event)}\nSubject: Recado: {event}\nDefined-By: Recado\nDocumentation: {PAGE}\n\n"
    )
    return head + _plain(text) + "\n"


def _plain(text: str) -> str:
    """Markdown as plain text: no line may begin like an entry or a comment, or look like a field."""
    words = _LINK.sub(r"\1", text).replace("**", "").replace("`", "'").replace("@", "(at)")
    lines = [line for line in words.strip().splitlines() if not line.startswith("```")]
    return "\n".join(line if not line.startswith(("-- ", "#")) else f" {line}" for line in lines)
