"""When servers were last seen, written down in batches: a heartbeat alone is not worth a commit."""

from typing import NoReturn

from daemons.reference.node import Node
from daemons.shared.periodic import every

RECORD_SECONDS = 5.0


async def record(node: Node) -> NoReturn:
    """Write what was gathered every five seconds, for ever."""

    async def write() -> None:
        node.record()

    await every(RECORD_SECONDS, write)
