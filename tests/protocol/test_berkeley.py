"""The Berkeley coordinator: agreement, triggers, rounds; and its table."""

from collections.abc import Callable, Iterable
from typing import Any

import goldens
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recado.protocol.agreement import Sample, largest_agreeing
from recado.protocol.berkeley import Adjust, AdjustSelf, Berkeley, BerkeleyTimings, Effect, Probe
from recado.protocol.effects import Note
from recado.protocol.messages import Epoch

EPOCH = Epoch(1, 3, "server-3", "b")
THREE = ("server-1", "server-2", "server-3")
ONE_PROBE = BerkeleyTimings(probes_per_member=1)


def coordinator(
    members: tuple[str, ...] = THREE, timings: BerkeleyTimings = ONE_PROBE, *, lead: bool = True
) -> Berkeley:
    machine = Berkeley(members[-1], members, timings)
    if lead:
        machine.lead(EPOCH)
    return machine


def run_round(machine: Berkeley, now: float, clocks: dict[str, float], *, own: float = 0.0) -> list[Effect]:
    """One round in which `clocks` answer at once and the others not at all; the effects of its end."""
    pending = probes(machine.tick(now))
    last: list[Effect] = []
    while pending:
        probe = pending.pop(0)
        if probe.member in clocks:
            last = machine.answered(
                probe, time_seconds=clocks[probe.member], own_seconds=own, rtt_seconds=0.0
            )
        else:
            last = machine.failed(probe)
        pending += probes(last)
    return last


def probes(effects: Iterable[Effect]) -> list[Probe]:
    return [e for e in effects if isinstance(e, Probe)]


def adjustments(effects: Iterable[Effect]) -> dict[str, float]:
    """Member → delta; the coordinator's own under "self"."""
    sent = [e for e in effects if isinstance(e, Adjust | AdjustSelf)]
    return {e.member if isinstance(e, Adjust) else "self": e.delta_seconds for e in sent}


def notes(effects: Iterable[Effect], event: str) -> list[Note]:
    return [e for e in effects if isinstance(e, Note) and event in e.event]


def test_example_of_the_mission() -> None:
    """T = 100, 110 and 105 average to 105, so the adjustments are +5, -5 and 0; the log says all of it."""
    end = run_round(coordinator(), 0.0, {"server-1": 100.0, "server-2": 110.0}, own=105.0)
    assert adjustments(end) == {"server-1": 5.0, "server-2": -5.0, "self": 0.0}
    times = {n.fields["server"]: n.fields["time_seconds"] for n in notes(end, "berkeley clock")}
    assert times == {"server-1": 100.0, "server-2": 110.0, "server-3": 105.0}
    assert notes(end, "average")[0].fields["average_seconds"] == 105.0
    assert len(notes(end, "adjustment sent")) == 3
    assert isinstance(end[-1], Note)
    assert end[-1].event == "berkeley round finished"


def test_smallest_round_trip_is_kept_and_compensated() -> None:
    """Of five answers the fastest counts, with half its round trip added."""
    machine = coordinator(THREE, BerkeleyTimings())
    answers = {1: (9.0, 0.4), 2: (7.0, 0.2), 3: (50.0, 0.6), 4: (6.0, 0.1), 5: (8.0, 0.3)}
    pending, end = probes(machine.tick(0.0)), []
    while pending:
        probe = pending.pop(0)
        time, rtt = answers[probe.number]
        end = machine.answered(probe, time_seconds=time, own_seconds=0.0, rtt_seconds=rtt)
        pending += probes(end)
    samples = [n.fields for n in notes(end, "berkeley clock") if n.fields["server"] != "server-3"]
    assert [(f["offset_seconds"], f["rtt_seconds"]) for f in samples] == [(6.05, 0.1)] * 2


def test_slow_and_senseless_answers_are_no_answers() -> None:
    """A round trip over 500 ms, a text, NaN, a bool or an absurd number count as silence."""
    for time, rtt in (
        (0.0, 0.51),
        ("now", 0.0),
        (float("nan"), 0.0),
        (True, 0.0),
        (10**400, 0.0),
        (0.0, -1.0),
    ):
        machine = coordinator()
        for probe in probes(machine.tick(0.0)):
            end = machine.answered(probe, time_seconds=time, own_seconds=0.0, rtt_seconds=rtt)
        assert notes(end, "aborted")[0].fields["reason"] == "too few servers answered"


def test_outsider_is_adjusted_and_does_not_move_the_others() -> None:
    """A liar of three is left out of the average, and is told its own difference all the same."""
    end = run_round(coordinator(), 0.0, {"server-1": 3.0e7, "server-2": 2.0})
    assert adjustments(end) == {"server-1": 1.0 - 3.0e7, "server-2": -1.0, "self": 1.0}


