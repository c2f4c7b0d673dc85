"""``recado-broker``, also ``python -m daemons.broker``: the broker as a process, on ZeroMQ."""

from typing import Any, NoReturn

import trio

from daemons.broker import observed
from daemons.broker.app import TaskStatus, run_broker
from daemons.broker.doorkeeper import Doorkeeper
from daemons.broker.requests import RoundRobin
from daemons.shared.command import main_of
from daemons.shared.logging import Logger, get_logger, open_sink
from daemons.shared.observe import observing
from daemons.shared.process import Life
from daemons.shared.refusals import tell_refusals
from daemons.shared.secured import doors_of, network_of, reload_on_hangup, wire_security
from recado.config import Config
from recado.protocol.lamport import LamportClock
from recado.roster import Roster
from recado.secured import Current
from recado.wire.ports import Principal
from recado.wire.zeromq import WireOptions


async def broker(config: Config, life: Life) -> None:
    """Open the log and the network, run the broker in them, say when it listens."""
    lamport = LamportClock()
    current = Current(config, "broker")
    with open_sink(config.log) as sink:
        life.on_reload.append(sink.reopen)
        log = get_logger(config.node.name or "broker", lambda: lamport.value, sink=sink)
        reload_on_hangup(life, current, lambda: log)
        doorkeeper = _doorkeeper(current, lamport=lamport, log=log)
        security = wire_security(
            current, domain="requests", authenticate=doorkeeper.authenticate if doorkeeper else _nobody
        )
        options = WireOptions(linger_seconds=config.timings.linger_seconds)
        async with (
            observing(config, life, program="broker", log=lambda: log) as observer,
            network_of(current, options, security=security) as network,
            trio.open_nursery() as duties,
        ):

            def doors() -> dict[str, Any]:
                return doors_of(network, security)

            def opened(port: RoundRobin | None) -> None:
                observed.show(observer, port, doors=doors)
                life.words = lambda: observed.in_words(port)

            async def started(*, task_status: TaskStatus) -> None:
                await run_broker(
                    config,
                    network,
                    sink=sink,
                    lamport=lamport,
                    doorkeeper=doorkeeper,
                    stopping=life.stopping,
                    opened=opened,
                    task_status=task_status,
                )

            if security is not None:
                duties.start_soon(tell_refusals, network, security, log)
            async with trio.open_nursery() as nursery:
                life.ready({**(await nursery.start(started)), **observer.listens})
            duties.cancel_scope.cancel()


def _doorkeeper(current: Current, *, lamport: LamportClock, log: Logger) -> Doorkeeper | None:
    """Who gets in; None in open mode."""

    def roster() -> Roster:
        assert current.security is not None
        return current.security.roster

    if current.security is None:
        return None
    doorkeeper = Doorkeeper(roster, lamport=lamport, log=log)
    current.on_change.append(doorkeeper.changed)
    return doorkeeper


def _nobody(_key: bytes, _domain: str, _address: str) -> Principal | None:
    return None


def main() -> NoReturn:
    main_of("broker", broker)


if __name__ == "__main__":
    main()
