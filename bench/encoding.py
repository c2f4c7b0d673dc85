"""MessagePack against JSON: the size of what Recado sends, and the time to make and to read it."""

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import msgspec

from recado.protocol import codec
from recado.protocol.messages import Request
from recado.protocol.services import REQUESTS

REPEATS = 5

# The same values in both; JSON has no bytes, so ids are hexadecimal there, as they would have to be.
EXAMPLES: dict[str, dict[str, Any]] = {
    "login, as the course shows it": {"service": "login", "data": {"user": "alice", "timestamp": 1700000000}},
    "login with clock": {"service": "login", "data": {"user": "ana", "timestamp": 1700000000, "clock": 7}},
    "publish of 120 characters with id": {
        "service": "publish",
        "data": {
            "user": "ana",
            "channel": "geral",
            "message": "x" * 120,
            "timestamp": 1_750_000_000,
            "clock": 123_456,
            "id": bytes(range(16)),
        },
    },
    "reply to a publish": {
        "service": "publish",
        "data": {
            "status": "OK",
            "level": "quorum",
            "key": [123_457, "server-1.0123456789abcdef", 4_711],
            "server": "server-1",
            "id": bytes(range(16)),
            "acks": 2,
            "of": 3,
            "timestamp": 1_750_000_000,
            "clock": 123_458,
        },
    },
    "history page of 100 messages": {
        "service": "history",
        "data": {
            "messages": [
                {
                    "channel": "geral",
                    "user": "ana",
                    "message": "Bom dia, pessoal! São nove horas.",
                    "timestamp": 1_750_000_000 + n,
                    "clock": 100_000 + n,
                    "origin": "server-1.0123456789abcdef",
                    "seq": 4_000 + n,
                    "prev": 3_999 + n,
                    "id": n.to_bytes(16, "big"),
                }
                for n in range(100)
            ],
            "timestamp": 1_750_000_000,
            "clock": 200_000,
        },
    },
}


class Compared(msgspec.Struct, frozen=True):
    """One message in both encodings: bytes, and microseconds of processor time."""

    name: str
    messagepack_bytes: int
    json_bytes: int
    messagepack_encode_us: float
    json_encode_us: float
    messagepack_decode_us: float
    json_decode_us: float


class Checked(msgspec.Struct, frozen=True):
    """Reading one request including the check of its fields against its schema, in microseconds."""

    name: str
    messagepack_us: float
    json_us: float


def printable(value: Any) -> Any:
    """The value with its bytes as hexadecimal text, which is what JSON can carry."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: printable(item) for key, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, list) else value


def to_json(value: Any) -> bytes:
    """Compact JSON in UTF-8 by the standard library."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def sizes(value: dict[str, Any]) -> tuple[int, int]:
    """(bytes in MessagePack, bytes in compact JSON)."""
    return len(codec.pack(value)), len(to_json(printable(value)))


def measure(*, quick: bool) -> dict[str, list[Any]]:
    """Every example in both encodings, and what checking adds."""
    times = 500 if quick else 5_000
    compared, checked = [], []
    for name, value in EXAMPLES.items():
        text = printable(value)
        packed, dumped = codec.pack(value), to_json(text)
        few = max(20, times // max(1, len(packed) // 200))
        compared.append(
            Compared(
                name,
                *sizes(value),
                _us(partial(codec.pack, value), few),
                _us(partial(to_json, text), few),
                _us(partial(codec.unpack, packed), few),
                _us(partial(json.loads, dumped), few),
            )
        )
        if "reply" not in name and "page" not in name:
            schema = REQUESTS.get(value["service"], Request)
            checked.append(
                Checked(
                    name,
                    _us(partial(codec.decode_request, packed), few),
                    _us(partial(_read_json, dumped, schema), few),
                )
            )
    return {"compared": compared, "checked": checked}


def _read_json(dumped: bytes, schema: type[Request]) -> Request:
    return codec.convert(json.loads(dumped)["data"], schema)


def _us(step: Callable[[], object], times: int) -> float:
    costs = []
    for _ in range(REPEATS):
        start = time.process_time()
        for _ in range(times):
            step()
        costs.append((time.process_time() - start) / times * 1e6)
    return median(costs)


def table(found: dict[str, list[Any]]) -> Iterator[str]:
    """One line per message: bytes, then microseconds to write and to read."""
    yield "MessagePack against JSON (standard library): bytes, microseconds of processor time"
    yield f"  {'':36} {'bytes':>7} {'JSON':>7} {'':>5}  {'write':>7} {'JSON':>7}  {'read':>7} {'JSON':>7}"
    for c in found["compared"]:
        ratio = c.messagepack_bytes / c.json_bytes
        yield (
            f"  {c.name:36} {c.messagepack_bytes:7} {c.json_bytes:7} {ratio:5.0%}"
            f"  {c.messagepack_encode_us:7.2f} {c.json_encode_us:7.2f}"
            f"  {c.messagepack_decode_us:7.2f} {c.json_decode_us:7.2f}"
        )
    yield "  with the check of every field"
    for c in found["checked"]:
        yield f"  {c.name:36} {'':42}  {c.messagepack_us:7.2f} {c.json_us:7.2f}"
