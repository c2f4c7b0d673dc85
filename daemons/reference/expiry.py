"""Servers that fell silent leave the list."""

from typing import NoReturn

from daemons.reference.node import Node
from daemons.shared.periodic import every

LOOK_SECONDS_MAX = 1.0


async def expire(node: Node, *, expiry_seconds: float) -> NoReturn:
    """Look every second, or oftener if servers expire within seconds; for ever."""

    async def look() -> None:
        node.expire()

    await every(min(LOOK_SECONDS_MAX, expiry_seconds / 10), look)
