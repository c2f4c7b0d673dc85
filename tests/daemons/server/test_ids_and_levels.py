"""Ids make retries harmless, levels say how many durable copies an answer stands for."""

from typing import Any

import pytest
import trio

from recado.settings import Timings
from tests.daemons.server.server_bench import Running, bench, lone, together

WAIT_SECONDS = 10.0
TIMINGS = Timings(ack_wait_seconds=WAIT_SECONDS)
SAY = {"user": "ana", "channel": "geral", "message": "oi"}
WRITES: dict[str, dict[str, Any]] = {
    "login": {"user": "caio"},
    "channel": {"channel": "novo"},
    "publish": SAY,
    "message": {"src": "ana", "dst": "bia", "message": "oi"},
}


@pytest.mark.parametrize("given", [b"\x00\xff", "texto", b"x" * 64, "é" * 32])
@pytest.mark.parametrize("service", WRITES)
async def test_a_retry_is_the_same_write(
    autojump_clock: trio.abc.Clock, service: str, given: bytes | str
) -> None:
    """The same id and content is answered alike, with the id in its type and the place of the first."""
    async with lone() as server:
        await server.furnish()
        first = await server.ask(service, **WRITES[service], id=given)
        entries = server.store.counts().entries
        again = await server.ask(service, **WRITES[service], id=given, clock=99, timestamp=5)
        assert first["status"] == again["status"] != "erro"
        assert first["id"] == again["id"] == given
        assert type(again["id"]) is type(given)
        assert first["key"] == again["key"]
        assert server.store.counts().entries == entries


async def test_an_id_is_the_same_as_bytes_and_as_text(autojump_clock: trio.abc.Clock) -> None:
    """A client that retries in another encoding of its id does not double its message."""
    async with lone() as server:
        await server.furnish()
        await server.say("oi", id="m1")
        await server.say("oi", id=b"m1")
        assert await server.texts() == ["oi"]


@pytest.mark.parametrize(
    "changed", [{"message": "tchau"}, {"channel": "outro"}, {"user": "ana", "message": "oi "}]
)
async def test_an_id_used_for_something_else_is_refused(
    autojump_clock: trio.abc.Clock, changed: dict[str, Any]
) -> None:
    """The same author and id with other content is `id_reused`: durable or still pending."""
    async with lone() as server:
        await server.furnish()
        await server.ask("channel", channel="outro")
        await server.say("oi", id=b"m1")
        assert (await server.ask("publish", **{**SAY, **changed}, id=b"m1"))["code"] == "id_reused"
        answers = await together(
            [server.ask("publish", **{**SAY, **fields}, id=b"m2") for fields in ({}, changed)]
        )
        assert sorted(answer.get("code", "") for answer in answers) == ["", "id_reused"]


async def test_ids_of_different_authors_do_not_meet(autojump_clock: trio.abc.Clock) -> None:
    """Two users may use the same id: nobody can suppress another's message (A10)."""
    async with lone() as server:
        await server.furnish()
        await server.say("da ana", id=b"1")
        await server.say("da bia", id=b"1", user="bia")
        assert await server.texts() == ["da ana", "da bia"]


async def test_a_login_without_the_stored_id_is_taken(autojump_clock: trio.abc.Clock) -> None:
    """Only the id of the registration itself gets `sucesso`; any other, or none, `Usuário já existe`."""
    async with lone() as server:
        assert (await server.ask("login", user="ana", id=b"dela"))["status"] == "sucesso"
        for other in ({"id": b"alheio"}, {}, {"clock": 1, "timestamp": 1}):
            assert (await server.ask("login", user="ana", **other))["description"] == "Usuário já existe"
        assert (await server.ask("login", user="ana", id=b"dela"))["status"] == "sucesso"


async def test_of_many_who_take_a_name_at_once_one_gets_it(autojump_clock: trio.abc.Clock) -> None:
    """Logins and channels that arrive in one batch: one `sucesso`, the others `erro` after its commit."""
    async with lone() as server:
        for service, data in (("login", {"user": "ana"}), ("channel", {"channel": "geral"})):
            answers = await together([server.ask(service, **data) for _ in range(5)])
            assert sorted(answer["status"] for answer in answers) == ["erro"] * 4 + ["sucesso"]


async def _publish(server: Running, level: str, **more: Any) -> tuple[dict[str, Any], float]:
    start = trio.current_time()
    return await server.ask("publish", **SAY, level=level, **more), trio.current_time() - start


async def test_a_level_is_reached_when_enough_members_confirm(autojump_clock: trio.abc.Clock) -> None:
    """With all three alive each level is answered soon, with its copies out of three."""
    async with bench("server-1", "server-2", "server-3", of=3) as cluster:
        server = cluster.running["server-1"]
        await server.furnish()
        for level, copies in (("local", 1), ("quorum", 2), ("all", 3)):
            said, seconds = await _publish(server, level)
            assert (said["status"], said["level"], said["of"]) == ("OK", level, 3)
            assert said["acks"] >= copies
            assert seconds < 0.5


async def test_quorum_survives_one_member_and_all_does_not(autojump_clock: trio.abc.Clock) -> None:
    """With one of three dead `quorum` is OK and `all` is indeterminate after the wait, not before."""
    async with bench("server-1", "server-2", of=3, timings=TIMINGS) as cluster:
        server = cluster.running["server-1"]
        await server.furnish()
        said, seconds = await _publish(server, "quorum")
        assert (said["status"], said["acks"]) == ("OK", 2)
        assert seconds < 0.5
        said, seconds = await _publish(server, "all", id=b"1")
        assert (said["status"], said["code"], said["indeterminate"]) == ("erro", "indeterminate", True)
        assert (said["acks"], said["of"], said["id"]) == (2, 3, b"1")
        assert WAIT_SECONDS <= seconds < WAIT_SECONDS + 1


async def test_what_is_indeterminate_is_kept(autojump_clock: trio.abc.Clock) -> None:
    """The message of an indeterminate answer is there; its retry finds it and waits for the level again."""
    async with bench("server-1", of=3, timings=TIMINGS) as cluster:
        server = cluster.running["server-1"]
        await server.furnish()
        first, _ = await _publish(server, "quorum", id=b"1")
        assert first["code"] == "indeterminate"
        assert await server.texts() == ["oi"]
        again, seconds = await _publish(server, "quorum", id=b"1")
        assert again["code"] == "indeterminate", "a retry that is answered at once promises what is not there"
        assert seconds >= WAIT_SECONDS
        await cluster.start("server-2")
        third, _ = await _publish(server, "quorum", id=b"1")
        assert (third["status"], third["acks"], third["key"]) == ("OK", 2, first["key"])
        assert await server.texts() == ["oi"]


async def test_the_configured_level_is_the_default(autojump_clock: trio.abc.Clock) -> None:
    """`server.default_level` applies to writes that name none, plain ones included."""
    async with bench("server-1", of=3, server={"default_level": "quorum"}, timings=TIMINGS) as cluster:
        server = cluster.running["server-1"]
        assert (await server.ask("login", user="ana"))["code"] == "indeterminate"
        assert (await server.ask("login", user="bia", level="local"))["status"] == "sucesso"
