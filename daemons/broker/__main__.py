"""``recado-broker``, also ``python -m daemons.broker``: the broker as a process, on ZeroMQ."""

from typing import NoReturn

import trio

from daemons.broker.app import TaskStatus, run_broker
from daemons.shared.command import main_of
from daemons.shared.logging import open_sink
from daemons.shared.process import Life
from recado.config import Config
from recado.wire.zeromq import WireOptions, ZeroMQNetwork


async def broker(config: Config, life: Life) -> None:
    """Open the log and the network, run the broker in them, say when it listens."""
    with open_sink(config.log) as sink:
        life.on_reload.append(sink.reopen)
        options = WireOptions(linger_seconds=config.timings.linger_seconds)
        async with ZeroMQNetwork(options) as network, trio.open_nursery() as nursery:

            async def started(*, task_status: TaskStatus) -> None:
                await run_broker(config, network, sink=sink, stopping=life.stopping, task_status=task_status)

            life.ready(await nursery.start(started))


def main() -> NoReturn:
    main_of("broker", broker)


if __name__ == "__main__":
    main()
