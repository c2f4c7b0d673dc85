"""The rules, switched off one at a time, from outside: what replaces which piece of the real code.

Each is a rule of docs/rules.md under the name that it has in the specification's own simulators.  Faults
at random find most of them; `directed` plans bring about what a few need.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple

import msgspec
import mutations_of_reads as reads
from disks import Disk
from faults import Fault, drawn
from nodes import ServerNode
from plans import Plan, plan

import recado.follower
import storage.writer
from daemons.server import node as server_node
from daemons.server.commit import GroupCommit
from daemons.server.node import Node
from daemons.server.peer_services import PeerServices
from daemons.server.reads import Reads
from daemons.server.replication import Replication
from daemons.server.writes import Writes
from recado.protocol import entry as entries
from recado.protocol import log as protocol_log
from recado.protocol.copies import Copies, Standing
from recado.protocol.entry import Head
from recado.protocol.lamport import LamportClock
from recado.protocol.limits import LAMPORT_LIMIT
from recado.protocol.log import Offered, ReplicationLog
from recado.protocol.messages import Level
from recado.protocol.subscription import Subscription
from recado.wire.memory_ends import MemoryAsker
from storage.derived import Derived
from storage.reading import ReadsForPeople
from storage.replica import FoundEntry

Patch = tuple[Any, str, Callable[[Any], Any]]  # owner, attribute, the original -> what replaces it


class Mutation(NamedTuple):
    """One rule off.  `seeds`: within so many it must be caught; `cheap`: within a few, in `make test` too."""

    rule: str
    patches: tuple[Patch, ...]
    seeds: int = 100
    plan: Callable[[int], Plan] = plan
    cheap: bool = False


@contextmanager
def applied(mutation: Mutation) -> Iterator[None]:
    """The real code without that rule, for as long as the block runs."""
    originals = [(owner, name, owner.__dict__[name]) for owner, name, _ in mutation.patches]
    for owner, name, broken in mutation.patches:
        setattr(owner, name, broken(getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name, original in originals:
            setattr(owner, name, original)


# Directed plans --------------------------------------------------------------------------------------


def _safety(seed: int, work: str | None = None) -> Plan:
    """A seed's storm about safety, whatever else the seed stands for."""
    what = plan(seed)
    dice = Random(f"{seed} safety")
    servers = [f"server-{n}" for n in range(1, what.servers + 1)]
    faults = what.faults if what.mode == "safety" else drawn(dice, servers, seconds=what.seconds)
    kept: Any = work or what.work
    return msgspec.structs.replace(what, mode="safety", work=kept, faults=faults)


def _adverse(seed: int) -> Plan:
    return _safety(seed, "adversary")


def _chatty(seed: int) -> Plan:
    return _safety(seed, "chat")


def _short(seed: int, kind: str, *, times: int, servers: int = 3) -> Plan:
    """Thirty seconds of talk in which one kind of fault comes again and again."""
    dice = Random(f"{seed} directed")
    names = [f"server-{n}" for n in range(1, servers + 1)]
    faults = tuple(
        Fault(
            at=10 + 18 * (n + dice.random()) / times,
            kind=kind,
            node=dice.choice(names),
            seconds=0.5 + 2 * dice.random(),
            amount=0.5 + dice.random() / 2,
        )
        for n in range(times)
    )
    return Plan(
        seed=seed,
        mode="safety",
        work="chat",
        election="available",
        servers=servers,
        seconds=30.0,
        faults=faults,
    )


def _struck(seed: int) -> Plan:
    return _short(seed, "strike", times=1)


def _cut_at_ack(seed: int) -> Plan:
    return _short(seed, "cut at ack", times=4)


def _struck_again(seed: int) -> Plan:
    what = _short(seed, "strike at repeat", times=1)
    return msgspec.structs.replace(what, work="adversary", seconds=60.0)


def _late_beacons(seed: int) -> Plan:
    return _short(seed, "weather", times=3)


def _lost_alone(seed: int) -> Plan:
    return _short(seed, "lonely death", times=1)


# What replaces the rules -----------------------------------------------------------------------------


def _always(value: Any) -> Callable[[Any], Any]:
    return lambda _original: lambda *_args, **_kwargs: value


