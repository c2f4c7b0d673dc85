"""Retries: rotation, back-off, deadlines, honest outcomes; and the table."""

from collections.abc import Callable, Iterable

import goldens
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recado.protocol.limits import RETRY_ATTEMPTS_MAX
from recado.protocol.retry import Done, Effect, Outcome, Retry, RetryTimings, Send

THREE = ("one", "two", "three")


def half() -> float:
    return 0.5


def retry(
    servers: tuple[str, ...] = THREE,
    *,
    write: bool = True,
    random: Callable[[], float] = half,
    timings: RetryTimings | None = None,
) -> Retry:
    return Retry(servers, request_id=b"id", write=write, now=0.0, random=random, timings=timings)


def asking(*, write: bool = True) -> Retry:
    machine = retry(write=write)
    machine.tick(0.0)
    return machine


def wake(machine: Retry) -> list[Effect]:
    assert machine.deadline is not None
    return machine.tick(machine.deadline)


def test_each_server_is_asked_in_turn_with_the_same_id() -> None:
    """Without answers the request goes round the servers, three seconds each, the id unchanged."""
    machine, sent = retry(), []
    for _ in range(9):
        sent += [e for e in wake(machine) if isinstance(e, Send)]
    assert [s.server for s in sent] == ["one", "two", "three", "one", "two"]
    assert {s.request_id for s in sent} == {b"id"}
    assert [s.attempt for s in sent] == [1, 2, 3, 4, 5]
    assert sent[0].deadline_seconds == 3.0


def test_unanswered_write_is_indeterminate_and_read_is_not() -> None:
    """At the deadline a write that may have arrived is `indeterminate`; a read is just unanswered."""
    for write, outcome in ((True, Outcome.INDETERMINATE), (False, Outcome.UNANSWERED)):
        machine, effects = retry(write=write), []
        while machine.deadline is not None:
            assert machine.deadline <= 15.0
            effects = wake(machine)
        assert effects == [Done(outcome, write)]


def test_write_that_surely_kept_nothing_is_not_indeterminate() -> None:
    """Unreachable and busy servers keep nothing: the outcome says so, and a retry by hand is safe."""
    machine = asking()
    while machine.outcome is None:
        machine.unreachable(machine.attempt, now=machine.deadline or 0.0)
        wake(machine) if machine.outcome is None else None
    assert (machine.outcome, machine.possibly_kept) == (Outcome.UNANSWERED, False)
    assert asking().busy(1, retry_after_seconds=20.0, now=1.0) == [Done(Outcome.BUSY, False)]


def test_busy_after_silence_stays_indeterminate() -> None:
    """What an earlier, unanswered attempt left open is not closed by a later `busy`."""
    machine = asking()
    machine.no_answer(1, now=1.0)
    wake(machine)
    assert machine.busy(2, retry_after_seconds=20.0, now=2.0) == [Done(Outcome.INDETERMINATE, True)]


def test_refusal_after_silence_says_both() -> None:
    """Refused at the second server, perhaps kept at the first: the end carries both facts."""
    machine = asking()
    machine.no_answer(1, now=1.0)
    wake(machine)
    assert machine.refused(2) == [Done(Outcome.REFUSED, True)]


def test_busy_waits_as_asked_at_the_same_server() -> None:
    """`busy` with retry_after 2 s: the same server is asked again after two seconds and some jitter."""
    machine = asking()
    assert machine.busy(1, retry_after_seconds=2.0, now=1.0) == []
    assert machine.deadline == pytest.approx(3.05)
    assert [e.server for e in wake(machine) if isinstance(e, Send)] == ["one"]


@pytest.mark.parametrize("wish", [-5.0, float("nan")])
def test_senseless_wish_of_a_busy_server_is_no_wait(wish: float) -> None:
    """A negative or undefined retry_after counts as none."""
    machine = asking()
    machine.busy(1, retry_after_seconds=wish, now=1.0)
    assert machine.deadline == pytest.approx(1.05)


def test_success_of_an_earlier_attempt_counts() -> None:
    """A late success ends the request, since all attempts carry one id; a late refusal does not."""
    machine = asking()
    machine.tick(3.0)
    wake(machine)
    assert machine.refused(1) == []
    assert machine.answered(1) == [Done(Outcome.ANSWERED, False)]
    assert machine.answered(2) == []


def test_pauses_double_up_to_a_bound() -> None:
    """The bound of the pause is 0.1, 0.2, ... 2 s; at most that is paused, and less by chance."""
    for random, share in ((lambda: 1.0, 1.0), (lambda: 0.25, 0.25)):
        machine = retry(random=random, timings=RetryTimings(deadline_seconds=1000.0))
        now, pauses = 0.0, []
        for attempt in range(1, 8):
            machine.tick(now)
            machine.unreachable(attempt, now=now)
            assert machine.deadline is not None
            pauses.append(machine.deadline - now)
            now = machine.deadline
        assert pauses == pytest.approx([share * p for p in (0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0)])


