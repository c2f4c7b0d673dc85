"""Requests over CURVE: who gets in, who is told to the listener, and who holds up nobody."""

import contextlib
import os
import socket as unix
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
import zmq
from secured_worlds import (
    ANA,
    ANY,
    BRUNO,
    CLIENT,
    HASTY,
    SERVER,
    SILENCE_SECONDS,
    admit,
    dialling,
    make_keys,
    securely,
    serving,
    silent,
    tell,
    telling,
)
from wire_worlds import ask_until_served

from recado.wire.ports import Asker, Outgoing, Principal, WireError
from recado.wire.security import NotNow
from recado.wire.zeromq import ZeroMQNetwork

on_both_loops = pytest.mark.parametrize("backend", ["trio", "asyncio"])


@on_both_loops
def test_the_listener_is_told_who_asks(backend: str) -> None:
    """Each request carries the role, name and key that were proved, and the address it came from."""

    async def scenario() -> None:
        async with (
            serving() as network,
            network.listener(ANY) as listener,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(tell, listener)
            for keys, told in (
                (ANA, "key ana"),
                (BRUNO, "key bruno"),
                (CLIENT, "key "),
                (SERVER, "server server-1"),
            ):
                async with dialling(keys) as outside, outside.asker(listener.address) as asker:
                    expected = f"{told} {keys.public.hex()} 127.0.0.1".encode()
                    assert await ask_until_served(asker, b"who am I?") == expected
            tasks.cancel_scope.cancel()

    with_deadline(scenario, backend)


def with_deadline(scenario: Callable[[], object], backend: str = "trio", seconds: float = 20.0) -> None:
    """Run a scenario that must not hang."""

    async def run() -> None:
        with anyio.fail_after(seconds):
            await scenario()  # type: ignore[misc]

    anyio.run(run, backend=backend)


@on_both_loops
def test_a_server_with_another_key_is_not_asked(backend: str) -> None:
    """Who expects another server key there sends nothing that the server could read, and gets nothing."""

    async def scenario() -> None:
        async with (
            serving() as network,
            network.listener(ANY) as listener,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(tell, listener)
            stranger = make_keys().public
            async with dialling(ANA, expects=[stranger]) as outside, outside.asker(listener.address) as asker:
                assert await silent(asker)
            tasks.cancel_scope.cancel()

    with_deadline(scenario, backend)


async def test_without_a_key_nobody_is_heard() -> None:
    """A plain client, as in open mode, gets no word in at a secured listener."""
    with anyio.fail_after(10):
        async with serving() as network, network.listener(ANY) as listener, ZeroMQNetwork() as plain:
            async with plain.asker(listener.address) as asker:
                assert await silent(asker)
            with anyio.move_on_after(0):
                pytest.fail(f"heard {await listener.receive_batch()}")


async def test_without_a_running_handler_nobody_gets_in() -> None:
    """While the ZAP handler does not run a right key waits, and is served once it runs."""
    with anyio.fail_after(10):
        security = securely(SERVER, authenticate=admit)
        async with (
            ZeroMQNetwork(HASTY, security) as network,
            network.listener(ANY) as listener,
            dialling(ANA) as outside,
            outside.asker(listener.address) as asker,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(tell, listener)
            assert await silent(asker)
            tasks.start_soon(network.authenticator)
            assert (await ask_until_served(asker, b"")).startswith(b"key ana ")
            tasks.cancel_scope.cancel()


async def test_a_secured_network_without_a_policy_does_not_listen() -> None:
    """Where nobody would be asked who gets in, listening and forwarding are refused."""
    async with dialling(ANA) as network:
        with pytest.raises(WireError, match="authenticate"):
            await network.listener(ANY).__aenter__()
        with pytest.raises(WireError, match="authenticate"):
            await network.authenticator()
    async with serving() as network:
        with pytest.raises(WireError, match="grant"):
            await network.forwarder(ANY, ANY).__aenter__()


async def test_no_key_known_for_an_address_is_said() -> None:
    """An address without a key is dialled by nobody, and asking there says why."""
    async with dialling(ANA, expects=[]) as network, network.asker("tcp://127.0.0.1:1") as asker:
        with pytest.raises(WireError, match="no key is known"):
            await asker.ask(b"")


async def test_a_routing_id_says_nothing_about_who_one_is() -> None:
    """Bruno who takes Ana's routing id and states her User-Id is Bruno; her replies stay hers."""
    with anyio.fail_after(10):
        async with serving() as network, network.listener(ANY) as listener:
            with zmq.Context() as context:
                ends = {}
                for name, keys in (("ana", ANA), ("bruno", BRUNO)):
                    raw = ends[name] = context.socket(zmq.DEALER)
                    raw.setsockopt(zmq.LINGER, 0)
                    raw.setsockopt(zmq.ROUTING_ID, b"ana")
                    with contextlib.suppress(AttributeError, zmq.ZMQError):
                        raw.setsockopt(zmq.METADATA, b"User-Id:server|1|||server-1")  # a draft option
                    raw.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
                    raw.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
                    raw.setsockopt(zmq.CURVE_SERVERKEY, SERVER.public)
                    raw.connect(listener.address)
                    raw.send_multipart([b"", name.encode()])
                    if name == "ana":
                        [first] = await listener.receive_batch()
                assert first.principal.name == "ana"
                with anyio.move_on_after(SILENCE_SECONDS):
                    for request in await listener.receive_batch():
                        assert request.principal.name == "bruno"
                assert listener.send([Outgoing(first.envelope, b"for ana")]) == 1
                await anyio.to_thread.run_sync(ends["ana"].poll, 5000)
                assert ends["ana"].recv_multipart() == [b"", b"for ana"]
                assert not ends["bruno"].poll(0)
                for raw in ends.values():
                    raw.close()


def _null_handshake(path: str) -> unix.socket:
    """A ZMTP 3.0 NULL handshake by hand whose READY states a User-Id."""
    raw = unix.socket(unix.AF_UNIX, unix.SOCK_STREAM)
    raw.connect(path)
    raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31))
    heard = b""
    while b"READY" not in heard:
        heard += raw.recv(1000)
    stated = b""
    for name, value in ((b"Socket-Type", b"DEALER"), (b"User-Id", b"server|1|||server-1")):
        stated += bytes([len(name)]) + name + len(value).to_bytes(4, "big") + value
    body = b"\x05READY" + stated
    raw.sendall(bytes([4, len(body)]) + body)
    raw.sendall(b"\x01\x00\x00\x05hello")
    return raw


async def test_at_ipc_the_kernel_tells_the_user(tmp_path: Path) -> None:
    """A local client is the Unix user it is, whatever User-Id it states; unknown users stay outside."""
    path = f"ipc://{tmp_path}/local"
    known = {os.getuid(): Principal("local", "maria")}
    security = securely(SERVER, authenticate=admit, local=known.get)
    with anyio.fail_after(10):
        async with serving(security) as network, network.listener(ANY, local=path) as listener:
            async with (
                dialling(ANA) as outside,
                outside.asker(path) as local,
                outside.asker(listener.address) as far,
                anyio.create_task_group() as tasks,
            ):
                tasks.start_soon(tell, listener)
                told = (await ask_until_served(local, b"")).decode()
                assert told.startswith(f"local maria  localhost:{os.getuid()}:{os.getgid()}:")
                assert (await ask_until_served(far, b"")).startswith(b"key ana ")
                tasks.cancel_scope.cancel()
            with await anyio.to_thread.run_sync(_null_handshake, path.removeprefix("ipc://")):
                [request] = await listener.receive_batch()
                assert (request.body, request.principal[:2]) == (b"hello", ("local", "maria"))
            known.clear()
            async with dialling(ANA) as outside, outside.asker(path) as local:
                assert await silent(local)


async def test_who_is_refused_comes_in_once_known() -> None:
    """A key that is refused today is served without a new connect as soon as the roster names it."""
    known: set[bytes] = set()

    async def look_up(key: bytes, domain: str, address: str) -> Principal | None:
        await anyio.lowlevel.checkpoint()
        if address != "127.0.0.1":
            raise NotNow
        return Principal("key", "ana") if key in known else None

    security = securely(SERVER, authenticate=look_up)
    with anyio.fail_after(15):
        async with (
            telling(security, HASTY) as (_, address),
            dialling(ANA, options=HASTY) as outside,
            outside.asker(address) as asker,
        ):
            assert await silent(asker)
            assert security.refusals.not_admitted > 0
            known.add(ANA.public)
            assert (await ask_until_served(asker, b"")).startswith(b"key ana ")


@on_both_loops
def test_a_server_that_changed_its_key_is_dialled_with_the_next(backend: str) -> None:
    """With two keys in the roster a request reaches whichever the server has, also after it changed."""
    old, new = make_keys(), make_keys()

    async def scenario() -> None:
        at = ANY
        async with dialling(ANA, expects=[old.public, new.public]) as outside, AsyncExitStack() as ends:
            asker: Asker | None = None
            for keys in (old, new, old):
                async with telling(securely(keys, authenticate=admit), at=at) as (_, at):
                    asker = asker or await ends.enter_async_context(outside.asker(at))
                    assert (await ask_until_served(asker, b"")).startswith(b"key ana ")

    with_deadline(scenario, backend)


async def test_a_request_that_waits_is_taken_along_to_the_next_key() -> None:
    """One request, never repeated by its sender, reaches a server whose key is the second in the roster."""
    with anyio.fail_after(10):
        async with (
            telling() as (_, address),
            dialling(ANA, expects=[make_keys().public, SERVER.public]) as outside,
            outside.asker(address) as asker,
        ):
            assert (await asker.ask(b"once")).startswith(b"key ana ")


async def test_a_new_roster_counts_for_open_ends() -> None:
    """An end that expects a wrong key is served once the roster names the right one."""
    keys = [make_keys().public]
    with anyio.fail_after(10):
        async with (
            telling() as (_, address),
            dialling(ANA, expects=keys) as outside,
            outside.asker(address) as asker,
        ):
            assert await silent(asker)
            keys[:] = [SERVER.public]
            assert await ask_until_served(asker, b"")


def test_no_secret_is_ever_shown() -> None:
    """Neither the text of a security nor the error for a bad key contains the secret."""
    security = securely(ANA)
    assert ANA.secret.hex() not in repr(security)
    assert repr(ANA.secret)[2:-1] not in repr(security)
    with pytest.raises(ValueError, match="32 bytes") as caught:
        type(security)(public=ANA.public, secret=b"geheim", keys_of=lambda address: ())
    assert "geheim" not in str(caught.value)