def _boot_counter(init: Any) -> Any:
    def broken(self: Node, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        count = self.store.boot_count
        self.entries._mint_origin = lambda: f"{self.name}.{count:016x}"

    return broken


def _tells_followers_first(commit: Any) -> Any:
    async def broken(self: GroupCommit, items: Any, facts: Any, batch: Any) -> Any:
        for follow in self.followers:
            follow(batch.entries)
        kept, self.followers = self.followers, []
        try:
            return await commit(self, items, facts, batch)
        finally:
            self.followers = kept

    return broken


def _answers_first(commit: Any) -> Any:
    async def broken(self: GroupCommit, items: Any, facts: Any, batch: Any) -> Any:
        if not self.full:
            for _, after in items:
                if after is not None:
                    after(None)
            self.flush()
            items = [(entry, None) for entry, _ in items]
        return await commit(self, items, facts, batch)

    return broken


def _confirms_on_receipt(replicate: Any) -> Any:
    def broken(self: PeerServices, call: Any, asked: Any) -> None:
        node = self._node
        if asked.v is None or node.commits.refusal is not None:
            replicate(self, call, asked)
            return
        after, durable = node.commits.after, node.entries.durable
        node.commits.after = lambda callback: callback(None)  # type: ignore[method-assign]
        try:
            self_heads = node.entries
            replicated = _Confirming(self_heads)
            node.entries.durable = replicated  # type: ignore[assignment]
            replicate(self, call, asked)
        finally:
            node.entries.durable = durable
            node.commits.after = after  # type: ignore[method-assign]

    return broken


class _Confirming(dict[str, int]):
    """A vector of what was received, in the place of what is durable."""

    def __init__(self, log: ReplicationLog) -> None:
        super().__init__(log.durable)
        self._log = log

    def get(self, origin: str, default: Any = None) -> Any:
        head = self._log.heads.get(origin)
        return head.seq if head else default


def _answers_repeated_at_once(settle: Any) -> Any:
    def broken(self: Writes, call: Any, draft: Any, asked: Any, level: Level, entry: Any) -> None:
        settle(self, call, draft, asked, Level.LOCAL if isinstance(entry, FoundEntry) else level, entry)

    return broken


def _majority_of_the_living(init: Any) -> Any:
    def broken(self: Node, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        acks: Any = self.acks

        def needed(level: Level) -> int:
            living = acks.of - len(self.silent)
            return 1 if level is Level.LOCAL else living // 2 + 1 if level is Level.QUORUM else acks.of

        acks.needed = needed

    return broken


def _jumps_gaps(offer: Any) -> Any:
    def broken(self: ReplicationLog, run: Any, **more: Any) -> Offered:
        head = self.heads.get(run.origin)
        seq = head.seq if head else 0
        if run.first > seq + 1 and run.origin not in self.stopped:
            before = Head(run.first - 1, 0, run.previous_hash)
            return self._take(run, run.entries, before, **{"whole": False, "ceiling": LAMPORT_LIMIT, **more})
        return offer(self, run, **more)

    return broken


def _believes_clocks(_original: Any) -> Any:
    def broken(self: LamportClock, received: int, *, now: float) -> int:
        self.value = max(self.value, received) + 1
        return self.value

    return broken


def _ignores_clocks(_original: Any) -> Any:
    return lambda self, _received, *, now: self.tick()


def _first_name_wins(user_of: Any) -> Any:
    def broken(self: Derived, entry: Any) -> Any:
        known = self.users.get(entry.author)
        return None if known is not None and known.key is not None else user_of(self, entry)

    return broken


def _no_predecessors(seal: Any) -> Any:
    return lambda *args, prev, **fields: seal(*args, prev=0, **fields)


def _covers_everything(messages_since: Any) -> Any:
    def broken(self: ReadsForPeople, **fields: Any) -> Any:
        rows, _, more = messages_since(self, **fields)
        return rows, dict(fields["up_to"]), more

    return broken


def _shows_again(add: Any) -> Any:
    def broken(self: Copies, ident: Any, place: Any) -> Standing:
        standing = add(self, ident, place)
        return Standing(True, None) if not standing.new else standing

    return broken


def _no_digest(_original: Any) -> Any:
    """Whoever has the same author and id is a copy, whatever it says."""

    def broken(copies: Any) -> Any:
        losers = []
        for same_id in copies.values():
            smallest: dict[Any, Any] = {}
            for copy in same_id:
                who = (copy.ident[0], copy.ident[1])
                best = smallest.setdefault(who, copy)
                if copy.key < best.key:
                    losers.append(best)
                    smallest[who] = copy
                elif copy is not best:
                    losers.append(copy)
        return losers

    return broken


MUTATIONS: dict[str, Mutation] = {
    "boot_origin": Mutation(
        "A1", ((server_node, "origin_name", lambda _: lambda name, _: f"{name}.{'0' * 16}"),), cheap=True
    ),
    "boot_random": Mutation("A1", ((Node, "__init__", _boot_counter),)),
    "commit_first": Mutation("A5", ((GroupCommit, "_commit", _tells_followers_first),), seeds=300),
    "ack_after_fsync": Mutation(
        "A5", ((GroupCommit, "_commit", _answers_first),), plan=_cut_at_ack, cheap=True
    ),
    "confirm_durable": Mutation(
        "A7", ((PeerServices, "replicate", _confirms_on_receipt),), plan=_struck, cheap=True
    ),
    "dedupe_view": Mutation("A8", ((storage.writer, "larger_copies", _always([])),), cheap=True),
    "dup_waits_level": Mutation("A9", ((Writes, "_settle", _answers_repeated_at_once),), plan=_struck_again),
    "ident_digest": Mutation("A10", ((Writes, "_same", _always(None)),), plan=_adverse, cheap=True),
    "ident_digest_in_view": Mutation(
        "A10", ((storage.writer, "larger_copies", _no_digest),), plan=_adverse, cheap=True
    ),
    "static_quorum": Mutation("A24", ((Node, "__init__", _majority_of_the_living),), seeds=300),
    "contiguous": Mutation(
        "A19",
        ((ReplicationLog, "offer", _jumps_gaps), (entries, "_chain_problem", _always(None))),
        cheap=True,
    ),
    "clamp": Mutation(
        "A13", ((LamportClock, "receive_unsigned", _believes_clocks),), plan=_adverse, cheap=True
    ),
    "client_clock": Mutation("A16", ((LamportClock, "receive_unsigned", _ignores_clocks),), plan=_chatty),
    "name_min_key": Mutation(
        "A17, A18", ((Derived, "user_of", _first_name_wins),), plan=_adverse, cheap=True
    ),
    "prev_by_origin": Mutation("E2", ((protocol_log, "seal", _no_predecessors),), cheap=True),
    "page_upto": Mutation(
        "A46",
        (
            (ReadsForPeople, "messages_since", _covers_everything),
            (recado.follower, "HISTORY_MESSAGES_MAX", lambda _: 3),
        ),
    ),
    "sub_ident": Mutation("E5", ((Copies, "add", _shows_again),), cheap=True),
    "session": Mutation("A43", ((Reads, "_check_session", _always(None)),), cheap=True),
    "hist_durable": Mutation(
        "A5",
        (
            (Disk, "stage", reads.seen_before_it_is_synced),
            (Disk, "commit", reads.synced),
            (ServerNode, "close", reads.without_power),
        ),
        plan=_cut_at_ack,
        seeds=300,
    ),
    "vector_cursor": Mutation("E7", ((Subscription, "page", reads.follows_a_place),), cheap=True),
    "beacon": Mutation("E3", ((Subscription, "beacon", reads.deaf_to_beacons),)),
    "audit_causal": Mutation("A45", ((Subscription, "beacon", reads.believes_beacons),), plan=_late_beacons),
    "any_peer": Mutation("R7", ((Replication, "pull_from", reads.pulls_from_the_coordinator),), cheap=True),
    "reply_ids": Mutation("A40", ((MemoryAsker, "deliver", reads.takes_any_reply),), cheap=True),
    "sub_rollback": Mutation(
        "E8", ((Subscription, "audited", lambda _: lambda *_args, **_kwargs: []),), plan=_lost_alone
    ),
}
