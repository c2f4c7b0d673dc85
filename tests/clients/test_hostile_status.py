"""A server may say anything of itself: what watches it shows it harmlessly, and never breaks."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.watching.board import History, board
from clients.watching.findings import diagnose
from clients.watching.status import as_fields, plain
from clients.watching.survey import dial
from clients.watching.table import page
from clients.watching.values import Answer, Survey
from clients.watching.words import speaker

_FIELDS = (
    *("server", "cluster", "version", "coordinator", "mode", "disk", "boot", "members", "brokers", "peers"),
    *("epoch", "entries", "uptime", "wire", "damaged", "backlog", "offset_ms", "spread_ms", "strangers"),
    *(
        "security",
        "room",
        "bootstrap",
        "coordinator_since",
        "name",
        "address",
        "lag",
        "silent",
        "free",
        "total",
    ),
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["server-1", "server-2", "recado", "full", "\x1b[2J", "{x}", "tcp://10.0.0.1:5555"])
    | st.binary(max_size=4)
)
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_FIELDS), inner, max_size=5),
    max_leaves=12,
)
_STATUS = st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=12)
_ANSWERS = st.builds(
    Answer,
    address=st.sampled_from(["tcp://10.0.0.1:5555", "tcp://127.0.0.1:5555", "ipc:///x"]),
    name=st.sampled_from(["", "server-1", "server-2", "\x1b[31m"]),
    fields=st.none() | _STATUS,
    problem=st.sampled_from(["refused", "mute"]),
    skew_seconds=st.none() | st.floats(-1e16, 1e16),
)


@given(st.lists(_ANSWERS, max_size=4))
@settings(max_examples=80, deadline=None)
def test_whatever_servers_say_is_shown(answers: list[Answer]) -> None:
    """Pages, boards, findings and JSON are made of any answers, and no order to a terminal is among them."""
    survey, say, history = Survey(servers=tuple(answers)), speaker(), History()
    history.add(survey, at=0.0)
    history.add(survey, at=2.0)
    lines = [*page(survey, say), *board(history, say, size=(80, 24))]
    assert not any("\x1b" in line or "\n" in line for line in lines)
    for finding in diagnose(survey):
        assert say(f"doctor.{finding.case}", **_filled(finding.facts))
        assert say(f"doctor.{finding.case}.cause", **_filled(finding.facts))
    assert len([as_fields(one) for one in answers]) == len(answers)


def _filled(facts: Any) -> dict[str, Any]:
    return {key: "-" if value is None else value for key, value in facts.items()}


def test_bytes_become_hexadecimal_wherever_they_are() -> None:
    """JSON has no bytes; lists and maps inside are gone through."""
    assert plain({"a": [b"\x01", {"b": b"\xff"}], "c": 1}) == {"a": ["01", {"b": "ff"}], "c": 1}


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:*", "tcp://127.0.0.1:99999", "tcp://:", "tcp://127.0.0.1:x"]
)
async def test_an_address_that_is_none_is_unusable(address: str) -> None:
    """Members' addresses come from servers: what can't be dialled has a reason, and raises nothing."""
    assert await dial(address) in ("unusable", "unknown_host", "refused", "timeout")