def test_last_attempt_is_cut_at_the_deadline() -> None:
    """No attempt is given more time than is left in all."""
    machine = retry(("one",), timings=RetryTimings(deadline_seconds=4.0))
    machine.tick(0.0)
    machine.tick(3.0)
    (send,) = wake(machine)
    assert isinstance(send, Send)
    assert send.deadline_seconds == pytest.approx(0.95)
    assert wake(machine) == [Done(Outcome.INDETERMINATE, True)]


def test_attempts_are_bounded() -> None:
    """Servers that fail at once can't make a client with a long deadline try for ever."""
    machine = retry(timings=RetryTimings(deadline_seconds=1e9, pause_seconds=0.0))
    while machine.outcome is None:
        machine.tick(0.0)
        machine.unreachable(machine.attempt, now=0.0)
    assert machine.attempt == RETRY_ATTEMPTS_MAX


def test_no_servers_is_the_callers_error() -> None:
    """A machine without anybody to ask is not made."""
    with pytest.raises(ValueError, match="no servers"):
        retry(())


EVENTS = st.lists(
    st.tuples(st.sampled_from(["tick", "busy", "elsewhere", "unreachable", "silence"]), st.floats(0, 4))
)


@given(EVENTS, st.booleans(), st.floats(0, 0.999))
def test_every_request_ends_in_time_and_honestly(
    events: list[tuple[str, float]], write: bool, chance: float
) -> None:
    """Whatever happens: it ends by the deadline, and `indeterminate` exactly if a write went unanswered."""
    machine, now, open_write = retry(write=write, random=lambda: chance), 0.0, False
    for event, seconds in [*events, *[("tick", 4.0)] * 20]:
        if machine.deadline is None:
            break
        now = min(now + seconds, machine.deadline)
        timed_out = machine.phase == "asking" and now == machine.deadline
        if event == "silence" and machine.phase == "asking":
            open_write |= write
            machine.no_answer(machine.attempt, now=now)
        elif event in ("tick", "silence"):
            open_write |= write and timed_out
            machine.tick(now)
        elif event == "busy":
            machine.busy(machine.attempt, retry_after_seconds=seconds, now=now)
        else:
            getattr(machine, event)(machine.attempt, now=now)
        assert now <= 15.0
    assert machine.outcome is not None
    assert (machine.outcome == Outcome.INDETERMINATE) == open_write == machine.possibly_kept


def _pausing() -> Retry:
    machine = asking()
    machine.unreachable(1, now=0.5)
    return machine


def _second() -> Retry:
    machine = asking()
    machine.tick(3.0)
    machine.tick(3.05)
    return machine


def _late() -> Retry:
    machine = asking()
    for _ in range(8):
        wake(machine)
    return machine


def _done() -> Retry:
    machine = asking()
    machine.answered(1)
    return machine


PHASES: dict[str, Callable[[], Retry]] = {
    "new write": retry,
    "write, attempt 1 out": asking,
    "read, attempt 1 out": lambda: asking(write=False),
    "write, pausing after unreachable": _pausing,
    "write, attempt 2 out, 1 unanswered": _second,
    "write, the last attempt out": _late,
    "done": _done,
}
INPUTS: dict[str, Callable[[Retry], Iterable[Effect]]] = {
    "answered": lambda m: m.answered(m.attempt),
    "answered attempt 1": lambda m: m.answered(1),
    "refused": lambda m: m.refused(m.attempt),
    "refused attempt 9": lambda m: m.refused(9),
    "busy, retry after 1 s": lambda m: m.busy(m.attempt, retry_after_seconds=1.0, now=_now(m)),
    "busy, retry after 60 s": lambda m: m.busy(m.attempt, retry_after_seconds=60.0, now=_now(m)),
    "elsewhere": lambda m: m.elsewhere(m.attempt, now=_now(m)),
    "unreachable": lambda m: m.unreachable(m.attempt, now=_now(m)),
    "no answer": lambda m: m.no_answer(m.attempt, now=_now(m)),
    "tick before the deadline": lambda m: m.tick(_now(m)),
    "tick at the deadline": lambda m: m.tick(m.deadline or 0.0),
}


def _now(machine: Retry) -> float:
    return (machine.deadline or 0.0) - 0.1


def _state(m: Retry) -> str:
    until = "" if m.deadline is None else f" until {m.deadline:.2f} s"
    return f"{m.phase}{until}, server {m.server}" + (", possibly kept" if m.possibly_kept else "")


def _effect(effect: Effect) -> str:
    if isinstance(effect, Send):
        return f"send to {effect.server}, attempt {effect.attempt}, {effect.deadline_seconds:.2f} s"
    return f"done: {effect.outcome.value}" + (", possibly kept" if effect.possibly_kept else "")


def test_table() -> None:
    """Every phase with every input does what the table says."""
    goldens.check("retry", goldens.table(PHASES, INPUTS, state=_state, effect=_effect))
