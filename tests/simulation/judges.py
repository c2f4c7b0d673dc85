"""Judges: pure functions over what was recorded; each gives its complaints, none if all is well.

Their numbers are those of the checkers in the reliability rules: K1 nothing acknowledged is lost, K2
exactly once, K3 equal replicas, K5 one winner an epoch, K6 nothing invented, K7 a user's own order, K9
recovery, K11 stamps.  Each is proved in ``test_judges.py`` by a fault that it must see.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import Any

from final_state import FinalState
from workload import History, Operation

from recado.protocol.limits import CLIENT_ADVANCE_BURST, CLIENT_ADVANCE_PER_SECOND, LAMPORT_LIMIT
from recado.protocol.messages import Entry, Level
from recado.protocol.views import Shown, Views, materialise

CLOCK_SPREAD_SECONDS = 0.05
LED_SHARE_MIN = 0.8
LEADER_CHANGES_PER_MINUTE_MAX = 4.0
LINK_MESSAGES_PER_SECOND_MAX = 120


def nothing_lost(history: History, states: Sequence[FinalState], losses: Sequence[float]) -> list[str]:
    """K1: what was acknowledged is in every replica, unless as many disks as it was on forgot since.

    `losses`: when a disk lost something that it had committed.
    """
    complaints = []
    for state in states:
        kept = _kept(state)
        named = {row.name for row in (*state.views.users, *state.views.channels)}
        for op in history.acknowledged:
            gone = sum(at >= op.begun for at in losses)
            if gone >= copies(op.level, len(states)):
                continue
            if (op.id, op.text) not in kept and not (
                op.service in ("login", "channel") and _name(op) in named
            ):
                complaints.append(f"{state.server} lacks {_told(op)}")
    return complaints


def copies(level: Level, members: int) -> int:
    """How many disks an answer at this level stands for."""
    return {Level.LOCAL: 1, Level.QUORUM: members // 2 + 1, Level.ALL: members}[level]


def exactly_once(history: History, states: Sequence[FinalState]) -> list[str]:
    """K2 and K8: every text is shown at most once; an acknowledged one that is kept, exactly once."""
    complaints = []
    ids = defaultdict(set)  # who says the same again with another id has said it twice
    for op in history.operations:
        ids[op.user, op.target, op.text].add(op.id)
    for state in states:
        shown = Counter(
            (row.author, row.to, row.message)
            for row in (*state.views.channel_messages, *state.views.user_messages)
        )
        kept = _kept(state)
        for op in history.operations:
            if op.service not in ("publish", "message"):
                continue
            said = (op.user, op.target, op.text)
            times = shown[said]
            if times > len(ids[said]) or (times == 0 and (op.id, op.text) in kept):
                complaints.append(f"{state.server} shows {times} times: {_told(op)}")
    return complaints


def _kept(state: FinalState) -> set[tuple[bytes | None, str]]:
    """(id, text) of every entry."""
    return {(entry.id, entry.body.decode(errors="replace")) for entry in state.entries}


def nothing_invented(history: History, states: Sequence[FinalState]) -> list[str]:
    """K6: whatever is shown was said by its author, to that channel or person."""
    said = {(op.user, op.target, op.text) for op in history.operations}
    return [
        f"{state.server} shows what nobody said: {row}"
        for state in states
        for row in (*state.views.channel_messages, *state.views.user_messages)
        if (row.author, row.to, row.message) not in said
    ]


def own_order(history: History, states: Sequence[FinalState], losses: Sequence[float] = ()) -> list[str]:
    """K7: of two messages of one user, the second begun after the first was acknowledged, the first is
    shown first.

    `losses`: when a disk lost something that it had committed.  Whoever notices says again what was lost
    with it, and that comes later than what was said in between.
    """
    complaints = []
    for state in states:
        rows = (*state.views.channel_messages, *state.views.user_messages)
        shown = {(row.author, row.to, row.message): (row.lamport, row.origin, row.seq) for row in rows}
        said: dict[str, list[Operation]] = {}
        for op in history.acknowledged:
            key = shown.get((op.user, op.target, op.text))
            if key is None:
                continue
            earlier = said.setdefault(op.user, [])
            before = next((b for b in reversed(earlier) if b.ended is None or b.ended <= op.begun), None)
            place = None if before is None else shown[before.user, before.target, before.text]
            if before is not None and place is not None and place >= key:
                gone = sum(at >= before.begun for at in losses)
                if place == before.key or gone < copies(before.level, len(states)):
                    complaints.append(f"{state.server} shows {_told(op)} before {_told(before)}")
            earlier.append(op)
    return complaints


def equal_replicas(states: Sequence[FinalState]) -> list[str]:
    """K3 and K9: the same entries with the same hashes everywhere, views equal to the definition."""
    complaints = []
    first = states[0]
    expected = materialise(first.entries)
    for state in states:
        if state.entries != first.entries:
            complaints.append(
                f"{state.server} and {first.server} hold different entries: {_diff(state, first)}"
            )
        for name, rows, wanted in zip(Views._fields, state.views, expected, strict=True):
            if rows != wanted:
                complaints.append(f"{state.server}: view {name} is not what its entries say")
    return complaints


def _diff(one: FinalState, other: FinalState) -> str:
    return str(sorted(set(one.heads.items()) ^ set(other.heads.items())))


def stamps(states: Sequence[FinalState]) -> list[str]:
    """K11: every origin's seqs follow one another, its Lamport stamps grow, its shown time never falls."""
    complaints = []
    for state in states:
        logs: dict[str, list[Entry]] = defaultdict(list)
        for entry in state.entries:
            logs[entry.origin].append(entry)
            if not 1 <= entry.lamport < LAMPORT_LIMIT:
                complaints.append(f"{state.server}: stamp {entry.lamport} of {entry.origin} out of range")
        for origin, log in logs.items():
            for a, b in pairwise(log):
                if b.seq != a.seq + 1 or b.lamport <= a.lamport or b.wall_ms < a.wall_ms:
                    complaints.append(f"{state.server}: {origin} goes back after {a.seq}: {a} {b}")
    return complaints


