"""`recado systemd install|remove`: the units of an installation by pip, for this interpreter."""

import sys
from pathlib import Path

import click

from clients.ending import CANNOT_CREATE, FAILURE, TEMPORARY, Ended
from clients.options import json_option
from clients.output import document, put, put_page, words
from clients.setup.words import speaker

CODES = "Exit codes: 1 refused, 73 other files are there or can't be written, 75 written but not taken up."

_root_option = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/"),
    metavar="DIR",
    help="Below DIR, an image: nothing is asked of this host's systemd.",
)
_dry_option = click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")


@click.group("systemd", epilog="\b\nExample:\n  recado systemd install")
def systemd() -> None:
    """The units of an installation by pip or pipx; the Debian package brings its own."""


@systemd.command(
    "install",
    epilog="\b\nExamples:\n  python3.11 -m venv /opt/recado && /opt/recado/bin/pip install recado && "
    "/opt/recado/bin/recado systemd install\n"
    f"  recado systemd install --dry-run | less\n\n{CODES}",
)
@click.option(
    "--prefix",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="The environment where Recado is installed.  [default: the one of this program]",
)
@_root_option
@click.option("--force", is_flag=True, help="Replace files that are not ours; they stay as .old.")
@_dry_option
@json_option
def install(*, prefix: Path | None, root: Path, force: bool, dry_run: bool, as_json: bool) -> None:
    """Write units, the daemons' user, directories and the journal's catalog, for this very interpreter.

    Refuses an installation that the daemons, shut in as they are, could not see.
    """
    from clients.setup.checks import units_there
    from clients.setup.files import Conflict, Wanted, write_all
    from clients.setup.units import CannotInstall, installation_of, problems, texts, unit_files

    say, root = speaker(), root.absolute()
    try:
        found = installation_of(prefix / "bin/python" if prefix else Path(sys.executable))
        for problem in problems(found):
            raise problem
        written = texts(unit_files(), found)
    except CannotInstall as problem:
        raise Ended(say(problem.key, **problem.values)) from None
    if units_there(root, packaged=True) and not force:
        raise Ended(say("systemd.packaged"), CANNOT_CREATE)
    if dry_run:
        _show(written, root, as_json=as_json)
        return
    files = [
        Wanted(path=root / path, text=text, replace=_ours(root / path)) for path, text in written.items()
    ]
    try:
        for file in files:
            file.path.parent.mkdir(parents=True, exist_ok=True)
        done = write_all(files, force=force)
    except Conflict as conflict:
        raise Ended(say("systemd.exists", paths=conflict), CANNOT_CREATE) from None
    except OSError as error:
        text = say("init.refused", path=error.filename or root, why=error.strerror or error)
        raise Ended(text, CANNOT_CREATE) from None
    _taken_up(root, fresh=bool(done.written))
    if as_json:
        lists = {"written": done.written, "kept": done.kept, "old": done.old}
        document(
            programs=str(found.scripts), **{name: [str(p) for p in paths] for name, paths in lists.items()}
        )
        return
    words(say("systemd.done", count=len(done.written), kept=len(done.kept), programs=found.scripts))
    words(say("systemd.next"))


@systemd.command("remove", epilog=f"\b\nExample:\n  recado systemd remove\n\n{CODES}")
@_root_option
@_dry_option
@json_option
def remove(*, root: Path, dry_run: bool, as_json: bool) -> None:
    """Take away what `install` wrote.  Configuration, keys and data stay."""
    from clients.setup.service import NotDone, active_units, disable_all
    from clients.setup.units import TARGETS

    say, root = speaker(), root.absolute()
    directories = [root / directory for directory in dict.fromkeys(TARGETS.values())]
    found = [path for directory in directories for path in sorted(directory.glob("recado*")) if _ours(path)]
    if not dry_run:
        if root == Path("/") and (running := active_units()):
            raise Ended(say("systemd.running", units=" ".join(running)), TEMPORARY)
        try:
            if found:
                disable_all(root, found)
            for path in found:
                path.unlink()
            _taken_up(root, fresh=bool(found), removing=True)
        except NotDone as error:
            raise Ended(say("init.failed", command=error.command, why=error.why), TEMPORARY) from None
        except OSError as error:
            text = say("init.refused", path=error.filename or root, why=error.strerror or error)
            raise Ended(text, CANNOT_CREATE) from None
    if as_json:
        document(removed=[str(path) for path in found], dry_run=dry_run)
        return
    for path in found:
        put(str(path))
    words(say("systemd.removed" if found else "systemd.nothing"))


def _show(written: dict[str, str], root: Path, *, as_json: bool) -> None:
    if as_json:
        document(files={str(root / path): text for path, text in written.items()})
        return
    for path, text in written.items():
        put(f"==> {root / path} <==")
        put_page(text)


def _ours(path: Path) -> bool:
    """Whether `install` wrote this file."""
    from clients.setup.units import MARK

    try:
        with path.open("rb") as file:
            return file.read(len(MARK.encode())) == MARK.encode()
    except OSError:
        return False


def _taken_up(root: Path, *, fresh: bool, removing: bool = False) -> None:
    """Have systemd read what has changed.  Raises `Ended`."""
    from clients.setup.service import NotDone, read_units

    if root != Path("/") or not fresh:
        return
    try:
        read_units(removing=removing)
    except NotDone as error:
        text = speaker()("init.failed", command=error.command, why=error.why)
        raise Ended(text, TEMPORARY if not removing else FAILURE) from None
