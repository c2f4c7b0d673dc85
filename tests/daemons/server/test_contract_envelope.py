"""The envelope: every request that has a sender gets exactly one, whatever it was."""

from typing import Any

import msgpack
import pytest
import trio

from recado.protocol import codec
from recado.protocol.limits import LAMPORT_LIMIT, NESTING_MAX, REQUEST_FRAME_BYTES_MAX
from tests.daemons.server.server_bench import BIRTH, lone

DEEP: Any = {}
for _ in range(NESTING_MAX + 1):
    DEEP = {"x": DEEP}

JUNK: dict[str, tuple[bytes, str]] = {  # what is sent, and the service that the reply names
    "nothing": (b"", "error"),
    "not MessagePack": (b"\xc1\xff", "error"),
    "cut short": (codec.encode("login", {"user": "ana"})[:-3], "error"),
    "two values": (codec.pack({}) * 2, "error"),
    "a list": (codec.pack([1, 2]), "error"),
    "a number": (codec.pack(7), "error"),
    "no service": (codec.pack({"data": {}}), "error"),
    "service is a number": (codec.pack({"service": 7, "data": {}}), "error"),
    "service is empty": (codec.pack({"service": "", "data": {}}), "error"),
    "service is endless": (codec.pack({"service": "x" * 65, "data": {}}), "error"),
    "data is a list": (codec.pack({"service": "login", "data": []}), "login"),
    "data is a text": (codec.pack({"service": "users", "data": "x"}), "users"),
    "unknown": (codec.encode("karaoke", {"user": "ana"}), "karaoke"),
    "a service of the reference": (codec.encode("rank", {"user": "server-1"}), "rank"),
    "unknown with a bad clock": (codec.encode("karaoke", {"clock": "x"}), "karaoke"),
    "a name that is no UTF-8": (b"\x82\xa7service\xa5login\xa4data\x81\xa4user\xa3\xed\xa0\x80", "error"),
    "an extension": (msgpack.packb({"service": "login", "data": msgpack.ExtType(1, b"x")}), "error"),
    "a moment of MessagePack's own": (
        msgpack.packb({"service": "users", "data": {"timestamp": msgpack.Timestamp(1)}}),
        "error",
    ),
    "deep": (codec.encode("login", {"user": "ana", "more": DEEP}), "error"),
    "large": (codec.encode("publish", {"message": "x" * REQUEST_FRAME_BYTES_MAX}), "error"),
    "large in small pieces": (
        codec.encode("users", {"more": ["x" * 1000] * (REQUEST_FRAME_BYTES_MAX // 1000)}),
        "users",
    ),
    "a key that is no text": (codec.pack({"service": "users", "data": {b"user": 1}}), "users"),
}


@pytest.mark.parametrize("case", JUNK)
async def test_junk_is_answered(autojump_clock: trio.abc.Clock, case: str) -> None:
    """Junk gets an `erro` envelope with a log line, and the next valid request is served."""
    frame, service = JUNK[case]
    async with lone() as server:
        echoed, data = await server.send(frame)
        assert (echoed, data["status"]) == (service, "erro")
        assert server.sink.named("request not understood") or server.sink.named("refused")
        assert (await server.ask("users"))["users"] == []
        assert server.faults() == []


async def test_data_may_be_missing(autojump_clock: trio.abc.Clock) -> None:
    """A request without `data` is one without fields."""
    async with lone() as server:
        for frame in (codec.pack({"service": "users"}), codec.pack({"service": "users", "data": None})):
            assert (await server.send(frame))[1]["users"] == []


@pytest.mark.parametrize("clock", [None, 0, 1, 7.0, 10**6, float(LAMPORT_LIMIT - 1), LAMPORT_LIMIT - 1])
async def test_every_possible_clock_is_served(autojump_clock: trio.abc.Clock, clock: Any) -> None:
    """A missing, integral float or huge clock is fine; the reply's is larger (here and in errors)."""
    async with lone() as server:
        fields = {} if clock is None else {"clock": clock}
        assert (await server.ask("login", user="ana", **fields))["status"] == "sucesso"
        assert (await server.ask("publish", user="ana", channel="x", message="oi", **fields))[
            "status"
        ] == "erro"


@pytest.mark.parametrize(
    "clock", [-1, -1.0, 0.5, float("nan"), float("inf"), LAMPORT_LIMIT, 2**64 - 1, True, "7", b"7", []]
)
async def test_an_impossible_clock_is_refused(autojump_clock: trio.abc.Clock, clock: Any) -> None:
    """A clock outside [0, limit), or that is no whole number, is `erro`, and nothing is kept."""
    async with lone() as server:
        _, data = await server.send(codec.encode("login", {"user": "ana", "clock": clock}))
        assert (data["status"], data["code"]) == ("erro", "malformed")
        assert (await server.ask("users"))["users"] == []


async def test_a_client_s_clock_moves_ours_by_the_budget_only(autojump_clock: trio.abc.Clock) -> None:
    """A clock near the limit is answered with a larger one, but the next client sees a small one."""
    async with lone() as server:
        assert (await server.ask("users", clock=LAMPORT_LIMIT - 1))["clock"] >= LAMPORT_LIMIT
        assert (await server.ask("users"))["clock"] < 5000


@pytest.mark.parametrize(
    "timestamp",
    [None, 0, 1_750_000_000, 1_750_000_000.25, 1_750_000_000_123, "2025-06-15T15:06:40Z", "2025-06-15",
     "yesterday", "", -5, float("nan"), float("inf"), 2**64 - 1, 1e308],
)  # fmt: skip
async def test_every_variant_of_timestamp_is_served(autojump_clock: trio.abc.Clock, timestamp: Any) -> None:
    """Seconds, milliseconds, ISO 8601, nothing, nonsense: it is display data and refuses nothing."""
    async with lone() as server:
        fields = {} if timestamp is None else {"timestamp": timestamp}
        said = await server.ask("login", user="ana", **fields)
        assert said["status"] == "sucesso"
        assert BIRTH <= said["timestamp"] <= BIRTH + 1


@pytest.mark.parametrize("timestamp", [True, b"1", [1], {"s": 1}])
async def test_a_timestamp_of_a_wrong_type_is_refused(autojump_clock: trio.abc.Clock, timestamp: Any) -> None:
    """What no client means as a time is `erro`."""
    async with lone() as server:
        assert (await server.ask("users", timestamp=timestamp))["code"] == "malformed"


async def test_replies_show_that_time_went_on(autojump_clock: trio.abc.Clock) -> None:
    """`timestamp` in replies is the present in whole seconds, and clocks rise from reply to reply."""
    async with lone() as server:
        first = await server.ask("users")
        await trio.sleep(3)
        second = await server.ask("users")
        assert second["timestamp"] - first["timestamp"] == 3
        assert second["clock"] > first["clock"]
