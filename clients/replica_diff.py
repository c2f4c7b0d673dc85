"""`recado replica diff`: what lies between two replicas."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from clients.ending import DATA, FAILURE, Ended
from clients.options import json_option
from clients.output import document, put, words
from clients.words import speaker
from recado.protocol.printable import printable

if TYPE_CHECKING:
    from storage.difference import Part, Place

_replica = click.Path(path_type=Path, dir_okay=False)


@click.command(
    "diff",
    epilog="\b\nExamples:\n  recado replica diff var/server-1/replica.db var/server-2/replica.db\n"
    "  tar -xf server-1.tar replica.db && recado replica diff replica.db var/server-1/replica.db\n\n"
    "Exit codes: 0 equal logs, 1 they differ, 65 not a replica or unreadable.",
)
@click.argument("a", type=_replica)
@click.argument("b", type=_replica)
@json_option
def diff(*, a: Path, b: Path, as_json: bool) -> None:
    """Say how far each of two replicas has every log, and the first entry where unequal ones part.

    Beside running servers too.  No words are shown.
    """
    from storage.database import StorageError
    from storage.difference import differ

    try:
        found = differ(a, b)
    except (StorageError, OSError) as error:
        raise Ended(str(error), DATA) from None
    if as_json:
        document(**msgspec.to_builtins(found))
    else:
        for side in (found.a, found.b):
            counts = "  ".join(f"{name} {count}" for name, count in side.counts.items())
            put(
                f"{printable(side.replica)}  {printable(side.node)}  schema {side.schema_version}  "
                f"entries {side.entries}  {counts}"
            )
        for part in found.parts:
            _show(part)
        say = speaker()
        words(say("diff.done", equal=found.equal, origins=found.origins))
    sys.exit(FAILURE if found.parts else 0)


def _show(part: "Part") -> None:
    put(
        f"{part.what}  {printable(part.origin)}  {part.a_last} | {part.b_last}  "
        f"equal up to {part.common}, first difference at {part.first}"
    )
    if part.what != "behind":
        for place in (part.a, part.b):
            put(f"  {_described(place)}")


def _described(place: "Place | None") -> str:
    if place is None:
        return "missing"
    return f"{place.kind}  lamport {place.lamport}  hash {place.hash}  columns {place.digest}"