def stamps_believable(states: Sequence[FinalState], *, work: int, seconds: float, starts: int) -> list[str]:
    """K11, A13: Lamport stamps grew with the work and with what unsigned clocks may move them, no more.

    `work`: messages carried, each of which moves a clock by a few at most; `starts` of servers.
    """
    most = 4 * work + starts * CLIENT_ADVANCE_BURST + len(states) * CLIENT_ADVANCE_PER_SECOND * seconds
    largest = max(entry.lamport for entry in states[0].entries)
    return [f"a stamp of {largest}, at most {most:.0f} can be explained"] if largest > most else []


def one_winner(lines: Iterable[tuple[float, Mapping[str, Any]]]) -> list[str]:
    """K5: an epoch is announced by the server that it names alone, and a process announces rising ones."""
    complaints = []
    announced: dict[str, int] = {}
    for at, line in lines:
        node = line["node"]
        if line["event"] == "serving":
            announced.pop(node, None)
        elif line["event"] == "announced on `servers`":
            if line["coordinator"] != node:
                complaints.append(f"{at:.2f} {node} announces {line['coordinator']}")
            if line["epoch"] < announced.get(node, 0):
                complaints.append(f"{at:.2f} {node} falls back to epoch {line['epoch']}")
            announced[node] = line["epoch"]
    return complaints


