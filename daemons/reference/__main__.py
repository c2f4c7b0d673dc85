"""``recado-reference``, also ``python -m daemons.reference``: the reference as a process, on ZeroMQ."""

from contextlib import closing
from pathlib import Path
from typing import NoReturn

import trio

from daemons.reference.app import TaskStatus, run_reference
from daemons.shared.command import main_of
from daemons.shared.logging import open_sink
from daemons.shared.process import Life
from recado.config import Config
from recado.wire.zeromq import ZeroMQNetwork
from storage.registry import RegistryStore


async def reference(config: Config, life: Life) -> None:
    """Own the data, open the log and the network, run the reference in them, say when it listens."""
    with closing(RegistryStore.open(Path(config.node.data))) as store, open_sink(config.log) as sink:
        life.on_reload.append(sink.reopen)
        async with ZeroMQNetwork() as network, trio.open_nursery() as nursery:

            async def started(*, task_status: TaskStatus) -> None:
                await run_reference(
                    config,
                    network,
                    store=store,
                    sink=sink,
                    stopping=life.stopping,
                    task_status=task_status,
                )

            life.ready(await nursery.start(started))


def main() -> NoReturn:
    main_of("reference", reference)


if __name__ == "__main__":
    main()
