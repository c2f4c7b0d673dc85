"""What a node's account for logins over SSH goes by, and the key with which it speaks for who has come.

For each SSH key that has opened it the account makes one key of its own, kept where only it can read, and
has its server write down that it is good for that user (`session_key`).  It asks at each login, since the
answer may have changed; what is good already is answered without a write.
"""

import dataclasses
import hashlib
import os
import select
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import anyio

from clients.ending import CONFIGURATION, UNAVAILABLE, Ended
from clients.session import ended
from clients.words import speaker
from recado.client import ChatError, Indeterminate, NoAnswer, Patience, RefusedByServer, connect
from recado.config import ConfigError, load
from recado.keys import Identity, KeyFileError, make_identity, read_identity, write_identity, z85

KEY_FILE = "session.key"
ASK_SECONDS = 3.0  # the node's own server, for the user
STDOUT = 1
LOOK_SECONDS = 5.0  # between two looks whether the SSH key is still good
_PLACEHOLDER = "ssh"  # until the server has told whose key it is
_ANOTHER = frozenset({"key_revoked", "key_taken"})  # revoked alone, or of another cluster: a new one may do
_OVER = frozenset({"key_revoked", "suspended"})


class Door(NamedTuple):
    """This node, as its configuration says: the socket of its server, and where the cluster is."""

    socket: str
    roster: str
    servers: tuple[str, ...]
    reference: str

    def is_open(self) -> bool:
        """Whether the node's server listens at its socket."""
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as end:
            try:
                end.connect(self.socket.removeprefix("ipc://"))
            except OSError:
                return False
        return True


def door_of(path: Path) -> Door:
    """Raises `Ended`: no configuration, or none with what a login needs."""
    try:
        config = load(path)
    except ConfigError as error:
        raise _not_set_up(str(error).splitlines()[0]) from None
    if not config.secured:
        raise _not_set_up("security.roster")
    if not config.security.local_listen:
        raise _not_set_up("security.local_listen")
    servers = [member.address for member in config.cluster.members]
    servers.sort(key=lambda address: address != config.server.listen)  # the node's own first
    return Door(
        config.security.local_listen, config.security.roster, tuple(servers), config.cluster.reference
    )


def _not_set_up(why: str) -> Ended:
    return Ended(speaker()("ssh.not_set_up", why=why), CONFIGURATION)


def directory_of(state: Path, fingerprint: str) -> Path:
    """Where this SSH key's session key, cursors and such are."""
    return state / hashlib.sha256(fingerprint.encode()).hexdigest()[:32]


def session_identity(door: Door, fingerprint: str, *, state: Path) -> Identity:
    """The key with which to speak, its user as `name`.

    A server that does not answer hinders nobody who has been here before.  Raises `Ended`.
    """
    path = directory_of(state, fingerprint) / KEY_FILE
    kept = _kept(path)
    try:
        if kept is not None:
            return _named(kept, door, fingerprint) if door.is_open() else kept
    except (NoAnswer, Indeterminate):
        if kept is not None:
            return kept
    except RefusedByServer as error:
        if error.code not in _ANOTHER:
            raise ended(error) from None
        path.unlink(missing_ok=True)
    return _made(door, fingerprint, path)


def _kept(path: Path) -> Identity | None:
    """The key of an earlier login; half of one, if that was cut short, goes.  Raises `Ended`."""
    try:
        if not path.exists():
            return None
        try:
            return read_identity(path)
        except KeyFileError:
            path.unlink(missing_ok=True)
            return None
    except OSError as error:
        raise _not_set_up(f"{path}: {error.strerror}") from None


def _made(door: Door, fingerprint: str, path: Path) -> Identity:
    unnamed = make_identity("user", _PLACEHOLDER)
    # That it can be kept is seen before anybody is told of it: a user has only so many session keys.
    tried = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_identity(tried, unnamed)
        fresh = _named(unnamed, door, fingerprint)
        write_identity(path, fresh)
    except (NoAnswer, Indeterminate):
        raise Ended(speaker()("ssh.no_server"), UNAVAILABLE) from None
    except ChatError as error:
        raise ended(error) from None
    except KeyFileError as error:
        try:
            return read_identity(path)  # made by another login at the same moment
        except KeyFileError:
            raise _not_set_up(str(error)) from None
    finally:
        with suppress(OSError):
            tried.unlink(missing_ok=True)
    return fresh


def _named(identity: Identity, door: Door, fingerprint: str) -> Identity:
    return dataclasses.replace(identity, name=ask(door, fingerprint, z85(identity.public)))


def ask(door: Door, fingerprint: str, key: str) -> str:
    """The name of the user for whom `key` speaks from now on.  Raises `ChatError`."""

    async def do() -> str:
        patience = Patience(deadline_seconds=ASK_SECONDS)
        async with connect(None, servers=[door.socket], level="local", patience=patience) as chat:
            return await chat.session_key(key, fingerprint=fingerprint)

    try:
        return anyio.run(do)
    except ExceptionGroup as group:
        known, _ = group.split(ChatError)
        if known is None:
            raise
        raise known.exceptions[0] from None


def nobody_reads(descriptor: int) -> bool:
    """Whether what is written there reaches nobody any more.  Of a terminal the kernel tells by a signal."""
    ends = select.poll()
    ends.register(descriptor, 0)
    return any(told & (select.POLLERR | select.POLLHUP) for _, told in ends.poll(0))


class Watch:
    """Looks, while a long command runs, whether the SSH key is still good and anybody there; `over` if not.

    Where sshd made no terminal, a command that has nothing to say would not notice that its reader is gone.
    """

    def __init__(self, door: Door, fingerprint: str, *, key: str, over: Callable[[], None]) -> None:
        self.ended = False
        self._asked = (door, fingerprint, key)
        self._over = over
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(ASK_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            if nobody_reads(STDOUT):
                self._over()
                return
            try:
                ask(*self._asked)
            except RefusedByServer as error:
                if error.code in _OVER:
                    self.ended = True
                    self._over()
                    return
            except ChatError:
                continue  # nobody answers: the command says so itself
