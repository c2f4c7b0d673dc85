"""`recado replica diff`: what lies between two replicas."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from clients.ending import DATA, FAILURE, Ended
from clients.live_diff import differ_live, is_address
from clients.options import Where, json_option, user_option, where_options
from clients.output import document, put, words
from clients.session import run
from clients.words import speaker
from recado.protocol.printable import printable

if TYPE_CHECKING:
    from storage.difference import Diff, Part, Place


@click.command(
    "diff",
    epilog="\b\nExamples:\n  recado replica diff var/server-1/replica.db var/server-2/replica.db\n"
    "  recado replica diff tcp://10.0.0.1:5555 tcp://10.0.0.2:5555\n"
    "  tar -xf server-1.tar replica.db && recado replica diff replica.db var/server-1/replica.db\n\n"
    "Exit codes: 0 equal logs, 1 they differ, 65 not a replica or unreadable, 69 a server does not answer.",
)
@click.argument("a")
@click.argument("b")
@user_option
@where_options
@json_option
def diff(*, a: str, b: str, user: str | None, where: Where, as_json: bool) -> None:
    """Say how far each of two replicas has every log, and the first entry where unequal ones part.

    A and B are files, also of running servers, or the addresses of servers.  No words are shown.
    """
    if is_address(a) or is_address(b):
        found = run(lambda: differ_live(a, b, where=where, user=user), where=where, needs_cluster=False)
    else:
        found = _of_files(Path(a), Path(b))
    if as_json:
        document(**msgspec.to_builtins(found))
    else:
        for side in (found.a, found.b):
            counts = "".join(f"  {name} {count}" for name, count in side.counts.items())
            put(
                f"{printable(side.replica)}  {printable(side.node)}  schema {side.schema_version}  "
                f"entries {side.entries}{counts}"
            )
        for part in found.parts:
            _show(part)
        words(speaker()("diff.done", equal=found.equal, origins=found.origins))
    sys.exit(FAILURE if found.parts else 0)


def _of_files(a: Path, b: Path) -> "Diff":
    from storage.database import StorageError
    from storage.difference import differ

    try:
        return differ(a, b)
    except (StorageError, OSError) as error:
        raise Ended(str(error), DATA) from None


def _show(part: "Part") -> None:
    put(
        f"{part.what}  {printable(part.origin)}  {part.a_last} | {part.b_last}  "
        f"equal up to {part.common}, first difference at {part.first}"
    )
    if part.what != "behind" and (part.a or part.b):
        for place in (part.a, part.b):
            put(f"  {_described(place)}")


def _described(place: "Place | None") -> str:
    if place is None:
        return "missing"
    return f"{place.kind}  lamport {place.lamport}  hash {place.hash}  columns {place.digest}"
