"""The verdict on a tortured cluster: the judges of the simulation over the journals and the disks.

Of replicas that are equal, which is nearly always, one is held in memory: the others are read a log at a
time (`tests.torture.digests`), and journals are read anew by each judge.

What a level promises to survive is counted in disks that lost what they had synced (a level of k copies
survives fewer than k).  A loss only counts for a message until the next moment at which everything was
known to be everywhere: from then on all disks would have to be lost.
"""

import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from recado.protocol.limits import CLIENT_ADVANCE_PER_REQUEST
from recado.protocol.messages import Level
from tests.torture.neighbours import FinalState, History, Operation, judges
from tests.torture.plain_people import NOBODY

# A server that can't take a write now says so; that is no fault.
_ALLOWED_REFUSALS = frozenset({"busy", "draining", "storage_full", "unavailable", "channel_taken"})

Complaints = dict[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that is judged.  `losses` and `barriers` in monotonic seconds, as the operations' times.

    `journal` can be iterated again and again.
    """

    history: History
    journal: Iterable[dict[str, Any]]
    states: Sequence[FinalState]
    losses: Sequence[float] = ()
    barriers: Sequence[float] = ()
    logs: Sequence[tuple[float, dict[str, Any]]] = field(default=(), repr=False)
    statuses: dict[str, dict[str, Any]] = field(default_factory=dict)


def judge(evidence: Evidence) -> Complaints:
    """Every complaint by its kind; kinds without one are there with an empty list."""
    _name_the_nameless(evidence)
    history, states = evidence.history, evidence.states
    return {
        "lost": list(_lost(evidence)),
        "duplicated": _shown_twice(evidence),
        "diverged": judges.equal_replicas(states),
        "invented": judges.nothing_invented(history, states),
        "disordered": _disordered(evidence),
        "stamps": judges.stamps(states),
        "subscribers": list(_subscribers(evidence)),
        "reads": list(_reads(evidence)),
        "refused": _refused(history),
        "stuck": list(_stuck(history)),
        "elections": [*judges.one_winner(evidence.logs), *_leaders(evidence)],
    }


def _name_the_nameless(evidence: Evidence) -> None:
    """Give plain requests, which carry no id, that of the entry which shows their text."""
    state = evidence.states[0]
    ids = {(entry.origin, entry.seq): entry.id for entry in state.entries}
    shown = {(row.author, row.to, row.message): ids[row.origin, row.seq] for row in _rows(state)}
    for op in evidence.history.operations:
        if op.id == NOBODY:
            op.id = shown.get((op.user, op.target, op.text)) or secrets.token_bytes(16)


def _rows(state: FinalState) -> Iterator[Any]:
    yield from state.views.channel_messages
    yield from state.views.user_messages


def relevant_losses(op: Operation, losses: Sequence[float], barriers: Sequence[float]) -> tuple[float, ...]:
    """The losses that may have hit an operation before it was everywhere."""
    ended = op.begun if op.ended is None else op.ended
    safe = next((at for at in sorted(barriers) if at >= ended), float("inf"))
    return tuple(at for at in losses if op.begun <= at <= safe)


def _lost(evidence: Evidence) -> Iterator[str]:
    groups: dict[tuple[float, ...], History] = defaultdict(History)
    for op in evidence.history.acknowledged:
        hit = relevant_losses(op, evidence.losses, evidence.barriers)
        groups[hit].operations.append(op)
    for hit, history in groups.items():
        yield from judges.nothing_lost(history, evidence.states, hit)


def _may_vanish(op: Operation, evidence: Evidence) -> bool:
    """Whether a disk that was lost may rightly have taken it."""
    copies = 1
    if op.outcome == "acknowledged":
        copies = judges.copies(Level(op.level), len(evidence.states))
    return len(relevant_losses(op, evidence.losses, evidence.barriers)) >= copies


def _shown_twice(evidence: Evidence) -> list[str]:
    return judges.exactly_once(evidence.history, evidence.states)


def _disordered(evidence: Evidence) -> list[str]:
    """Each author's order.  A server that lost its disk knows how late it is once it has caught up."""
    sound = History()
    late = {id(op) for op in held_back(evidence)}
    for op in evidence.history.acknowledged:
        last = max((at for at in evidence.losses if at <= (op.ended or op.begun)), default=None)
        if last is not None and not any(last < at <= op.begun for at in evidence.barriers):
            continue
        if id(op) not in late:
            sound.operations.append(op)
    return judges.own_order(sound, evidence.states)


def held_back(evidence: Evidence) -> Iterator[Operation]:
    """Operations shown too early because a server that was far behind did not believe their author's clock.

    An unsigned clock moves a server's by at most `CLIENT_ADVANCE_PER_REQUEST` (A13).  It shows as a jump of
    just that in the log of that server, and still before what the author had been told.
    """
    entries = evidence.states[0].entries
    before = {(b.origin, b.seq): a.lamport for a, b in pairwise(entries) if a.origin == b.origin}
    rows = {(row.author, row.to, row.message): row for row in _rows(evidence.states[0])}
    told: dict[str, int] = defaultdict(int)
    for op in evidence.history.acknowledged:
        row = rows.get((op.user, op.target, op.text))
        if row is not None and row.lamport <= told[op.user]:
            jump = row.lamport - before.get((row.origin, row.seq), 0)
            if jump >= CLIENT_ADVANCE_PER_REQUEST:
                yield op
        told[op.user] = max(told[op.user], op.key[0] if op.key else 0)


def _subscribers(evidence: Evidence) -> Iterator[str]:
    heard: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in evidence.journal:
        if line["what"] == "heard":
            heard[line["listener"]].append((line["user"], line["text"]))
    gone = {(op.user, op.text) for op in evidence.history.operations if _may_vanish(op, evidence)}
    rows = evidence.states[0].views.channel_messages
    kept = {(row.author, row.message) for row in rows}
    for name, messages in sorted(heard.items()):
        # What a lost disk took with it may have been shown before, and again when it was sent again.
        counted = [message for message in messages if message not in gone]
        counted += sorted({message for message in messages if message in gone & kept})
        yield from (f"{name}: {complaint}" for complaint in judges.heard_once(counted, rows))


def _reads(evidence: Evidence) -> Iterator[str]:
    """Whoever wrote reads it, or is told that the page is behind, or a lost disk took it."""
    gone = {op.text for op in evidence.history.operations if _may_vanish(op, evidence)}
    for line in evidence.journal:
        if line["what"] == "read" and not line["found"] and not line["behind"] and line["text"] not in gone:
            yield f"{line['user']} did not read {line['text']!r}, which was acknowledged to it"


def _refused(history: History) -> list[str]:
    wrong = History()
    wrong.operations = [op for op in history.refused if op.code not in _ALLOWED_REFUSALS]
    return judges.refusals_are_right(wrong)


def _stuck(history: History) -> Iterator[str]:
    """Writers who repeat come to an end once everything is healed."""
    for op in history.operations:
        if op.outcome == "open" and not op.user.startswith("plain-"):
            yield f"no end of {op.service} {op.user}: {op.text!r} ({op.level}) after {op.tries} tries"


def _leaders(evidence: Evidence) -> list[str]:
    return judges.one_coordinator(evidence.statuses) if evidence.statuses else []


def summary(evidence: Evidence) -> dict[str, Any]:
    """Figures: operations by level and outcome, latencies, what was read and heard."""
    return {
        "acknowledged": dict(Counter(str(op.level) for op in evidence.history.acknowledged)),
        "outcomes": dict(Counter(op.outcome for op in evidence.history.operations)),
        "repeated": sum(op.tries > 1 for op in evidence.history.operations),
        "entries": len(evidence.states[0].entries) if evidence.states else 0,
        "heard": sum(line["what"] == "heard" for line in evidence.journal),
        "reads": sum(line["what"] == "read" for line in evidence.journal),
        "reads_behind": sum(line["what"] == "read" and line["behind"] for line in evidence.journal),
        "held_back": sum(1 for _ in held_back(evidence)),
        "excused_by_lost_disks": sum(_may_vanish(op, evidence) for op in evidence.history.acknowledged),
        "latency_seconds": latencies(evidence.history, lambda op: str(op.level)),
    }


def latencies(history: History, group: Callable[[Operation], str]) -> dict[str, dict[str, float]]:
    """Median, 99th percentile and maximum of the seconds from begin to acknowledgement."""
    waits: dict[str, list[float]] = defaultdict(list)
    for op in history.acknowledged:
        if op.ended is not None:
            waits[group(op)].append(op.ended - op.begun)
    return {
        name: {
            "p50": round(sorted(found)[len(found) // 2], 4),
            "p99": round(sorted(found)[len(found) * 99 // 100], 4),
            "max": round(max(found), 3),
        }
        for name, found in sorted(waits.items())
    }
