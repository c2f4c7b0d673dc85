"""What clients in three languages put on the wire, byte by byte, written from the MessagePack specification.

Each language's usual library has habits of its own: that of Go writes typed integers at full width,
that of Node.js has one kind of number and writes what is undefined as nil, that of Python keeps
floats floats.  Nothing here uses a MessagePack library, so that the bytes stand for themselves.
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

Piece = tuple[int, bytes, str]  # depth, bytes, what they are


class Int64(int):
    """A Go int64: nine bytes, whatever its value."""


class Uint64(int):
    """A Go uint64: nine bytes, whatever its value."""


class Undefined:
    """A field that a Node client names without a value."""


class RawText(str):
    """Text as encoders from before the `str 8` format write it: no byte of that kind."""


class Language(NamedTuple):
    """How a language's usual library writes numbers."""

    name: str
    one_kind_of_number: bool  # 3.0 is written as the integer 3


PYTHON = Language("python", one_kind_of_number=False)
NODE = Language("node", one_kind_of_number=True)
GO = Language("go", one_kind_of_number=False)


def pieces(value: Any, language: Language, depth: int = 0) -> Iterator[Piece]:
    """The encoding of a value, one piece for each token."""
    match value:
        case dict():
            yield depth, _head(len(value), 0x80, 15, (None, 0xDE, 0xDF)), f"map of {len(value)}"
            for key, item in value.items():
                yield from pieces(key, language, depth + 1)
                yield from pieces(item, language, depth + 1)
        case list():
            yield depth, _head(len(value), 0x90, 15, (None, 0xDC, 0xDD)), f"array of {len(value)}"
            for item in value:
                yield from pieces(item, language, depth + 1)
        case str():
            yield depth, _text(value), repr(str(value))
        case bytes():
            yield depth, _sized(len(value), (0xC4, 0xC5, 0xC6)) + value, f"{len(value)} bytes"
        case _:
            encoded, what = _scalar(value, language)
            yield depth, encoded, what


def encode(value: Any, language: Language) -> bytes:
    """The encoding of a value."""
    return b"".join(raw for _, raw, _ in pieces(value, language))


def _scalar(value: Any, language: Language) -> tuple[bytes, str]:
    match value:
        case None:
            return b"\xc0", "nil"
        case Undefined():
            return b"\xc0", "undefined, written as nil"
        case bool():
            return (b"\xc3" if value else b"\xc2"), str(value).lower()
        case Int64():
            return b"\xd3" + struct.pack(">q", value), f"int64 {value}"
        case Uint64():
            return b"\xcf" + struct.pack(">Q", value), f"uint64 {value}"
        case float() if language.one_kind_of_number and value.is_integer():
            return _integer(int(value)), str(int(value))
        case float():
            return b"\xcb" + struct.pack(">d", value), f"float64 {value}"
        case int():
            return _integer(value), str(value)
    raise TypeError(type(value).__name__)


def _integer(value: int) -> bytes:
    """The shortest form."""
    if -32 <= value < 128:
        return struct.pack("b", value)
    signs = ((0xCC, 0xCD, 0xCE, 0xCF), ">B") if value >= 0 else ((0xD0, 0xD1, 0xD2, 0xD3), ">b")
    codes, form = signs
    for code, width in zip(codes, "bhiq", strict=True):
        letter = width.upper() if form == ">B" else width
        try:
            return bytes([code]) + struct.pack(f">{letter}", value)
        except struct.error:
            continue
    raise OverflowError(value)


def _text(value: str) -> bytes:
    raw = value.encode("utf-8")
    if isinstance(value, RawText):
        return _head(len(raw), 0xA0, 31, (None, 0xDA, 0xDB)) + raw
    return _head(len(raw), 0xA0, 31, (0xD9, 0xDA, 0xDB)) + raw


def _head(length: int, fixed: int, fixed_max: int, codes: tuple[int | None, int, int]) -> bytes:
    return bytes([fixed | length]) if length <= fixed_max else _sized(length, codes)


def _sized(length: int, codes: tuple[int | None, int, int]) -> bytes:
    for code, letter, end in zip(codes, "BHI", (2**8, 2**16, 2**32), strict=True):
        if code is not None and length < end:
            return bytes([code]) + struct.pack(f">{letter}", length)
    raise OverflowError(length)
