"""`recado member list|add|remove`: the list of members, which is configuration and the same on every node.

The list goes into ``conf.d/members.toml`` beside the configuration file, whole and at once, one member
at a time: majorities of the old and the new list then always share a server, so that nothing that was
acknowledged at `quorum` can be missed while some nodes have the new list and some still the old one.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from clients.ending import CANNOT_CREATE, CONFIGURATION, Ended
from clients.options import json_option
from clients.output import document, put, put_page, words
from clients.words import speaker
from recado.config import Config, ConfigError, load
from recado.protocol.printable import printable
from recado.settings import Member

FILE_NAME = "members.toml"
_HEADING = "# Written by `recado member`: the whole list, the same on every node."

_config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("/etc/recado/recado.toml"),
    show_default=True,
    envvar="RECADO_CONFIG",
    metavar="FILE",
    help="The node's configuration file.",
)
_dry_option = click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
CODES = "Exit codes: 1 refused, 73 can't write, 78 the configuration can't be used."


@click.group("member", epilog="\b\nExample:\n  recado member list --config recado.toml")
def member() -> None:
    """The list of servers, in one node's configuration."""


@member.command("list", epilog=f"\b\nExample:\n  recado member list --config recado.toml\n\n{CODES}")
@_config_option
@json_option
def list_members(path: Path, as_json: bool) -> None:
    """Show the members that this node's configuration lists; compare the nodes with `diff`."""
    members = _read(path).cluster.members
    if as_json:
        document(members=msgspec.to_builtins(members))
        return
    for one in members:
        put(f"{one.name}  rank {one.rank}  {one.address}")


@member.command(
    "add",
    epilog="\b\nExample:\n  recado member add server-4 --rank 4 --address tcp://10.0.0.4:5555\n\n"
    f"Do the same on every node, then restart the servers one after the other.\n\n{CODES}",
)
@click.argument("name")
@click.option("--rank", type=int, required=True, help="Its rank; the highest alive leads.")
@click.option("--address", required=True, help="Where clients and the other servers reach it.")
@_config_option
@_dry_option
@json_option
def add(*, name: str, rank: int, address: str, path: Path, dry_run: bool, as_json: bool) -> None:
    """Add one server to the list."""
    members = _read(path).cluster.members
    say = speaker()
    try:
        new = msgspec.convert({"name": name, "rank": rank, "address": address}, Member)
    except msgspec.ValidationError as error:
        raise Ended(say("member.invalid", why=error)) from None
    for one in members:
        for field in ("name", "rank", "address"):
            if getattr(one, field) == getattr(new, field):
                value = getattr(one, field)
                raise Ended(say("member.taken", field=field, value=printable(str(value)), name=one.name))
    _change(path, (*members, new), dry_run=dry_run, as_json=as_json)


@member.command(
    "remove",
    epilog="\b\nExample:\n  recado member remove server-4\n\n"
    f"Stop that server first; then do this on every other node, and restart them in turn.\n\n{CODES}",
)
@click.argument("name")
@_config_option
@_dry_option
@json_option
def remove(*, name: str, path: Path, dry_run: bool, as_json: bool) -> None:
    """Take one server out of the list."""
    members = _read(path).cluster.members
    left = tuple(one for one in members if one.name != name)
    if len(left) == len(members):
        known = " ".join(one.name for one in members)
        raise Ended(speaker()("member.unknown", name=printable(name), known=known))
    if not left:
        raise Ended(speaker()("member.last"))
    _change(path, left, dry_run=dry_run, as_json=as_json)


def _read(path: Path) -> Config:
    try:
        return load(path, overrides={}, env={})
    except ConfigError as error:
        raise Ended(str(error), CONFIGURATION) from None


def _change(path: Path, members: Sequence[Member], *, dry_run: bool, as_json: bool) -> None:
    text = file_content(members)
    target = path.parent / "conf.d" / FILE_NAME
    if not dry_run:
        _replace(target, text)
        found = _read(path).cluster.members
        if found != tuple(members):
            # A file of a later name in conf.d has the last word.
            raise Ended(speaker()("member.overruled", path=target), CONFIGURATION)
    if as_json:
        document(file=str(target), written=not dry_run, members=msgspec.to_builtins(tuple(members)))
    elif dry_run:
        put_page(text.removesuffix("\n"))
    else:
        words(speaker()("member.done", path=target))


def file_content(members: Sequence[Member]) -> str:
    """The file that lists these members."""
    lines = [_HEADING, "[cluster]", "members = ["]
    for one in members:
        name, address = json.dumps(one.name), json.dumps(one.address)
        lines.append(f"    {{ name = {name}, rank = {one.rank}, address = {address} }},")
    return "\n".join([*lines, "]", ""])


def _replace(target: Path, text: str) -> None:
    """Write the whole file or nothing."""
    new = target.with_name(target.name + ".new")
    try:
        target.parent.mkdir(exist_ok=True)
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
    except OSError as error:
        raise Ended(f"{target}: {error.strerror}", CANNOT_CREATE) from None
