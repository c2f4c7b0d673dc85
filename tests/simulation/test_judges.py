"""Each judge sees the fault that it is there for, and is content with a sound history."""

from collections.abc import Callable

import judges
import msgspec
import pytest
from final_state import FinalState
from workload import History, Operation

from recado.protocol import names
from recado.protocol.entry import EMPTY, Head, seal
from recado.protocol.messages import Entry, Kind, Level
from recado.protocol.views import materialise

ANA = names.uid("ana")
ORIGINS = ("server-1.00000000000000aa", "server-2.00000000000000bb")


class Log:
    """Entries of one origin, chained."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.head = EMPTY
        self.entries: list[Entry] = []

    def add(
        self, kind: Kind, *, id: bytes, target: str, lamport: int, body: str = "", wall_ms: int = 1000
    ) -> None:
        entry = seal(
            self.head,
            origin=self.origin,
            lamport=lamport,
            wall_ms=wall_ms,
            kind=kind,
            author=ANA,
            id=id,
            target=target,
            prev=0,
            body=body.encode(),
        )
        self.head = Head(entry.seq, entry.lamport, entry.hash)
        self.entries.append(entry)


def sound_log() -> list[Entry]:
    """A registration, a channel, two messages; the second one twice, by a retry at another server."""
    first, second = Log(ORIGINS[0]), Log(ORIGINS[1])
    first.add(Kind.LOGIN, id=b"l", target="ana", lamport=1)
    first.add(Kind.CHANNEL, id=b"c", target="geral", lamport=2)
    first.add(Kind.CHANNEL_MESSAGE, id=b"1", target="geral", body="one", lamport=3)
    first.add(Kind.CHANNEL_MESSAGE, id=b"2", target="geral", body="two", lamport=5)
    second.add(Kind.CHANNEL_MESSAGE, id=b"2", target="geral", body="two", lamport=7)
    return [*first.entries, *second.entries]


def state(server: str, entries: list[Entry]) -> FinalState:
    """A replica that holds `entries` and shows what they say."""
    return FinalState(server=server, entries=tuple(entries), views=materialise(entries))


def sound_states() -> list[FinalState]:
    return [state(f"server-{n}", sound_log()) for n in (1, 2, 3)]


def operation(service: str, id: bytes, target: str, text: str = "", level: Level = Level.LOCAL) -> Operation:
    """One that was begun and acknowledged at the time 9."""
    op = Operation(service=service, user="ana", target=target, text=text, id=id, level=level, begun=9.0)
    op.outcome, op.ended = "acknowledged", 9.0
    return op


def sound_history() -> History:
    history = History()
    history.operations = [
        operation("login", b"l", ""),
        operation("channel", b"c", "geral"),
        operation("publish", b"1", "geral", "one"),
        operation("publish", b"2", "geral", "two", Level.QUORUM),
    ]
    return history


def without(states: list[FinalState], place: int, id: bytes) -> list[FinalState]:
    """One replica lacks the entries with that id."""
    kept = [entry for entry in states[place].entries if entry.id != id]
    return [*states[:place], state(states[place].server, kept), *states[place + 1 :]]


def shown(base: FinalState, change: Callable[[list], list]) -> FinalState:  # type: ignore[type-arg]
    """A replica whose view of channel messages was tampered with."""
    views = base.views._replace(channel_messages=change(list(base.views.channel_messages)))
    return msgspec.structs.replace(base, views=views)


def test_a_sound_history_has_no_complaints() -> None:
    """No judge complains where nothing is wrong, a doubled entry included."""
    history, states = sound_history(), sound_states()
    assert judges.nothing_lost(history, states, []) == []
    assert judges.exactly_once(history, states) == []
    assert judges.nothing_invented(history, states) == []
    assert judges.own_order(history, states) == []
    assert judges.equal_replicas(states) == []
    assert judges.stamps(states) == []


def test_a_lost_message_is_seen() -> None:
    """K1: an acknowledged message that one replica lacks is a complaint."""
    states = without(sound_states(), 1, b"1")
    (complaint,) = judges.nothing_lost(sound_history(), states, [])
    assert complaint.startswith("server-2 lacks publish")


def test_a_lost_channel_is_seen() -> None:
    """K1: a channel that nobody speaks of any more is a complaint."""
    entries = [entry for entry in sound_log() if entry.target != "geral"]
    assert any("channel" in c for c in judges.nothing_lost(sound_history(), [state("server-1", entries)], []))


@pytest.mark.parametrize(("losses", "excused"), [([], False), ([8.0], False), ([11.0], True), ([9.5], True)])
def test_a_disk_that_forgot_excuses_one_copy(losses: list[float], excused: bool) -> None:
    """K1: what was on one disk only may be gone if a disk forgot after it was begun, not before."""
    states = [without(sound_states(), n, b"1")[n] for n in range(3)]
    assert (judges.nothing_lost(sound_history(), states, losses) == []) == excused


def test_one_lost_disk_does_not_excuse_a_quorum() -> None:
    """K1: a message on two disks must survive the loss of one, and may die with two."""
    states = [without(sound_states(), n, b"2")[n] for n in range(3)]
    assert judges.nothing_lost(sound_history(), states, [11.0]) != []
    assert judges.nothing_lost(sound_history(), states, [11.0, 12.0]) == []


def test_a_message_shown_twice_is_seen() -> None:
    """K2: a duplicate in one view is a complaint."""
    states = sound_states()
    states[2] = shown(states[2], lambda rows: [*rows, rows[0]])
    (complaint,) = judges.exactly_once(sound_history(), states)
    assert "server-3 shows 2 times" in complaint


def test_a_message_kept_and_not_shown_is_seen() -> None:
    """K2: a message that is in the log and in no view is a complaint."""
    states = sound_states()
    states[0] = shown(states[0], lambda rows: rows[1:])
    assert len(judges.exactly_once(sound_history(), states)) == 1


@pytest.mark.parametrize(("times", "complaints"), [(0, 0), (1, 0), (2, 1)])
def test_an_open_outcome_twice_is_seen(times: int, complaints: int) -> None:
    """K8: what nobody was told the end of may be there once or not at all, not twice."""
    history = sound_history()
    history.operations[2].outcome = "open"
    states = [state("server-1", [entry for entry in sound_log() if times or entry.id != b"1"])]
    if times:
        states[0] = shown(states[0], lambda rows: [*[rows[0]] * times, *rows[1:]])
    assert len(judges.exactly_once(history, states)) == complaints


def test_an_invention_is_seen() -> None:
    """K6: a message that nobody sent is a complaint."""
    states = sound_states()
    states[0] = shown(states[0], lambda rows: [rows[0]._replace(message="never said")])
    assert len(judges.nothing_invented(sound_history(), states)) == 1


def test_an_order_turned_round_is_seen() -> None:
    """K7: one's second message shown above the first is a complaint."""
    history = sound_history()
    history.operations[2:] = reversed(history.operations[2:])
    assert len(judges.own_order(history, sound_states())) == 3


