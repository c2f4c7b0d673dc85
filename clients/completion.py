"""What a shell's Tab shows beside commands and options: channels and users that a replica on this host has.

No server is asked: a Tab must not wait.  Names that a shell would take for more than a name are left out,
for shells put in what they are given.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

import click
from click.shell_completion import CompletionItem

INSTALLED: Final = Path("/var/lib/recado")
SHOWN_MAX: Final = 200
_PLAIN: Final = re.compile(r"\w[\w.+-]*")
Kind = Literal["channels", "users"]
_KINDS: Final[dict[str, tuple[Kind, ...]]] = {
    "CHANNEL": ("channels",),
    "USER": ("users",),
    "CHANNEL|PEER": ("channels", "users"),
}
_OPTIONS: Final[dict[str, tuple[Kind, ...]]] = {
    "user": ("users",),
    "author": ("users",),
    "peer": ("users",),
    "channel": ("channels",),
}


def commands(told: Iterator[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    """Those that begin so, with their line of help."""
    return [CompletionItem(name, help=text) for name, text in told if name.startswith(incomplete)]


def knowing_names(command: click.Command) -> click.Command:
    """The command, of which each CHANNEL and USER now completes from a replica; and so of those below it."""
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        knowing_names(inner)
    for parameter in command.params:
        if kinds := _kinds(parameter):
            parameter.shell_complete = _completes(kinds)  # type: ignore[method-assign,assignment]
    return command


def _kinds(parameter: click.Parameter) -> tuple[Kind, ...]:
    if isinstance(parameter, click.Option):
        return _OPTIONS.get(parameter.name or "", ())
    return _KINDS.get(parameter.human_readable_name.strip("[]."), ())


def _completes(kinds: tuple[Kind, ...]) -> Callable[[click.Context, str], list[CompletionItem]]:
    def complete(context: click.Context, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in names(kinds, incomplete, data=_data(context))]

    return complete


def _data(context: click.Context) -> list[Path]:
    """Where replicas may be: the local cluster's directory, and the one of an installed server."""
    given: Any = context.params.get("data") or os.environ.get("RECADO_DATA") or "var"
    return [Path(given), INSTALLED]


def names(kinds: tuple[Kind, ...], incomplete: str, *, data: list[Path]) -> list[str]:
    """Names that begin so, of the first replica that can be read; none if none can."""
    from storage.database import StorageError
    from storage.inspection import find_replicas, names_in

    for directory in data:
        try:
            for replica in find_replicas(directory):
                found = [names_in(replica, kind, begin=incomplete, most=SHOWN_MAX) for kind in kinds]
                return [name for part in found for name in part if _PLAIN.fullmatch(name)]
        except (OSError, StorageError):
            continue
    return []
