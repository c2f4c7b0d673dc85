"""What the tasks of one server share: who it is, its clocks, its log, and what is made of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from random import Random
from typing import Any, Protocol

import msgspec

from daemons.server.accounts import Accounts
from daemons.server.calls import Replies
from daemons.server.channels import Channels
from daemons.server.clock_tags import ClockTags
from daemons.server.commit import Committer, GroupCommit, commit_inline
from daemons.server.directory import Directory
from daemons.server.in_force import Given, InForce
from daemons.server.put_off import PutOff
from daemons.server.rationing import Rationing
from daemons.server.signing import Proofs
from daemons.server.tail import Tail
from daemons.server.topics import Topics
from daemons.server.tried import FirstTries
from daemons.server.versions import Versions
from daemons.shared.logging import Logger
from daemons.shared.tally import Tallies
from recado.config import Config
from recado.protocol.acknowledgement import Acknowledgements, Settled
from recado.protocol.disciplined import DisciplinedClock
from recado.protocol.entry import origin_name
from recado.protocol.lamport import LamportClock, ceiling
from recado.protocol.limits import MEMBER_COMPLAINTS_MAX, STRANGER_SECONDS
from recado.protocol.log import ReplicationLog
from recado.protocol.messages import Entry, Kind, Level
from recado.protocol.vector import Vector, VectorLink
from recado.protocol.versions import WIRE_VERSION
from recado.secured import NodeSecurity
from recado.settings import Member
from storage.replica import RESTORED_KEY, Replica

EPOCH_KEY = "epoch"
RELAY_SECONDS = 60.0  # confirmations of origins that grew within this are relayed
GROWN_ORIGINS_MAX = 1024


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What is not determined by the configuration: clocks, randomness, and how commits are run."""

    now: Callable[[], float]  # monotonic seconds
    wall: Callable[[], float]  # the system's clock, seconds since 1970
    entropy: Callable[[int], bytes]  # random bytes: origins, boots, ids
    random: Random  # back-off and jitter
    committer: Committer
    aside: Committer = commit_inline  # long work on files, beside everything else
    wire_version: int = WIRE_VERSION  # another one only in tests of mixed clusters
    boottime: Callable[[], float] | None = None  # seconds that go on during suspend, for leases; None: `now`


class Asking(Protocol):
    """Who waits for an answer: a call, or what was asked together."""

    def reply(self, data: dict[str, Any], /) -> None: ...


class Waiting(msgspec.Struct, frozen=True):
    """A write that is durable here and waits for more copies."""

    call: Asking
    data: dict[str, object]


