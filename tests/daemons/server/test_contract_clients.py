"""The contract's client services: each success, each error with its literal, each field missing or wrong."""

from typing import Any

import pytest
import trio

from recado.protocol import codec
from recado.protocol.limits import NAME_BYTES_MAX, TEXT_BYTES_MAX
from tests.daemons.server.server_bench import Running, lone

EMPTY_USER, EMPTY_CHANNEL = "Nome de usuário não pode ser vazio", "Nome do canal não pode ser vazio"
EMPTY_TEXT = "Mensagem não pode ser vazia"
LONG = "x" * (NAME_BYTES_MAX + 1)
SAY = {"user": "ana", "channel": "geral", "message": "oi"}
TELL = {"src": "ana", "dst": "bia", "message": "oi"}

REFUSALS: list[tuple[str, dict[str, Any], str, str | None]] = [  # service, data, code, the contract's text
    ("login", {"user": ""}, "user_empty", EMPTY_USER),
    ("login", {"user": " \t\n"}, "user_empty", EMPTY_USER),
    ("login", {"user": "ana"}, "user_taken", "Usuário já existe"),
    ("login", {"user": " ana "}, "user_taken", "Usuário já existe"),
    ("login", {"user": LONG}, "name_too_long", None),
    ("login", {"user": "é" * (NAME_BYTES_MAX // 2 + 1)}, "name_too_long", None),
    ("login", {"user": "a\x00b"}, "name_invalid", None),
    ("login", {"user": "a\u2028b"}, "name_invalid", None),
    ("login", {"user": "servers"}, "name_reserved", None),
    ("channel", {"channel": ""}, "channel_empty", EMPTY_CHANNEL),
    ("channel", {"channel": "geral"}, "channel_taken", "Canal já existe"),
    ("channel", {"channel": "servers"}, "name_reserved", None),
    ("channel", {"channel": " servers "}, "name_reserved", None),
    ("channel", {"channel": LONG}, "name_too_long", None),
    ("channel", {"channel": "novo", "user": "\x07"}, "name_invalid", None),
    ("publish", {**SAY, "channel": "nada"}, "channel_missing", "Canal não existe"),
    ("publish", {**SAY, "channel": ""}, "channel_empty", EMPTY_CHANNEL),
    ("publish", {**SAY, "user": " "}, "user_empty", EMPTY_USER),
    ("publish", {**SAY, "message": ""}, "text_empty", EMPTY_TEXT),
    ("publish", {**SAY, "message": " \n "}, "text_empty", EMPTY_TEXT),
    ("publish", {**SAY, "message": "x" * (TEXT_BYTES_MAX + 1)}, "text_too_long", None),
    ("publish", {**SAY, "channel": "servers"}, "name_reserved", None),
    ("publish", {**SAY, "level": "most"}, "level_invalid", None),
    ("publish", {**SAY, "id": b""}, "id_invalid", None),
    ("publish", {**SAY, "id": "x" * 65}, "id_invalid", None),
    ("publish", {**SAY, "id": 7}, "id_invalid", None),
    ("message", {**TELL, "dst": "ninguém"}, "user_missing", "Usuário de destino não existe"),
    ("message", {**TELL, "dst": ""}, "user_empty", EMPTY_USER),
    ("message", {**TELL, "src": ""}, "user_empty", EMPTY_USER),
    ("message", {**TELL, "message": ""}, "text_empty", EMPTY_TEXT),
]  # fmt: skip


@pytest.mark.parametrize(("service", "data", "code", "text"), REFUSALS)
async def test_what_is_refused(
    autojump_clock: trio.abc.Clock, service: str, data: dict[str, Any], code: str, text: str | None
) -> None:
    """Each refusal has status `erro`, a stable code and the contract's words, and keeps nothing."""
    async with lone() as server:
        await server.furnish()
        before = server.store.heads()
        reply = await server.ask(service, **data)
        assert (reply["status"], reply["code"]) == ("erro", code)
        assert text in (None, reply["description"])
        assert server.store.heads() == before


REQUIRED = {
    "login": {"user": "caio"},
    "channel": {"channel": "novo"},
    "publish": SAY,
    "message": TELL,
}
WRONG: list[Any] = [None, True, 7, 1.5, b"ana", [], {}]


@pytest.mark.parametrize("service", REQUIRED)
async def test_each_field_is_needed_in_its_type(autojump_clock: trio.abc.Clock, service: str) -> None:
    """Without one of its fields, or with one of another type, a write is `erro` and keeps nothing."""
    fields = REQUIRED[service]
    async with lone() as server:
        await server.furnish()
        before = server.store.heads()
        for name in fields:
            without = {key: value for key, value in fields.items() if key != name}
            assert (await server.ask(service, **without))["code"] == "malformed"
            for wrong in WRONG:
                reply = await server.ask(service, **{**fields, name: wrong})
                assert (reply["status"], reply["code"]) == ("erro", "malformed"), (name, wrong)
        assert server.store.heads() == before
        assert server.faults() == []
        assert (await server.ask(service, **fields))["status"] in ("sucesso", "OK")


async def test_successes_are_literal(autojump_clock: trio.abc.Clock) -> None:
    """`sucesso` for login and channel, `OK` for publish and message, lists under their keys."""
    async with lone() as server:
        assert (await server.ask("login", user=" ana "))["status"] == "sucesso"
        assert (await server.ask("login", user="bia"))["status"] == "sucesso"
        assert (await server.ask("channel", channel="geral"))["status"] == "sucesso"
        assert (await server.ask("publish", **SAY))["status"] == "OK"
        assert (await server.ask("message", **TELL))["status"] == "OK"
        assert (await server.ask("users"))["users"] == ["ana", "bia"]
        channels = await server.ask("channels")
        assert channels["channels"] == channels["users"] == ["geral"]


async def test_unknown_fields_are_ignored(autojump_clock: trio.abc.Clock) -> None:
    """Fields of other projects' clients, of any type, change nothing."""
    async with lone() as server:
        more = {"room": 1, "password": b"x", "status": "erro", "nested": {"a": [None]}}
        assert (await server.ask("login", user="ana", **more))["status"] == "sucesso"


async def test_a_user_whose_login_is_unknown_here_may_speak(autojump_clock: trio.abc.Clock) -> None:
    """In an open cluster a message from an unknown author is kept and shown under that name."""
    async with lone() as server:
        await server.ask("channel", channel="geral")
        await server.say("oi", user="estranho")
        shown = (await server.ask("history", channel="geral"))["messages"]
        assert [(m["user"], m["message"]) for m in shown] == [("estranho", "oi")]
        assert (await server.ask("users"))["users"] == []


async def test_a_closed_cluster_hears_only_those_it_knows(autojump_clock: trio.abc.Clock) -> None:
    """Without open mode an unknown author is refused, for channels and for direct messages."""
    async with lone(server={"open": False}) as server:
        await server.furnish()
        for service, data in (
            ("publish", {**SAY, "user": "estranho"}),
            ("message", {**TELL, "src": "estranho"}),
        ):
            assert (await server.ask(service, **data))["code"] == "sender_missing"
        await server.say("oi")


async def _published_twice(server: Running, **fields: Any) -> list[str]:
    for _ in range(2):
        await server.say("oi", **fields)
    return await server.texts()


async def test_the_same_words_twice_are_two_messages(autojump_clock: trio.abc.Clock) -> None:
    """ "oi", "oi" within a second from a client without a clock are both shown (A12)."""
    async with lone() as server:
        await server.furnish()
        assert await _published_twice(server) == ["oi", "oi"]
        assert await _published_twice(server, timestamp=1_750_000_000) == ["oi"] * 4
        assert await _published_twice(server, clock=7) == ["oi"] * 6


async def test_a_byte_identical_resend_is_one_message(autojump_clock: trio.abc.Clock) -> None:
    """With clock and timestamp an id is derived: the resend gets the same place and is shown once."""
    async with lone() as server:
        await server.furnish()
        assert await _published_twice(server, clock=7, timestamp=1_750_000_000) == ["oi"]
        assert await _published_twice(server, clock=8, timestamp=1_750_000_000) == ["oi", "oi"]
        assert await _published_twice(server, clock=8, timestamp=1_750_000_001) == ["oi"] * 3
        frame = codec.encode("login", {"user": "caio", "clock": 1, "timestamp": 2})
        assert [(await server.send(frame))[1]["status"] for _ in range(2)] == ["sucesso", "sucesso"]
