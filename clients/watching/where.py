"""From a command's options, and perhaps a node's configuration, to whom to ask and with which key."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from clients.keyring import security_of
from clients.options import Where
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


@asynccontextmanager
async def surveyor_for(
    where: Where, *, user: str | None, security: "ClientSecurity | None" = None
) -> AsyncIterator[Surveyor]:
    """A surveyor with the key that the options name, or with the one given.  Raises `Ended`."""
    if security is None:
        security = security_of(where, user)
    wire = None
    if security is not None:
        from recado.credentials import wire_security

        wire = wire_security(security)
    async with surveying(wire, learn=_learning(Whereabouts(security))) as surveyor:
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
