"""What a running daemon tells the service manager, read from a real datagram socket, in virtual time."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from daemons.shared import service_manager
from daemons.shared.process import Life, live
from daemons.shared.service_manager import keep_told, taking_long, watchdog_seconds


class Manager:
    """The receiving end, and the environment that leads there."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.setblocking(False)
        self.env = {"NOTIFY_SOCKET": str(path)}

    def heard(self) -> list[str]:
        """The datagrams since the last look."""
        found = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    listening = Manager(tmp_path / "notify")
    yield listening
    listening.socket.close()


@pytest.mark.parametrize(
    ("env", "seconds"),
    [
        ({"WATCHDOG_USEC": "20000000"}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 20.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_whom_the_watchdog_watches(env: dict[str, str], seconds: float | None) -> None:
    """Only a process that is meant, with a time that is one, has to be heard of."""
    assert watchdog_seconds(env) == seconds


async def test_the_watchdog_is_fed_four_times_a_period(
    manager: Manager, autojump_clock: trio.testing.MockClock
) -> None:
    """With 4 s it is fed each second, so that three may be lost; the status goes along only if it changed."""
    words = iter(["one", "one", "two", "two", "two", "two"])
    with trio.move_on_after(4.5):
        await keep_told(lambda: next(words), [], env={**manager.env, "WATCHDOG_USEC": "4000000"})
    told = manager.heard()
    assert [line.partition("\n")[0] for line in told] == ["WATCHDOG=1"] * 5
    assert [line for text in told for line in text.splitlines()[1:]] == ["STATUS=one", "STATUS=two"]


async def test_what_hangs_is_not_fed_for(manager: Manager, autojump_clock: trio.testing.MockClock) -> None:
    """While something vital hangs the dog gets nothing, and the status says why; then it is fed again."""
    hanging = [""]
    env = {**manager.env, "WATCHDOG_USEC": "4000000"}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: keep_told(lambda: "well", [lambda: hanging[0]], env=env))
        await trio.sleep(0.5)
        assert manager.heard() == ["WATCHDOG=1\nSTATUS=well"]
        hanging[0] = "the disk"
        await trio.sleep(3)
        assert manager.heard() == ["STATUS=the disk"]
        hanging[0] = ""
        await trio.sleep(1)
        assert manager.heard() == ["WATCHDOG=1\nSTATUS=well"]
        nursery.cancel_scope.cancel()


async def test_without_a_manager_nothing_runs() -> None:
    """A daemon that nobody runs as a service has no such task."""
    with trio.fail_after(1):
        await keep_told(str, [], env={"WATCHDOG_USEC": "1000000"})


async def test_nothing_is_told_once_it_stops(
    manager: Manager, autojump_clock: trio.testing.MockClock
) -> None:
    """From STOPPING on the status stays what it says, however long the drain."""
    life = Life("n", env=manager.env)
    life.words = lambda: "serving"

    async def main(life: Life) -> None:
        life.ready({})
        await trio.sleep(10)
        life.stop()
        await trio.sleep(10)

    await live(main, life)
    told = manager.heard()
    assert "STATUS=serving" in told
    assert told[-1].startswith("STOPPING=1")


def test_a_long_opening_asks_for_time(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block that keeps everything else from running still gets more time, from a thread of its own."""
    monkeypatch.setattr(service_manager, "EXTEND_EVERY_SECONDS", 0.01)
    told: list[str] = []
    with taking_long("migrating", env=manager.env):
        while len(told) < 3:
            told += manager.heard()
    assert told[0] == "STATUS=migrating"
    assert told[1].startswith("STATUS=migrating, for 0 s\nEXTEND_TIMEOUT_USEC=30000000")
    manager.heard()
    assert manager.heard() == []  # nobody asks afterwards
