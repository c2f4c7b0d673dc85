"""Messages that are not confirmed yet, on disk: they survive this process and a lost server.

One file for each user, append-only: a line for each message that is written down, another when it is
done with.  What is written down is durable before it is first sent, and is always sent with the same
id, so however often that happens it appears once.  Lines carry a checksum; one that was torn by a power
cut or damaged is left out.  The file is rewritten when most of it is done with.

Several processes may share it: each operation holds a lock for as long as it takes and first reads what
the others appended.  `sending` is a second lock: only one of them sends what is waiting.

Like the other small files it is written in place of a worker thread: a few milliseconds of one loop.
"""

import errno
import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from recado.keepsake import write_durably
from recado.protocol.limits import OUTBOX_AGE_SECONDS_MAX, OUTBOX_LINES_SPARE, OUTBOX_MESSAGES_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """A message in the outbox: to a `channel`, or (None) to the user `dst`.

    `written`: when, in UNIX seconds; after 7 days it is given up.  `refused`: the code of a server that
    refused it, if one did; it is then sent again only when asked for.
    """

    id: bytes
    channel: str | None
    dst: str | None
    text: str
    level: str | None
    written: int
    refused: str = ""


class OutboxFull(OSError):
    """The outbox holds as many messages as it may."""


class OutboxFile:
    """The outbox of one user.  Raises `OSError` where the disk does."""

    def __init__(self, directory: Path, user: str, *, now_seconds: Callable[[], int]) -> None:
        digest = hashlib.blake2b(user.encode(), digest_size=8).hexdigest()
        self._path = directory / f"outbox-{digest}.log"
        self._lock_path = self._path.with_suffix(".lock")
        self._sending_path = self._path.with_suffix(".sending")
        self._user = user
        self._now_seconds = now_seconds
        self._unsent: dict[bytes, Unsent] = {}
        self._lines = 0
        self._read: tuple[int, int] = (0, 0)  # the file's inode, and how much of it was read

    def unsent(self) -> tuple[Unsent, ...]:
        """What waits, oldest first."""
        if not self._path.exists():
            return ()
        with self._locked():
            return tuple(self._unsent.values())

    def add(self, message: Unsent) -> None:
        """Write a message down; it is durable when this returns.  Raises `OutboxFull`."""
        with self._locked():
            if message.id not in self._unsent and len(self._unsent) >= OUTBOX_MESSAGES_MAX:
                raise OutboxFull(f"{OUTBOX_MESSAGES_MAX} messages wait already")
            self._append(_fields(message))
            self._unsent[message.id] = message

    def done(self, ident: bytes) -> bool:
        """Forget a message; whether it was there.

        Not made durable: at worst it is sent once more, with the same id.
        """
        with self._locked():
            if self._unsent.pop(ident, None) is None:
                return False
            self._append({"done": ident.hex()}, durable=False)
            if self._lines > 2 * len(self._unsent) + OUTBOX_LINES_SPARE:
                self._rewrite()
            return True

    def refuse(self, ident: bytes, code: str) -> None:
        """A server refused it: it stays, marked."""
        with self._locked():
            if ident in self._unsent:
                self._unsent[ident] = replace(self._unsent[ident], refused=code)
                self._append(_fields(self._unsent[ident]))

    def expire(self) -> tuple[Unsent, ...]:
        """Give up what has waited for more than 7 days, and tell what that was."""
        oldest = self._now_seconds() - OUTBOX_AGE_SECONDS_MAX
        given_up = tuple(message for message in self.unsent() if message.written < oldest)
        return tuple(message for message in given_up if self.done(message.id))

    @contextmanager
    def sending(self) -> Iterator[bool]:
        """Whether this process may send what waits now; no other one does meanwhile."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._sending_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(descriptor)

    # The file ------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock, having read what is in the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._catch_up()
            yield
        finally:
            os.close(descriptor)

    def _catch_up(self) -> None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._unsent, self._lines, self._read = {}, 0, (0, 0)
            return
        inode, position = self._read
        if inode != found.st_ino or position > found.st_size:
            self._unsent, self._lines, position = {}, 0, 0
        if position < found.st_size:
            with self._path.open("rb") as file:
                file.seek(position)
                for line in file.read().splitlines():
                    self._take(line)
        self._read = (found.st_ino, found.st_size)

    def _take(self, line: bytes) -> None:
        if not line:
            return
        self._lines += 1
        fields = _unsealed(line)
        if fields is None or fields.get("user", self._user) != self._user:
            return
        try:
            if "done" in fields:
                self._unsent.pop(bytes.fromhex(fields["done"]), None)
            else:
                fields.pop("user", None)
                message = Unsent(**fields | {"id": bytes.fromhex(fields["id"])})
                self._unsent[message.id] = message
        except (TypeError, ValueError, KeyError):
            return

    def _append(self, fields: dict[str, Any], *, durable: bool = True) -> None:
        fresh = not self._path.exists()
        if fresh:
            write_durably(self._path, b"")
        line = _sealed({"user": self._user, **fields})
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            try:
                if os.write(descriptor, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                if durable:
                    os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)  # what could not be promised is not to be found later on
                raise
            found = os.fstat(descriptor)
            self._read = (found.st_ino, found.st_size)
        finally:
            os.close(descriptor)
        self._lines += 1

    def _rewrite(self) -> None:
        lines = [_sealed({"user": self._user, **_fields(message)}) for message in self._unsent.values()]
        write_durably(self._path, b"".join(lines))
        found = self._path.stat()
        self._lines, self._read = len(lines), (found.st_ino, found.st_size)


def _fields(message: Unsent) -> dict[str, Any]:
    return {**asdict(message), "id": message.id.hex()}


def _sealed(fields: dict[str, Any]) -> bytes:
    """A line: a line break before it too, so that a torn line spoils no other."""
    content = json.dumps(fields, ensure_ascii=True).encode()
    return b"\n%08x %s\n" % (zlib.crc32(content), content)


def _unsealed(line: bytes) -> dict[str, Any] | None:
    checksum, _, content = line.partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(content):
            return None
        fields = json.loads(content)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) else None
