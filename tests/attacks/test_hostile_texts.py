"""Groups 9 to 12 and 18: texts in every field that takes one, in open and in secured mode.

Expected: stored literally or refused with a code; no statement, file name, log line or screen acts on them.
The sanitiser itself is in `tests/protocol/test_printable`, what people see of it in `tests/clients/`
(`test_other_people_s_text_does_not_act`), names in `tests/protocol/test_lookalikes` and
`tests/daemons/server/test_registration`; that statements take parameters only, in `tests/house/test_tidy`.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from daemons.shared.logging import render_json, render_text
from recado.keepsake import Keepsakes
from recado.keys import KeyFileError, make_identity
from recado.outbox import OutboxFile
from recado.protocol import codec
from recado.protocol.printable import printable
from recado.protocol.services import REQUESTS
from storage.replica import Replica
from tests.attacks.hostile_texts import ALL, LOGS, LOOKS, PATHS, SQL, TERMINALS
from tests.attacks.test_wrong_types import TIMINGS, asked_by, fields
from tests.attacks.wrong_values import texts_of
from tests.daemons.server.people import People, people, principal
from tests.daemons.server.server_bench import Running, bench, enveloped

# What a terminal acts on, and what turns or hides a text.
ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]")
MARKS = re.compile("[\u0300-\u036f]{9}")
SERVICES = sorted(name for name in REQUESTS if any(texts_of(name)))


def lines_of(server: Running) -> Iterator[str]:
    """The server's log as people and programs read it."""
    for event in server.sink.events:
        yield render_text(event)
        yield render_json(event)
        assert json.loads(render_json(event))["node"] == server.name


def files_in(directory: Path) -> list[str]:
    return sorted(str(path) for path in directory.rglob("*"))


def check_log(server: Running) -> None:
    """Each event is one line in which nothing acts."""
    for line in lines_of(server):
        assert not ACTING.search(line), line[:500]
        assert not MARKS.search(line), line[:500]
    assert server.faults() == []


async def every_text(server: Running, asker: Any, service: str, *, me: str) -> None:
    """Each text field of a service with each text, the other fields as they should be."""
    kept = fields(service, me)
    for field in texts_of(service):
        for what, text in ALL.items():
            frame = codec.encode(service, {**kept, field: text})
            echoed, data = enveloped(await asker.ask(frame))
            assert echoed in (service, "error"), (service, field, what)
            assert data.get("code") != "internal", (service, field, what, server.faults())
    check_log(server)


@pytest.mark.parametrize("service", SERVICES)
async def test_open_servers(autojump_clock: trio.abc.Clock, service: str, tmp_path: Path) -> None:
    """No text in any field is a fault, acts in the log, makes a file or hurts the database."""
    store = Replica.open(tmp_path / "data", node="server-1")
    async with bench(of=2, timings=TIMINGS) as cluster:
        server = await cluster.start("server-1", store=store)
        await server.furnish()
        files = files_in(tmp_path)
        await every_text(server, server.asker, service, me="ana")
        assert files_in(tmp_path) == files
        assert (await server.say("ainda"))["status"] == "OK"
        with store.reading() as connection:
            assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    store.close()


@pytest.mark.parametrize("service", [name for name in SERVICES if name not in ("rank", "heartbeat", "list")])
async def test_secured_servers(autojump_clock: trio.abc.Clock, service: str) -> None:
    """The same where keys are asked for, from whom the service answers."""
    async with people(of=2) as cluster:
        await cluster.login("ana", "bia", "olga")
        await cluster.done("ana", "channel", channel="geral", user="ana")
        me = asked_by(service)
        async with cluster.network.host("hostile", principal(me)).asker(cluster.first.asker.address) as asker:
            await every_text(cluster.first, asker, service, me=me)
        assert (await cluster.say("ana", "geral"))["status"] == "OK"


