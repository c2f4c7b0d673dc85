"""The end of the laboratory, whatever ends it, leaves nothing on the machine that ran it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from laboratory import NEEDS, Laboratory
from processes import until

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*NEEDS)]
GROUPS = Path("/sys/fs/cgroup")
# A laboratory of one host, in a process that can be killed: it says its directory and waits.
ALONE = """
import sys
sys.path[:0] = sys.argv[1:]
from laboratory import Laboratory
with Laboratory(("n1",)) as lab:
    print(lab.home, lab.network.pid, lab["n1"].home, flush=True)
    sys.stdin.read()
"""


def _left(pid: int, *directories: Path) -> list[str]:
    """What would still be there: its first process, loop devices, processes in groups of it."""
    found = [f"/proc/{pid}"] if Path(f"/proc/{pid}").exists() else []
    loops = subprocess.run(["losetup", "-a"], capture_output=True, text=True, check=True).stdout
    found += [line for line in loops.splitlines() if any(str(one) in line for one in directories)]
    mounts = Path("/proc/mounts").read_text()
    found += [line for line in mounts.splitlines() if any(str(one) in line for one in directories)]
    for group in GROUPS.glob(f"*/recado-*-{pid}-*"):
        found += [f"{group}: {path.read_text()}" for path in group.rglob("cgroup.procs") if path.read_text()]
    return found


def test_a_killed_laboratory_takes_everything_with_it() -> None:
    """SIGKILL for the process that runs the tests: no process, no mount, no loop device stays."""
    here = Path(__file__).parent
    with subprocess.Popen(
        [sys.executable, "-c", ALONE, str(here), str(here.parents[1])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=here.parents[1],
    ) as alone:
        assert alone.stdout is not None
        home, pid, machine = alone.stdout.readline().split()
        os.kill(alone.pid, signal.SIGKILL)
    until(lambda: not _left(int(pid), Path(home), Path(machine)), seconds=20, what="everything of it is gone")
    # Its files can be deleted only by somebody who lives on: the next laboratory.
    with Laboratory(()):
        assert not Path(home).exists()
        assert not Path(machine).exists()
        assert not list(GROUPS.glob(f"*/recado-*-{pid}-*"))


def test_a_closed_laboratory_leaves_nothing(shared_lab: Laboratory) -> None:
    """The one that all tests have used ends here: nothing of it is on the machine, not even a file."""
    pid, homes = shared_lab.network.pid, [shared_lab.home, *(node.home for node in shared_lab)]
    shared_lab.close()
    assert _left(pid, *homes) == []
    assert not [home for home in homes if home.exists()]
    assert not list(GROUPS.glob(f"*/recado-*-{pid}-*"))
