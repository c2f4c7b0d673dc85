"""docs/protocol.md says what the code does: services, fields, codes, limits, bytes."""

import ast
import re
from pathlib import Path

import msgspec
import pytest

from recado.protocol import codec, names
from recado.protocol.entry import EMPTY, parse
from recado.protocol.messages import KIND_NAMES
from recado.protocol.services import REQUESTS
from recado.texts import ERRORS, wire_text
from tests.house.protocol_page import EXAMPLE, all_limits, hexadecimal, rewritten

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text("utf-8")
TEXT = " ".join(PAGE.split())
CONTRACT = {
    "user_empty",
    "user_taken",
    "user_missing",
    "channel_empty",
    "channel_taken",
    "channel_missing",
    "text_empty",
}


def test_every_service_has_a_row() -> None:
    """Each service that a daemon may be asked for stands in a table."""
    assert [name for name in REQUESTS if f"| `{name}`" not in PAGE] == []


@pytest.mark.parametrize("service", REQUESTS)
def test_every_field_is_named(service: str) -> None:
    """Each field that a request of this service may carry is on the page."""
    fields = [field.encode_name for field in msgspec.structs.fields(REQUESTS[service])]
    assert [name for name in fields if f"`{name}`" not in TEXT] == []


def test_every_kind_of_entry_is_named() -> None:
    """The kinds stand with their numbers."""
    assert [name for name, kind in KIND_NAMES.items() if f"{int(kind)} `{name}`" not in TEXT] == []


def test_the_codes_are_those_of_the_programs() -> None:
    """The table of errors has every code that a program knows, and no other."""
    table = PAGE.partition("## Errors")[2].partition("## Publications")[0]
    assert set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)) == set(ERRORS)


def test_the_contracts_texts_are_literal() -> None:
    """The texts that other people's clients compare stand as they are sent."""
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]+) \*", PAGE, re.MULTILINE))
    assert {code: text.strip() for code, text in rows.items()} == {code: wire_text(code) for code in CONTRACT}


def test_limits_and_bytes_are_written_anew() -> None:
    """The table of limits and the bytes of the examples are those that `make docs` would write."""
    assert rewritten(PAGE) == PAGE


def test_every_limit_says_what_it_bounds() -> None:
    """No limit is without a comment on its line."""
    assert [limit.name for limit in all_limits() if not limit.bounds] == []
    assert len(all_limits()) > 50


def test_the_examples_are_read() -> None:
    """Every request among the examples is one that the codec takes."""
    values = [ast.literal_eval(example["value"]) for example in EXAMPLE.finditer(PAGE)]
    asked = [v for v in values if isinstance(v, dict) and "service" in v]
    requests = [v for v in asked if not {"status", "answers"} & v["data"].keys()]
    assert len(requests) >= 2
    assert all(codec.decode_request(codec.pack(request)).known for request in requests)


def test_the_example_of_the_log_is_an_entry() -> None:
    """The header is valid for the body `oi`, and its chain hash and user id are those on the page."""
    (header,) = [v for e in EXAMPLE.finditer(PAGE) if isinstance(v := ast.literal_eval(e["value"]), list)]
    entry = parse(codec.pack(header), b"oi", EMPTY)
    assert f"the chain hash is `{entry.hash.hex()}`" in TEXT
    assert entry.author == names.uid("ana")
    assert f"`ana` is `{names.uid('ana').hex()}`" in TEXT


def test_the_login_has_the_length_that_is_told() -> None:
    """The first example is as long as the sentence before it says."""
    first = next(EXAMPLE.finditer(PAGE))
    told = re.search(r"The first request of a session, (\d+) bytes", TEXT)
    assert told is not None
    assert len(hexadecimal(codec.pack(ast.literal_eval(first["value"]))).replace("\n", "")) == 2 * int(
        told[1]
    )
