"""What `recado init` looks at on a host: ports, clock, room, whether a name means the same everywhere."""

import socket
from pathlib import Path

import pytest

from clients.setup import checks
from clients.setup.files import Places
from clients.setup.plan import make_plan


def keys(found: list[checks.Wrong]) -> list[str]:
    return [one.key for one in found]


def test_a_port_that_is_taken_is_told() -> None:
    """With the address and the port by which one finds who has it; a free one is not."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        plan = make_plan("casa", (f"n1=127.0.0.1:{min(port, 65_000)}",))
        found = [one for one in checks.ports(plan, "n1") if one.values["port"] == str(port)]
        assert [one.values["address"] for one in found] == [f"tcp://127.0.0.1:{port}"]
    assert all(one.values["port"] != str(port) for one in checks.ports(plan, "n1"))


def test_a_clock_that_can_not_be_right() -> None:
    """1970 is no time of today, and a node far behind the one that made its bundle is told so."""
    assert keys(list(checks.clock(1000.0, made=None))) == ["init.clock"]
    now = checks.EARLIEST + 10_000.0
    behind = list(checks.clock(now, made=int(now) + 1000))
    assert (behind[0].key, behind[0].values, behind[0].fatal) == (
        "init.clock_behind",
        {"seconds": 1000},
        True,
    )
    assert checks.worst(list(checks.clock(now, made=int(now) + 10))) == []


def test_a_name_that_leads_home() -> None:
    """`localhost` is meant; a name of another kind that is loopback here is somebody else elsewhere."""
    plan = make_plan("casa", ("n1=localhost", "n2=host.invalid"))
    assert keys(list(checks._names(plan))) == ["init.unresolved"]
    assert list(checks.addresses(plan, "n1")) == []


def test_directories_that_can_not_be_written(tmp_path: Path) -> None:
    """Those that will be made count by the nearest that is there."""
    assert list(checks.writable(Places(root=tmp_path / "not" / "yet"))) == []
    assert keys(list(checks.writable(Places(root=Path("/proc/1"))))) == ["init.unwritable"]


def test_an_image_is_no_host(tmp_path: Path) -> None:
    """Under another root neither addresses nor ports are looked at."""
    plan = make_plan("casa", ("n1=192.0.2.1",))
    assert checks.worst(checks.look(plan, "n1", Places(root=tmp_path))) == []


def test_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A disk with less than the least is told with both numbers."""
    monkeypatch.setattr(checks, "ROOM_BYTES_MIN", 2**60)
    (found,) = checks.room(tmp_path)
    assert found.values["least"] == 2**40
