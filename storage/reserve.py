"""Room kept for a bad day: a file that is given up when the disk is full (A32).

With it a server that can take no more messages still writes what it must not forget, its epochs above
all, and still starts.  Taking the room back is also how the server finds out that there is room again.
"""

import os
from pathlib import Path
from typing import Final

NAME: Final = "reserve"


class Reserve:
    """The file ``reserve`` in a node's directory, of `size_bytes`; 0: there is none."""

    def __init__(self, directory: Path, size_bytes: int) -> None:
        self._path = directory / NAME
        self._size_bytes = size_bytes

    @property
    def held(self) -> bool:
        """Whether the whole room is kept."""
        return self._size_bytes == 0 or self._kept_bytes() >= self._size_bytes

    def _kept_bytes(self) -> int:
        try:
            found = self._path.stat()
        except OSError:
            return 0
        return min(found.st_size, found.st_blocks * 512)

    def take(self) -> bool:
        """Keep the room, if there is some; whether it is kept now.  A reserve of size 0 always is.

        Half a reserve is none: what could not be taken in full is given back.
        """
        if self.held:
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError:
            return False
        try:
            os.posix_fallocate(descriptor, 0, self._size_bytes)
            os.ftruncate(descriptor, self._size_bytes)  # the setting may have become smaller
            os.fsync(descriptor)
        except OSError:
            self.release()
            return False
        finally:
            os.close(descriptor)
        return True

    def free_bytes(self) -> int:
        """Room left on the file system beside the reserve, as far as an ordinary user may use it."""
        found = os.statvfs(self._path.parent)
        return found.f_bavail * found.f_frsize

    def release(self) -> bool:
        """Give the room up; False if there was none."""
        had = self._kept_bytes() > 0
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            return False
        return had