class Node:
    """The state of one server process.  Built once by `app`, read and moved by the tasks."""

    def __init__(
        self,
        config: Config,
        *,
        store: Replica,
        surroundings: Surroundings,
        log: Callable[..., Logger],
        in_force: InForce | None = None,
    ) -> None:
        self.config = config
        self.in_force: InForce = in_force or Given(config=config)
        self.store = store
        self.surroundings = surroundings
        self.name = config.node.name
        self.members: tuple[Member, ...] = config.cluster.members or (
            Member(name=self.name, rank=max(1, config.server.rank), address=config.server.listen),
        )
        self.peers: tuple[Member, ...] = tuple(m for m in self.members if m.name != self.name)
        self.boot = surroundings.entropy(8).hex()
        self.entries = ReplicationLog(
            store.heads(), mint_origin=lambda: origin_name(self.name, surroundings.entropy(8))
        )
        for origin, state in store.states().items():
            self.entries.stop(origin, state)
        self.time = DisciplinedClock(surroundings.wall, surroundings.now)
        self.clock = LamportClock(self._largest_stamp())
        self.log: Logger = log(self.name, lambda: self.clock.value)
        self.versions = Versions(surroundings.wire_version, self.log)
        self.directory = Directory(*store.names(), heard_of=store.heard_of())
        self.tags = self._tags()
        self.replies = Replies(self.clock, self.time, self.tags)
        self.meters = self.replies.meters
        self.meters.started_ms = int(surroundings.wall() * 1000)
        self.acks: Acknowledgements[Waiting] = Acknowledgements(
            self.name, (m.name for m in self.members), wait_seconds=config.timings.ack_wait_seconds
        )
        self.links = {peer.name: VectorLink() for peer in self.peers}
        self.commits = GroupCommit(self.entries, store, committer=surroundings.committer, now_ms=self.wall_ms)
        self.commits.flush = self.replies.flush
        self.commits.took = self.meters.committed
        self.commits.appliers.append(lambda _entries: self.refresh())
        self.batch_now = surroundings.now()  # monotonic seconds and
        self.batch_ms = 0  # shown milliseconds, as of the batch that is being handled
        self.refresh()
        self._open_community()
        self.proofs = None if self.in_force.security is None else Proofs(self.in_force)
        if self.proofs is not None:
            self.commits.sign = self.proofs.of_batch
        self._grown: dict[str, float] = {}  # when each origin last grew here
        self.commits.followers.append(self._grow)
        self.tallies = Tallies(self.log, surroundings.now)  # flushed by the request room's clock
        self.refused_runs = 0  # of peers, because of their signature
        self.run_refused = self.tallies.of("run refused", level="error")
        self.put_off = PutOff(self.tallies, surroundings.now)
        self._strangers: dict[tuple[str | None, str | None], float] = {}  # when each was last refused
        self.draining = False
        self._look_at_the_file()
        self.rank = next(member.rank for member in self.members if member.name == self.name)
        self.first_tries = FirstTries(peer.name for peer in self.peers)
        self._leave_open()

    def _tags(self) -> ClockTags:
        key = b"" if self.security is None else self.security.cluster_key
        return ClockTags(self.clock, key, ceiling=self.ceiling)

    def _look_at_the_file(self) -> None:
        # A3: an empty disk may be a lost one, a restored one lacks what was written since; before the peers
        # were asked, stamps would be too small.
        self.restored = self.store.meta(RESTORED_KEY)
        self.fresh = bool(self.peers) and (not self.entries.heads or self.restored is not None)
        self.bootstrap: dict[str, object] | None = None  # how far a snapshot has come; None: none comes
        self.outside_writes = 0  # of other processes to it, as far as they were seen

    def _leave_open(self) -> None:
        """What the rooms put in place when they are opened."""
        self.coordinator: str | None = None
        self.epoch_number = 0
        self.silent: set[str] = set()  # peers that did not answer the last time
        self.behind: Callable[[str, int], None] = lambda _peer, _entries: None  # lacks so many of a peer's
        self.acting: Callable[[], bool] = lambda: False  # may this server do what only a coordinator does?
        self.election: Callable[[], dict[str, Any]] = dict  # what `status` says of it
        self.tail = Tail()
        self.nudge: Callable[[str | None], None] = lambda _peer: None  # pull soon (from this peer)
        self.damaged: Callable[[str, int], None] = lambda _origin, _seq: None  # an entry here is not sound
        self.doors: Callable[[], dict[str, Any]] = dict  # what `status` says of connections and refusals
        self.damage: Callable[[], int] = lambda: 0  # how many entries wait for their repair
        self.catch_up: Callable[[], Awaitable[None]] = _nothing_to_catch_up
        self.search_state: Callable[[], dict[str, object] | None] = lambda: None  # of the index; None: none
        self.repaired: Callable[[Sequence[Entry]], None] = lambda _entries: None  # these were put right
        self.let_go: Callable[[], AbstractAsyncContextManager[None]] = nullcontext  # of the replica's file

    def _open_community(self) -> None:
        """Users, channels and their rules, which follow every commit."""
        self.accounts = Accounts(self.in_force, self.store.rules())
        self.channels = Channels(self.store.rules(), secured=self.accounts.secured)
        self.topics = Topics(self.in_force, self.accounts, self.channels)
        self.rationing = Rationing(self.in_force)
        for derived in (self.directory, self.accounts, self.channels):
            self.commits.appliers.append(derived.committed)
            self.commits.voided.append(derived.abandoned)
        if self.accounts.secured:
            self.commits.appliers.append(self._tell_apart)

    def _tell_apart(self, entries: Sequence[Entry]) -> None:
        """A17: a name that several have registered is shown for one of them, here as in the history."""
        for entry in entries:
            if entry.kind == Kind.LOGIN:
                for user in self.accounts.identities.bearers(str(entry.target)):
                    self.directory.users[user.uid] = user.shown

    @property
    def security(self) -> NodeSecurity | None:
        """This node's keys and the roster, as they are now; None in open mode."""
        return self.in_force.security

    def refresh(self) -> None:
        """Look at the clocks once for a whole batch: every look costs as much as a short request."""
        self.batch_now = self.meters.now = self.surroundings.now()
        self.batch_ms = self.wall_ms()
        self.replies.refresh()

    @property
    def disk_state(self) -> str:
        """Whether writes are taken: "ok", or "full", or "slow"."""
        return "full" if self.commits.full else "slow" if self.commits.slow else "ok"

    def ceiling(self) -> int:
        """A13: the largest stamp from elsewhere that counts now, by the later of our two clocks."""
        return ceiling(max(self.surroundings.wall(), self.time.time()))

    def _largest_stamp(self) -> int:
        """Of the log up to the ceiling: an earlier version may have kept one at the end of numbers."""
        largest, most = self.entries.lamport, self.ceiling()
        return largest if largest <= most else self.store.largest_stamp(most)

    def spread_ms(self) -> float | None:
        """Between the earliest and the latest clock that the last rounds measured; None: none did."""
        known = [0.0, *self.meters.offsets_ms.values()]
        return round(max(known) - min(known), 3) if len(known) > 1 else None

    def lease_now(self) -> float:
        """Seconds of a clock that does not stop while the machine is suspended."""
        return (self.surroundings.boottime or self.surroundings.now)()

    def reload(self) -> None:
        """The store holds more than before (a snapshot), and nothing is pending."""
        self.entries.reload(self.store.heads())
        self.clock.receive(self._largest_stamp())
        self.directory.reload(*self.store.names(), heard_of=self.store.heard_of())
        self.accounts.reload(self.store.rules())
        self.channels.reload(self.store.rules())
        self.peers_asked()

    def peers_asked(self) -> None:
        """What this server's disk lacks is known now, as far as anybody can tell."""
        self.fresh = False
        if self.restored is not None:
            self.restored = None
            self.commits.put_meta(RESTORED_KEY, None)

    def introduction(self) -> dict[str, Any]:
        """What a member says of itself in all that it asks other members."""
        return {
            "v": self.versions.ours,
            "cluster": self.config.cluster.id,
            "from": self.name,
            "boot": self.boot,
        }

    def wall_ms(self) -> int:
        """The shown time in milliseconds: what entries are stamped with."""
        return max(0, int(self.time.time() * 1000))

    def settle(self, call: Asking, data: dict[str, object], *, origin: str, seq: int, level: Level) -> None:
        """A write is durable here: answer as soon as its level is reached."""
        if level is Level.LOCAL:  # nothing to wait for
            data["acks"] = self.acks.copies(origin, seq)
            data["of"] = self.acks.of
            call.reply(data)
            return
        settled = self.acks.wait(origin, seq, level=level, token=Waiting(call, data), now=self.batch_now)
        if settled is not None:
            self.answer(settled)

    def answer(self, settled: Settled[Waiting]) -> None:
        """Tell the client how many durable copies there are; `indeterminate` if too few."""
        data = settled.token.data
        data["acks"] = settled.acks
        data["of"] = self.acks.of
        if not settled.enough:
            text = f"Sem confirmação: {settled.acks} de {self.acks.of} cópias"
            data |= {"status": "erro", "code": "indeterminate", "indeterminate": True}
            data |= {"description": text, "message": text}
        settled.token.call.reply(data)

    def confirmed(self, member: str, vector: Mapping[str, int]) -> None:
        """A member's durable vector, or a part of it: answers that waited for it go out."""
        settled = self.acks.confirm(member, vector)
        if settled:
            self.replies.refresh()
            for one in settled:
                self.answer(one)
            self.replies.flush()

    def met(self, member: str, boot: str | None) -> None:
        """A member speaks; if it has started anew, what it had confirmed may have died with its disk."""
        if self.links[member].meet(boot):
            self.acks.forget(member)

    def confirmations(self, *, besides: str) -> dict[str, tuple[str, Vector]]:
        """What third members have confirmed lately, to be relayed: one cut link must not stop `all`."""
        lately = self.surroundings.now() - RELAY_SECONDS
        recent = [origin for origin, grown in self._grown.items() if grown >= lately]
        return {
            name: (self.links[name].boot or "", {o: vector[o] for o in recent if o in vector})
            for name, vector in self.acks.confirmed.items()
            if name != besides and self.links[name].boot
        }

    def take_confirmations(self, relayed: Mapping[str, tuple[str, Mapping[str, int]]] | None) -> None:
        """Confirmations from a third member, believed if they speak of the same start of it."""
        for member, (boot, vector) in (relayed or {}).items():
            if member in self.links and self.links[member].boot == boot:
                self.confirmed(member, vector)

    def complain_of_stranger(self, name: str | None, cluster: str | None) -> None:
        """One line for each server that is no member: somebody's configuration is wrong."""
        stranger, known = (name, cluster), len(self._strangers)
        if stranger in self._strangers or known < MEMBER_COMPLAINTS_MAX:
            self._strangers[stranger] = self.surroundings.now()
        if len(self._strangers) == known:
            return
        self.log.warning(
            "a server that is no member is refused",
            server=name,
            its_cluster=cluster,
            our_cluster=self.config.cluster.id,
        )

    def strangers(self) -> list[tuple[str | None, str | None]]:
        """Who was refused lately: one whose configuration was mended asks as somebody else."""
        lately = self.surroundings.now() - STRANGER_SECONDS
        return [stranger for stranger, refused in self._strangers.items() if refused >= lately]

    def _grow(self, entries: Sequence[Entry]) -> None:
        now = self.surroundings.now()
        for origin in {entry.origin for entry in entries}:
            self._grown.pop(origin, None)  # the order is that of growing, so that the oldest go first
            self._grown[origin] = now
        while len(self._grown) > GROWN_ORIGINS_MAX:
            del self._grown[next(iter(self._grown))]


async def _nothing_to_catch_up() -> None:
    """A server without peers has everything there is."""
