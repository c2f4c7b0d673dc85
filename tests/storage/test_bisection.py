"""The search for the place where two logs part."""

from math import ceil, log2

from hypothesis import given
from hypothesis import strategies as st

from storage.bisection import AT_ONCE, Bisection, Parting

_LOGS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 400), st.integers(0, 400)), min_size=1, max_size=20
)


def hashed(log: list[bytes], seq: int) -> bytes | None:
    return log[seq - 1] if 0 < seq <= len(log) else None


@given(_LOGS)
def test_it_finds_the_first_unequal_entry(drawn: list[tuple[int, int, int]]) -> None:
    """Whatever the lengths, exactly the common prefix is found, in at most log2 + 2 questions."""
    one, other, truth = {}, {}, {}
    for n, (common, more, less) in enumerate(drawn):
        origin = f"server-1.{n:016x}"
        shared = [b"%d" % seq for seq in range(common)]
        one[origin] = shared + [b"a%d" % seq for seq in range(more)]
        other[origin] = shared + [b"b%d" % seq for seq in range(less)]
        truth[origin] = Parting(common, parted=bool(more and less))
    search = Bisection({o: len(log) for o, log in one.items()}, {o: len(log) for o, log in other.items()})
    rounds = 0
    while asked := search.questions:
        rounds += 1
        search.answered(
            {origin: hashed(one[origin], seq) for origin, seq in asked.items()},
            {origin: hashed(other[origin], seq) for origin, seq in asked.items()},
        )
    assert search.found == truth
    assert rounds <= ceil(log2(400)) + 2


def test_many_origins_are_asked_in_parts() -> None:
    """No question is for more than a server answers at once, and all of them come to an end."""
    logs = {f"server-1.{n:016x}": 3 for n in range(3 * AT_ONCE)}
    search = Bisection(logs, logs)
    while asked := search.questions:
        assert len(asked) <= AT_ONCE
        search.answered(dict.fromkeys(asked, b"same"), dict.fromkeys(asked, b"same"))
    assert set(search.found.values()) == {Parting(3, parted=False)}


def test_a_hash_that_is_missing_equals_nothing() -> None:
    """A hole at the end of a log makes it end before."""
    search = Bisection({"o": 4}, {"o": 4})
    while asked := search.questions:
        answers = {origin: b"%d" % seq for origin, seq in asked.items()}
        search.answered(answers, {o: None if asked[o] == 4 else answers[o] for o in asked})
    assert search.found == {"o": Parting(3, parted=True)}
