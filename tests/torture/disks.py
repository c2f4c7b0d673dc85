"""The servers' disks: an ext4 file system in a file for each, whose power can be cut, or a plain directory.

A power cut is the kernel's own: ``FS_IOC_SHUTDOWN`` with ``NOLOGFLUSH`` drops every byte that was not
synced, and the next mount recovers the journal.  The processes that write there must stand still before:
a shutdown that races with an ``fdatasync`` under way has been seen to lose what that had acknowledged.
"""

import fcntl
import os
import shutil
import struct
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Protocol

import trio

from storage.database import sync_directory
from tests.torture.processes import CommandFailed, run

UNMOUNT_SECONDS = 10.0
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2
# Nothing is written back by time alone, so that a cut takes all that was not synced.
_OPTIONS = "loop,commit=600"
_FILLER = "filler"
FLIPS_MAX = 8


class Disk(Protocol):
    """One server's disk."""

    path: Path

    async def cut_power(self) -> None:
        """Forget what is not synced; every call on it fails from now on."""

    async def come_back(self) -> None:
        """Mount it again.  Nobody may have a file of it open."""

    def fill(self) -> None:
        """Leave no room."""

    def free(self) -> None:
        """Give the room back."""

    async def close(self) -> None:
        """Unmount it for good."""


class Directory:
    """Part of the machine's own file system: neither its power nor its room is ours."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    async def cut_power(self) -> None:
        raise NotImplementedError("not this machine's power")

    async def come_back(self) -> None:
        raise NotImplementedError("it was never away")

    def fill(self) -> None:
        raise NotImplementedError("not this machine's room")

    def free(self) -> None:
        return

    async def close(self) -> None:
        return


class Image:
    """An ext4 file system of `size_bytes` in a sparse file."""

    def __init__(self, image: Path, path: Path, *, size_bytes: int) -> None:
        self.path = path
        self._image = image
        path.mkdir(parents=True)
        with image.open("wb") as file:
            file.truncate(size_bytes)
        run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1", str(image))
        self._mount()

    def _mount(self) -> None:
        run("mount", "-o", _OPTIONS, str(self._image), str(self.path))

    async def cut_power(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    async def come_back(self) -> None:
        await self._unmount()
        self._mount()

    async def _unmount(self) -> None:
        # Somebody may just be looking into a replica.
        with trio.fail_after(UNMOUNT_SECONDS):
            while True:
                with suppress(CommandFailed):
                    run("umount", str(self.path))
                    break
                await trio.sleep(0.05)
            # As long as the loop device is there, the shut-down file system would be mounted again.
            while run("losetup", "-j", str(self._image)).strip():  # noqa: ASYNC110  # the kernel
                await trio.sleep(0.02)

    def fill(self) -> None:
        fill_up(self.path / _FILLER)

    def free(self) -> None:
        (self.path / _FILLER).unlink(missing_ok=True)
        sync_directory(self.path)  # else the next power cut brings it back

    async def close(self) -> None:
        with suppress(CommandFailed, trio.TooSlowError):
            await self._unmount()
        self._image.unlink(missing_ok=True)


def copy_of(data: Path, target: Path) -> None:
    """A copy of a data directory whose server stands still; without the room kept back."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(data, target, ignore=shutil.ignore_patterns("reserve", "db.lock"))


def put_back(copy: Path, data: Path) -> None:
    """Let a copy take the place of a data directory."""
    shutil.rmtree(data, ignore_errors=True)
    shutil.copytree(copy, data)


def rot(data: Path, random: Random) -> dict[str, str | int]:
    """Flip some bits of a stopped server's database or of its WAL, or cut that file short; what was done."""
    files = [file for file in (data / "replica.db", data / "replica.db-wal") if file.exists()]
    path = random.choice([file for file in files if file.stat().st_size > 0])
    size = path.stat().st_size
    with path.open("r+b") as file:
        if random.random() < 0.3:
            length = random.randrange(size)
            file.truncate(length)
            return {"file": path.name, "bytes": size, "cut_at": length}
        offsets = sorted(random.sample(range(size), k=random.randint(1, FLIPS_MAX)))
        for offset in offsets:
            file.seek(offset)
            byte = file.read(1)[0] ^ (1 << random.randrange(8))
            file.seek(offset)
            file.write(bytes([byte]))
    return {"file": path.name, "bytes": size, "flipped_at": " ".join(map(str, offsets))}


def fill_up(filler: Path) -> None:
    """Give a file all the room that its file system has."""
    with filler.open("wb") as file:
        size, room = 0, os.statvfs(filler.parent)
        step = room.f_bavail * room.f_frsize
        while step >= room.f_frsize:
            try:
                os.posix_fallocate(file.fileno(), size, step)
            except OSError:
                step //= 2
            else:
                size += step
