"""The request task: drains the ROUTER in batches, decodes, checks, serves from one table.

One checkpoint and one look-up of ids per slice of a batch, no task per message.  What is refused because
something is missing here waits in `absences` until the peers were asked once: through a round-robin
port a client's next request may come to another server before replication does.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import trio

from daemons.server.admission import Admission
from daemons.server.bundle import Bundle
from daemons.server.calls import Call, error_data
from daemons.server.donor import Donor
from daemons.server.drafts import Missing
from daemons.server.node import Node
from daemons.server.peer_services import PeerServices
from daemons.server.plain_publishes import PlainPublishes
from daemons.server.rationing import RateLimited
from daemons.server.reads import Reads
from daemons.server.rule_reads import RuleReads
from daemons.server.rules import Rules
from daemons.server.search import Search
from daemons.server.writes import Writes
from daemons.shared.replies import malformed_text
from recado.protocol import codec
from recado.protocol.buckets import Buckets
from recado.protocol.errors import Malformed, Refused
from recado.protocol.limits import ABSENCE_CHECKS_MAX, BUCKETS_MAX, COMMIT_ENTRIES_MAX, DRAIN_MESSAGES_MAX
from recado.protocol.messages import Publish, PublishMany
from recado.wire.ports import Incoming, Listener
from storage.replica import StorageError

Handler = Callable[[Call, Any], None]
_MAY_BE_SERVERS = frozenset({"server", "open"})  # whose frames may be as large as a page
ABSENCES_PER_SECOND = 10.0  # of one key the peers are asked so often for what is missing,
ABSENCES_BURST = 64  # and so often at once: one's nonsense crowds out nobody
EXPIRY_SECONDS = 0.25
PATIENCE_SECONDS = 0.5  # for the disk, before requests are served beside a growing backlog
BACKLOG_ENTRIES = 2 * COMMIT_ENTRIES_MAX  # beyond it nothing more is drained until a commit is done


def client_services(
    writes: Writes, reads: Reads, rules: Rules, rule_reads: RuleReads, search: Search
) -> dict[str, Handler]:
    """What people and their programs may ask; in open mode anybody."""
    return {
        "login": writes.login,
        "users": reads.users,
        "channel": writes.create_channel,
        "channels": reads.channels,
        "publish": writes.publish,
        "message": writes.message,
        "history": reads.history,
        "get_messages": reads.history,
        "get_publications": reads.history,
        "history_channel": reads.history,
        "history_messages": reads.history,
        "search": search.search,
        "audit": reads.audit,
        "user_rule": rules.user_rule,
        "session_key": rules.keys.session_key,
        "invite": rules.invite,
        "channel_rule": rules.channel_rule,
        "user_keys": rule_reads.user_keys,
        "channel_info": rule_reads.channel_info,
        "audit_log": rule_reads.audit_log,
        "status": reads.status,
        "who_coordinator": reads.who_coordinator,
    }


def server_services(peers: PeerServices, donor: Donor, rule_reads: RuleReads) -> dict[str, Handler]:
    """What servers ask each other, and brokers ask; each handler says who may."""
    return {
        "whois": rule_reads.whois,
        "replicate": peers.replicate,
        "sync": peers.sync,
        "clock": peers.clock,
        "adjust": peers.adjust,
        "prevote": peers.election,
        "abdicate": peers.election,
        "election": peers.election,
        "coordinator": peers.election,
        "release": peers.election,
        "fetch": donor.fetch,
        "snapshot": donor.snapshot,
    }


class Requests:
    """The tasks `run` and `absences`."""

    def __init__(
        self,
        node: Node,
        listener: Listener,
        *,
        writes: Writes,
        reads: Reads,
        search: Search,
        peers: PeerServices,
        donor: Donor,
        operations: Callable[[int], None],
    ) -> None:
        self._node = node
        self._listener = listener
        self._writes = writes
        self._plain = PlainPublishes(node, writes)
        rules, rule_reads = Rules(node, writes), RuleReads(node)
        self._admission = Admission(node, node.accounts, node.rationing)
        self._clients: Mapping[str, Handler] = client_services(writes, reads, rules, rule_reads, search)
        self._servers: Mapping[str, Handler] = server_services(peers, donor, rule_reads)
        self._parked: dict[object, list[Call]] = {}  # by request
        self._parking = trio.Event()
        self._absences = Buckets(rate=ABSENCES_PER_SECOND, burst=ABSENCES_BURST, most=BUCKETS_MAX)
        self._junk = node.tallies.of("request not understood", level="warning")
        self._refused = node.tallies.of("refused")
        node.replies.listener = listener
        node.replies.operations = operations

    async def run(self) -> None:
        """The task: REP handling."""
        while True:
            batch = await self._listener.receive_batch()
            self._node.refresh()
            frames = iter(batch)
            calls = self._decode_batch(frames)
            self._serve_batch(calls)  # if there are none, the answers to what were no requests
            while calls:
                if self._node.commits.backlog > BACKLOG_ENTRIES:
                    await self._held_back()
                if calls := self._decode_batch(frames):
                    await trio.lowlevel.checkpoint()  # elections and clocks wait for one slice, not for all
                    self._node.refresh()
                    self._serve_batch(calls)

    async def _held_back(self) -> None:
        """Wait for commits, but not long: a disk that hangs must not silence reads, clocks and votes.

        Then writes are refused as soon as the backlog's own limit is reached.
        """
        with trio.move_on_after(PATIENCE_SECONDS):
            while self._node.commits.backlog > BACKLOG_ENTRIES:
                await self._node.commits.progress()

    def _decode_batch(self, frames: Iterator[Incoming]) -> list[Call]:
        """The calls of the next frames, with some hundreds of writes: one frame may carry as many."""
        calls: list[Call] = []
        carried = 0
        for incoming in frames:
            call = self._decoded(incoming)
            if call is not None:
                calls.append(call)
                carried += len(call.said.items) if isinstance(call, Bundle) else 1
            if carried >= DRAIN_MESSAGES_MAX:
                break
        return calls

    def _decoded(self, incoming: Incoming) -> Call | None:
        """A call, or None after an error reply: every frame that has a sender is answered."""
        node, principal = self._node, incoming.principal
        try:
            if incoming.body is None:
                raise Malformed("a request is one frame")
            node.rationing.frame(principal, len(incoming.body), node.batch_now)
            asked = codec.decode_request(incoming.body, client=principal.role not in _MAY_BE_SERVERS)
        except Malformed as error:
            node.clock.tick()
            self._not_understood(incoming, error)
            return None
        except RateLimited as limited:
            self._too_much(incoming, limited)
            return None
        kind = Bundle if isinstance(asked.data, PublishMany) else Call
        return kind(asked, incoming.envelope, node.replies, principal)

    def _not_understood(self, incoming: Incoming, error: Malformed) -> None:
        try:
            self._node.rationing.junk(incoming.principal, self._node.batch_now)
        except RateLimited as limited:
            self._too_much(incoming, limited)
            return
        self._junk.add({"service": error.service, "reason": error.reason}, requests=1)
        data = error_data("malformed", malformed_text(error.reason))
        self._node.replies.add(incoming.envelope, error.service, data, asked_clock=error.clock)

    def _too_much(self, incoming: Incoming, limited: RateLimited) -> None:
        """Refuse what was not read: its service is not known."""
        self._node.rationing.refused += 1
        self._refused.add({"service": "error"}, requests=1, code=limited.code)
        data = {**error_data(limited.code, limited.text), "retry_after": limited.retry_after}
        self._node.replies.add(incoming.envelope, "error", data, asked_clock=0)

    def _serve_batch(self, calls: list[Call]) -> None:
        self._writes.prefetch(calls)
        self._plain.begin()
        for call in calls:
            if isinstance(call, Bundle):
                self._serve_bundle(call)
            else:
                self._serve(call)
        self._node.replies.flush()

    def _serve_bundle(self, bundle: Bundle) -> None:
        """Together as far as nothing is to be said of them; each of the rest by itself.

        Who may not ask at all, or too often, is refused as a whole.
        """
        self._node.tags.hear(bundle.asked.clock, bundle.said.ctag, now=self._node.batch_now)
        try:
            self._admission.admit(bundle, requests=len(bundle.said.items))
        except Missing as missing:
            if bundle.checked or not self._park(bundle):
                self._refuse(bundle, missing)
        except Refused as refused:
            self._refuse(bundle, refused)
        else:
            for part in bundle.parts(self._plain.take_many(bundle)):
                self._serve(part)

    def _serve(self, call: Call) -> None:
        # Here, not in `_decoded`: entries of one batch, or of one check of absences, need stamps that rise.
        self._node.tags.hear(call.asked.clock, call.asked.data.ctag, now=self._node.batch_now)
        service = call.asked.service
        handler = self._clients.get(service)
        call.counted = handler is not None
        handler = handler or self._servers.get(service)
        try:
            if handler is None:
                raise Refused("service_unknown", f"Serviço desconhecido: {service}")
            self._admission.admit(call)
            asked = call.asked.data
            if service != "publish" or not self._plain.take_one(call, cast(Publish, asked)):
                handler(call, asked)
        except Missing as missing:
            if call.checked or not self._park(call):
                self._refuse(call, missing)
        except Refused as refused:
            self._refuse(call, refused)
        except StorageError:
            raise
        except Exception as error:
            self._node.log.error("fault while serving", service=service, exc_info=error)
            call.refuse(Refused("internal", "Erro interno; nada foi prometido"))

    def _refuse(self, call: Call, refused: Refused) -> None:
        more: dict[str, Any] = {}
        if refused.code == "busy":
            more["retry_after"] = 1
        if isinstance(refused, RateLimited):
            self._node.rationing.refused += 1
            more["retry_after"] = refused.retry_after
        if refused.reason is not None:
            more["reason"] = refused.reason
        if refused.code == "behind":
            more["behind"] = dict(self._node.entries.durable)
        self._refused.add({"service": call.asked.service}, requests=1, code=refused.code)
        call.refuse(refused, more)

    # What is missing here may be on its way -----------------------------------------------------------

    def _park(self, call: Call) -> bool:
        node, who = self._node, call.principal
        if (together := self._parked.get(call.request)) is not None:
            together.append(call)
            return True
        if not node.peers or node.draining or len(self._parked) >= ABSENCE_CHECKS_MAX:
            return False
        key = b"" if who.role == "broker" else who.key or who.address  # a broker asks for many
        if key and self._absences.take(key, now=node.batch_now):
            return False
        self._parked[call.request] = [call]
        self._parking.set()
        return True

    async def expiries(self) -> None:
        """The task: writes that have waited long enough for copies are answered as indeterminate."""
        while True:
            await trio.sleep(EXPIRY_SECONDS)
            self._node.refresh()
            for settled in self._node.acks.expire(self._node.batch_now):
                self._node.answer(settled)
            self._node.replies.flush()
            self._node.tallies.flush()

    async def absences(self) -> None:
        """The task: ask the peers once for everybody who waits, then serve them with what came."""
        while True:
            await self._parking.wait()
            self._parking = trio.Event()
            asked_for = len(self._parked)
            with trio.move_on_after(self._node.config.timings.absence_check_seconds):
                await self._node.catch_up()
            self._node.peers_asked()
            while asked_for > 0 and self._parked:
                asked_for -= self._serve_longest(asked_for)
                await trio.lowlevel.checkpoint()

    def serve_parked(self) -> None:
        """Serve everybody who waits with what is here now: on the way out."""
        while self._parked:
            self._serve_longest(ABSENCE_CHECKS_MAX)

    def _serve_longest(self, most: int) -> int:
        """Serve the requests that have waited longest, some hundreds of calls; how many requests that was."""
        calls: list[Call] = []
        longest = 0
        while self._parked and longest < most and len(calls) < DRAIN_MESSAGES_MAX:
            calls += self._parked.pop(next(iter(self._parked)))
            longest += 1
        self._node.refresh()
        for call in calls:
            call.checked = True
        self._serve_batch(calls)
        return longest
