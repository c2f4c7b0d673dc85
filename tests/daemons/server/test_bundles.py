"""A request that carries many publishes: each is kept, refused and answered by itself."""

from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from daemons.server.bundle import shared
from recado.protocol.limits import COMMIT_ENTRIES_MAX, PENDING_ENTRIES_MAX, PUBLISHES_OF_REQUEST_MAX
from recado.settings import Timings
from storage.replica import Batch, StorageFull
from tests.daemons.server.disks import Brake, Disk
from tests.daemons.server.people import people
from tests.daemons.server.server_bench import Running, bench, lone, together
from tests.daemons.server.test_rates import limits

Data = dict[str, Any]


def answers_of(reply: Data) -> list[Data]:
    """The answers, each as the publish alone would have got it."""
    assert isinstance(reply["answers"], list), reply
    common = {field: value for field, value in reply.items() if field != "answers"}
    return [{**common, **answer} for answer in reply["answers"]]


async def many(server: Running, *items: tuple[str, str, Any], user: str = "ana", **more: Any) -> list[Data]:
    """The answers to one request of these items."""
    return answers_of(await server.ask("publish_many", user=user, items=items, **more))


async def test_each_of_many_is_kept_in_order_and_answered(autojump_clock: trio.abc.Clock) -> None:
    """The answers have the fields of a lone publish's, and rising keys; the history shows the order."""
    async with lone() as server:
        await server.furnish()
        alone = await server.say("primeiro", id=b"0")
        texts = [f"mensagem {number}" for number in range(PUBLISHES_OF_REQUEST_MAX)]
        answers = await many(
            server, *(("geral", text, b"%d" % n) for n, text in enumerate(texts, 1)), clock=70
        )
        assert await server.texts() == ["primeiro", *texts]
        assert all(answer.keys() == alone.keys() - {"id"} for answer in answers)
        keys = [answer["key"] for answer in answers]
        assert keys == sorted(keys)
        assert keys[0][0] > 70
        assert {answer["status"] for answer in answers} == {"OK"}


async def test_what_all_answers_share_is_said_once(autojump_clock: trio.abc.Clock) -> None:
    """Of success only the keys stand in the answers: a reply of many is small."""
    async with lone() as server:
        await server.furnish()
        reply = await server.ask(
            "publish_many", user="ana", items=[("geral", "a", b"1"), ("geral", "b", b"2")]
        )
        assert [set(answer) for answer in reply["answers"]] == [{"key"}, {"key"}]
        assert (reply["status"], reply["level"], reply["server"]) == ("OK", "local", "server-1")


async def test_one_that_is_refused_stops_no_other(autojump_clock: trio.abc.Clock) -> None:
    """Unknown channels, empty texts and ids used otherwise are refused in their places only."""
    async with lone() as server:
        await server.furnish()
        await server.say("dita", id=b"dita")
        answers = await many(
            server,
            ("geral", "um", b"1"),
            ("gerla", "dois", b"2"),
            ("geral", "", b"3"),
            ("geral", "outra", b"dita"),
            ("geral", "seis", ""),
            ("geral", "sete", None),
        )
        assert [answer.get("code") for answer in answers] == [
            None, "channel_missing", "text_empty", "id_reused", "id_invalid", None,
        ]  # fmt: skip
        assert [answer.get("status") for answer in answers] == ["OK", "erro", "erro", "erro", "erro", "OK"]
        assert await server.texts() == ["dita", "um", "sete"]


async def test_a_repetition_of_many_is_the_same_messages(autojump_clock: trio.abc.Clock) -> None:
    """Sent again with some more, alone or together: nothing appears twice, the places are the first ones."""
    async with lone() as server:
        await server.furnish()
        items = [("geral", f"m{n}", b"%d" % n) for n in range(5)]
        first = await many(server, *items)
        again, alone = await together(
            [many(server, *items, ("geral", "mais", b"mais")), _alone(server, items[2])]
        )
        assert [answer["key"] for answer in again[:5]] == [answer["key"] for answer in first]
        assert alone[0]["key"] == first[2]["key"]
        assert await server.texts() == ["m0", "m1", "m2", "m3", "m4", "mais"]
        twice = await many(server, ("geral", "dupla", b"d"), ("geral", "dupla", b"d"))
        assert twice[0]["key"] == twice[1]["key"]


async def _alone(server: Running, item: tuple[str, str, bytes]) -> list[Data]:
    channel, text, ident = item
    return [await server.say(text, channel=channel, id=ident)]


