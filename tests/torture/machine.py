"""What this machine lets us do, and a place of our own in it.

As root everything happens inside fresh mount, network and process namespaces: when the first process in
there ends, however it ends, the kernel kills the others, unmounts the file systems, frees their loop
devices and forgets the network.  Nothing of it is ever seen from outside.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

INSIDE_VARIABLE = "RECADO_TORTURE_INSIDE"
_ENTER = ("unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child")
_ENTER_ALL = (*_ENTER, "--mount-proc")


@dataclass(frozen=True, kw_only=True)
class Means:
    """Which kinds of faults can be had.  `missing` says why not, by kind."""

    isolated: bool
    network: bool
    disks: bool
    clocks: bool
    missing: dict[str, str]


def enter(arguments: Sequence[str]) -> None:
    """Go on inside namespaces of our own, if this machine allows it; else return."""
    if os.environ.get(INSIDE_VARIABLE) or not _can_enter():
        return
    sys.stdout.flush()
    command = [*_ENTER_ALL, sys.executable, "-m", "tests.torture", *arguments]
    os.execvpe(command[0], command, {**os.environ, INSIDE_VARIABLE: "1"})


def _can_enter() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    return subprocess.run([*_ENTER_ALL, "true"], capture_output=True, check=False).returncode == 0


def survey() -> Means:
    """Look around.  Call after `enter`."""
    isolated = bool(os.environ.get(INSIDE_VARIABLE))
    why = (
        "" if isolated else "needs root and namespaces" if os.geteuid() else "namespaces are not allowed here"
    )
    network = why or _lacking("ip", "nft") or ("" if Path("/dev/net/tun").exists() else "needs /dev/net/tun")
    disks = why or _lacking("mkfs.ext4", "mount", "umount", "losetup")
    clocks = _lacking("cc")
    kinds = {
        "network faults (cuts, delay, loss, duplication, reordering)": network,
        "power cuts and full disks": disks,
        "clock jumps": clocks,
    }
    return Means(
        isolated=isolated,
        network=not network,
        disks=not disks,
        clocks=not clocks,
        missing={kind: reason for kind, reason in kinds.items() if reason},
    )


def _lacking(*programs: str) -> str:
    absent = [program for program in programs if shutil.which(program) is None]
    return f"needs {', '.join(absent)}" if absent else ""