def composed(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


async def test_names_and_words_are_kept_literally(autojump_clock: trio.abc.Clock) -> None:
    """What is accepted comes back to the letter, and nobody else is matched by it."""
    async with bench("server-1") as cluster:
        server = cluster.running["server-1"]
        await server.furnish()
        users, channels, said = ["ana", "bia"], ["geral"], []
        for text in ALL.values():
            for service, field, kept in (("login", "user", users), ("channel", "channel", channels)):
                data = await server.ask(service, **{field: text})
                if data["status"] == "sucesso":
                    kept.append(composed(text))
                else:
                    assert data["code"] in REFUSALS, (text, data)
            data = await server.ask("publish", user="ana", channel="geral", message=text)
            if data["status"] == "OK":
                said.append(text)
            else:
                assert len(text.encode()) > 16 * 1024, data
        assert sorted((await server.ask("users"))["users"]) == sorted(users)
        assert sorted((await server.ask("channels"))["channels"]) == sorted(channels)
        assert await server.texts() == said
        for name in channels[1:]:
            assert await server.texts(name) == []


REFUSALS = {
    "name_invalid",
    "name_too_long",
    "name_reserved",
    "user_taken",
    "channel_taken",
    "name_confusable",
}
FORBIDDEN = {**TERMINALS, **LOGS}
HARMLESS = {"a field", "quotes", "JSON", "a priority of the journal"}  # as names they are merely ugly


async def registers(cluster: People, name: str, number: int) -> str | None:
    """The code with which a new key is refused a name; None: it got it."""
    data = await cluster.ask(f"chave {number}", "login", user=name)
    return data.get("code")


async def test_names_that_deceive_are_refused(autojump_clock: trio.abc.Clock) -> None:
    """Nobody gets a name that acts on a screen or that reads like ana's; SQL and paths are mere names."""
    async with people() as cluster:
        await cluster.login("ana")
        for number, (what, text) in enumerate(FORBIDDEN.items()):
            code = await registers(cluster, text, number)
            if what not in HARMLESS:
                assert code in ("name_invalid", "name_too_long"), (what, code)
        for number, (what, text) in enumerate(LOOKS.items(), start=100):
            code = await registers(cluster, text, number)
            expected = None if what in ("decomposed", "sharp s", "turkish") else {"name_confusable"}
            assert (code is None) if expected is None else code in expected, (what, code)
        for number, (what, text) in enumerate({**SQL, **PATHS}.items(), start=200):
            code = await registers(cluster, text, number)
            if what not in ("300 letters", "a zero in it"):
                assert code in (None, "name_confusable"), (what, code)
        check_log(cluster.first)


@pytest.mark.parametrize("what", ALL)
def test_no_name_is_a_path(tmp_path: Path, what: str) -> None:
    """A client's outbox and keepsakes stay in their directory, whatever the user or cursor is called."""
    home = tmp_path / "home"
    home.mkdir()
    Keepsakes(home).keep("cursor", ALL[what], {"x": 1})
    assert (Keepsakes(home).recall("cursor", ALL[what]) or {})["x"] == 1
    with OutboxFile(home, ALL[what], now_seconds=lambda: 0).sending():
        pass
    made = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert made
    assert all(path.parent == home and re.fullmatch(r"[a-z0-9.-]+", path.name) for path in made), made
    assert all(path.stat().st_mode & 0o077 == 0 for path in made)


@pytest.mark.parametrize("what", [*PATHS, *TERMINALS, *LOGS])
def test_no_server_is_called_like_that(what: str) -> None:
    """A node's name, which names files and begins origins, is letters, digits, `_` and `-`."""
    with pytest.raises((KeyFileError, ValueError)):
        make_identity("server", {**PATHS, **TERMINALS, **LOGS}[what])


@pytest.mark.parametrize("what", ALL)
def test_what_is_shown_does_not_act(what: str) -> None:
    """The one sanitiser leaves nothing of them that acts, and no line longer than it shows."""
    shown = printable(ALL[what])
    assert not ACTING.search(shown)
    assert not MARKS.search(shown)