def test_what_was_said_at_the_same_time_has_no_order() -> None:
    """K7: a message begun before the other was acknowledged may stand on either side of it."""
    history = sound_history()
    history.operations[2:] = reversed(history.operations[2:])
    history.operations[2].ended = 9.5
    assert judges.own_order(history, sound_states()) == []


@pytest.mark.parametrize(
    ("losses", "excused"), [([], False), ([8.0, 8.5], False), ([11.0], False), ([11.0, 12.0], True)]
)
def test_what_was_said_again_after_lost_disks_comes_later(losses: list[float], excused: bool) -> None:
    """K7: a message on two disks is out of its acknowledged place only if two disks forgot since."""
    history = sound_history()
    history.operations[2:] = reversed(history.operations[2:])
    assert (judges.own_order(history, sound_states(), losses) == []) == excused


def test_what_is_in_its_place_was_not_said_again() -> None:
    """K7: lost disks excuse no message that stands where it was acknowledged."""
    history, states = sound_history(), sound_states()
    history.operations[2:] = reversed(history.operations[2:])
    keys = {row.message: (row.lamport, row.origin, row.seq) for row in states[0].views.channel_messages}
    for op in history.operations[2:]:
        op.key = keys.get(op.text)
    assert judges.own_order(history, states, [11.0, 12.0]) != []


