"""What servers send each other, made by hand: logs of entries, runs, and who says so."""

from collections.abc import Sequence
from typing import Any

from recado.protocol import names
from recado.protocol.entry import EMPTY, Head, run_of, seal
from recado.protocol.messages import Entry, Kind
from storage.replica import Batch, Replica

ORIGIN = "server-2.00000000000000aa"
OTHER = "server-2.00000000000000bb"
FORKED = "origin forked, nothing more of it is taken"  # a log line


def who(**changed: Any) -> dict[str, Any]:
    """What the member server-2 says of itself."""
    return {"v": 2, "cluster": "recado", "from": "server-2", "boot": "b", **changed}


def log_of(origin: str, count: int, *, text: str = "m{}", targets: Sequence[str] = ("geral",)) -> list[Entry]:
    """The first entries of an origin: messages of ana in the channels in turn, a second apart."""
    entries, head = [], EMPTY
    for n in range(count):
        entry = seal(
            head, origin=origin, lamport=n + 1, wall_ms=1_000 * n, kind=Kind.CHANNEL_MESSAGE,
            author=names.uid("ana"), id=None, target=targets[n % len(targets)], prev=0,
            body=text.format(n).encode(),
        )  # fmt: skip
        head = Head(entry.seq, entry.lamport, entry.hash)
        entries.append(entry)
    return entries


def run(entries: list[Entry], first: int = 1, last: int | None = None) -> list[Any]:
    """Entries `first` to `last` of a log, as they go on the wire."""
    made = run_of(entries[first - 1 : last], entries[first - 2].hash if first > 1 else EMPTY.hash)
    return [made.origin, made.first, made.previous_hash, made.entries]


def stored(name: str, entries: Sequence[Entry]) -> Replica:
    """A member's store with these entries."""
    store = Replica.in_memory(name)
    store.stage(Batch(entries=entries))
    store.commit()
    return store
