"""The operator's days in the laboratory: restarts, upgrades, lost hosts, full disks, backups that move."""

import shutil

import lab_disk
import pytest
from lab_load import under_load
from lab_node import DATA, Node
from laboratory import NEEDS, Laboratory
from packages import deb

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*NEEDS)]
NEXT = "0.9.0"
LAG_MAX = 20  # entries: people talk all the time


def _in_step(lab: Laboratory, node: Node) -> None:
    """What docs/upgrades.md has one wait for before the next: all answer, nobody lacks anything."""
    node.serves()
    lab.leader()
    others = [other for other in lab if other is not node]
    lag = f'recado_peer_lag_entries{{peer="{node.server}"}}'
    node.wait_for(lambda: max(other.metric(lag) for other in others) < LAG_MAX, "it is in step")


def test_servers_are_restarted_one_after_another(lab: Laboratory) -> None:
    """A rolling restart under load: nobody is refused, nothing is lost."""
    with under_load(lab, "rolling restart"):
        for node in lab:
            node.run("systemctl", "restart", "recado-*")
            _in_step(lab, node)


def test_a_new_version_is_installed_host_by_host(lab: Laboratory) -> None:
    """A rolling upgrade under load by `dpkg -i` alone: the daemons of a host restart, nothing is lost."""
    lab.package = deb(NEXT)
    with under_load(lab, "rolling upgrade"):
        for node in lab:
            node.install(lab.package)
            _in_step(lab, node)
    versions = {one["status"]["version"] for one in lab["n1"].status()["servers"]}
    assert versions == {NEXT}


def test_a_host_is_replaced_by_an_empty_one(lab: Laboratory) -> None:
    """Of a lost host nothing is left but its file of keys: two commands, and it has everything again."""
    node = lab["n2"]
    with under_load(lab, "host replaced", levels=("quorum",)):
        node.cut_power()
        node.wipe()
        node.boot()
        node.install(lab.package)
        node.join(lab["n1"])
        _in_step(lab, node)
    assert node.events("snapshot installed")


def test_a_backup_is_restored_on_another_host(lab: Laboratory) -> None:
    """What one host has put aside becomes, on another one, that host's replica, and the cluster one again."""
    giver, taker = lab["n1"], lab["n3"]
    with under_load(lab, "backup moved", levels=("quorum",)):
        giver.run("recado", "backup", "n1", "--data", DATA, "-o", "/root/casa.tar")
        shutil.copy(giver.root / "root/casa.tar", taker.root / "root/casa.tar")
        taker.run("systemctl", "stop", taker.unit)
        directory = f"{DATA}/n3"
        taker.run("recado", "restore", "/root/casa.tar", "--as", "n3", "--dir", directory, "--replace")
        taker.run("systemctl", "start", taker.unit)
        _in_step(lab, taker)
    assert taker.events("restored from a backup, peers are asked before the first write")


def test_a_disk_fills_and_gets_room(lab: Laboratory) -> None:
    """A server without room refuses writes, which others take; with room it takes them again by itself."""
    node = lab["n2"]
    disk = node.root / DATA.lstrip("/")
    with under_load(lab, "full disk") as load:
        lab_disk.fill(disk)
        try:
            node.wait_for(lambda: node.metric('recado_disk_state{state="full"}') == 1, "it is full")
            load.goes_on()
        finally:
            lab_disk.free(disk)
        node.wait_for(lambda: node.metric('recado_disk_state{state="ok"}') == 1, "it has room")
