"""`recado backup` and `recado restore`: a node's data as one checked file, and back."""

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from clients.backup_places import Place, place_of, place_options, roster_option, settings_of, verifier
from clients.ending import CANNOT_CREATE, DATA, FAILURE, Ended
from clients.options import json_option
from clients.output import document, put, words
from clients.words import speaker
from recado.protocol.printable import printable

if TYPE_CHECKING:
    from storage.backup import Checked, Manifest

T = TypeVar("T")
PROGRESS_SECONDS = 1.0
_MIB = 1 << 20
_CODES = (
    "Exit codes: 1 a backup is not sound, 65 damaged data or no backup, 73 in the way or in use, 75 no room, "
    "78 no node found."
)
_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))


class _OrMake(click.Group):
    """`recado backup NODE` is short for `recado backup make NODE`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["make", *args]
        return super().parse_args(ctx, args)


@click.group(
    "backup",
    cls=_OrMake,
    epilog="\b\nExamples:\n  recado backup server-1        the same as `recado backup make server-1`\n"
    "  recado backup verify recado-server-1.tar\n",
)
def backup() -> None:
    """A node's data as one checked file, made beside the running node."""


@backup.command(
    "make",
    epilog="\b\nExamples:\n  recado backup server-1 -o /backup/ --keep 14\n"
    "  recado backup make --config /etc/recado/server-1.toml --with-keys\n"
    f"  recado backup server-1 -o - | age -r age1xyz > server-1.tar.age\n\n{_CODES}",
)
@click.argument("node", required=False)
@place_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Where to; a directory: under a name with node and time there; -: standard output.",
)
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="With a directory: delete older backups of the node there, until N are left.",
)
@click.option("--with-keys", is_flag=True, help="With --config: the node's secret keys too.")
@roster_option
@json_option
def make_command(
    *,
    node: str | None,
    data: Path,
    directory: Path | None,
    config_path: Path | None,
    output: Path | None,
    keep: int | None,
    with_keys: bool,
    roster: Path | None,
    as_json: bool,
) -> None:
    """Back a node up, running or not.  Without a node: the first under the data directory."""
    if with_keys and config_path is None:
        raise click.UsageError(speaker()("backup.keys_config"))
    if output == Path("-") and as_json:
        raise click.UsageError(speaker()("backup.pipe_json"))
    if keep is not None and (output is None or not output.is_dir()):
        raise click.UsageError(speaker()("backup.keep_directory"))
    from storage.backup import make

    place = place_of(node=node, data=data, directory=directory, config_path=config_path)
    now = datetime.now(UTC)
    pipe = output == Path("-")
    target = _target(output, place, now)
    checked = _did(
        lambda: make(
            place.directory,
            sys.stdout.buffer if pipe else target,
            made=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            cluster="" if place.config is None else place.config.cluster.id,
            more=settings_of(place, keys=with_keys),
            verify_signature=verifier(roster or _roster_of(place)),
            progress=_progress(),
        )
    )
    gone: list[Path] = [] if pipe else _did(lambda: _kept(place, target, keep))
    if as_json:
        document(file=str(target), deleted=[str(path) for path in gone], **_told(checked))
        return
    _say_made("-" if pipe else str(target), checked)
    if gone:
        words(speaker()("backup.deleted", count=len(gone), keep=keep))


def _kept(place: Place, target: Path, keep: int | None) -> list[Path]:
    """Note that there is a new one; the old ones that went for it."""
    from storage.backup_rotation import note, rotate

    note(place.directory, target)
    return rotate(target, node=place.directory.name, keep=keep) if keep is not None else []


def _target(output: Path | None, place: Place, now: datetime) -> Path:
    """Where the backup goes; nothing is written over."""
    name = f"recado-{place.directory.name}-{now:%Y%m%dT%H%M%SZ}.tar"
    if output is None:
        return Path(name)
    if output.is_dir():
        return output / name
    if output.exists() and output != Path("-"):
        raise Ended(speaker()("backup.exists", path=output), CANNOT_CREATE)
    return output


def _roster_of(place: Place) -> Path | None:
    return Path(place.config.security.roster) if place.config and place.config.security.roster else None


