"""The reference: a rank for each server for ever, and the list of those that live.

    (store open) → bind                    any failure here: exit code, no READY
    nursery duties
        requests                           answer rank, list, heartbeat, clock, status
        expiry                             silent servers leave the list
        record                             last_seen, every few seconds
        tallies                            log lines of frequent events, summed
        READY; wait for stop; cancel
    record once more; close

Nothing else depends on it while it is down: members come from the configuration, and servers ask
again.  It lists to everybody: the registry is for finding servers, never for trusting them.  Who may
enter something is for the policy to say; in open mode anybody.
"""

import time
from collections.abc import Callable

import trio

from daemons.reference.expiry import expire
from daemons.reference.node import Node, Wall
from daemons.reference.records import record
from daemons.reference.requests import Requests
from daemons.shared.logging import Sink, get_logger
from daemons.shared.secured import Listed, as_proved
from recado.config import Config
from recado.protocol.lamport import LamportClock
from recado.secured import UNLIMITED, Rates
from recado.wire.ports import Network
from storage.registry import RegistryStore

TaskStatus = trio.TaskStatus[dict[str, str]]
_IGNORED: TaskStatus = trio.TASK_STATUS_IGNORED


async def run_reference(
    config: Config,
    network: Network,
    *,
    store: RegistryStore,
    sink: Sink,
    wall: Wall = time.time,
    listed: Listed = as_proved,
    rates: Callable[[], Rates] = lambda: UNLIMITED,
    lamport: LamportClock | None = None,
    stopping: trio.Event | None = None,
    opened: Callable[[Node], None] | None = None,
    task_status: TaskStatus = _IGNORED,
) -> None:
    """Run until `stopping` is set or until cancelled.  The store is the caller's to close.

    `listed`: in secured mode, a principal as the roster says at this moment.  `rates`: those in force.
    `opened` is given what the tasks share.  `task_status` is given where it listens:
    ``{"reference": address}``.
    Raises `WireError` if the address is taken, `StorageFailed` if the disk failed.
    """
    lamport = lamport or LamportClock()
    log = get_logger(config.node.name or "reference", lambda: lamport.value, sink=sink)
    expiry_seconds = config.reference.expiry_seconds
    if store.damaged is not None:
        log.error("registry was damaged, ranks start anew", moved_to=str(store.damaged))
    node = Node(store=store, lamport=lamport, log=log, expiry_seconds=expiry_seconds, wall=wall)
    stop = trio.Event() if stopping is None else stopping
    async with network.listener(config.reference.listen) as listener:
        async with trio.open_nursery() as duties:
            requests = Requests(node, listed=listed, rates=rates)
            duties.start_soon(requests.serve, listener)
            duties.start_soon(requests.tallies.run)
            duties.start_soon(lambda: expire(node, expiry_seconds=expiry_seconds))
            duties.start_soon(record, node)
            lamport.tick()
            log.info("reference ready", listen=listener.address, known=node.registry.known)
            if opened is not None:
                opened(node)
            task_status.started({"reference": listener.address})
            await stop.wait()
            duties.cancel_scope.cancel()
        node.record()
    lamport.tick()
    log.info("reference stopped")