def one_coordinator(statuses: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """K5: after healing, all servers name one coordinator, in one epoch: the highest rank alive."""
    said = {name: (status.get("coordinator"), status.get("epoch")) for name, status in statuses.items()}
    highest = max(statuses, key=lambda name: statuses[name].get("rank", 0))
    wanted = (highest, statuses[highest].get("epoch"))
    return [f"{name} names {what}, not {wanted}" for name, what in said.items() if what != wanted]


def clocks_agree(shown: Mapping[str, float]) -> list[str]:
    """Shown times of one moment, in seconds, are within 50 ms of each other."""
    spread = max(shown.values()) - min(shown.values())
    return [] if spread <= CLOCK_SPREAD_SECONDS else [f"clocks {spread * 1000:.1f} ms apart: {dict(shown)}"]


def nobody_shouts(
    busiest: tuple[int, int, str, str], *, most: int = LINK_MESSAGES_PER_SECOND_MAX
) -> list[str]:
    """K10: no link carries more in any second than the workload can explain: nothing loops.

    `busiest`: (messages, in which second, from, to).
    """
    messages, second, source, destination = busiest
    if messages <= most:
        return []
    return [f"{messages} messages from {source} to {destination} in second {second}"]


def within_bounds(fullest: Mapping[str, tuple[int, int, float]]) -> list[str]:
    """K10: no queue or table was ever fuller than its limit.  By name: (most, limit, when in seconds)."""
    return [
        f"{most} {what} at {at:.2f}, at most {limit}"
        for what, (most, limit, at) in fullest.items()
        if most > limit
    ]


def heard_once(heard: Sequence[tuple[str, str]], rows: Iterable[Shown]) -> list[str]:
    """K2 at a subscriber: (author, text) of every row once, and nothing else.  Texts must differ."""
    times = Counter(heard)
    wanted = {(row.author, row.message) for row in rows}
    return [
        *(f"heard {n} times: {what}" for what, n in times.items() if n > 1),
        *(f"never heard: {what}" for what in sorted(wanted - set(times))),
        *(f"heard, and in no view: {what}" for what in sorted(set(times) - wanted)),
    ]


def lost_with_a_disk(lost: Sequence[tuple[float, str]], losses: Sequence[float]) -> list[str]:
    """A44, A45, part of K2: nothing is called lost before a disk forgot.  `lost`: (when, text)."""
    first = min(losses, default=inf)
    return [f"called lost at {at:.2f}, and no disk was: {text[:30]!r}" for at, text in lost if at < first]


def answered_in_time(
    history: History, *, since: float, warming_seconds: float = 25.0, within_seconds: float = 15.0
) -> list[str]:
    """K9 with one bad server: from some time after the fault on, who asks the others is soon answered."""
    return [
        f"not answered within {within_seconds} s: {_told(op)}"
        for op in history.operations
        if op.begun >= since + warming_seconds and (op.ended is None or op.ended - op.begun > within_seconds)
    ]


def led(samples: Sequence[tuple[float, Sequence[str]]], *, share_min: float = LED_SHARE_MIN) -> list[str]:
    """K5 with one bad server: somebody leads 80 % of the time, with at most four changes a minute.

    `samples`: (time in seconds, who may act as coordinator), at equal distances.
    """
    if len(samples) < 2:
        return []
    share = sum(bool(acting) for _, acting in samples) / len(samples)
    leaders = [acting for _, acting in samples if acting]
    changes = sum(a != b for a, b in pairwise(leaders))
    minutes = max(1.0, (samples[-1][0] - samples[0][0]) / 60)
    complaints = [] if share >= share_min else [f"a coordinator only {share:.0%} of the time"]
    if changes / minutes > LEADER_CHANGES_PER_MINUTE_MAX:
        complaints.append(f"{changes} changes of coordinator in {minutes:.1f} minutes: {leaders}")
    return complaints


def at_most_one_leads(samples: Sequence[tuple[float, Sequence[str]]]) -> list[str]:
    """K5 with leases: never two that may act at one time."""
    return [f"{at:.2f} both act: {acting}" for at, acting in samples if len(acting) > 1][:5]


def refusals_are_right(history: History) -> list[str]:
    """Nobody was refused who did nothing wrong: the people of the workload never do."""
    return [f"refused with {op.code}: {_told(op)}" for op in history.refused]


def _name(op: Operation) -> str:
    return op.user if op.service == "login" else op.target


def _told(op: Operation) -> str:
    return (
        f"{op.service} {op.user}->{op.target} {op.text[:30]!r} ({op.level}, {op.outcome}, "
        f"id {op.id.hex()[:8]}, {op.begun:.2f}..{op.ended or -1:.2f}, {op.tries} tries, key {op.key})"
    )