def _progress() -> Callable[[int, int], None]:
    """Tells how far the copy is, on a terminal, once a second."""
    say, begun = speaker(), [time.monotonic()]

    def told(done: int, all_: int) -> None:
        if sys.stderr.isatty() and time.monotonic() > begun[0] + PROGRESS_SECONDS:
            begun[0] = time.monotonic()
            words(say("backup.progress", done=done // _MIB, all=all_ // _MIB))

    return told


def _say_made(name: str, checked: "Checked") -> None:
    say, manifest = speaker(), checked.manifest
    size = sum(part.size for part in manifest.files)
    words(say("backup.done", path=name, node=manifest.node, entries=manifest.entries, size=size))
    _say_signed(checked)
    if manifest.keys:
        words(say("backup.keys", node=manifest.node))


def _say_signed(checked: "Checked") -> None:
    if checked.signed is not None:
        words(speaker()("backup.signed", good=checked.signed.good, unsigned=checked.signed.unsigned))


def _told(checked: "Checked") -> dict[str, Any]:
    signed = checked.signed
    return {
        "sound": not checked.problems,
        "problems": checked.problems,
        "signed": None if signed is None else msgspec.to_builtins(signed),
        "manifest": msgspec.to_builtins(checked.manifest),
    }


@backup.command("verify", epilog=f"\b\nExample:\n  recado backup verify server-1.tar --json\n\n{_CODES}")
@_file
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Where the replica is unpacked for the check.  [default: the one for temporary files]",
)
@roster_option
@json_option
def verify_command(*, file: Path, scratch: Path | None, roster: Path | None, as_json: bool) -> None:
    """Check a backup as a restore would: hashes of files, SQLite, every entry, every view, signatures."""
    from storage.backup import verify

    checked = _did(lambda: verify(file, scratch=scratch, verify_signature=verifier(roster)))
    if as_json:
        document(file=str(file), **_told(checked))
    else:
        say = speaker()
        for problem in checked.problems:
            put(printable(problem))
        if not checked.problems:
            words(say("backup.sound", path=file, entries=checked.manifest.entries))
        _say_signed(checked)
        if roster is None and not checked.problems:
            words(say("backup.unsigned"))
    sys.exit(FAILURE if checked.problems else 0)


@backup.command("show", epilog=f"\b\nExample:\n  recado backup show server-1.tar\n\n{_CODES}")
@_file
@json_option
def show_command(*, file: Path, as_json: bool) -> None:
    """Show what a backup says of itself, without checking it."""
    from storage.backup import read_manifest

    manifest = _did(lambda: read_manifest(file))
    if as_json:
        document(file=str(file), manifest=msgspec.to_builtins(manifest))
        return
    _show(manifest)


def _show(manifest: "Manifest") -> None:
    for name in ("made", "role", "node", "cluster", "program", "schema_version", "wire_version", "entries"):
        put(f"{name}  {printable(str(getattr(manifest, name)))}")
    for part in manifest.files:
        put(f"file  {printable(part.name)}  {part.size} bytes  sha256 {printable(part.sha256)}")


@click.command(
    "restore",
    epilog="\b\nExamples:\n  recado restore server-1.tar --data var\n"
    "  recado restore server-1.tar --dir /var/lib/recado/server-1 --replace\n"
    "  recado restore server-1.tar --as server-4 --dir /var/lib/recado/server-4\n\n"
    f"Then start the server: it fetches what the backup lacks.\n\n{_CODES}",
)
@_file
@place_options
@click.option("--as", "node", metavar="NODE", help="Whose it will be.  [default: the node of the backup]")
@click.option("--replace", is_flag=True, help="Move the file that is there aside.")
@click.option(
    "--settings",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the settings and keys that the backup holds there.",
)
@json_option
def restore(
    *,
    file: Path,
    data: Path,
    directory: Path | None,
    config_path: Path | None,
    node: str | None,
    replace: bool,
    settings: Path | None,
    as_json: bool,
) -> None:
    """Put a backup where a stopped node will find it."""
    from storage.backup import read_manifest
    from storage.backup_restore import restore as put_back

    manifest = _did(lambda: read_manifest(file))
    place = place_of(node=node or manifest.node, data=data, directory=directory, config_path=config_path)
    bearer = node or (place.config.node.name if place.config else "") or manifest.node
    others = [part.name for part in manifest.files if "/" in part.name]
    targets = {} if settings is None else {name: settings / name for name in others}
    for target in targets.values():
        _did(lambda target=target: target.parent.mkdir(parents=True, exist_ok=True))  # type: ignore[misc]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    _, aside = _did(
        lambda: put_back(file, place.directory, now=now, node=bearer, replace=replace, settings=targets)
    )
    told = {"directory": str(place.directory), "node": bearer, "aside": aside and str(aside)}
    if as_json:
        document(**told, settings=[str(target) for target in targets.values()])
        return
    say = speaker()
    words(
        say("restore.done", path=place.directory, node=bearer, entries=manifest.entries, made=manifest.made)
    )
    if aside is not None:
        words(say("restore.aside", path=aside))
    if others and settings is None:
        words(say("restore.left"))


def _did(act: Callable[[], T]) -> T:
    """What it gives; storage errors and the disk's become words and their exit codes."""
    from storage.database import StorageError

    try:
        return act()
    except StorageError as error:
        raise Ended(str(error), getattr(error, "exit_code", DATA)) from None
    except OSError as error:
        raise Ended(f"{error.filename or ''}: {error.strerror}".removeprefix(": "), CANNOT_CREATE) from None
