"""`recado status` as people and programs read it."""

import json

import pytest

from clients.watching.lines import age, milliseconds, sized, spark
from tests.clients.conftest import OnSockets


def test_status_for_people(sockets: OnSockets) -> None:
    """What is not known is `-`; who does not answer is told with the reason; nothing is Python's own word."""
    sockets.server.refuse = {
        "status": "OK",
        "server": "server-1",
        "coordinator": "",
        "draining": None,
        "entries": True,
        "bootstrap": {"phase": "asking", "of": None},
        "peers": [{"name": "server-2", "address": "tcp://127.0.0.1:1", "silent": True, "lag": 3}],
    }
    shown = sockets.run("status").stdout
    assert "1 of 2 servers answer" in shown
    assert "no coordinator is known" in shown
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.startswith("server-")}
    assert rows["server-2"][:2] == ["refused", "-"]
    assert "server-1: bootstrap phase=asking of=-" in shown
    assert "server-1: silent server-2" in shown
    assert not {"None", "True", "False"} & set(shown.replace("=", " ").split())


def test_status_for_programs(sockets: OnSockets) -> None:
    """The first server's own fields stand at the top, and `servers` tells each one, the silent ones too."""
    sockets.server.refuse = {
        "status": "OK",
        "server": "server-1",
        "epoch": 4,
        "ctag": b"\x01\xff",
        "wall_ms": 1_760_000_000_000,
        "peers": [{"name": "server-2", "address": "tcp://127.0.0.1:1"}],
    }
    told = json.loads(sockets.run("status", "--json").stdout)
    assert (told["schema_version"], told["server"], told["epoch"]) == (1, "server-1", 4)
    here, there = told["servers"]
    assert set(here) == {"name", "address", "answered", "problem", "seconds", "skew_seconds", "status"}
    assert here["status"]["ctag"] == "01ff"
    assert (here["name"], here["answered"], here["status"]["epoch"]) == ("server-1", True, 4)
    assert (there["name"], there["answered"], there["problem"]) == ("server-2", False, "refused")


def test_top_without_a_terminal_is_one_snapshot(sockets: OnSockets) -> None:
    """Through a pipe `top` shows the cluster once and ends; where nobody answers, with 69."""
    sockets.server.refuse = {"status": "OK", "server": "server-1", "entries": 12}
    shown = sockets.run("top")
    assert shown.exit_code == 0
    assert "server-1" in shown.stdout
    assert "\x1b" not in shown.stdout
    nobody = sockets.run("top", "--server", "tcp://127.0.0.1:1")
    assert nobody.exit_code == 69


@pytest.mark.parametrize(
    ("shown", "as_text"),
    [
        (age(None), "-"),
        (age(59.9), "59s"),
        (age(7200), "2h"),
        (age(200_000), "2d"),
        (milliseconds(-0.04), "-0.0 ms"),
        (milliseconds(250), "+250 ms"),
        (milliseconds(-12_345), "-12 s"),
        (sized(None), "-"),
        (sized(1023), "1023 B"),
        (sized(1536), "1.5 KiB"),
        (sized(25 * 2**30), "25 GiB"),
        (sized(3 * 2**40), "3.0 TiB"),
        (spark([0, 1, 2, 4], width=4), "▁▃▅█"),
        (spark([None, 0, 0], width=5), "   ▁▁"),
        (spark([], width=3), "   "),
    ],
)
def test_numbers_are_short(shown: str, as_text: str) -> None:
    """Durations, offsets, sizes and graphs fit narrow columns, each with its unit."""
    assert shown == as_text
