"""Stateful fuzzing of the replica merge: whatever is told in whatever order, replicas become equal.

Three replicas append, tell each other runs (any stretch, again, late, changed on the way), die with or
without what they have not committed, and come back from a backup.  At every step each log is a prefix of
its origin's, and at the end all hold the same and show what the definition of the views says.

RECADO_FUZZ_EXAMPLES sets how many histories are tried.
"""

from typing import Any

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from recado.protocol import names
from recado.protocol.entry import EMPTY, Head, origin_name, parse
from recado.protocol.log import ReplicationLog
from recado.protocol.messages import Entry, Kind, Run
from recado.protocol.views import materialise
from storage.replica import Batch, Replica
from tests.fuzz.frames import EXAMPLES

NAMES = ("server-1", "server-2", "server-3")
USERS = ("ana", "bia")
STEPS = 40
replicas = st.sampled_from(NAMES)


class Store:
    """A replica and the log in memory above it, as a server has them; `pending` is not committed yet."""

    def __init__(self, name: str, image: bytes | None, number: int) -> None:
        self.name = name
        self.replica = Replica.in_memory(name, image)
        self.log = ReplicationLog(
            self.replica.heads(), mint_origin=lambda: origin_name(name, number.to_bytes(8, "big"))
        )
        self.pending: list[Entry] = []

    def commit(self) -> None:
        """Everything that is pending becomes durable."""
        if self.pending:
            self.replica.stage(Batch(entries=self.pending))
            self.replica.commit()
            self.log.committed(self.pending)
            self.pending = []

    def entries(self) -> dict[str, list[Entry]]:
        """Each origin's durable log."""
        found: dict[str, list[Entry]] = {}
        for origin in self.replica.heads():
            head = EMPTY
            run = self.replica.run_after(origin, 0, entries_max=10_000, bytes_max=2**30)
            assert run is not None
            for header, body in run.entries:
                entry = parse(header, body, head)
                found.setdefault(origin, []).append(entry)
                head = Head(entry.seq, entry.lamport, entry.hash)
        return found


class Merge(RuleBasedStateMachine):
    """Three replicas of one log."""

    @initialize()
    def begin(self) -> None:
        self.starts = 0
        self.truth: dict[str, list[Entry]] = {}  # every entry that was ever told to anybody, or kept
        self.backups: dict[str, bytes | None] = dict.fromkeys(NAMES)
        self.stores = {name: self._start(name, None) for name in NAMES}

    def _start(self, name: str, image: bytes | None) -> Store:
        self.starts += 1
        return Store(name, image, self.starts)

    @rule(
        name=replicas,
        user=st.sampled_from(USERS),
        kind=st.sampled_from([*map(int, Kind), 77]),
        id=st.sampled_from([b"1", b"2", b"3"]),
        body=st.sampled_from([b"oi", b"ola", b"\xff", b""]),
        jump=st.integers(1, 50),
    )
    def append(self, *, name: str, user: str, kind: int, id: bytes, body: bytes, jump: int) -> None:
        """A client's write: few users, ids and texts, so that copies and conflicts are many."""
        store = self.stores[name]
        target: Any = (
            names.uid(USERS[0]) if kind == Kind.USER_MESSAGE else user if kind == Kind.LOGIN else "geral"
        )
        entry = store.log.append(
            lamport=store.log.lamport + jump,
            wall_ms=1000,
            kind=kind,
            author=names.uid(user),
            id=id,
            target=target,
            body=b"" if kind in (Kind.LOGIN, Kind.CHANNEL) else body,
        )
        store.pending.append(entry)

    @rule(name=replicas)
    def commit(self, *, name: str) -> None:
        """The disk has caught up."""
        self.stores[name].commit()
        self._told(name)

    def _told(self, name: str) -> None:
        """What is durable may leave the node: from now on it is the truth about its place."""
        for origin, log in self.stores[name].entries().items():
            known = self.truth.setdefault(origin, [])
            assert [entry.hash for entry in log[: len(known)]] == [entry.hash for entry in known[: len(log)]]
            known.extend(log[len(known) :])

    @rule(one=replicas, other=replicas, skip=st.integers(0, 3), most=st.integers(1, 5), damaged=st.booleans())
    def tell(self, *, one: str, other: str, skip: int, most: int, damaged: bool) -> None:
        """A stretch of every origin's log from one to another, perhaps with a text changed on the way."""
        source, sink = self.stores[one], self.stores[other]
        for origin in source.replica.heads():
            run = source.replica.run_after(origin, skip, entries_max=most, bytes_max=2**20)
            if run is None:
                continue
            bodies = {body for _, body in run.entries}
            offered = sink.log.offer(changed(run) if damaged else run)
            assert not offered.forked, offered
            assert damaged or not offered.invalid, offered
            assert all(entry.body in bodies for entry in offered.new)
            sink.pending.extend(offered.new)

    @rule(name=replicas)
    def kill(self, *, name: str) -> None:
        """What was not committed is gone, and was told to nobody."""
        self.stores[name] = self._start(name, self.stores[name].replica.image())

    @rule(name=replicas)
    def back_up(self, *, name: str) -> None:
        self.backups[name] = self.stores[name].replica.image()

    @rule(name=replicas)
    def restore(self, *, name: str) -> None:
        """An older disk, or an empty one; the others have kept what it had told."""
        for other in NAMES:
            if other != name:
                self._pull(other, name)
        self.stores[name] = self._start(name, self.backups[name])

    def _pull(self, sink: str, source: str) -> None:
        self.stores[source].commit()
        self._told(source)
        into = self.stores[sink]
        for origin in self.stores[source].replica.heads():
            after = into.log.heads.get(origin, EMPTY).seq
            run = self.stores[source].replica.run_after(origin, after, entries_max=10_000, bytes_max=2**30)
            if run is not None:
                into.pending.extend(into.log.offer(run).new)
        into.commit()
        self._told(sink)

    @invariant()
    def every_log_is_a_prefix(self) -> None:
        """I1, I2: one content for each place, and no holes."""
        for store in getattr(self, "stores", {}).values():
            for origin, head in store.log.durable_heads.items():
                known = self.truth.get(origin, [])
                if head.seq <= len(known):
                    assert known[head.seq - 1].hash == head.hash

    def teardown(self) -> None:
        """I3: after everybody told everybody everything, all are equal, and show what is defined."""
        if not hasattr(self, "stores"):
            return
        for _ in range(2):
            for sink in NAMES:
                for source in NAMES:
                    if sink != source:
                        self._pull(sink, source)
        final = [store.entries() for store in self.stores.values()]
        assert final[0] == final[1] == final[2]
        views = materialise([entry for log in final[0].values() for entry in log])
        for store in self.stores.values():
            assert set(store.replica.users()) == {row.name for row in views.users}
            assert set(store.replica.channels()) == {row.name for row in views.channels}
            shown = store.replica.last_messages(channel="geral", limit=1000)
            assert [row.key for row in shown] == [row[-3:] for row in views.channel_messages]
            store.replica.close()


def changed(run: Run) -> Run:
    """The run with another text in its last entry."""
    *first, (header, body) = run.entries
    return msgspec.structs.replace(run, entries=[*first, (header, body + b"!")])


Merge.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


class TestMerge(Merge.TestCase):  # type: ignore[misc]
    """Replicas become equal whatever they are told, in whatever order (rules A1, A2, A15, A18, A19)."""