def test_a_missing_entry_is_a_difference() -> None:
    """K3: replicas with unequal logs are a complaint."""
    assert any("differ" in c for c in judges.equal_replicas(without(sound_states(), 2, b"2")))


def test_same_place_other_content_is_a_difference() -> None:
    """K3: two entries with one (origin, seq) and unequal hashes are a complaint."""
    other = Log(ORIGINS[0])
    other.add(Kind.LOGIN, id=b"x", target="ana", lamport=1)
    mine = Log(ORIGINS[0])
    mine.add(Kind.LOGIN, id=b"y", target="ana", lamport=1)
    assert judges.equal_replicas([state("server-1", mine.entries), state("server-2", other.entries)]) != []


def test_a_view_that_is_not_its_entries_is_seen() -> None:
    """K3: all replicas showing the same wrong view is a complaint too."""
    states = [shown(one, lambda rows: rows[::-1]) for one in sound_states()]
    assert len(judges.equal_replicas(states)) == 3


def test_stamps_and_times_that_fall_are_seen() -> None:
    """K11: in one origin neither the Lamport stamp nor the shown time may fall."""
    log = Log(ORIGINS[0])
    log.add(Kind.LOGIN, id=b"1", target="ana", lamport=9, wall_ms=2000)
    log.add(Kind.CHANNEL, id=b"2", target="geral", lamport=10, wall_ms=1999)
    assert len(judges.stamps([state("server-1", log.entries)])) == 1
    log = Log(ORIGINS[0])
    log.add(Kind.LOGIN, id=b"1", target="ana", lamport=9)
    log.add(Kind.CHANNEL, id=b"2", target="geral", lamport=9)
    assert len(judges.stamps([state("server-1", log.entries)])) == 1


def test_a_stamp_out_of_range_is_seen() -> None:
    """K11: a stamp that is not exact in a double is a complaint."""
    log = Log(ORIGINS[0])
    log.add(Kind.LOGIN, id=b"1", target="ana", lamport=2**53)
    assert len(judges.stamps([state("server-1", log.entries)])) == 1


def announcement(node: str, coordinator: str, epoch: int) -> tuple[float, dict[str, object]]:
    """The log line of a coordinator's announcement."""
    return 1.0, {"event": "announced on `servers`", "node": node, "coordinator": coordinator, "epoch": epoch}


def test_a_false_winner_is_seen() -> None:
    """K5: who announces somebody else, or falls back to an older epoch in one life, is a complaint."""
    good = [announcement("server-3", "server-3", 4), announcement("server-3", "server-3", 5)]
    assert judges.one_winner(good) == []
    assert len(judges.one_winner([announcement("server-2", "server-3", 4)])) == 1
    assert len(judges.one_winner(reversed(good))) == 1
    restart = (1.0, {"event": "serving", "node": "server-3"})
    assert judges.one_winner([good[1], restart, good[0]]) == []


def test_disagreement_about_the_coordinator_is_seen() -> None:
    """K5: another coordinator, another epoch, or a low one that all agree on, is a complaint."""
    agreed = {f"server-{n}": {"coordinator": "server-3", "epoch": 7, "rank": n} for n in (1, 2, 3)}
    assert judges.one_coordinator(agreed) == []
    for name, change in (("server-1", {"coordinator": "server-2"}), ("server-2", {"epoch": 6})):
        assert len(judges.one_coordinator({**agreed, name: {**agreed[name], **change}})) == 1
    low = {name: {**status, "coordinator": "server-2"} for name, status in agreed.items()}
    assert len(judges.one_coordinator(low)) == 3