def test_lying_coordinator_is_corrected_by_its_members() -> None:
    """The agreeing set need not hold the coordinator's clock."""
    end = run_round(coordinator(), 0.0, {"server-1": 1000.0, "server-2": 1001.0})
    assert adjustments(end) == {"server-1": 0.5, "server-2": -0.5, "self": 1000.5}


def test_no_majority_no_adjustment() -> None:
    """Two of five answering, or five clocks that all differ, adjust nobody."""
    five = tuple(f"server-{n}" for n in range(1, 6))
    few = run_round(coordinator(five), 0.0, {"server-1": 0.0})
    assert not adjustments(few)
    apart = run_round(coordinator(five), 0.0, {f"server-{n}": n * 100.0 for n in range(1, 5)})
    assert not adjustments(apart)
    assert notes(apart, "aborted")[0].fields["reason"] == "no majority of clocks agrees"


def test_two_members_must_agree() -> None:
    """Of two clocks neither is right alone: both within the spread, or no adjustment."""
    two = ("server-1", "server-2")
    assert adjustments(run_round(coordinator(two), 0.0, {"server-1": 4.0})) == {"server-1": -2.0, "self": 2.0}
    assert not adjustments(run_round(coordinator(two), 0.0, {"server-1": 11.0}))
    assert not adjustments(run_round(coordinator(two), 0.0, {}))


def test_single_member_runs_no_rounds() -> None:
    """Alone in its cluster a coordinator has nobody to ask and never wakes for it."""
    machine = coordinator(("server-1",))
    for _ in range(20):
        machine.operation()
    assert machine.deadline is None
    assert machine.tick(1e6) == []


def test_spread_narrows_after_success_and_doubles_after_abort() -> None:
    """10 s in the first round, 50 ms after a success, doubled per aborted round up to 10 s again."""
    machine = coordinator()
    assert machine.spread_seconds == 10.0
    run_round(machine, 0.0, {"server-1": 0.0, "server-2": 0.0})
    seen = []
    for n in range(1, 10):
        seen.append(machine.spread_seconds)
        run_round(machine, 100.0 * n, {})
    assert seen == [0.05 * 2**n for n in range(8)] + [10.0]
    machine.follow()
    machine.lead(EPOCH)
    assert machine.spread_seconds == 10.0


def test_rounds_come_every_ten_operations_but_not_too_often() -> None:
    """At once when leading begins, then after ten operations, yet ten seconds apart; else after a minute."""
    machine = coordinator()
    assert machine.due(0.0)
    run_round(machine, 100.0, {"server-1": 0.0, "server-2": 0.0})
    assert machine.deadline == 160.0
    for _ in range(9):
        machine.operation()
    assert machine.deadline == 160.0
    machine.operation()
    assert machine.deadline == 110.0
    assert not machine.due(109.9)
    run_round(machine, 110.0, {"server-1": 0.0, "server-2": 0.0})
    assert machine.deadline == 170.0


def test_aborted_rounds_are_repeated_ever_more_seldom() -> None:
    """After an abort the next round comes after 10 s until the spread is at its widest, then ever later."""
    machine, now, pauses = coordinator(), 0.0, []
    for _ in range(12):
        run_round(machine, now, {})
        assert machine.deadline is not None
        pauses.append(machine.deadline - now)
        now = machine.deadline
    assert pauses == [10.0] * 8 + [20.0, 40.0, 60.0, 60.0]


def test_re_election_does_not_break_the_spacing() -> None:
    """A coordinator that lost and regained the lead waits out the ten seconds since its last round."""
    machine = coordinator()
    run_round(machine, 0.0, {"server-1": 0.0, "server-2": 0.0})
    machine.follow()
    assert machine.deadline is None
    machine.lead(EPOCH)
    assert machine.deadline == 10.0


def test_deposed_coordinator_sends_nothing() -> None:
    """What arrives after `follow` ends no round and adjusts nobody (B10)."""
    machine = coordinator()
    out = probes(machine.tick(0.0))
    assert notes(machine.follow(), "aborted")[0].fields["reason"] == "no longer coordinator"
    for probe in out:
        assert machine.answered(probe, time_seconds=1.0, own_seconds=0.0, rtt_seconds=0.0) == []
    assert machine.tick(1e6) == []


def test_late_and_repeated_answers_count_once() -> None:
    """An answer is used only for the probe that is out: not twice, and not in the next round."""
    machine = coordinator()
    first, second = probes(machine.tick(0.0))
    machine.answered(first, time_seconds=1.0, own_seconds=0.0, rtt_seconds=0.0)
    machine.answered(first, time_seconds=9.0, own_seconds=0.0, rtt_seconds=0.0)
    end = machine.answered(second, time_seconds=1.0, own_seconds=0.0, rtt_seconds=0.0)
    assert adjustments(end)["server-1"] == pytest.approx(2 / 3 - 1)
    machine.tick(60.0)
    assert machine.answered(first, time_seconds=9.0, own_seconds=0.0, rtt_seconds=0.0) == []


