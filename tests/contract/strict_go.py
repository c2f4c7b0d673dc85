"""A strict reader of replies, as a Go client with declared structs is: what is declared must fit exactly.

A float where an int is declared is an error, so is a text where a number is, and so is an extension
type anywhere.  Fields that are not declared are passed over.  Works on bytes, without a library.
"""

import struct
from typing import Any

INT64_END = 2**63
Schema = Any  # int, float, str, bytes, [Schema] or {"field": Schema}


class DoesNotFit(Exception):
    """What a strict client would fail on: where in the reply, and why."""


def decode(raw: bytes, schema: Schema) -> Any:
    """The declared part of a reply.  Every declared field must be there.  Raises `DoesNotFit`."""
    reader = _Reader(raw)
    value = reader.value(schema, "reply")
    if reader.at != len(raw):
        raise DoesNotFit(f"{len(raw) - reader.at} bytes follow the reply")
    return value


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.at = 0

    def _take(self, count: int) -> bytes:
        taken = self._raw[self.at : self.at + count]
        if len(taken) < count:
            raise DoesNotFit("ends too early")
        self.at += count
        return taken

    def _number(self, form: str) -> int:
        return int(struct.unpack(f">{form}", self._take(struct.calcsize(form)))[0])

    def value(self, schema: Schema, where: str) -> Any:
        """One value of the declared kind."""
        code = self._take(1)[0]
        if isinstance(schema, dict):
            return self._struct(code, schema, where)
        if isinstance(schema, list):
            count = self._length(code, where, (0x90, 15, (None, 0xDC, 0xDD)))
            return [self.value(schema[0], f"{where}[{number}]") for number in range(count)]
        if schema is int:
            return self._int(code, where)
        if schema is float:
            if code != 0xCB:
                raise DoesNotFit(f"{where}: float64 declared, found {code:#x}")
            return struct.unpack(">d", self._take(8))[0]
        if schema is bytes:
            return self._take(self._length(code, where, (0x100, 0, (0xC4, 0xC5, 0xC6))))
        return self._text(code, where)

    def _struct(self, code: int, schema: dict[str, Schema], where: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(self._length(code, where, (0x80, 15, (None, 0xDE, 0xDF)))):
            field = self._text(self._take(1)[0], f"{where}, a field's name")
            if field in schema:
                found[field] = self.value(schema[field], f"{where}.{field}")
            else:
                self._skip(f"{where}.{field}")
        missing = set(schema) - set(found)
        if missing:
            raise DoesNotFit(f"{where}: {sorted(missing)} missing")
        return found

    def _int(self, code: int, where: str) -> int:
        forms = {0xCC: "B", 0xCD: "H", 0xCE: "I", 0xCF: "Q", 0xD0: "b", 0xD1: "h", 0xD2: "i", 0xD3: "q"}
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 0x100
        if code not in forms:
            raise DoesNotFit(f"{where}: int64 declared, found {code:#x}")
        value = self._number(forms[code])
        if value >= INT64_END:
            raise DoesNotFit(f"{where}: {value} overflows int64")
        return value

    def _text(self, code: int, where: str) -> str:
        length = self._length(code, where, (0xA0, 31, (0xD9, 0xDA, 0xDB)))
        try:
            return self._take(length).decode("utf-8")
        except UnicodeDecodeError:
            raise DoesNotFit(f"{where}: not UTF-8") from None

    def _length(self, code: int, where: str, kind: tuple[int, int, tuple[int | None, int, int]]) -> int:
        fixed, most, codes = kind
        if fixed <= code <= fixed + most:
            return code - fixed
        if code not in codes:
            raise DoesNotFit(f"{where}: found {code:#x}")
        return self._number("BHI"[codes.index(code)])

    def _skip(self, where: str) -> None:
        """Pass over a value of any kind but an extension."""
        code = self._take(1)[0]
        widths = {0xC0: 0, 0xC2: 0, 0xC3: 0, 0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8}
        widths |= {0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
        if code < 0x80 or code >= 0xE0:
            return
        if code in widths:
            self._take(widths[code])
        elif code <= 0x8F or code in (0xDE, 0xDF):
            for _ in range(2 * self._length(code, where, (0x80, 15, (None, 0xDE, 0xDF)))):
                self._skip(where)
        elif code <= 0x9F or code in (0xDC, 0xDD):
            for _ in range(self._length(code, where, (0x90, 15, (None, 0xDC, 0xDD)))):
                self._skip(where)
        elif code <= 0xBF or code in (0xD9, 0xDA, 0xDB):
            self._text(code, where)
        elif code in (0xC4, 0xC5, 0xC6):
            self._take(self._length(code, where, (0x100, 0, (0xC4, 0xC5, 0xC6))))
        else:
            raise DoesNotFit(f"{where}: type {code:#x} is not known")


_STAMPS = {"timestamp": int, "clock": int}
_SAID = {"user": str, "channel": str, "message": str, "timestamp": int}
_DIRECT = {"src": str, "dst": str, "message": str, "timestamp": int}
_HISTORY = {
    "history_channel": {**_SAID, "clock": int},
    "get_messages": {**_DIRECT, "from": str, "clock": int},
}

# What a strict client declares for the `data` of each service's reply; beside it every error's.
REPLIES: dict[str, dict[str, Schema]] = {
    "login": {"status": str},
    "users": {"users": [str]},
    "channel": {"status": str},
    "channels": {"channels": [str], "users": [str]},
    "publish": {"status": str},
    "message": {"status": str},
    "sync": {
        "logins": [{"username": str, "timestamp": int}],
        "channels": [str],
        "channel_messages": [_SAID],
        "user_messages": [_DIRECT],
    },
    "clock": {"time": float},
    "adjust": {"status": str},
    "election": {"election": str},
    "replicate": {"status": str},
    "rank": {"rank": int},
    "heartbeat": {"status": str},
    "list": {"list": [{"name": str, "rank": int}]},
    **{service: {"messages": [said]} for service, said in _HISTORY.items()},
}
ERROR = {"status": str, "description": str, "message": str}
CHANNEL_PUBLICATION = {"user": str, "message": str, "channel": str, **_STAMPS}
DIRECT_PUBLICATION = {"from": str, "src": str, "dst": str, "message": str, **_STAMPS}


def decode_reply(raw: bytes, service: str) -> dict[str, Any]:
    """The `data` of a successful reply to this service.  Raises `DoesNotFit`."""
    reply = decode(raw, {"service": str, "data": {**REPLIES[service], **_STAMPS}})
    if reply["service"] != service:
        raise DoesNotFit(f"service {reply['service']!r}")
    data: dict[str, Any] = reply["data"]
    return data


def decode_error(raw: bytes, service: str) -> dict[str, Any]:
    """The `data` of an error reply to this service.  Raises `DoesNotFit`."""
    reply = decode(raw, {"service": str, "data": {**ERROR, **_STAMPS}})
    if reply["service"] != service or reply["data"]["status"] != "erro":
        raise DoesNotFit(f"{reply}")
    data: dict[str, Any] = reply["data"]
    return data
