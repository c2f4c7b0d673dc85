"""A status is for people and for JSON, whatever else came along with it."""

import json

from recado.values import status


def test_a_status_can_be_written_as_json() -> None:
    """The tag of a secured server's clock, which is bytes, does not stand among its fields."""
    data = {"server": "server-1", "of": 3, "clock": 7, "ctag": b"12345678", "security": {"mode": "secured"}}
    told = status(data, server="tcp://127.0.0.1:5555")
    assert (told.of, told.clock) == (3, 7)
    assert json.loads(json.dumps(told.fields))["security"] == {"mode": "secured"}
    assert "ctag" not in told.fields
