"""Which node's directory a command means, and what of its settings and keys goes along."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from clients.cluster.ground import absolute
from clients.ending import CONFIGURATION, Ended
from clients.options import data_option
from clients.words import speaker
from recado.config import Config, ConfigError, load

if TYPE_CHECKING:
    from storage.backup import Verify

_DATABASES = ("replica.db", "registry.db")
_OPTIONS = (
    data_option,
    click.option(
        "--dir",
        "directory",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="The node's own directory, in place of --data.",
    ),
    click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        metavar="FILE",
        help="The node's configuration file, which names its directory.",
    ),
)
roster_option = click.option(
    "--roster",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Check the servers' signatures with the keys of this roster.",
)


class Place(NamedTuple):
    """A node's directory, and its configuration if that was given."""

    directory: Path
    config: Config | None
    config_path: Path | None


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which node is meant."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def place_of(*, node: str | None, data: Path, directory: Path | None, config_path: Path | None) -> Place:
    """Where the node is; without a name the first under `data` that has a database.  Raises `Ended`."""
    config = None if config_path is None else _read(config_path)
    if directory is not None:
        return Place(absolute(directory), config, config_path)
    if config is not None:
        return Place(absolute(Path(config.node.data)), config, config_path)
    if node is not None:
        return Place(absolute(data) / node, None, None)
    found = [path.parent for name in _DATABASES for path in sorted(absolute(data).glob(f"*/{name}"))]
    if not found:
        raise Ended(speaker()("backup.none", data=absolute(data)), CONFIGURATION)
    return Place(found[0], None, None)


def _read(path: Path) -> Config:
    try:
        return load(path)
    except ConfigError as error:
        raise Ended(str(error), CONFIGURATION) from None


def settings_of(place: Place, *, keys: bool) -> dict[str, Path]:
    """What goes into a backup beside the database, by its name there: settings, roster, keys if wanted."""
    if place.config is None or place.config_path is None:
        return {}
    from recado.secured import cluster_key_path, key_path

    found = {"settings/recado.toml": place.config_path}
    for path in sorted((place.config_path.parent / "conf.d").glob("*.toml")):
        found[f"settings/conf.d/{path.name}"] = path
    if place.config.security.roster:
        found["settings/roster.toml"] = Path(place.config.security.roster)
    if keys:
        paths = {"keys/node.key": key_path(place.config), "keys/cluster.key": cluster_key_path(place.config)}
        found |= {name: path for name, path in paths.items() if path.exists()}
    return found


def verifier(roster_path: Path | None) -> "Verify | None":
    """What checks the signatures of a roster's servers; None without a roster.  Raises `Ended`."""
    if roster_path is None:
        return None
    from recado.protocol import proof
    from recado.protocol.entry import origin_node
    from recado.roster import Roster, RosterError

    try:
        roster = Roster.read(roster_path)
    except RosterError as error:
        raise Ended(str(error), CONFIGURATION) from None

    def verify(origin: str, seq: int, chained: bytes, signature: bytes) -> bool:
        keys = roster.signing_keys(origin_node(origin))
        return proof.verify(keys, roster.cluster, origin, seq=seq, hash=chained, signature=signature)

    return verify
