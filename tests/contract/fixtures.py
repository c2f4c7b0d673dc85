"""The fixtures: requests of clients in three languages, and the text files that hold their bytes.

A file is read line by line: hexadecimal bytes, then `#` and what they are.  A line that begins with `==`
starts the next request.  ``RECADO_REWRITE_GOLDEN=1 pytest tests/contract`` writes them anew.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from encoders import GO, NODE, PYTHON, Int64, Language, RawText, Uint64, Undefined, pieces

FOLDER = Path(__file__).parent
SECONDS = 1_760_000_000
MILLISECONDS = SECONDS * 1000
LANGUAGES = (PYTHON, NODE, GO)


class Stamp(NamedTuple):
    """One way to fill in `timestamp` and `clock`, and what a server must make of it."""

    name: str
    fields: Mapping[str, Any]
    wall_ms: int | None
    clock: int


STAMPS: dict[str, tuple[Stamp, ...]] = {
    "python": (
        Stamp("time.time()", {"timestamp": SECONDS + 0.25, "clock": 7}, MILLISECONDS + 250, 7),
        Stamp("int(time.time())", {"timestamp": SECONDS, "clock": 300}, MILLISECONDS, 300),
        Stamp("a whole float", {"timestamp": float(SECONDS), "clock": 70_000}, MILLISECONDS, 70_000),
        Stamp(
            "datetime.isoformat()",
            {"timestamp": "2025-10-09T08:53:20.250000", "clock": 1},
            MILLISECONDS + 250,
            1,
        ),
        Stamp("without a clock", {"timestamp": SECONDS + 0.5}, MILLISECONDS + 500, 0),
        Stamp("with neither", {}, None, 0),
    ),
    "node": (
        Stamp("Date.now()", {"timestamp": MILLISECONDS + 250, "clock": 7}, MILLISECONDS + 250, 7),
        Stamp("Date.now() / 1000", {"timestamp": SECONDS + 0.25, "clock": 200}, MILLISECONDS + 250, 200),
        Stamp("Date.now() / 1000 on the second", {"timestamp": float(SECONDS)}, MILLISECONDS, 0),
        Stamp(
            "toISOString()",
            {"timestamp": "2025-10-09T08:53:20.250Z", "clock": 2**33},
            MILLISECONDS + 250,
            2**33,
        ),
        Stamp("undefined", {"timestamp": Undefined(), "clock": Undefined()}, None, 0),
    ),
    "go": (
        Stamp("time.Now().Unix()", {"timestamp": Int64(SECONDS), "clock": Int64(7)}, MILLISECONDS, 7),
        Stamp(
            "UnixMilli(), unsigned",
            {"timestamp": Uint64(MILLISECONDS + 250), "clock": Uint64(8)},
            MILLISECONDS + 250,
            8,
        ),
        Stamp("compact integers", {"timestamp": SECONDS, "clock": 129}, MILLISECONDS, 129),
        Stamp("float64 seconds", {"timestamp": SECONDS + 0.25, "clock": 9}, MILLISECONDS + 250, 9),
        Stamp(
            "time.RFC3339", {"timestamp": "2025-10-09T10:53:20+02:00", "clock": Int64(10)}, MILLISECONDS, 10
        ),
        Stamp("zero values", {"timestamp": Int64(0), "clock": Int64(0)}, 0, 0),
    ),
}


class Fixture(NamedTuple):
    """One request: `service` and `fields` as a server must read them beside the stamp."""

    name: str
    language: Language
    service: str
    fields: Mapping[str, Any]
    stamp: Stamp
    to: str = "server"  # or "reference"

    @property
    def envelope(self) -> dict[str, Any]:
        return {"service": self.service, "data": {**self.fields, **self.stamp.fields}}


def requests(mark: str, text: type[str] = str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(where to, service, fields) of a client's day and of a server's, in the order of sending."""
    ana, rui, channel = text(f"{mark}-ana"), text(f"{mark}-rui"), text(f"{mark}-sala")
    long = text("uma mensagem com mais de trinta e um bytes, ação e 🎉")
    yield "server", "login", {"user": ana}
    yield "server", "login", {"user": rui}
    yield "server", "users", {}
    yield "server", "channel", {"channel": channel}
    yield "server", "channels", {}
    yield "server", "publish", {"user": ana, "channel": channel, "message": long}
    yield "server", "message", {"src": ana, "dst": rui, "message": text("oi")}
    yield "server", "sync", {"last_sync": 0}
    yield "server", "history_channel", {"channel": channel}
    yield "server", "get_messages", {"username": rui}
    yield "server", "clock", {}
    yield "server", "election", {}
    yield "server", "adjust", {"adjustment": 0.25}
    content = {"user": rui, "channel": channel, "message": long, "timestamp": SECONDS}
    yield "server", "replicate", {"type": text("channel_message"), "content": content}
    yield "reference", "rank", {"user": text(f"{mark}-servidor")}
    yield "reference", "heartbeat", {"user": text(f"{mark}-servidor")}
    yield "reference", "list", {}


def all_fixtures() -> list[Fixture]:
    """Every request of every language under every stamp.  Names are each stamp's own."""
    found = []
    for language in LANGUAGES:
        for number, stamp in enumerate(STAMPS[language.name]):
            # One Go library in use still writes text in the form from before `str 8`.
            text = RawText if language is GO and stamp.name == "compact integers" else str
            for order, (to, service, fields) in enumerate(requests(f"{language.name}{number}", text)):
                name = f"{language.name} {number}.{order:02} {service}: {stamp.name}"
                found.append(Fixture(name, language, service, fields, stamp, to))
    return found


def as_text(fixtures: list[Fixture]) -> str:
    """The content of a file of fixtures."""
    lines = []
    for fixture in fixtures:
        lines += [f"== {fixture.name}"]
        for depth, raw, what in pieces(fixture.envelope, fixture.language):
            indented = "  " * depth + raw.hex(" ")
            lines.append(f"{indented:<52}  # {what}")
        lines.append("")
    return "\n".join(lines)


def read(language: str) -> dict[str, bytes]:
    """Name → bytes of the requests in a file."""
    found: dict[str, bytes] = {}
    name = ""
    for line in (FOLDER / f"{language}.hex").read_text("utf-8").splitlines():
        if line.startswith("== "):
            name = line.removeprefix("== ")
            found[name] = b""
        else:
            found[name] += bytes.fromhex(line.partition("#")[0])
    return found
