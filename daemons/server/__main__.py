"""``recado-server``: one server as a process."""

import gc
import os
from pathlib import Path
from random import SystemRandom
from time import CLOCK_BOOTTIME, clock_gettime, time
from typing import NoReturn

import trio

from daemons.server import observed
from daemons.server.app import run_server
from daemons.server.commit import commit_in_thread
from daemons.server.node import Node, Surroundings
from daemons.server.status import describe
from daemons.server.told import Told
from daemons.shared.command import main_of
from daemons.shared.logging import Logger, get_logger, open_sink
from daemons.shared.observe import observing
from daemons.shared.process import Life
from daemons.shared.refusals import tell_refusals
from daemons.shared.secured import doors_of, everybody, network_of, reload_on_hangup, wire_security
from daemons.shared.service_manager import taking_long
from recado.config import Config
from recado.secured import Current
from recado.wire.activation import passed_sockets
from recado.wire.zeromq import WireOptions
from storage.replica import Replica

# A batch in flight is some ten thousand objects, none of them garbage in cycles: at Python's own 700 the
# collector walks over each batch many times, a tenth of all the processor time of a busy server.
COLLECT_AFTER_OBJECTS = 50_000


def real_surroundings() -> Surroundings:
    """The machine's clocks and randomness; commits in worker threads."""
    return Surroundings(
        now=trio.current_time,
        wall=time,
        entropy=os.urandom,
        random=SystemRandom(),
        committer=commit_in_thread,
        aside=commit_in_thread,
        boottime=lambda: clock_gettime(CLOCK_BOOTTIME),
    )


def open_store(config: Config) -> Replica:
    """The node's file, recovered and brought forward, however long that takes."""
    with taking_long("opening the replica"):
        return Replica.open(
            Path(config.node.data),
            node=config.node.name,
            reserve_bytes=config.disk.reserve_bytes,
            upgrade_copies=config.disk.upgrade_copies,
        )


async def serve(config: Config, life: Life) -> None:
    """Open the files, then the network, then serve; close in the opposite order."""
    gc.freeze()  # what was imported stays: not to be walked over again
    gc.set_threshold(COLLECT_AFTER_OBJECTS, 10, 10)
    with open_sink(config.log) as sink:
        life.on_reload.append(sink.reopen)

        def log(node: str, clock: object) -> Logger:
            loggers.append(get_logger(node, clock, sink=sink))  # type: ignore[arg-type]
            return loggers[-1]

        loggers = [get_logger(config.node.name, lambda: 0, sink=sink)]  # until the server has a clock
        current = Current(config, "server")
        reload_on_hangup(life, current, lambda: loggers[-1])
        options = WireOptions(
            linger_seconds=config.timings.linger_seconds, passed=passed_sockets(config.server.listen)
        )
        security = wire_security(current, domain="requests", authenticate=everybody(current))

        store = open_store(config)
        try:
            async with (
                observing(config, life, program="server", log=lambda: loggers[-1]) as observer,
                network_of(current, options, security=security) as network,
                trio.open_nursery() as beside,
            ):

                def opened(node: Node) -> None:
                    observer.show(
                        observed.FAMILIES,
                        samples=lambda: observed.samples(node),
                        status=lambda: describe(node),
                    )
                    if store.path is not None:
                        beside.start_soon(node.meters.watch_room, store.path)
                    told = Told(node, life)
                    sink.everywhere = told.fields
                    beside.start_soon(told.announce)

                def ready(listen: dict[str, str]) -> None:
                    if security is not None:
                        beside.start_soon(tell_refusals, network, security, loggers[-1])
                    life.ready({**listen, **observer.listens}, announce=False)

                await run_server(
                    config,
                    network,
                    store=store,
                    surroundings=real_surroundings(),
                    log=log,
                    stopping=life.stopping,
                    ready=ready,
                    in_force=current,
                    doors=lambda: doors_of(network, security),
                    opened=opened,
                )
                beside.cancel_scope.cancel()
        finally:
            store.close()


def main() -> NoReturn:
    """Entry point of the console script."""
    main_of("server", serve)


if __name__ == "__main__":
    main()