async def test_many_wait_for_their_level_together(autojump_clock: trio.abc.Clock) -> None:
    """At quorum without a peer: each of them is indeterminate and kept; with one, all are confirmed."""
    timings = Timings(ack_wait_seconds=3.0)
    items = [("geral", f"m{n}", b"%d" % n) for n in range(40)]
    async with bench("server-1", of=3, timings=timings) as cluster:
        server = cluster.running["server-1"]
        await server.furnish()
        answers = await many(server, *items, level="quorum")
        assert all(answer["indeterminate"] is True and answer["acks"] == 1 for answer in answers)
        await cluster.start("server-2")
        again = await many(server, *items, level="quorum")
        assert {(answer["status"], answer["acks"]) for answer in again} == {("OK", 2)}
        assert await server.texts() == [text for _, text, _ in items]


async def test_many_wait_for_what_is_on_its_way_as_one(autojump_clock: trio.abc.Clock) -> None:
    """A channel created at another server just now: 256 publishes to it cost one question, none is lost."""
    async with bench("server-1", "server-2", of=2) as cluster:
        one, two = cluster.running["server-1"], cluster.running["server-2"]
        await one.furnish()
        await cluster.level()
        for number in range(3):
            assert (await one.ask("channel", channel=f"novo {number}"))["status"] == "sucesso"
            items = [(f"novo {number}", f"m{n}", None) for n in range(PUBLISHES_OF_REQUEST_MAX)]
            answers = await many(two, *items)
            assert {answer["status"] for answer in answers} == {"OK"}
            assert len(await two.texts(f"novo {number}")) == PUBLISHES_OF_REQUEST_MAX


async def test_many_requests_of_many_are_held_back_not_refused(autojump_clock: trio.abc.Clock) -> None:
    """More publishes at once than may wait for the disk: the server takes them slice by slice."""
    async with lone() as server:
        await server.furnish()
        requests = 2 * PENDING_ENTRIES_MAX // PUBLISHES_OF_REQUEST_MAX
        answered = await together(
            [
                many(server, *(("geral", f"{request} {n}", None) for n in range(PUBLISHES_OF_REQUEST_MAX)))
                for request in range(requests)
            ]
        )
        assert {answer["status"] for answers in answered for answer in answers} == {"OK"}
        assert server.store.message_counts()[0] == requests * PUBLISHES_OF_REQUEST_MAX


@pytest.mark.parametrize(
    "items",
    [
        [],
        [("geral", "oi", None)] * (PUBLISHES_OF_REQUEST_MAX + 1),
        [("geral", "oi")],
        [("geral", "oi", None, 1)],
        [("geral", 7, None)],
        {"geral": "oi"},
        "oi",
        None,
    ],
)
async def test_what_is_no_list_of_publishes_is_refused_whole(
    autojump_clock: trio.abc.Clock, items: Any
) -> None:
    """A malformed request gets one error without answers, and nothing of it is kept."""
    async with lone() as server:
        await server.furnish()
        entries = server.store.counts().entries
        reply = await server.ask("publish_many", user="ana", items=items)
        assert (reply["status"], reply["code"]) == ("erro", "malformed")
        assert "answers" not in reply
        assert server.store.counts().entries == entries


