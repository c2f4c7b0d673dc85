"""From a command's options, and perhaps a node's configuration, to whom to ask and with which key."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from clients.keyring import security_of
from clients.options import CONFIG_DEFAULT, REFERENCE_DEFAULT, Where
from clients.watching.local_checks import node_security
from clients.watching.survey import Known, Role, Surveyor, surveying
from recado.config import Config
from recado.whereabouts import Whereabouts

if TYPE_CHECKING:
    from recado.secured import ClientSecurity


def known_to(where: Where, config: Config | None = None) -> Known:
    """Whom the options name; for what they don't, whom the configuration names."""
    servers = dict.fromkeys(where.servers, "")
    if config is None or servers:
        return Known(servers=servers, reference=where.reference, brokers=where.brokers)
    return Known(
        servers={member.address: member.name for member in config.cluster.members},
        reference=config.cluster.reference or None,
        brokers=where.brokers or tuple(broker.xpub for broker in config.cluster.brokers),
    )


def on_this_node(where: Where, user: str | None) -> "tuple[Where, ClientSecurity | None]":
    """Where nobody said where or who: on a node the cluster of its configuration, and its own key.

    Who may not read the key is told what everybody is told: how to give one.
    """
    said = user or where.servers or where.roster or where.key or where.reference != REFERENCE_DEFAULT
    if said or not CONFIG_DEFAULT.is_file():
        return where, None
    from recado.config import ConfigError, load
    from recado.keys import KeyFileError
    from recado.roster import RosterError

    try:
        config = load(CONFIG_DEFAULT)
        security = node_security(config)
    except (ConfigError, KeyFileError, RosterError):
        return where, None
    servers = tuple(member.address for member in config.cluster.members)
    reference = config.cluster.reference or None
    roster = Path(config.security.roster) if security else None
    return replace(where, servers=servers, reference=reference, roster=roster), security


@asynccontextmanager
async def surveyor_for(
    where: Where, *, user: str | None, security: "ClientSecurity | None" = None
) -> AsyncIterator[Surveyor]:
    """A surveyor with the key that the options name, or with the one given.  Raises `Ended`."""
    if security is None:
        security = security_of(where, user)
    wire, left = None, frozenset[str]()
    if security is not None:
        from recado.credentials import wire_security

        wire = wire_security(security)
        left = frozenset(security.roster.former) - {one.name for one in security.roster.of("server")}
    async with surveying(wire, learn=_learning(Whereabouts(security)), left=left) as surveyor:
        yield surveyor


def _learning(whereabouts: Whereabouts) -> Callable[[Role, str, str], None]:
    def learn(role: Role, name: str, address: str) -> None:
        if role == "server":
            whereabouts.listed(name, address)
        elif role == "broker":
            whereabouts.broker(address)
        else:
            whereabouts.reference(address)

    return learn
