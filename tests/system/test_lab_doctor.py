"""`recado doctor` on real hosts: it names each planted fault, and nothing else."""

import json

import lab_disk
import pytest
from lab_network import NETWORK
from lab_node import DATA, LIBRARIES
from laboratory import NEEDS, Laboratory

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*NEEDS)]


def test_faults_of_one_host_each(lab: Laboratory) -> None:
    """A dead broker, a key that others can read, a clock that is off, a full disk: four names, then none."""
    one, two, three = lab
    key = "/etc/credstore/recado.n1.key"
    one.run("systemctl", "stop", "recado-broker")
    one.run("chmod", "644", key)
    two.set_clock(40.0)
    full = three.root / DATA.lstrip("/")
    lab_disk.fill(full)
    try:
        # Who has room learns of it by what it can't write.
        lab.recado("login", "olga", check=False)
        lab.doctor_finds(
            {
                ("broker.dead", f"tcp://{NETWORK}.11:5558"),
                ("key_permissions.mode", key),
                ("clock.server", "n2"),
                ("disk_full.full", "n3"),
            },
        )
    finally:
        lab_disk.free(full)
        two.set_clock(0.0)
        one.run("chmod", "600", key)
        one.run("systemctl", "start", "recado-broker")


def test_a_host_that_is_off(lab: Laboratory) -> None:
    """No packet comes back from it: named by its server, for those that miss it too."""
    node = lab["n2"]
    node.power_off()
    try:
        lab.doctor_finds({("unreachable.timeout", "n2")})
    finally:
        node.boot()


def test_another_version_and_another_cluster(lab: Laboratory) -> None:
    """One server runs another version; one was given the configuration of another cluster."""
    two, three = lab["n2"], lab["n3"]
    package = f"/{LIBRARIES}/recado"
    two.run("cp", "-a", f"{package}/__init__.py", "/root/kept.py")
    two.run("sh", "-c", f"sed -i 's/^__version__ = .*/__version__ = \"0.0.9\"/' {package}/__init__.py")
    two.run("sh", "-c", f"mv {package}/__pycache__/__init__*.pyc /root/kept.pyc")
    two.run("systemctl", "restart", two.unit)
    try:
        lab.doctor_finds({("version.differs", "n2")})
    finally:
        two.run("cp", "-a", "/root/kept.py", f"{package}/__init__.py")
        two.run("mv", "/root/kept.pyc", f"{package}/__pycache__/__init__.cpython-311.pyc")
        two.run("systemctl", "restart", two.unit)
    files = ("/etc/recado/recado.toml", "/etc/recado/roster.toml")
    three.run("sed", "-i", 's/"casa"/"outra"/', *files)
    three.run("systemctl", "restart", three.unit)
    try:
        # It answers as what it is; and the others refuse it.
        three.wait_for(lambda: _codes(lab) == {"foreign_cluster"}, "the other cluster is named")
    finally:
        three.run("sed", "-i", 's/"outra"/"casa"/', *files)
        three.run("systemctl", "restart", three.unit)


def _codes(lab: Laboratory) -> set[str]:
    return {case.partition(".")[0] for case, _ in lab["n1"].doctor()}


def test_a_split_cluster(lab: Laboratory) -> None:
    """Who sees both sides of a cut is told of two coordinators, and which links to look at."""
    lab.network.part(["n1", "n2"], ["n3"])

    def named() -> bool:
        told = json.loads(lab.recado("doctor", "--json", check=False))
        return "split_view.leaders" in {found["case"] for found in told["findings"]}

    lab["n1"].wait_for(named, "two coordinators are named")
