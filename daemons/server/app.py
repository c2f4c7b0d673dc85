"""One server: its nursery on one screen.

Stages of stopping: the duties end first; then, within the grace time, what was accepted is committed,
answered, pushed and announced; then sockets close, then the database.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import trio

from daemons.server.announcements import Announcements
from daemons.server.bootstrap import Bootstrap
from daemons.server.clock import ClockRounds
from daemons.server.disk import DiskWatch
from daemons.server.donor import Donor
from daemons.server.election import Elections
from daemons.server.file_watch import FileWatch
from daemons.server.heartbeat import Heartbeat
from daemons.server.in_force import InForce
from daemons.server.node import Node, Surroundings
from daemons.server.old_logs import OldLogs
from daemons.server.peer_records import PeerRecords
from daemons.server.peer_services import PeerServices
from daemons.server.reads import Reads
from daemons.server.replication import Replication
from daemons.server.requests import Requests
from daemons.server.scrub import Scrub
from daemons.server.search import Search
from daemons.server.writes import Writes
from daemons.shared.logging import Logger
from recado.config import Config
from recado.contradictions import exposed
from recado.protocol.adjustment import AdjustmentGate
from recado.wire.ports import Listener, Network
from storage.replica import Replica

Task = Callable[[], Awaitable[None]]


class Server:
    """The rooms of one server, opened and connected; `tasks` of each stage."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.listener: Listener
        self.elections: Elections
        self.requests: Requests
        self.replication: Replication
        self.announcements: Announcements
        self.duties: list[Task]
        self.followers: list[Task]

    async def open(self, network: Network, stack: AsyncExitStack) -> None:
        """Bind and connect everything.  Raises `WireError`: then nothing was served."""
        node = self.node
        cluster = node.config.cluster
        enter = stack.enter_async_context
        local = node.config.security.local_listen
        self.listener = await enter(network.listener(node.config.server.listen, local=local))
        askers = {peer.name: await enter(network.asker(peer.address)) for peer in node.peers}
        out = await enter(network.publisher([broker.xsub for broker in cluster.brokers]))
        inward = await enter(network.subscriber([broker.xpub for broker in cluster.brokers]))
        gate = AdjustmentGate()
        self.elections = Elections(node, askers)
        rounds = ClockRounds(node, askers, gate)
        self.elections.changed.append(rounds.changed)
        node.meters.offsets_ms = rounds.offsets_ms
        self.replication = Replication(node, askers)
        self.announcements = Announcements(node, self.elections, out=out, inward=inward)
        writes = Writes(node)
        scrub = Scrub(node, askers)
        donor = Donor(node)
        search = Search(node)
        self.requests = requests = Requests(
            node,
            self.listener,
            writes=writes,
            reads=Reads(node),
            search=search,
            peers=PeerServices(node, writes, election=self.elections, gate=gate, pages=donor.pages),
            donor=donor,
            operations=rounds.operations,
        )
        self.followers = [
            node.commits.run,
            requests.run,
            self.replication.push,
            self.announcements.publish,
        ]
        self.duties = [
            requests.absences,
            requests.expiries,
            self.elections.run,
            rounds.run,
            self.replication.exchange,
            self.replication.synchronise,
            self.announcements.beacons,
            self.announcements.listen,
            PeerRecords(node, offsets_ms=rounds.offsets_ms).run,
            DiskWatch(node, changed=lambda slow: self.elections.disk_is(slow=slow)).run,
            donor.run,
            search.run,
            Bootstrap(node, askers).run,
            scrub.run,
            scrub.repair,
            FileWatch(node, check=scrub.scrub_once).run,
        ]
        if node.proofs is not None:
            self.duties.append(OldLogs(node.proofs, node=node).run)
        if cluster.reference:
            reference = await enter(network.asker(cluster.reference))
            self.duties.append(Heartbeat(node, reference).run)

    async def drain(self) -> None:
        """Commit, answer, push and announce what was accepted; tell the members that we go."""
        node = self.node
        self.requests.serve_parked()
        await self.elections.resign()
        await node.commits.idle()
        await self.replication.flushed()
        await self.announcements.published()

    def give_up_waiting(self) -> None:
        """Tell those whose writes still wait for copies, also if the grace time was not enough."""
        for settled in self.node.acks.abandon():
            self.node.answer(settled)
        self.node.replies.flush()


def warn_of_insecurity(node: Node) -> None:
    """Say at the start, as every `status` does, that whoever reaches the ports may be anybody."""
    reachable = exposed(node.config)
    if reachable:
        node.log.warning("insecure: nobody proves who they are", exposed=" ".join(reachable))


def tell_of_the_file(node: Node) -> None:
    """Say what this start has found or made of the replica."""
    store = node.store
    if store.damaged is not None:
        node.log.error("replica was damaged, starting empty", moved_to=str(store.damaged))
    if store.upgrade is not None:
        found, known, copy = store.upgrade
        node.log.info("schema brought forward", found=found, now=known, copy=str(copy or ""))
    if node.restored is not None:
        node.log.info("restored from a backup, peers are asked before the first write", told=node.restored)
        if not node.peers:
            node.peers_asked()


async def run_server(
    config: Config,
    network: Network,
    *,
    store: Replica,
    surroundings: Surroundings,
    log: Callable[..., Logger],
    stopping: trio.Event,
    ready: Callable[[dict[str, str]], None],
    in_force: InForce | None = None,
    doors: Callable[[], dict[str, Any]] = dict,
    opened: Callable[[Node], None] | None = None,
) -> None:
    """Serve until `stopping`.  The caller owns the network and the store, and closes them afterwards.

    `in_force`: keys, roster and rates, looked at anew by each request; None: open mode.  `doors`: what
    `status` tells of connections.  `opened` is given the node as soon as everything is bound.
    """
    node = Node(config, store=store, surroundings=surroundings, log=log, in_force=in_force)
    node.doors = doors
    warn_of_insecurity(node)
    tell_of_the_file(node)
    server = Server(node)
    async with AsyncExitStack() as stack:
        await server.open(network, stack)
        if opened is not None:
            opened(node)
        async with trio.open_nursery() as followers:
            for task in server.followers:
                followers.start_soon(task)
            async with trio.open_nursery() as duties:
                for task in server.duties:
                    duties.start_soon(task)
                node.log.info("serving", listen=server.listener.address, members=len(node.members))
                ready({"requests": server.listener.address})
                await stopping.wait()
                node.draining = True
                node.log.info("stopping")
                duties.cancel_scope.cancel()
            with trio.move_on_after(config.timings.drain_seconds) as grace:
                await server.drain()
            server.give_up_waiting()
            followers.cancel_scope.cancel()
    node.log.info("stopped", drained=not grace.cancelled_caught)
