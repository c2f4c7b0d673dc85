"""The units under a real systemd: killed, blocked, hung, reloaded, misconfigured, stopped."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import NEEDS, Machine

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*NEEDS)]

HERE = Path(__file__).parent
SERVER = "recado-server@server-1.service"
UNITS = (SERVER, "recado-broker.service", "recado-reference.service")
ADDRESS = "tcp://127.0.0.1:5555"
CONFIG = f"""
[cluster]
id = "lab"
members = [{{ name = "server-1", rank = 1, address = "{ADDRESS}" }}]
[disk]
slow_seconds = 0.5
hung_seconds = 1
reserve_bytes = 0
"""
QUICK = "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=5s\n"  # the shipped 20 s would be a test's whole time
DRAINING = """
import sys, trio
from daemons.shared.process import Life, run

async def main(life):
    life.stop_seconds = 8
    life.ready({})
    await life.stopping.wait()
    await trio.sleep(3)
    print("drained", flush=True)

sys.exit(run(main, name="draining"))
"""


@pytest.fixture(scope="module")
def node() -> Iterator[Machine]:
    """One machine with the three daemons, which can be told to misbehave."""
    machine = Machine()
    libraries = f"/opt/recado/lib/python3.{sys.version_info.minor}/site-packages"
    machine.write("/etc/recado/recado.toml", CONFIG)
    machine.write("/etc/systemd/system/recado-.service.d/quick.conf", QUICK)
    machine.write(f"{libraries}/service_faults.py", (HERE / "service_faults.py").read_text())
    machine.write(f"{libraries}/faults.pth", "import service_faults\n")
    machine.write("/opt/lab/asking_on.py", (HERE / "asking_on.py").read_text())
    machine.write("/opt/lab/draining.py", DRAINING)
    with machine:
        machine.run("systemctl", "start", *UNITS)
        yield machine


def _pid(node: Machine) -> str:
    return node.show(SERVER, "MainPID")


def _answers(node: Machine) -> bool:
    said = node.run("/opt/recado/bin/python", "/opt/lab/asking_on.py", ADDRESS, "0.01", check=False)
    return said != ""


def _back(node: Machine, before: str) -> None:
    """Wait until another process serves than before."""

    def is_back() -> bool:
        return node.show(SERVER, "ActiveState") == "active" and _pid(node) not in ("0", before)

    node.wait_for(is_back, "another process is active", seconds=40)
    assert _answers(node)


def test_all_three_run_and_say_how_they_are(node: Machine) -> None:
    """All are active at once and serve; their status is a sentence for people."""
    assert {node.show(unit, "ActiveState") for unit in UNITS} == {"active"}
    node.wait_for(lambda: "leads in epoch" in node.show(SERVER, "StatusText"), "the server leads")
    node.wait_for(lambda: "lists 1 of 1" in node.show(UNITS[2], "StatusText"), "the reference knows it")
    assert node.show(UNITS[1], "StatusText") == "forwards publications; requests go to 1 of 1 servers"
    assert _answers(node)


def test_files_are_the_groups_and_nobody_elses(node: Machine) -> None:
    """The replica is the daemon's own, readable by its group; what it may not see it can't."""
    replica = "/var/lib/recado/server-1/replica.db"
    assert node.run("stat", "-c", "%U %G %a", replica).split() == ["recado", "recado", "640"]
    assert node.run("stat", "-c", "%a", "/var/lib/recado/server-1").strip() == "750"
    status = node.run("cat", f"/proc/{_pid(node)}/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert "Seccomp:\t2" in status


def test_the_journal_has_fields(node: Machine) -> None:
    """Events are found by epoch and by name, over all servers; the catalog explains what is found."""
    node.wait_for(lambda: _events(node, "RECADO_EPOCH=1") != [], "an event of epoch 1")
    event = _events(node, "RECADO_EVENT=coordinator is now server-1")[0]
    assert event["RECADO_NODE"] == "server-1"
    assert event["RECADO_COORDINATOR"] == "server-1"
    assert int(event["RECADO_CLOCK"]) > 0
    assert event["_SYSTEMD_UNIT"] == SERVER
    node.run("journalctl", "--update-catalog")
    shown = node.run("journalctl", "--dump-catalog", "--no-pager")
    assert "Subject: Recado: disk is full, read-only until there is room" in shown


def _events(node: Machine, *matches: str) -> list[dict[str, str]]:
    said = node.run("journalctl", "-u", "recado-server@*", "-o", "json", "--no-pager", *matches)
    return [json.loads(line) for line in said.splitlines()]


def test_a_killed_daemon_is_back(node: Machine) -> None:
    """`kill -9` of a process brings another one, which has what the first one had."""
    for unit in UNITS:
        before = node.show(unit, "MainPID")
        node.run("kill", "-9", before)
        node.wait_for(
            lambda unit=unit, before=before: (
                node.show(unit, "ActiveState") == "active"  # type: ignore[misc]
                and node.show(unit, "MainPID") != before
            ),
            f"{unit} is active again",
        )
    assert _answers(node)


def test_a_blocked_loop_is_ended(node: Machine) -> None:
    """An event loop that stands still is aborted by the watchdog, says where it stood, and is replaced."""
    before = _pid(node)
    node.run("kill", "-USR2", before)
    _back(node, before)
    said = node.journal("-u", SERVER)
    assert "Watchdog timeout" in said
    assert "_stand_still" in said


def test_who_uses_too_much_memory_is_ended_alone(node: Machine) -> None:
    """At MemoryMax the kernel ends the server and nothing else on its host, and it is back."""
    node.write_now("/etc/systemd/system/recado-server@.service.d/less.conf", "[Service]\nMemoryMax=256M\n")
    node.limit()
    node.run("systemctl", "daemon-reload")
    node.run("systemctl", "restart", SERVER)
    others = [node.show(unit, "MainPID") for unit in UNITS[1:]]
    before, killed = _pid(node), node.journal("-u", SERVER).count("status=9/KILL")
    node.run("kill", "-s", "RTMIN", before)
    _back(node, before)
    assert node.journal("-u", SERVER).count("status=9/KILL") == killed + 1
    assert [node.show(unit, "MainPID") for unit in UNITS[1:]] == others


def test_a_hung_disk_is_ended(node: Machine) -> None:
    """A commit that never ends is ended too, though the loop goes on: not fed, aborted, replaced."""
    before = _pid(node)
    node.run("kill", "-USR1", before)
    asked = node.words("/opt/recado/bin/python", "/opt/lab/asking_on.py", ADDRESS, "1", "login")
    writing = subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        node.wait_for(lambda: "has not answered a commit" in node.show(SERVER, "StatusText"), "it says so")
        _back(node, before)
    finally:
        writing.kill()
        writing.wait()


def test_reload_takes_what_is_right_and_survives_what_is_wrong(node: Machine) -> None:
    """`systemctl reload` reads the limits again; a wrong configuration changes nothing and ends nobody."""
    before = _pid(node)
    node.run("systemctl", "reload", SERVER)
    again = "RECADO_EVENT=keys, limits and registration were read again"
    node.wait_for(lambda: _events(node, again) != [], "it was read again")
    node.run(
        "sh", "-c", "echo 'nonsense = [' >> /etc/recado/recado.toml; systemctl reload recado-server@server-1"
    )
    wrong = "RECADO_EVENT=what was read again can't be used, everything stays as it was"
    node.wait_for(lambda: _events(node, wrong) != [], "it was refused")
    node.wait_for(lambda: node.show(SERVER, "ActiveState") == "active", "it is active")
    assert _pid(node) == before
    assert _answers(node)
    node.run("sed", "-i", "/nonsense/d", "/etc/recado/recado.toml")


def test_no_failure_is_for_good(node: Machine) -> None:
    """A configuration that can't be used fails start after start, and works as soon as it is mended."""
    node.run("systemctl", "stop", SERVER)
    node.run("sed", "-i", "s/rank = 1/rank = 0/", "/etc/recado/recado.toml")
    node.run("systemctl", "start", SERVER, check=False)
    node.wait_for(lambda: int(node.show(SERVER, "NRestarts")) >= 7, "more starts than a limit would allow")
    assert "status=78/CONFIG" in node.journal("-u", SERVER)
    node.run("sed", "-i", "s/rank = 0/rank = 1/", "/etc/recado/recado.toml")
    _back(node, "0")