def test_round_ends_when_its_time_is_up() -> None:
    """A member that never answers nor fails holds a round up for its collecting time, no longer."""
    machine = coordinator()
    first, _ = probes(machine.tick(0.0))
    machine.answered(first, time_seconds=1.0, own_seconds=0.0, rtt_seconds=0.0)
    assert machine.tick(2.9) == []
    assert machine.deadline == 3.0
    end = machine.tick(3.0)
    assert adjustments(end) == {"server-1": -0.5, "self": 0.5}
    assert notes(end, "no answer")[0].fields["server"] == "server-2"


OFFSETS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.floats(-100, 100), max_size=8)


@given(OFFSETS, st.floats(0.01, 20.0))
def test_agreeing_set_is_the_largest_window(offsets: dict[str, float], spread: float) -> None:
    """No window of the given width, wherever it starts, holds more clocks than the set taken."""
    samples = {name: Sample(offset, 0.0) for name, offset in offsets.items()}
    names = largest_agreeing(samples, spread)
    values = [offsets[name] for name in names]
    assert not values or max(values) - min(values) <= spread
    most = max((sum(0 <= v - low <= spread for v in offsets.values()) for low in offsets.values()), default=0)
    assert len(names) == most


def test_bad_measurement_widens_only_its_own_set() -> None:
    """A clock measured with a round trip of 400 ms may be 400 ms off; it lends that to no other set."""
    samples = {"a": Sample(0.0, 0.0), "b": Sample(0.3, 0.4), "c": Sample(1.0, 0.0), "d": Sample(1.3, 0.0)}
    assert largest_agreeing(samples, 0.05) == ["a", "b"]


def _first(machine: Berkeley, time: Any, rtt: float = 0.0) -> list[Effect]:
    out = machine._round.out if machine._round else {}
    probe = next(iter(out.values()), Probe("server-1", 1, 1, 0.5))
    return machine.answered(probe, time_seconds=time, own_seconds=100.0, rtt_seconds=rtt)


def _collecting() -> Berkeley:
    machine = coordinator()
    machine.tick(0.0)
    return machine


def _one_missing() -> Berkeley:
    machine = _collecting()
    _first(machine, 104.0)
    return machine


def _rested() -> Berkeley:
    machine = coordinator()
    run_round(machine, 0.0, {"server-1": 0.0, "server-2": 0.0})
    return machine


def _aborted() -> Berkeley:
    machine = coordinator()
    run_round(machine, 0.0, {})
    return machine


def _ten(machine: Berkeley) -> list[Effect]:
    for _ in range(10):
        machine.operation()
    return []


def _lead(machine: Berkeley) -> list[Effect]:
    machine.lead(Epoch(2, 3, "server-3", "b"))
    return []


INPUTS: dict[str, Callable[[Berkeley], Iterable[Effect]]] = {
    "lead, epoch 2": _lead,
    "follow": lambda m: m.follow(),
    "ten operations": _ten,
    "tick at 2 s": lambda m: m.tick(2.0),
    "tick at 60 s": lambda m: m.tick(60.0),
    "answer 106, own 100": lambda m: _first(m, 106.0),
    "answer 106 after 600 ms": lambda m: _first(m, 106.0, 0.6),
    "answer of another round": lambda m: m.answered(
        Probe("server-1", 9, 1, 0.5), time_seconds=1.0, own_seconds=0.0, rtt_seconds=0.0
    ),
    "no answer": lambda m: m.failed(
        next(iter(m._round.out.values())) if m._round else Probe("server-1", 1, 1, 0.5)
    ),
}
PHASES: dict[str, Callable[[], Berkeley]] = {
    "not leading": lambda: coordinator(lead=False),
    "leading, first round due": coordinator,
    "collecting, two missing": _collecting,
    "collecting, one missing": _one_missing,
    "at rest after a finished round": _rested,
    "at rest after an aborted round": _aborted,
}


def _state(m: Berkeley) -> str:
    phase = ("leading" if m.leading else "following") + (", collecting" if m.collecting else ", idle")
    return f"{phase}, deadline {m.deadline}, spread {m.spread_seconds} s"


def _effect(effect: Effect) -> str:
    if isinstance(effect, Note):
        return f"log: {effect.event} " + ", ".join(f"{k}={v}" for k, v in effect.fields.items())
    if isinstance(effect, Probe):
        return f"probe {effect.member} round {effect.round} number {effect.number}"
    to = effect.member if isinstance(effect, Adjust) else "itself"
    return f"adjust {to} by {effect.delta_seconds:g} s, epoch {effect.epoch.n}, round {effect.round}"


def test_table() -> None:
    """Every phase with every input does what the table says."""
    goldens.check("berkeley", goldens.table(PHASES, INPUTS, state=_state, effect=_effect))
