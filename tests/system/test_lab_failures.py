"""Hosts of the laboratory that lose a process, their loop, their memory, their power, their disk."""

from time import monotonic

import pytest
from lab_load import under_load
from laboratory import NEEDS, Laboratory

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*NEEDS)]
STOP_SECONDS = 8.0  # the shipped timings.drain_seconds, timings.linger_seconds, and leaving


def test_all_hosts_tell_the_same(lab: Laboratory) -> None:
    """`recado status` on each host sees three servers, one coordinator, one version, keys."""
    for told in lab.all_at_once("status"):
        assert [one["answered"] for one in told["servers"]] == [True] * 3
        states = [one["status"] for one in told["servers"]]
        assert {one["coordinator"] for one in states} == {"n3"}
        assert {one["security"]["mode"] for one in states} == {"secured"}
        assert len({one["version"] for one in states}) == 1


def test_a_server_is_killed_stopped_and_blocked_under_load(lab: Laboratory) -> None:
    """SIGKILL, and a loop that the watchdog ends: another process serves, nothing is lost."""
    with under_load(lab, "SIGKILL of n2, SIGSTOP of n3"):
        killed, blocked = lab["n2"].main_pid(), lab["n3"].main_pid()
        lab["n2"].run("kill", "-9", killed)
        lab["n3"].run("kill", "-STOP", blocked)
        lab["n2"].serves(before=killed)
        lab["n3"].serves(before=blocked)
    assert "Failed with result 'watchdog'" in lab["n3"].journal("-u", lab["n3"].unit)


def test_a_server_out_of_memory_is_alone_under_load(lab: Laboratory) -> None:
    """A server that reaches its limit is killed by the kernel and starts again; the others go on."""
    node, others = lab["n2"], [lab["n1"].main_pid(), lab["n3"].main_pid()]
    before = node.main_pid()
    with under_load(lab, "out of memory"):
        node.limit()
        node.run("systemctl", "set-property", "--runtime", node.unit, "MemoryMax=256M")
        node.run("kill", "-s", "RTMIN", before)
        node.serves(before=before)
    assert [lab["n1"].main_pid(), lab["n3"].main_pid()] == others
    assert "status=9/KILL" in node.journal("-u", node.unit)


def test_a_server_that_fails_again_and_again_is_never_given_up(lab: Laboratory) -> None:
    """More failed starts than systemd would allow by itself; mended, it serves and lacks nothing."""
    node = lab["n1"]
    with under_load(lab, "failed starts") as load:
        node.run("sed", "-i", "s/rank = 1/rank = 0/", "/etc/recado/recado.toml")
        before = node.main_pid()
        node.run("kill", "-9", before)
        node.wait_for(lambda: int(node.show(node.unit, "NRestarts")) >= 6, "six starts")
        load.goes_on()
        node.run("sed", "-i", "s/rank = 0/rank = 1/", "/etc/recado/recado.toml")
        node.serves(before="0")


def test_a_drain_that_nobody_hears_ends_in_time(lab: Laboratory) -> None:
    """A cut-off server stops in order; what it alone had acknowledged is everywhere once it is back."""
    node, text = lab["n2"], "only here as yet"
    with under_load(lab, "stopped while cut off") as load:
        lab.recado("login", "olga")
        lab.network.part(["n2"], ["n1", "n3"])
        here = ("--user", "olga", "--level", "local", "--server", f"tcp://{node.address}:5555")
        lab.recado("publish", *here, "sala-1", text)
        load.goes_on()
        began = monotonic()
        node.run("systemctl", "stop", node.unit)
        assert monotonic() - began < STOP_SECONDS
        assert node.show(node.unit, "Result") == "success"
        lab.network.heal()
        node.run("systemctl", "start", node.unit)
    for other in lab:
        at = ("--user", "olga", "--server", f"tcp://{other.address}:5555")
        assert text in lab.recado("history", *at, "sala-1", "-n", "1000")


def test_power_is_cut_under_load(lab: Laboratory) -> None:
    """A host whose power is cut while people talk comes back with all that it acknowledged."""
    node = lab["n3"]
    with under_load(lab, "power cut") as load:
        node.cut_power()
        load.goes_on()
        node.boot()
        node.serves()


def test_a_host_reboots_under_load(lab: Laboratory) -> None:
    """In order: what ran runs again, by the target, and lacks nothing."""
    node = lab["n2"]
    with under_load(lab, "reboot") as load:
        node.reboot()
        load.goes_on()
        node.serves()


def test_the_power_of_all_hosts_is_cut_at_once(lab: Laboratory) -> None:
    """Even then nothing that was acknowledged is lost."""
    with under_load(lab, "power cut of all hosts"):
        lab.all_at_once("cut_power")
        lab.all_at_once("boot")
        lab.all_at_once("serves")
