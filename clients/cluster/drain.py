"""Stopping in order: bots, servers, broker, reference, all of it within five seconds."""

import signal
from collections.abc import Collection

import anyio

from clients.cluster.keeper import Keeper
from clients.cluster.plan import Role

# When each kind must be gone, in seconds after the request to stop.
STOP_DEADLINES: tuple[tuple[Role, float], ...] = (
    (Role.BOT, 0.8),
    (Role.SERVER, 4.2),
    (Role.BROKER, 4.4),
    (Role.REFERENCE, 4.6),
)


async def drain(keepers: Collection[Keeper], *, patience: anyio.CancelScope) -> None:
    """Each kind is asked, waited for, and killed if need be.  Cancelling `patience` kills at once."""
    begun = anyio.current_time()
    with patience:
        for role, deadline_seconds in STOP_DEADLINES:
            group = [keeper for keeper in keepers if keeper.node.role is role]
            _signal(group, signal.SIGTERM)
            with anyio.move_on_at(begun + deadline_seconds):
                await _ended(group)
            _signal(group, signal.SIGKILL)
            await _ended(group)
    _signal(keepers, signal.SIGKILL)
    await _ended(keepers)


def _signal(keepers: Collection[Keeper], number: int) -> None:
    for keeper in keepers:
        if keeper.child is not None:
            keeper.child.signal(number)


async def _ended(keepers: Collection[Keeper]) -> None:
    for keeper in keepers:
        if keeper.child is not None:
            keeper.end(await keeper.child.wait())
