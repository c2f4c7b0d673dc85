"""``recado-reference``, also ``python -m daemons.reference``: the reference as a process, on ZeroMQ."""

from contextlib import closing
from pathlib import Path
from typing import NoReturn

import trio

from daemons.reference import observed
from daemons.reference.app import TaskStatus, run_reference
from daemons.reference.node import Node
from daemons.shared.command import main_of
from daemons.shared.logging import get_logger, open_sink
from daemons.shared.observe import observing
from daemons.shared.process import Life
from daemons.shared.refusals import tell_refusals
from daemons.shared.secured import as_listed, everybody, network_of, reload_on_hangup, wire_security
from recado.config import Config
from recado.protocol.lamport import LamportClock
from recado.secured import Current
from storage.registry import RegistryStore


async def reference(config: Config, life: Life) -> None:
    """Own the data, open the log and the network, run the reference in them, say when it listens."""
    lamport = LamportClock()
    current = Current(config, "reference")
    security = wire_security(current, domain="reference", authenticate=everybody(current))
    with closing(RegistryStore.open(Path(config.node.data))) as store, open_sink(config.log) as sink:
        life.on_reload.append(sink.reopen)
        log = get_logger(config.node.name or "reference", lambda: lamport.value, sink=sink)
        reload_on_hangup(life, current, lambda: log)
        async with (
            observing(config, life, program="reference", log=lambda: log) as observer,
            network_of(current, security=security) as network,
            trio.open_nursery() as duties,
        ):

            def opened(node: Node) -> None:
                observed.show(observer, node)
                life.words = lambda: observed.in_words(node)

            async def started(*, task_status: TaskStatus) -> None:
                await run_reference(
                    config,
                    network,
                    store=store,
                    sink=sink,
                    listed=as_listed(current),
                    rates=lambda: current.rates,
                    lamport=lamport,
                    stopping=life.stopping,
                    opened=opened,
                    task_status=task_status,
                )

            if security is not None:
                duties.start_soon(tell_refusals, network, security, log)
            async with trio.open_nursery() as nursery:
                life.ready({**(await nursery.start(started)), **observer.listens})
            duties.cancel_scope.cancel()


def main() -> NoReturn:
    main_of("reference", reference)


if __name__ == "__main__":
    main()
