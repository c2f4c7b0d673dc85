"""What a host under systemd runs, since the one configuration that its daemons share does not say it.

The units name the node and its directory on the command line, and are handed the keys in root's
/etc/credstore; who looks from outside finds both by their places.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from recado.config import Config
from recado.settings import Node

STORE: Final = Path("/etc/credstore")
DATA: Final = Path("/var/lib/recado")
CLUSTER: Final = "cluster"


def nodes_of(config: Config, *, store: Path = STORE, data: Path = DATA) -> tuple[Config, ...]:
    """The configuration of each node of this host, with its name, directory and keys.

    Servers come first.  One that names its node or its directory is that node's own.  () if one does not,
    and nothing of what the units use is here, or not for us to see.
    """
    if config.node.name or config.node.data != Node().data:
        return (config,)
    servers = {member.name for member in config.cluster.members}
    names = sorted(_names(config, store, data), key=lambda name: (name not in servers, name))
    return tuple(_of(config, name, store=store, data=data) for name in names)


def _names(config: Config, store: Path, data: Path) -> set[str]:
    """Nodes with a key here, or a directory; of servers, members only."""
    found = set(_listed(store, "recado.*.key")) if config.secured else set(_listed(data, "*"))
    others = {"reference", *(broker.name for broker in config.cluster.brokers)}
    return found & (others | {member.name for member in config.cluster.members})


def _listed(directory: Path, pattern: str) -> Iterator[str]:
    try:
        for path in directory.glob(pattern):
            yield path.name.removeprefix("recado.").removesuffix(".key")
    except OSError:
        return


def _of(config: Config, name: str, *, store: Path, data: Path) -> Config:
    replace = msgspec.structs.replace
    security = replace(
        config.security,
        key=config.security.key or str(store / f"recado.{name}.key"),
        cluster_key=config.security.cluster_key or str(store / f"recado.{CLUSTER}.key"),
    )
    return replace(config, node=replace(config.node, name=name, data=str(data / name)), security=security)