ITEMS = st.lists(
    st.tuples(
        st.sampled_from(["geral", " geral ", "outro", "nenhum", "", "x" * 65]),
        st.sampled_from(["oi", "tchau", "", " ", "é" * 9000]),
        st.sampled_from([None, None, b"1", b"2", "2", b"3", b"", b"x" * 65, 7, "dita"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(ITEMS, st.sampled_from(["ana", " ana", "nova", ""]), st.sampled_from([None, "local", "tudo"]))
def test_many_are_what_one_by_one_would_be(
    items: list[tuple[str, str, Any]], user: str, level: str | None
) -> None:
    """Whatever they are: the same are kept, in the same order, and refused for the same reasons."""

    async def play(*, together: bool) -> tuple[list[tuple[Any, Any]], list[str], int]:
        async with lone() as server:
            await server.furnish()
            await server.ask("channel", channel="outro")
            await server.say("dita", id=b"dita")
            if together:
                answers = await many(server, *items, user=user, level=level)
            else:
                answers = [
                    await server.ask("publish", user=user, channel=c, message=t, id=i, level=level)
                    for c, t, i in items
                ]
            texts = [*await server.texts(), *await server.texts("outro")]
            assert server.faults() == []
            return [(a["status"], a.get("code")) for a in answers], texts, server.store.counts().entries

    def run(*, together: bool) -> object:
        clock = trio.testing.MockClock(autojump_threshold=0)
        return trio.run(lambda: play(together=together), clock=clock)

    assert run(together=True) == run(together=False)


class FullOnTheWay(Disk):
    """A disk that is full at the second commit of more than one entry."""

    seen = 0

    def stage(self, batch: Batch) -> None:
        self.seen += len(batch.entries) > 1
        if self.seen == 2:
            raise StorageFull("no room")
        super().stage(batch)


async def test_a_disk_that_is_full_in_between_keeps_what_it_took(autojump_clock: trio.abc.Clock) -> None:
    """Of a request that two commits share the first part is answered as kept, and is; the rest is not."""
    async with bench() as cluster:
        brake = Brake()
        server = await cluster.start("server-1", store=FullOnTheWay.in_memory("server-1"), committer=brake)
        await server.furnish()
        brake.hold()
        async with trio.open_nursery() as nursery:
            first = await server.later(nursery, "publish", user="ana", channel="geral", message="primeira")
            second = await server.later(nursery, "publish", user="ana", channel="geral", message="segunda")
            size = PUBLISHES_OF_REQUEST_MAX
            waiting = [
                await server.later(
                    nursery,
                    "publish_many",
                    user="ana",
                    items=[("geral", f"{request} {n}", None) for n in range(size)],
                )
                for request in range(COMMIT_ENTRIES_MAX // size + 1)
            ]
            brake.released.set()
        assert [reply[0]["status"] for reply in (first, second)] == ["OK", "OK"]
        answers = [answer for (reply,) in waiting for answer in answers_of(reply)]
        kept = [answer["status"] == "OK" for answer in answers]
        assert sum(kept) == COMMIT_ENTRIES_MAX - 1
        assert all(kept[: sum(kept)])
        assert {answer["code"] for answer in answers[sum(kept) :]} == {"storage_full"}
        assert len(await server.texts()) == 2 + sum(kept)


async def test_each_of_many_counts_for_the_rates(autojump_clock: trio.abc.Clock) -> None:
    """A burst goes through, the rest is told when to come back; a channel that is closed is closed."""
    rates = limits(user_messages_per_second=1.0, user_messages_burst=10)
    async with people(limits=rates) as cluster:
        await cluster.login("ana", "bia")
        await cluster.done("ana", "channel", channel="c", user="ana", private=True)
        await cluster.done("ana", "channel", channel="d", user="ana")
        reply = await cluster.ask("ana", "publish_many", user="ana", items=[("d", "oi", None)] * 20)
        codes = [answer.get("code") for answer in answers_of(reply)]
        assert codes == [None] * 8 + ["rate_limited"] * 12
        assert all(0 < a["retry_after"] <= 1.01 for a in answers_of(reply)[8:])
        reply = await cluster.ask(
            "bia", "publish_many", user="bia", items=[("d", "1", None), ("c", "2", None)]
        )
        assert [answer.get("code") for answer in answers_of(reply)] == [None, "channel_closed"]
        assert (
            await cluster.refused("bia", "publish_many", user="ana", items=[("d", "oi", None)]) == "not_you"
        )


async def test_a_heap_of_many_leaves_others_their_turn(autojump_clock: trio.abc.Clock) -> None:
    """What is refused, publish by publish, in a heap of requests is served in slices: other tasks run."""
    turns = 0
    async with bench("server-1", of=1) as cluster, trio.open_nursery() as nursery:
        server = cluster.running["server-1"]
        await server.furnish()

        async def count() -> None:
            nonlocal turns
            while True:
                await trio.lowlevel.checkpoint()
                turns += 1

        items = [("geral", "", None)] * PUBLISHES_OF_REQUEST_MAX
        waiting = [await server.later(nursery, "status") for _ in range(1)]
        nursery.start_soon(count)
        before = turns
        heap = [many(server, *items) for _ in range(64)]
        answers = await together(heap)
        assert turns - before >= len(heap)
        assert {answer["code"] for found in answers for answer in found} == {"text_empty"}
        assert waiting
        nursery.cancel_scope.cancel()


async def test_who_may_not_ask_at_all_is_told_once(autojump_clock: trio.abc.Clock) -> None:
    """A bundle of a key that nobody knows, or beyond its address's rate, is refused as one request."""
    async with people(limits=limits(address_requests_per_second=1.0, address_requests_burst=100)) as cluster:
        items = [("c", "oi", None)] * 90
        reply = await cluster.ask("ninguém", "publish_many", user="ninguém", items=items)
        assert (reply["status"], reply["code"]) == ("erro", "key_unknown")
        assert "answers" not in reply


def test_what_answers_have_alike() -> None:
    """Only fields that all have, with one value, are shared."""
    assert shared([{"a": 1, "b": 2}]) == {"a": 1, "b": 2}
    assert shared([{"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 3}, {"a": 1, "b": 2, "c": 3}]) == {"a": 1}
    assert shared([{"a": 1}, {"b": 1}]) == {}
    failed = {"status": "erro", "description": "x", "message": "x", "code": "c"}
    assert shared([failed, {**failed, "retry_after": 1}]) == failed
    assert shared([failed, {**failed, "code": "d", "description": "y", "message": "y"}]) == {}