def test_stop_drains(node: Machine) -> None:
    """`systemctl stop` ends in order, well within its time, and says that everything was handed on."""
    node.run("systemctl", "stop", SERVER)
    assert node.show(SERVER, "Result") == "success"
    assert node.show(SERVER, "ActiveState") == "inactive"
    assert _events(node, "RECADO_EVENT=stopped")[-1]["RECADO_DRAINED"] == "true"
    node.run("systemctl", "start", SERVER)
    assert _answers(node)


def test_a_long_drain_gets_its_time(node: Machine) -> None:
    """A daemon that means to drain for longer than TimeoutStopSec asks for more, and gets it."""
    node.run(
        *("systemd-run", "-q", "--unit=draining", "-p", "Type=notify", "-p", "TimeoutStopSec=1s"),
        *("-E", "LD_LIBRARY_PATH=/opt/recado/base/lib", "/opt/recado/bin/python", "/opt/lab/draining.py"),
    )
    node.run("systemctl", "stop", "draining")
    assert "drained" in node.journal("-u", "draining")
    assert "State 'stop-sigterm' timed out" not in node.journal("-u", "draining")


def test_a_restart_behind_a_socket_loses_no_request(node: Machine) -> None:
    """With the socket unit a server is restarted and killed under questions: each is answered."""
    node.run("systemctl", "stop", SERVER)
    node.run("systemctl", "start", "recado-server@server-1.socket")
    asked = node.words("/opt/recado/bin/python", "/opt/lab/asking_on.py", ADDRESS, "8")
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking:
        node.wait_for(lambda: node.show(SERVER, "ActiveState") == "active", "the question has started it")
        node.run("systemctl", "restart", SERVER)
        before = _pid(node)
        node.run("kill", "-9", before)
        _back(node, before)
        said, failed = asking.communicate(timeout=60)
    assert asking.returncode == 0, failed
    answered, again = map(int, said.split())
    assert answered > 50
    assert again <= 4  # what a process had taken and not answered when it was killed
    node.run("systemctl", "stop", "recado-server@server-1.socket", SERVER)


