"""Names, ids and times as other people's clients send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recado.protocol import names
from recado.protocol.errors import Refused


@pytest.mark.parametrize(
    ("given_name", "code"),
    [("", "user_empty"), ("  \t ", "user_empty"), ("x" * 65, "name_too_long"), ("é" * 33, "name_too_long"),
     ("a\nb", "name_invalid"), ("a\x00", "name_invalid"), ("a\x9b", "name_invalid"),
     ("servers", "name_reserved")],
)  # fmt: skip
def test_bad_names_are_refused_with_a_code(given_name: str, code: str) -> None:
    """Each kind of bad name has a stable code."""
    with pytest.raises(Refused) as refused:
        names.user_name(given_name)
    assert refused.value.code == code


def test_names_are_trimmed() -> None:
    """White space around a name is not part of it."""
    assert names.user_name(" ana ") == "ana"
    assert names.channel_name("é" * 32) == "é" * 32


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [(1_700_000_000, 1_700_000_000_000), (1_700_000_000.5, 1_700_000_000_500),
     (1_700_000_000_500, 1_700_000_000_500), ("2023-11-14T22:13:20Z", 1_700_000_000_000),
     ("2023-11-14T22:13:20", 1_700_000_000_000), ("2023-11-14T19:13:20-03:00", 1_700_000_000_000),
     (None, None), ("yesterday", None), (True, None), (float("nan"), None), (float("inf"), None), (-5, None),
     (10**30, None), ([], None)],
)  # fmt: skip
def test_every_variant_of_timestamp_is_read(timestamp: object, expected: int | None) -> None:
    """Seconds, milliseconds, ISO 8601; what can't be read counts as missing."""
    assert names.wall_ms(timestamp) == expected


def test_a_byte_identical_resend_gets_the_same_id_and_nothing_else_does() -> None:
    """A12: all fields count, and fields can't run into each other."""
    one = names.derived_id(("publish", "ana", "geral", "oi"), timestamp=5, clock=1)
    assert one == names.derived_id(("publish", "ana", "geral", "oi"), timestamp=5, clock=1)
    others = [
        names.derived_id(("publish", "ana", "geral", "oi"), timestamp=6, clock=1),
        names.derived_id(("publish", "ana", "geral", "oi"), timestamp=5, clock=2),
        names.derived_id(("publish", "ana", "gera", "loi"), timestamp=5, clock=1),
    ]
    assert one not in others
    assert len(one) == 16


def test_ids_come_in_order_of_time() -> None:
    """The first six bytes are the time."""
    ids = [names.minted_id(ms, b"\xff" * 10) for ms in (1, 2, 10**12)]
    assert ids == sorted(ids)
    assert names.derived_id(("x",), timestamp=2, clock=0)[:6] == (2000).to_bytes(6, "big")


@given(st.one_of(st.none(), st.text(), st.binary(), st.integers(), st.lists(st.integers()), st.floats()))
def test_an_id_is_short_bytes_or_refused(value: object) -> None:
    """Whatever stands in `id`, the outcome is bytes of 1 to 64, None, or a refusal."""
    try:
        found = names.identifier(value)
    except Refused:
        return
    assert found is None if value is None else 0 < len(found or b"") <= 64
