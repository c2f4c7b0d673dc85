"""A node's disk: an ext4 file system in a file, whose power can be cut and which can be filled.

A power cut is the kernel's own: ``FS_IOC_SHUTDOWN`` with ``NOLOGFLUSH`` drops every byte that was not
synced, and the next mount recovers the journal.  Whoever writes must stand still before: a shutdown that
races with an ``fdatasync`` under way has been seen to lose what that had acknowledged.
"""

import fcntl
import os
import struct
import subprocess
from pathlib import Path
from typing import Final

from processes import until

from tests.torture.disks import fill_up

NEEDS: Final = ("mkfs.ext4", "losetup")
_SHUTDOWN: Final = 0x8004587D
_NO_LOG_FLUSH: Final = 2
_GROUPS: Final = Path("/sys/fs/cgroup")
FILLER: Final = "filler"


def make(image: Path, *, size_bytes: int) -> None:
    """An empty file system; the file is sparse."""
    with image.open("wb") as file:
        file.truncate(size_bytes)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1", str(image)], check=True)


def cut_power(mounted: Path) -> None:
    """Forget what is not synced; every call on it fails from now on."""
    descriptor = os.open(mounted, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
    finally:
        os.close(descriptor)


def gone(image: Path) -> None:
    """Wait until the kernel has let go of it: before that the shut-down one would be mounted again."""

    def is_gone() -> bool:
        return not subprocess.run(["losetup", "-j", image], capture_output=True, check=True).stdout

    until(is_gone, seconds=20, what=f"{image} is unmounted")


def fill(mounted: Path) -> None:
    """Leave no room."""
    fill_up(mounted / FILLER)


def free(mounted: Path) -> None:
    """Give the room back."""
    (mounted / FILLER).unlink()


def freeze(group: str, *, still: bool) -> None:
    """Stop all processes of a group where they are, or let them go on."""
    control = _GROUPS / "freezer" / group / "freezer.state"
    wanted = "FROZEN" if still else "THAWED"
    control.write_text(wanted)
    until(lambda: control.read_text().strip() == wanted, seconds=10, what=f"{group} is {wanted}")
