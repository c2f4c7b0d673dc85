"""Events as the journal keeps them: fields of their own, found by ``journalctl RECADO_EPOCH=7``.

The native protocol (systemd's JOURNAL_NATIVE_PROTOCOL): one datagram an event to journald's socket, a
field a line, or its length in 8 bytes before a value with line breaks; what is too large for a datagram
goes as a sealed file.  An event ``peer is silent`` with ``peer="server-2"`` becomes

    MESSAGE=server-1 clock=7 peer is silent peer=server-2     PRIORITY=4
    RECADO_EVENT=peer is silent     RECADO_NODE=server-1      RECADO_CLOCK=7
    RECADO_PEER=server-2            MESSAGE_ID=…              of the event's name, always the same

Nothing here ever waits: a journal that does not read loses lines, which are counted.
"""

import array
import errno
import fcntl
import hashlib
import os
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"
_NAME: Final = re.compile(r"[^A-Z0-9_]+")
_NAME_MAX: Final = 57  # of 64 characters, with the prefix
_PERSON: Final = b"recado-event"
_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_TOO_LARGE: Final = frozenset({errno.EMSGSIZE, errno.ENOBUFS})


def message_id(event: str) -> str:
    """The MESSAGE_ID of an event, 32 hexadecimal digits: the same in every version and on every host.

    A 128-bit BLAKE2b of the name, marked as a random UUID (version 4) as the journal expects.
    """
    raw = bytearray(hashlib.blake2b(event.encode(), digest_size=16, person=_PERSON).digest())
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    return raw.hex()


def is_journal(env: Mapping[str, str], descriptor: int = 2) -> bool:
    """Whether that descriptor, standard error, is the journal's (systemd.exec(5), JOURNAL_STREAM)."""
    device, separator, inode = env.get("JOURNAL_STREAM", "").partition(":")
    if not separator:
        return False
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


def encode(fields: Mapping[str, str]) -> bytes:
    """One event in the native protocol."""
    parts: list[bytes] = []
    for name, text in fields.items():
        key, value = name.encode(), text.encode("utf-8", "backslashreplace")
        if b"\n" in value:
            parts += [key, b"\n", len(value).to_bytes(8, "little"), value, b"\n"]
        else:
            parts += [key, b"=", value, b"\n"]
    return b"".join(parts)


def fields_of(
    event: Mapping[str, Any], *, message: str, priority: int, quoted: Callable[[Any], str]
) -> dict[str, str]:
    """The journal's fields of an event whose values are printable; `quoted` makes texts of them."""
    fields = {"MESSAGE": message, "PRIORITY": str(priority)}
    if event.get("event"):
        fields["MESSAGE_ID"] = message_id(str(event["event"]))
    for key, value in event.items():
        name = _NAME.sub("_", key.upper()).strip("_")[:_NAME_MAX]
        if name and key != "level":
            fields[f"RECADO_{name}"] = value if isinstance(value, str) else quoted(value)
    return fields


class Journal:
    """The way to journald.  `send` says whether an event went; `absent` is set once nobody listens."""

    def __init__(self, path: str = JOURNAL_SOCKET) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def send(self, fields: Mapping[str, str]) -> bool:
        """Raises `FileNotFoundError` or `ConnectionRefusedError` if there is no journal."""
        raw = encode(fields)
        try:
            self._socket.sendto(raw, self._path)
        except (FileNotFoundError, ConnectionRefusedError):
            raise
        except OSError as error:
            return error.errno in _TOO_LARGE and self._send_file(raw)
        return True

    def _send_file(self, raw: bytes) -> bool:
        try:
            with open(os.memfd_create("recado", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb", 0) as file:
                file.write(raw)
                fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
                passed = array.array("i", [file.fileno()])
                rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)
                self._socket.sendmsg([], [rights], 0, self._path)
        except OSError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()
