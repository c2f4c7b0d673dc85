"""Log lines about who was not let in, and what was not granted, since the last one: a secured process's."""

from dataclasses import asdict
from typing import NoReturn, Protocol

from daemons.shared.logging import Logger
from daemons.shared.periodic import every
from recado.wire.security import Security

EVERY_SECONDS = 5.0


class Counted(Protocol):
    """What is used here of a network."""

    @property
    def connections(self) -> int | None: ...


async def tell_refusals(network: Counted, security: Security, log: Logger) -> NoReturn:
    """For ever: at most one line in five seconds, whoever sends how much; none while nothing is refused."""
    before = asdict(security.refusals)

    async def tell() -> None:
        nonlocal before
        now = asdict(security.refusals)
        grown = {what: count - before[what] for what, count in now.items() if count > before[what]}
        before = now
        if grown:
            log.warning("refused at the door", connections=network.connections, **grown)

    await every(EVERY_SECONDS, tell)
