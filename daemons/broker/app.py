"""The broker: publications forwarded from XSUB to XPUB, requests spread over the servers.

    bind request port, XSUB, XPUB                any failure here: exit code, no READY
    nursery probes                               forward; call skipped servers back
        nursery followers                        answer the requests that were taken
            nursery duties                       take requests
                READY; wait for stop; cancel duties
            within the drain time: wait for followers
        cancel probes
    close everything

In secured mode there is no request port: behind it nobody sees who asks.  Then the ends to the servers are
there for the doorkeeper, who asks whose a key is.

It keeps nothing: a broker that dies loses publications under way, which are hints, and answers,
which clients ask for again.
"""

from collections.abc import Callable
from contextlib import AsyncExitStack

import trio

from daemons.broker.doorkeeper import Doorkeeper
from daemons.broker.requests import RoundRobin
from daemons.shared.logging import Sink, get_logger
from recado.config import Config, server_addresses
from recado.protocol.lamport import LamportClock
from recado.settings import Broker
from recado.wire.ports import Listener, Network

TaskStatus = trio.TaskStatus[dict[str, str]]
_IGNORED: TaskStatus = trio.TASK_STATUS_IGNORED


async def run_broker(
    config: Config,
    network: Network,
    *,
    sink: Sink,
    lamport: LamportClock | None = None,
    doorkeeper: Doorkeeper | None = None,
    stopping: trio.Event | None = None,
    opened: Callable[[RoundRobin | None], None] | None = None,
    task_status: TaskStatus = _IGNORED,
) -> None:
    """Run until `stopping` is set (then what was taken is answered first) or until cancelled.

    `task_status` is given where it listens: ``{"xsub": …, "xpub": …, "request": …}``.  `doorkeeper`: in
    secured mode, who gets in and what each may hear.  `opened` is given the request port, if there is one.
    Raises `WireError` if an address is taken.
    """
    lamport = lamport or LamportClock()
    log = get_logger(config.node.name or "broker", lambda: lamport.value, sink=sink)
    stop = trio.Event() if stopping is None else stopping
    settings = config.broker
    async with AsyncExitStack() as ends:
        listener = await _request_port(network, settings, ends)
        listen = {} if listener is None else {"request": listener.address}
        servers = server_addresses(config) if settings.request or doorkeeper is not None else ()
        askers = [await ends.enter_async_context(network.asker(address)) for address in servers]
        if doorkeeper is not None:
            doorkeeper.askers = askers
        round_robin: RoundRobin | None = None
        async with trio.open_nursery() as probes:
            forward = Forwarding(network, settings, doorkeeper)
            listen = {**await probes.start(forward.run), **listen}
            async with trio.open_nursery() as followers:
                async with trio.open_nursery() as duties:
                    if listener is not None:
                        round_robin = RoundRobin(
                            listener=listener,
                            askers=askers,
                            followers=followers,
                            probes=probes,
                            lamport=lamport,
                            log=log,
                            settings=settings,
                        )
                        duties.start_soon(round_robin.serve)
                        duties.start_soon(round_robin.tallies.run)
                    if doorkeeper is not None:
                        duties.start_soon(doorkeeper.review)
                    if opened is not None:
                        opened(round_robin)
                    lamport.tick()
                    log.info("broker ready", **listen)
                    task_status.started(listen)
                    await stop.wait()
                    duties.cancel_scope.cancel()
                followers.cancel_scope.deadline = trio.current_time() + config.timings.drain_seconds
            probes.cancel_scope.cancel()
    lamport.tick()
    log.info("broker stopped")


async def _request_port(network: Network, settings: Broker, ends: AsyncExitStack) -> Listener | None:
    """Bind it, if there is to be one."""
    if not settings.request:
        return None
    return await ends.enter_async_context(network.listener(settings.request))


class Forwarding:
    """XSUB and XPUB, at the same addresses all the time, with connections that may have to begin anew."""

    def __init__(self, network: Network, settings: Broker, doorkeeper: Doorkeeper | None) -> None:
        self._network = network
        self._xsub, self._xpub = settings.xsub, settings.xpub
        self._doorkeeper = doorkeeper

    async def run(self, *, task_status: TaskStatus = _IGNORED) -> None:
        """Until cancelled.  Started with the two addresses.  Raises `WireError` if one is taken."""
        while True:
            grant = None if self._doorkeeper is None else self._doorkeeper.grant
            async with self._network.forwarder(self._xsub, self._xpub, grant=grant) as bound:
                self._xsub, self._xpub = bound
                task_status.started({"xsub": self._xsub, "xpub": self._xpub})
                task_status = _IGNORED
                if self._doorkeeper is None:
                    await trio.sleep_forever()
                else:
                    await self._doorkeeper.anew()
