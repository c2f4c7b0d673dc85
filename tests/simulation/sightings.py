"""Which rare states a history came through: if none of many ever does, the storms are blind there.

Most of them are read off the log lines and the final states.  The others are inside: `watched` puts
lookouts around methods of the real code for as long as it is open.  They look, and change nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any

import storage.writer
from daemons.server import peer_services, replication
from daemons.server.app import Server
from daemons.server.election import Elections
from daemons.server.node import Node
from daemons.server.pages import Pages
from daemons.server.replication import Peer
from daemons.server.tail import Tail
from recado.bundles import Bundle
from recado.protocol.entry import ident, origin_node
from recado.protocol.messages import Kind
from recado.protocol.subscription import Subscription

if TYPE_CHECKING:
    from final_state import FinalState
    from workload import History
    from world import World

Found = Callable[..., bool]  # (what was returned, *arguments) -> whether it was the rare thing


class Sightings:
    """What was seen inside, how often; and the election's end of each server, as the judges need it."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.elections: dict[str, Elections] = {}  # by node: of its latest start

    def coordinator_of(self, name: str) -> str | None:
        """Whom a server takes for the coordinator."""
        return self.elections[name]._node.coordinator if name in self.elections else None

    def node_of(self, name: str) -> Node | None:
        """What the tasks of a server's latest start share."""
        return self.elections[name]._node if name in self.elections else None

    def acting(self, name: str) -> bool:
        """Whether a server may act as coordinator now."""
        elections = self.elections.get(name)
        return elections is not None and elections._node.acting()


def _cut_page(result: Any, *_args: Any) -> bool:
    runs, more = result
    return bool(more and runs)


def _own_past(counts: dict[int, int], node: Any, runs: Any, _sender: str) -> bool:
    return bool(counts) and any(
        origin_node(run.origin) == node.name and run.origin != node.entries.mine for run in runs
    )


def _unconfirmed(_result: None, server: Server) -> bool:
    node = server.node
    mine = node.entries.mine
    return mine is not None and node.acks.copies(mine, node.entries.durable.get(mine, 0)) == 1


# (owner, attribute, what it is called, when it counts)
_LOOKOUTS: tuple[tuple[Any, str, str, Found], ...] = (
    (
        storage.writer,
        "larger_copies",
        "a smaller copy came second",
        lambda result, _copies: any(copy.place is None for copy in result),
    ),
    (Pages, "page", "a page cut before its end", _cut_page),
    (Tail, "run_after", "a page from memory", lambda found, *_, **__: found is not None),
    (Peer, "offer", "a window overflowed", lambda _result, peer, *_: peer.forgot),
    (peer_services, "take_runs", "an own old origin pulled back", _own_past),
    (replication, "take_runs", "an own old origin pulled back", _own_past),
    (Server, "give_up_waiting", "a drain with an entry on one disk only", _unconfirmed),
    (
        Bundle,
        "_take",
        "publishes that shared a request",
        lambda taken, bundle, _reply: taken and len(bundle.items) > 1,
    ),
    (Subscription, "audited", "an audit released what a disk had lost", lambda found, *_, **__: bool(found)),
)  # fmt: skip


@contextmanager
def watched() -> Iterator[Sightings]:
    """Look out while the block runs."""
    sightings = Sightings()
    originals: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, replacement: Any) -> None:
        originals.append((owner, name, getattr(owner, name)))
        setattr(owner, name, replacement)

    for owner, name, what, found in _LOOKOUTS:
        put(owner, name, _around(getattr(owner, name), sightings, what, found))
    put(Elections, "__init__", _remembering(Elections.__init__, sightings))
    put(Subscription, "page", _gaps(Subscription.page, sightings))
    try:
        yield sightings
    finally:
        for owner, name, original in reversed(originals):
            setattr(owner, name, original)


