"""Version vectors and how two servers tell each other theirs in changes only (A19, A22)."""

from hypothesis import given
from hypothesis import strategies as st

from recado.protocol.vector import Vector, VectorLink, ahead, common, covers, digest, heads_digest, merge

vectors = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9))


@given(vectors, vectors)
def test_ahead_is_what_merging_adds(mine: Vector, theirs: Vector) -> None:
    """`ahead` is empty exactly if the other covers us, and merging it makes it so."""
    assert (ahead(mine, theirs) == {}) == covers(theirs, mine)
    merged = dict(theirs)
    merge(merged, ahead(mine, theirs))
    assert covers(merged, mine)
    assert covers(merged, theirs)


@given(vectors, vectors)
def test_common_is_covered_by_both(one: Vector, other: Vector) -> None:
    """The minimum is what both have."""
    both = common(one, other)
    assert covers(one, both)
    assert covers(other, both)


@given(vectors, vectors)
def test_digests_agree_exactly_when_vectors_do(one: Vector, other: Vector) -> None:
    """The order of insertion does not matter, every component does."""
    assert (digest(one) == digest(other)) == (one == other)
    assert digest(dict(reversed(list(one.items())))) == digest(one)


def test_heads_digest_sees_a_different_hash() -> None:
    """Equal vectors with unequal chain hashes have unequal digests (R10)."""
    assert heads_digest({"a": (3, b"x")}) != heads_digest({"a": (3, b"y")})


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans(), st.booleans()), max_size=40))
def test_an_exchange_never_ends_wrong_and_tells_all_after_any_loss(
    steps: list[tuple[str, bool, bool, bool]],
) -> None:
    """Requests and replies may be lost, either side may restart: belief is right or known incomplete."""
    mine: Vector = {}
    ours, theirs = VectorLink(), VectorLink()
    boot = 0
    for origin, lose_request, lose_reply, restart in steps:
        mine[origin] = mine.get(origin, 0) + 1
        if restart:  # the teller starts anew; its durable vector stays
            boot += 1
            ours = VectorLink()
        vector, _ = ours.tell(mine)
        if lose_request:
            continue
        theirs.meet(str(boot))
        known = theirs.hear(vector, whole=digest(mine))
        assert known == (theirs.theirs == mine)
        if not lose_reply:
            ours.proof = theirs.belief
    for _ in range(2):
        theirs.meet(str(boot))
        vector, _ = ours.tell(mine)
        known = theirs.hear(vector, whole=digest(mine))
        ours.proof = theirs.belief
    assert known
    assert theirs.theirs == mine


def test_only_changes_are_told_to_who_has_proved_to_know_the_rest() -> None:
    """After one exchange a vector of a thousand costs one component."""
    ours, theirs = VectorLink(), VectorLink()
    mine = {f"o{n}": n for n in range(1, 1000)}
    told, full = ours.tell(mine)
    assert full
    theirs.hear(told, whole=digest(mine))
    ours.proof = theirs.belief
    mine["o1"] += 1
    assert ours.tell(mine) == ({"o1": 2}, False)