def test_poisoned_stamps_are_seen() -> None:
    """K11: stamps beyond what the work and the budget for unsigned clocks explain."""
    states = sound_states()
    assert judges.stamps_believable(states, work=10, seconds=60.0, starts=3) == []
    log = Log(ORIGINS[0])
    log.add(Kind.CHANNEL, id=b"c", target="geral", lamport=2**40)
    assert (
        len(judges.stamps_believable([state("server-1", log.entries)], work=10, seconds=60.0, starts=3)) == 1
    )


def test_clocks_apart_are_seen() -> None:
    """49 ms are agreement, 51 are not."""
    assert judges.clocks_agree({"server-1": 10.0, "server-2": 10.049}) == []
    assert len(judges.clocks_agree({"server-1": 10.0, "server-2": 10.051})) == 1


def test_a_loop_on_a_link_is_seen() -> None:
    """K10: more messages in a second than the workload explains is a complaint."""
    most = judges.LINK_MESSAGES_PER_SECOND_MAX
    assert judges.nobody_shouts((most, 3, "server-1", "server-2")) == []
    assert len(judges.nobody_shouts((most + 1, 3, "server-1", "server-2"))) == 1


def test_a_table_beyond_its_limit_is_seen() -> None:
    """K10: one more than the limit is a complaint, the limit itself is not."""
    assert len(judges.within_bounds({"waiters": (11, 10, 3.0), "pending": (10, 10, 4.0)})) == 1


def test_a_refusal_without_cause_is_seen() -> None:
    """Somebody who was refused is a complaint where nobody does wrong."""
    history = sound_history()
    assert judges.refusals_are_right(history) == []
    history.operations[2].outcome = "refused"
    assert len(judges.refusals_are_right(history)) == 1


@pytest.mark.parametrize(
    ("heard", "complaints"),
    [
        (["one", "two"], 0),
        (["two", "one"], 0),
        (["one"], 1),
        (["one", "two", "two"], 1),
        (["one", "two", "three"], 1),
    ],
)
def test_what_a_listener_misses_or_hears_twice_is_seen(heard: list[str], complaints: int) -> None:
    """K2 at the subscriber: a gap, a repetition and an invention are complaints, lateness is not."""
    rows = sound_states()[0].views.channel_messages
    assert len(judges.heard_once([("ana", text) for text in heard], rows)) == complaints


def test_what_is_called_lost_without_a_lost_disk_is_seen() -> None:
    """K2 at the subscriber: a message called lost is a complaint unless a disk forgot before."""
    assert len(judges.lost_with_a_disk([(10.0, "oi")], [])) == 1
    assert len(judges.lost_with_a_disk([(10.0, "oi")], [11.0])) == 1
    assert judges.lost_with_a_disk([(10.0, "oi")], [9.0]) == []


def test_a_slow_answer_beside_a_bad_server_is_seen() -> None:
    """K9: with one bad server, an answer of the others that takes too long is a complaint."""
    history = sound_history()
    history.operations[3].begun, history.operations[3].ended = 100.0, 116.0
    history.operations[2].begun, history.operations[2].ended = 10.0, 60.0  # before the others could adjust
    assert len(judges.answered_in_time(history, since=4.0)) == 1


def test_a_cluster_without_a_leader_is_seen() -> None:
    """K5: somebody leads most of the time, and not another one all the time."""
    steady = [(float(n), ["server-3"]) for n in range(100)]
    assert judges.led(steady) == []
    assert len(judges.led([(at, leads if at > 30 else []) for at, leads in steady])) == 1
    assert len(judges.led([(at, [f"server-{1 + n // 10 % 2}"]) for n, (at, _) in enumerate(steady)])) == 1


def test_two_leaders_at_once_are_seen() -> None:
    """K5 with leases: two that may act at one moment."""
    assert judges.at_most_one_leads([(1.0, ["server-3"]), (2.0, [])]) == []
    assert len(judges.at_most_one_leads([(1.0, ["server-3", "server-2"])])) == 1