def _around(original: Callable[..., Any], sightings: Sightings, what: str, found: Found) -> Any:
    @wraps(original)
    def lookout(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        sightings.seen[what] += found(result, *args, **kwargs)
        return result

    return lookout


def _remembering(original: Callable[..., None], sightings: Sightings) -> Any:
    @wraps(original)
    def remember(self: Elections, node: Any, *args: Any, **kwargs: Any) -> None:
        sightings.elections[node.name] = self
        original(self, node, *args, **kwargs)

    return remember


def _gaps(original: Callable[..., Any], sightings: Sightings) -> Any:
    @wraps(original)
    def page(self: Subscription, *args: Any, **kwargs: Any) -> Any:
        held = self._held.messages if self._opened else 0
        result = original(self, *args, **kwargs)
        sightings.seen["a gap repaired from history"] += self._held.messages < held
        return result

    return page


# Once in so many histories each of these is to be reached.  From section "sometimes" of docs/testing.md.
EXPECTED: dict[str, int] = {
    "a retry kept by two servers": 10,
    "a write tried again": 5,
    "more origins than servers": 5,
    "a disk that forgot": 5,
    "a coordinator replaced": 5,
    "a clock round aborted": 10,
    "a clock round finished": 5,
    "a peer silent and back": 5,
    "a write refused by a full disk": 20,
    "a clean stop": 5,
    "entries pulled": 5,
    "a page from memory": 5,
    "a synchronisation with the coordinator": 5,
    "a smaller copy came second": 20,
    "one name registered three times": 20,
    "a gap repaired from history": 20,
    "a page cut before its end": 100,
    "an own old origin pulled back": 10,
    "a window overflowed": 100,
    "a drain with an entry on one disk only": 100,
    "an audit released what a disk had lost": 100,
    "a reader told that the server is behind": 20,
    "an id refused for other words": 10,
    "an entry in quarantine": 20,
    "a disk failed": 20,
    "a lease or an election lost": 20,
    "an abdication": 50,
    "an epoch spent without winning": 20,
    "a snapshot in the place of a replica": 20,
    "a fork detected": 100,
    "a larger epoch while leading": 50,
    "a lease that ran out": 50,
    "publishes that shared a request": 5,
}


def reached(world: "World", history: "History", state: "FinalState", sightings: Sightings) -> Iterator[str]:
    """The names, of those in `EXPECTED`, of what happened in a history."""
    events = Counter(line["event"] for _, line in world.journal.lines)
    codes = Counter(line.get("code") for _, line in world.journal.lines if line["event"] == "refused")
    idents = Counter(ident(entry) for entry in state.entries)
    names = Counter(entry.target for entry in state.entries if entry.kind in (Kind.LOGIN, Kind.CHANNEL))
    found = {
        **{what: times > 0 for what, times in sightings.seen.items()},
        "a retry kept by two servers": max(idents.values()) > 1,
        "a write tried again": any(op.tries > 1 for op in history.operations),
        "more origins than servers": len({entry.origin for entry in state.entries}) > len(world.servers),
        "a disk that forgot": bool(world.losses),
        "a coordinator replaced": events["coordinator did not answer, starting election"] > 0,
        "a clock round aborted": events["berkeley round aborted"] > 0,
        "a clock round finished": events["berkeley round finished"] > 0,
        "a peer silent and back": events["peer answers again"] > 0,
        "a write refused by a full disk": codes["storage_full"] > 0,
        "a clean stop": events["stopped"] > 0,
        "entries pulled": events["replicated from"] > 0,
        "a synchronisation with the coordinator": events["complete synchronisation done"] > 0,
        "one name registered three times": max(names.values(), default=0) >= 3,
        "a reader told that the server is behind": any(read.shown is None for read in history.reads),
        "an id refused for other words": any(op.code == "id_reused" for op in history.refused),
        "an entry in quarantine": bool(state.quarantined),
        "a disk failed": any("disk failed" in what for _, what in world.transit.record),
        "a lease or an election lost": events["no longer coordinator"] + events["election lost"] > 0,
        "an abdication": events["asking the lower coordinator to abdicate"] > 0,
        "a fork detected": events["origin forked, nothing more of it is taken"] > 0,
        "a larger epoch while leading": events["new epoch granted"] > 0,
        "a lease that ran out": any(
            line.get("reason") == "the lease ran out" for _, line in world.journal.lines
        ),
        "a snapshot in the place of a replica": events["snapshot installed"] > 0,
        "an epoch spent without winning": events["election lost"] > 0,
    }
    return (what for what, so in found.items() if so)
