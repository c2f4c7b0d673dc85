"""A daemon's life: signals, readiness, exit codes. In this process, with real signals."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from daemons.shared import process
from daemons.shared.process import Failure, Life, live, report
from daemons.shared.sd_notify import sd_notify
from recado.config import ConfigError, Problem
from recado.wire.ports import WireError


def _signal(number: int) -> None:
    os.kill(os.getpid(), number)


async def test_the_first_signal_asks_and_the_main_function_ends_in_its_order() -> None:
    """SIGTERM sets `stopping`; nothing is cancelled, and the end counts as asked for."""
    order: list[str] = []

    async def main(life: Life) -> None:
        _signal(signal.SIGTERM)
        await life.stopping.wait()
        await trio.lowlevel.checkpoint()
        order.append("drained")

    with trio.fail_after(5):
        await live(main, Life("test"))
    assert order == ["drained"]


async def test_the_second_signal_cancels() -> None:
    """A daemon that does not finish its drain is cancelled by the second signal, and says so."""

    async def main(life: Life) -> None:
        _signal(signal.SIGINT)
        await life.stopping.wait()
        _signal(signal.SIGTERM)
        await trio.sleep_forever()

    with trio.fail_after(5), pytest.raises(Failure, match="second signal"):
        await live(main, Life("test"))


async def test_ending_unasked_is_a_failure() -> None:
    """A main function that returns without a signal is a failure: systemd is to restart it."""

    async def main(life: Life) -> None:
        await trio.lowlevel.checkpoint()

    with pytest.raises(Failure, match="by itself") as caught:
        await live(main, Life("test"))
    assert caught.value.exit_code == process.EXIT_FAILURE


async def test_sighup_runs_the_hooks() -> None:
    """SIGHUP runs what was registered and stops nothing; without a hook it is ignored."""
    reloaded = trio.Event()

    async def main(life: Life) -> None:
        _signal(signal.SIGHUP)
        await trio.testing.wait_all_tasks_blocked()
        life.on_reload.append(reloaded.set)
        _signal(signal.SIGHUP)
        await reloaded.wait()
        life.stop()

    with trio.fail_after(5):
        await live(main, Life("test"))


def _end(trouble: Exception) -> Callable[[Life], object]:
    async def main(life: Life) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise trouble

    return main


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (ConfigError([Problem("a.toml", "x.y", "unknown")]), process.EXIT_CONFIG),
        (WireError("tcp://127.0.0.1:1: address already in use"), process.EXIT_CANNOT_CREATE),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), process.EXIT_CANNOT_CREATE),
        (OSError(errno.ENOSPC, "No space left on device"), process.EXIT_SOFTWARE),
        (Failure("later", exit_code=process.EXIT_TEMPORARY), process.EXIT_TEMPORARY),
    ],
)
def test_expected_errors_become_one_line_and_a_code(
    trouble: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """An expected error, however deep in nurseries, is told in one line without a traceback."""
    assert process.run(_end(trouble), name="server-1") == code
    said = capsys.readouterr().err
    assert said == f"server-1: {trouble}\n"


def test_an_unexpected_error_shows_where_it_happened(capsys: pytest.CaptureFixture[str]) -> None:
    """What nobody expected keeps its traceback, and ends with 70."""
    assert process.run(_end(ZeroDivisionError("oops")), name="n") == process.EXIT_SOFTWARE
    assert "Traceback" in capsys.readouterr().err


def test_several_errors_are_all_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Of several expected errors each is told, the same text once, nothing forges a line."""
    group = ExceptionGroup("", [WireError("a"), ExceptionGroup("", [WireError("a"), Failure("b\x1b[2J")])])
    assert report(group, name="n") == process.EXIT_CANNOT_CREATE
    assert capsys.readouterr().err == "n: a\nn: b\\u{1b}[2J\n"


def test_readiness_is_told_once_on_the_descriptor() -> None:
    """The parent reads one line of JSON with the addresses and the pid, then end of file."""
    read_end, write_end = os.pipe()
    life = Life("n", env={"RECADO_READY_FD": str(write_end)})
    life.ready({"request": "tcp://127.0.0.1:1"})
    life.ready({"request": "again"})
    with open(read_end, "rb") as end:
        told = [json.loads(line) for line in end]
    assert told == [{"ready": True, "listen": {"request": "tcp://127.0.0.1:1"}, "pid": os.getpid()}]


def test_a_parent_that_left_is_no_reason_to_stop() -> None:
    """Neither a closed pipe nor a descriptor that does not exist raises."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    Life("n", env={"RECADO_READY_FD": str(write_end)}).ready({})
    Life("n", env={"RECADO_READY_FD": "987654"}).ready({})


def test_the_service_manager_is_told(tmp_path: Path) -> None:
    """READY, RELOADING and STOPPING arrive as datagrams, and nobody listening is only False."""
    path = tmp_path / "notify"
    env = {"NOTIFY_SOCKET": str(path)}
    assert not sd_notify("READY=1", env={})
    assert not sd_notify("READY=1", env=env)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        life = Life("n", env=env)
        life.stop_seconds = 7
        life.reload()  # before it is ready the manager is not to know
        life.ready({}, announce=False)
        life.announce()
        life.reload()
        life.stop()
        told = [manager.recv(200).decode() for _ in range(4)]
    assert told[0] == told[2] == "READY=1"
    assert told[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert told[3].startswith("STOPPING=1\nSTATUS=stopping")
    assert told[3].endswith("EXTEND_TIMEOUT_USEC=12000000")


@pytest.mark.system
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--set", "log.level=loud", "--set", "nonsense.key=1"], 78, "nonsense.key: unknown"),
        (["--nonsense"], 2, "No such option"),
        (["--check"], 78, "broker.servers or cluster.members"),
        (["--check", "--set", "broker.servers=tcp://127.0.0.1:1"], 0, ""),
    ],
)
def test_the_command_line_of_a_daemon(arguments: list[str], code: int, said: str) -> None:
    """A real daemon process says what is wrong with its command line or configuration by its code."""
    ran = subprocess.run(
        [sys.executable, "-m", "daemons.broker", *arguments], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, said in ran.stderr) == (code, True), ran.stderr
    assert "Traceback" not in ran.stderr