def test_the_page_can_be_followed(node: Machine) -> None:
    """Every command that docs/daemons.md gives for systemd works as it stands, one after the other."""
    page = (HERE.parents[1] / "docs" / "daemons.md").read_text("utf-8")
    commands = [
        line
        for block in re.findall(r"```sh machine\n(.*?)```", page, re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(commands) >= 15
    for command in commands:
        node.run("sh", "-c", command)
    assert {node.show(unit, "ActiveState") for unit in UNITS} == {"active"}
    assert _answers(node)


def test_keys_are_handed_over(node: Machine) -> None:
    """A server with keys starts with those that only root can read; none is in its directory."""
    node.run(
        "sh",
        "-euc",
        """
        umask 077; mkdir -p /etc/credstore /root/k; cd /root/k
        recado keygen --server server-1 -o /etc/credstore/recado.server-1.key
        recado keygen --cluster -o /etc/credstore/recado.cluster.key
        recado keygen --reference -o /etc/credstore/recado.reference.key
        recado keygen --broker -o /etc/credstore/recado.broker.key
        export RECADO_ROSTER=/etc/recado/roster.toml
        recado roster init --cluster lab
        for name in server-1 reference broker; do recado roster add /etc/credstore/recado.$name.pub; done
        chmod 644 /etc/recado/roster.toml
        cat >> /etc/recado/recado.toml <<END
[security]
roster = "/etc/recado/roster.toml"
local_listen = "ipc:///run/recado/server-1/local.sock"
local_accounts = ["65534=ana"]
END
        """,
    )
    node.run("systemctl", "restart", *UNITS)
    assert {node.show(unit, "ActiveState") for unit in UNITS} == {"active"}
    assert "node.key" not in node.run("ls", "/var/lib/recado/server-1")
    assert node.run("stat", "-c", "%a", "/etc/credstore/recado.server-1.key").strip() == "600"


def test_unix_users_are_told_apart(node: Machine) -> None:
    """At the local socket of a server with keys the one account that is named is served, and no other."""
    local = "ipc:///run/recado/server-1/local.sock"
    asking = f"/opt/recado/bin/python /opt/lab/asking_on.py {local} 0.2 2>&1"
    named = node.run("sh", "-c", f"setpriv --reuid=65534 --regid=65534 --clear-groups {asking}")
    assert int(named.split()[0]) > 0
    other = node.run("sh", "-c", f"setpriv --reuid=65533 --regid=65534 --clear-groups {asking} || true")
    assert "was not answered" in other
