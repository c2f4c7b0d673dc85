"""The bytes that clients in Python, Node.js and Go send are read as the contract says."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgpack
import pytest
from encoders import NODE, PYTHON, Int64, Uint64, Undefined, encode
from fixtures import FOLDER, LANGUAGES, Fixture, all_fixtures, as_text, read
from strict_go import DoesNotFit, decode

from recado.protocol.codec import decode_request
from recado.protocol.names import wall_ms
from recado.protocol.services import REQUESTS

CLIENT_SERVICES = "login users channel channels publish message sync"
SERVER_SERVICES = "rank list heartbeat clock adjust election replicate"
NODE_FOLDER = Path(__file__).parents[1] / "system" / "node"
ENCODE_IN_NODE = """
const { encode } = require("@msgpack/msgpack");
const lines = require("node:fs").readFileSync(0, "utf8").split("\\n").filter((line) => line);
const undefinedFor = (value) =>
  value === "__undefined__" ? undefined
  : Array.isArray(value) ? value.map(undefinedFor)
  : value && typeof value === "object"
    ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, undefinedFor(v)]))
  : value;
for (const line of lines) console.log(Buffer.from(encode(undefinedFor(JSON.parse(line)))).toString("hex"));
"""
by_language = pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.name)


def _of(language: Any) -> list[Fixture]:
    return [fixture for fixture in all_fixtures() if fixture.language == language]


@by_language
def test_the_files_hold_what_the_encoders_write(language: Any) -> None:
    """The reviewed text and the hand-written encoders agree, request by request."""
    text, path = as_text(_of(language)), FOLDER / f"{language.name}.hex"
    if os.environ.get("RECADO_REWRITE_GOLDEN") == "1":
        path.write_text(text, "utf-8")
    assert path.read_text("utf-8") == text
    assert list(read(language.name)) == [fixture.name for fixture in _of(language)]


@by_language
def test_every_request_is_understood(language: Any) -> None:
    """Service, fields, time and clock come out of the bytes as they were meant."""
    held = read(language.name)
    for fixture in _of(language):
        asked = decode_request(held[fixture.name])
        assert (asked.service, asked.known) == (fixture.service, True)
        assert asked.clock == fixture.stamp.clock, fixture.name
        assert wall_ms(asked.data.timestamp) == fixture.stamp.wall_ms, fixture.name
        for field, value in fixture.fields.items():
            assert getattr(asked.data, field) == value, fixture.name


def test_every_service_of_the_contract_has_bytes() -> None:
    """The fixtures have each service that other people's clients and servers ask for, and no invented one."""
    used = {fixture.service for fixture in all_fixtures()}
    assert used >= set(CLIENT_SERVICES.split()) | set(SERVER_SERVICES.split())
    assert used <= set(REQUESTS)


def test_the_python_bytes_are_those_of_its_library() -> None:
    """What msgpack for Python writes today is what the fixtures say."""
    held = read("python")
    for fixture in _of(PYTHON):
        assert msgpack.packb(fixture.envelope) == held[fixture.name], fixture.name


@pytest.mark.needs("node-zeromq")
def test_the_node_bytes_are_those_of_its_library() -> None:
    """What @msgpack/msgpack writes today is what the fixtures say."""
    given = "\n".join(json.dumps(f.envelope, default=lambda _: "__undefined__") for f in _of(NODE))
    ran = subprocess.run(
        ["node", "-e", ENCODE_IN_NODE],
        input=given,
        cwd=NODE_FOLDER,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [bytes.fromhex(line) for line in ran.stdout.split()] == list(read("node").values())


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (1.0, int),
        (Uint64(2**63), int),
        (1, float),
        ("um", int),
        (1, str),
        (b"um", str),
        (None, str),
        ({"a": 1.5}, {"a": int}),
        ({"b": 1}, {"a": int}),
        ([1, "um"], [int]),
    ],
)
def test_the_strict_reader_refuses_what_does_not_fit(value: Any, schema: Any) -> None:
    """A float for an int, a number for a text, a missing field and their like are errors."""
    with pytest.raises(DoesNotFit):
        decode(encode(value, PYTHON), schema)


@pytest.mark.parametrize("raw", [b"\xd6\xff\0\0\0\0", b"\xc7\0\1", b"\xc1", b"\xa1", b"\1\1"])
def test_the_strict_reader_refuses_types_that_it_does_not_know(raw: bytes) -> None:
    """Extension types, the byte that stands for nothing, and what ends too early or too late."""
    with pytest.raises(DoesNotFit):
        decode(b"\x81\xa1x" + raw, {})


@pytest.mark.parametrize("value", [0, 127, 128, 65_536, 2**40, -1, -33, -40_000, Int64(5), Uint64(5)])
def test_the_strict_reader_takes_every_form_of_integer(value: int) -> None:
    """Whatever the width, an integer is the same integer."""
    assert decode(encode({"n": value, "x": Undefined(), "y": [1.5, b"z"]}, PYTHON), {"n": int}) == {
        "n": value
    }
