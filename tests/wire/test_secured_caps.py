"""How many get in at once, and how often: caps of handshakes and connections over real sockets."""

import contextlib
import dataclasses

import anyio
import pytest
from secured_worlds import (
    ANA,
    BRUNO,
    HASTY,
    SERVER,
    admit,
    dialling,
    securely,
    silent,
    telling,
)
from wire_worlds import ask_until_served

from recado.wire.ports import Principal
from recado.wire.security import HandshakeLimits


async def test_strangers_who_wait_keep_out_no_known_key() -> None:
    """One address has not all places to wait for a word; keys of the roster come past who waits there."""

    async def look_up(key: bytes, domain: str, address: str) -> Principal | None:
        if key != SERVER.public:
            await anyio.sleep_forever()
        return Principal("operator", "olga")

    security = securely(SERVER, authenticate=look_up, limits=HandshakeLimits(asked_max=2))
    security = dataclasses.replace(security, is_listed=lambda key: key == SERVER.public)
    with anyio.fail_after(15):
        async with (
            telling(security) as (_, address),
            dialling(ANA) as one,
            dialling(BRUNO) as another,
            dialling(SERVER) as operator,
            one.asker(address) as waiting,
            another.asker(address),
        ):
            while not security.refusals.too_many:
                assert await silent(waiting)
            async with operator.asker(address) as asker:
                assert (await ask_until_served(asker, b"")).startswith(b"operator olga ")


async def test_half_a_handshake_holds_up_nobody() -> None:
    """Connections that say nothing, or a byte now and then, end; meanwhile others are let in and served."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE"
    options = dataclasses.replace(HASTY, handshake_timeout_seconds=0.8)
    with anyio.fail_after(15):
        async with telling(options=options) as (network, address), anyio.create_task_group() as tasks:
            host, port = address.removeprefix("tcp://").split(":")
            ended: list[bool] = []

            async def idle(said: bytes) -> None:
                async with await anyio.connect_tcp(host, int(port)) as stream:
                    with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream):
                        for byte in said:
                            await stream.send(bytes([byte]))
                            await anyio.sleep(0.1)
                        while True:
                            await stream.receive()
                ended.append(True)

            for number in range(40):
                tasks.start_soon(idle, greeting if number % 2 else b"")
            await anyio.wait_all_tasks_blocked()
            async with dialling(ANA) as outside, outside.asker(address) as asker:
                assert await ask_until_served(asker, b"")
                assert (network.connections or 0) > 20
                while len(ended) < 40:
                    with anyio.fail_after(1):
                        assert await asker.ask(b"still there?")
                    await anyio.sleep(0.05)
                assert network.connections == 1


async def test_beyond_the_cap_only_members_get_in() -> None:
    """With all connections taken a further client waits outside, old ones and servers are served."""
    security = securely(SERVER, authenticate=admit, limits=HandshakeLimits(connections_max=1))
    with anyio.fail_after(15):
        async with (
            telling(security, HASTY) as (network, address),
            dialling(ANA) as first,
            dialling(BRUNO, options=HASTY) as second,
            dialling(SERVER) as member,
            first.asker(address) as old,
        ):
            assert await ask_until_served(old, b"")
            async with second.asker(address) as late, member.asker(address) as peer:
                assert await silent(late)
                assert security.refusals.too_many > 0
                assert (await ask_until_served(peer, b"")).startswith(b"server ")
                assert await old.ask(b"")
                network.set_handshake_limits(HandshakeLimits())
                assert await ask_until_served(late, b"")


@pytest.mark.parametrize("of", ["key", "address"])
async def test_handshakes_are_rationed(of: str) -> None:
    """One key, or one address, that shakes hands again and again is refused, and others are not."""
    limits = (
        HandshakeLimits(key_per_second=0.001, key_burst=3)
        if of == "key"
        else HandshakeLimits(address_per_second=0.001, address_burst=3)
    )
    security = securely(SERVER, authenticate=admit, limits=limits)
    with anyio.fail_after(15):
        async with telling(security, HASTY) as (_, address):
            async with dialling(ANA) as outside:
                for _ in range(3):
                    async with outside.asker(address) as asker:
                        assert await ask_until_served(asker, b"")
                async with outside.asker(address) as asker:
                    assert await silent(asker)
            assert security.refusals.too_often > 0
            async with dialling(BRUNO) as outside, outside.asker(address) as asker:
                assert await silent(asker) == (of == "address")
