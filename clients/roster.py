"""`recado roster init|add|remove|show|check`: who belongs to a cluster with keys.

Every change reads the whole file, checks the result and replaces it at once; what would not be valid is
not written.  A key is replaced in two steps, between which both are good (`rotate`).
"""

import os
from base64 import b64encode
from pathlib import Path
from typing import get_args

import click

from clients.ending import CANNOT_CREATE, CONFIGURATION, Ended
from clients.options import ROSTER_FILE, config_directory, json_option
from clients.output import document, put, words
from clients.words import speaker
from recado.config import ConfigError, load
from recado.keys import KeyFileError, from_z85, read_public, z85
from recado.protocol.printable import printable
from recado.roster import ROLES, Entry, Role, Roster, RosterError
from recado.secured import not_in_roster
from recado.setting_types import is_address

CODES = "Exit codes: 1 refused, 73 can't write, 78 the roster, a key file or the configuration can't be used."


def _roster_path(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path:
    return value or config_directory(os.environ) / ROSTER_FILE


def _addresses(
    _context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[str, ...]:
    for address in value:
        if not is_address(address):
            raise click.BadParameter(f"{address!r} is not an address like tcp://10.0.0.1:5555")
    return value


_roster_option = click.option(
    "--roster",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_roster_path,
    envvar="RECADO_ROSTER",
    metavar="FILE",
    help="The roster.  [env: RECADO_ROSTER; default: ~/.config/recado/roster.toml]",
)
_role_choice = click.Choice(get_args(Role))


@click.group("roster", epilog="\b\nExample:\n  recado roster show --roster roster.toml")
def roster() -> None:
    """Who belongs to a cluster with keys: public keys of nodes and operators, in one file for all."""


@roster.command("init", epilog=f"\b\nExample:\n  recado roster init --cluster recado\n\n{CODES}")
@click.option("--cluster", required=True, metavar="ID", help="The cluster.id of its nodes.")
@_roster_option
@json_option
def init(cluster: str, path: Path, as_json: bool) -> None:
    """Begin a roster that names nobody yet.  One that exists is not written over."""
    if path.exists():
        raise Ended(speaker()("roster.exists", path=path), CANNOT_CREATE)
    if not 0 < len(cluster) <= 64:
        raise click.UsageError("a cluster's id has 1 to 64 characters")
    _write(path, Roster(cluster=cluster), as_json=as_json)


@roster.command(
    "add",
    epilog="\b\nExamples:\n  recado roster add server-1.pub --address tcp://10.0.0.1:5555\n"
    "  recado roster add --operator ana.pub\n"
    f"  recado roster add --first new/server-1.pub      a further key, dialled first\n\n{CODES}",
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    callback=_addresses,
    metavar="ADDRESS",
    help="Where clients reach it; repeatable.  They then need no other directory.",
)
@click.option("--operator", is_flag=True, help="A user's key: who may act as operator.")
@click.option("--first", is_flag=True, help="Of several keys of one node the one to dial first.")
@_roster_option
@json_option
def add(
    *,
    files: tuple[Path, ...],
    addresses: tuple[str, ...],
    operator: bool,
    first: bool,
    path: Path,
    as_json: bool,
) -> None:
    """Add nodes, operators, or further keys of those, from public parts (NAME.pub) or key files.

    Users are not listed: they register themselves.
    """
    if addresses and len(files) > 1:
        raise click.UsageError("--address is of one node: give one FILE")
    changed = _read(path)
    for file in files:
        try:
            part = read_public(file)
            changed = changed.with_part(part, addresses=addresses, operator=operator, first=first)
        except KeyFileError as error:
            raise Ended(str(error), CONFIGURATION) from None
        except RosterError as error:
            raise Ended(str(error)) from None
    _write(path, changed, as_json=as_json)


@roster.command(
    "remove",
    epilog="\b\nExamples:\n  recado roster remove server-4\n"
    "  recado roster remove server-1 --key 'rq:rM…'\n\n"
    f"{CODES}",
)
@click.argument("name")
@click.option("--role", type=_role_choice, help="If the name stands there in several roles.")
@click.option("--key", metavar="KEY", help="Only this key, as `show` writes it.")
@click.option("--forget", is_flag=True, help="Of a server: what it signed is no longer accepted either.")
@_roster_option
@json_option
def remove(*, name: str, role: Role | None, key: str | None, forget: bool, path: Path, as_json: bool) -> None:
    """Take out a node or an operator, or one key.

    Nobody can connect with a key that was taken out.  What a server signed while it was one stays
    verifiable, so that its messages can still be copied.
    """
    before = _read(path)
    try:
        raw = None if key is None else from_z85(key)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--key") from None
    try:
        changed = before.without(role or _only_role(before, name, path), name, key=raw, forget=forget)
    except RosterError as error:
        raise Ended(str(error)) from None
    _write(path, changed, as_json=as_json)


@roster.command(
    "rotate",
    epilog="\b\nExamples, before and after the node was restarted with its new key:\n"
    "  recado roster rotate new/server-1.pub\n  recado roster rotate --finish server-1\n\n"
    f"{CODES}",
)
@click.argument("what", metavar="FILE|NAME")
@click.option("--finish", is_flag=True, help="NAME's newest key stays alone.")
@_roster_option
@json_option
def rotate(*, what: str, finish: bool, path: Path, as_json: bool) -> None:
    """Replace the key of a node or operator without stopping the cluster.

    First with the public part of the new key: from then on both are good.  Bring the file to all nodes
    (SIGHUP), restart that node with the new key, then --finish, and bring the file around again.
    """
    before, say = _read(path), speaker()
    try:
        if finish:
            role = _only_role(before, what, path)
            changed, name = before.with_newest_key_only(role, what), what
        else:
            part = read_public(Path(what))
            name = part.name
            operator = part.kind == "user"
            if before.entry("operator" if operator else part.kind, name) is None:  # type: ignore[arg-type]
                raise Ended(say("roster.unknown", name=printable(name), path=path))
            changed = before.with_part(part, operator=operator)
    except KeyFileError as error:
        raise Ended(str(error), CONFIGURATION) from None
    except RosterError as error:
        raise Ended(str(error)) from None
    _write(path, changed, as_json=as_json)
    if not (finish or as_json):
        words(say("roster.rotated", name=printable(name)))


@roster.command("show", epilog=f"\b\nExample:\n  recado roster show --json\n\n{CODES}")
@_roster_option
@json_option
def show(path: Path, as_json: bool) -> None:
    """Show who is in it, each with its keys; compare the nodes' rosters with `diff`."""
    found = _read(path)
    if as_json:
        document(**_fields(found))
        return
    for entry in found.entries:
        where = "".join(f"  {printable(address)}" for address in entry.addresses)
        put(f"{entry.role}  {printable(entry.name)}  {' '.join(map(z85, entry.keys))}{where}")
    for name in found.former:
        put(f"former  {name}")


@roster.command(
    "check",
    epilog=f"\b\nExample:\n  recado roster check --config /etc/recado/recado.toml\n\n{CODES}",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A node's configuration: whether the roster names everybody whom it names.",
)
@_roster_option
@json_option
def check(config: Path | None, path: Path, as_json: bool) -> None:
    """Check the file, and with --config that it fits a node's configuration."""
    found = _read(path)
    problems = []
    if config is not None:
        try:
            problems = [f"{key}: {text}" for key, text in not_in_roster(load(config), found, where=path)]
        except ConfigError as error:
            raise Ended(str(error), CONFIGURATION) from None
    if problems:
        raise Ended("\n".join(problems), CONFIGURATION)
    counts = {role: len(found.of(role)) for role in ROLES}
    if as_json:
        document(file=str(path), cluster=found.cluster, **counts)
        return
    entries = ", ".join(f"{role} {count}" for role, count in counts.items())
    words(speaker()("roster.good", path=path, entries=entries))


def _read(path: Path) -> Roster:
    try:
        return Roster.read(path)
    except RosterError as error:
        raise Ended(str(error), CONFIGURATION) from None


def _write(path: Path, changed: Roster, *, as_json: bool) -> None:
    try:
        changed.write(path)
    except RosterError as error:
        raise Ended(str(error), CANNOT_CREATE) from None
    if as_json:
        document(file=str(path), **_fields(changed))
    else:
        words(speaker()("roster.done", path=path))


def _only_role(found: Roster, name: str, path: Path) -> Role:
    roles = [entry.role for entry in found.entries if entry.name == name]
    if not roles:
        raise Ended(speaker()("roster.unknown", name=printable(name), path=path))
    if len(roles) > 1:
        raise Ended(speaker()("roster.which", name=printable(name), roles=", ".join(roles)))
    return roles[0]


def _fields(found: Roster) -> dict[str, object]:
    former = {name: [b64encode(key).decode() for key in keys] for name, keys in found.former.items()}
    return {"cluster": found.cluster, "entries": [_entry(entry) for entry in found.entries], "former": former}


def _entry(entry: Entry) -> dict[str, object]:
    return {
        "role": entry.role,
        "name": entry.name,
        "keys": [z85(key) for key in entry.keys],
        "signing": [b64encode(key).decode() for key in entry.signing],
        "addresses": list(entry.addresses),
    }
