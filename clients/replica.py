"""`recado verify`, `recado replica`: looking into replicas, beside running servers or not."""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from clients.cluster.ground import absolute
from clients.ending import CONFIGURATION, DATA, FAILURE, Ended
from clients.options import data_option, json_option
from clients.output import document, put, words
from clients.replica_diff import diff
from clients.words import speaker
from recado.protocol.printable import printable
from storage.database import StorageError
from storage.inspection import VIEW_NAMES, dump, find_replicas, quarantined
from storage.report import Report
from storage.verification import verify as compare

LOOK_AGAIN_SECONDS = 0.5
T = TypeVar("T")

_paths = click.argument(
    "paths", nargs=-1, metavar="[REPLICA.DB]...", type=click.Path(path_type=Path, dir_okay=False)
)

_direct = click.option(
    "--direct", is_flag=True, help="Show what was said in direct messages and in private channels too."
)


def _chosen(paths: tuple[Path, ...], data: Path) -> list[Path]:
    """The files named, or all replicas under the data directory."""
    found = list(paths) or find_replicas(absolute(data))
    if not found:
        raise Ended(speaker()("replica.none", data=absolute(data)), CONFIGURATION)
    return found


def _read(look: Callable[[], T]) -> T:
    try:
        return look()
    except (StorageError, OSError) as error:
        raise Ended(str(error), DATA) from None


@click.command(
    "verify",
    epilog="\b\nExamples:\n  recado verify                       the replicas under ./var\n"
    "  recado verify --settled && echo equal\n  recado verify a/replica.db b/replica.db --json\n\n"
    "Exit codes: 0 equal, 1 they differ or one is damaged, 65 not a replica, 78 no replica found.",
)
@_paths
@data_option
@click.option(
    "--settled", is_flag=True, help="Wait until everything is everywhere; what is not then, differs."
)
@click.option(
    "--wait",
    "wait_seconds",
    type=click.FloatRange(0, 3600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="With --settled: how long.",
)
@json_option
def verify(*, paths: tuple[Path, ...], data: Path, settled: bool, wait_seconds: float, as_json: bool) -> None:
    """Compare replicas: every entry, every chain hash, every view.

    Beside running servers it compares up to what all have, and says what is still in flight.
    """
    chosen = _chosen(paths, data)
    deadline = time.monotonic() + wait_seconds
    while True:
        report = _read(lambda: compare(chosen, settled=settled))
        if report.equal or not settled or time.monotonic() > deadline:
            break
        time.sleep(LOOK_AGAIN_SECONDS)
    if as_json:
        document(**msgspec.to_builtins(report))
    else:
        _show(report)
    sys.exit(0 if report.equal else FAILURE)


def _show(report: Report) -> None:
    say = speaker()
    width = max((len(summary.replica) for summary in report.replicas), default=0)
    for summary in report.replicas:
        put(
            f"{printable(summary.replica):<{width}}  entries {summary.entries}  users {summary.users}  "
            f"channels {summary.channels}  channel_messages {summary.channel_messages}  "
            f"user_messages {summary.user_messages}  views {summary.views_digest[:12]}"
        )
    for difference in report.differences:
        put(f"DIFFERS {difference.kind}: {printable(difference.text)}")
        for name, what in difference.replicas.items():
            put(f"  {printable(name)}: {printable(what)}")
    left_out = report.differences_total - len(report.differences)
    if left_out:
        words(say("verify.more", count=left_out))
    for part in report.in_flight if not report.settled else ():
        words(
            say(
                "verify.in_flight", span=f"{part.origin}/{part.first}-{part.last}", lacks=" ".join(part.lacks)
            )
        )
    words(say("verify.equal" if report.equal else "verify.differ", count=report.differences_total))


@click.group("replica")
def replica() -> None:
    """Look into a replica's file."""


replica.add_command(diff)


@replica.command(
    "dump",
    epilog="\b\nExamples:\n  recado replica dump var/server-1/replica.db --view users\n"
    "  recado replica dump --json | jq -c 'select(.view == \"channel_messages\")'\n\n"
    "Exit codes: 65 not a replica or unreadable, 78 no replica found.",
)
@_paths
@data_option
@click.option(
    "--view", "views", type=click.Choice(VIEW_NAMES), multiple=True, help="Only this view; repeatable."
)
@_direct
@json_option
def dump_command(
    *, paths: tuple[Path, ...], data: Path, views: tuple[str, ...], direct: bool, as_json: bool
) -> None:
    """Write a replica's views as text: tab-separated with a heading, or JSON lines.

    Without a file: the first replica under the data directory (they hold the same).  Of direct messages
    and of private channels only the sizes are shown, unless --direct asks for the texts.
    """
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for path in paths or _chosen(paths, data)[:1]:
        _read(lambda path=path: _dump(path, views or VIEW_NAMES, direct=direct, as_json=as_json))  # type: ignore[misc]


@replica.command(
    "quarantine",
    epilog="\b\nExamples:\n  recado replica quarantine\n  recado replica quarantine --json | jq .reason\n\n"
    "Exit codes: 65 not a replica or unreadable, 78 no replica found.",
)
@_paths
@data_option
@_direct
@json_option
def quarantine_command(*, paths: tuple[Path, ...], data: Path, direct: bool, as_json: bool) -> None:
    """Show what replicas keep aside: entries that can't be shown, and what peers sent that was refused."""
    for path in _chosen(paths, data):
        _read(lambda path=path: _quarantine(path, direct=direct, as_json=as_json))  # type: ignore[misc]


def _quarantine(path: Path, *, direct: bool, as_json: bool) -> None:
    rows = list(quarantined(path, direct=direct))
    for row in rows:
        if as_json:
            document(replica=str(path), **row)
        elif "state" in row:
            put(f"{path}  {row['origin']}  {row['state']}: nothing more of it is taken")
        else:
            whence = f"  from {printable(row['from_node'])}" if row["from_node"] else "  in the log"
            put(f"{path}  {row['origin']}/{row['seq']}  {printable(row['reason'])}{whence}")
    if not rows and not as_json:
        words(speaker()("quarantine.none", replica=path))


def _dump(path: Path, views: tuple[str, ...], *, direct: bool, as_json: bool) -> None:
    shown = ""
    for row in dump(path, views=views, direct=direct):
        if as_json:
            document(replica=str(path), **{name: _plain(value) for name, value in row.items()})
            continue
        view = row.pop("view")
        if view != shown:
            shown = view
            put(f"# {view}\t" + "\t".join(row), keep="\t", flush=False)
        put("\t".join(printable(_text(value)) for value in row.values()), keep="\t", flush=False)


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.hex() if isinstance(value, bytes) else str(value)
