"""Sockets that somebody else bound and handed over: served as if they were our own, over restarts too."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import trio
import trio.testing
import zmq

from recado.wire.activation import passed_sockets
from recado.wire.ports import Network, Outgoing, WireError
from recado.wire.zeromq import WireOptions, ZeroMQNetwork


@contextmanager
def _listening(host: str = "127.0.0.1", *, family: int = socket.AF_INET) -> Iterator[socket.socket]:
    with socket.socket(family, socket.SOCK_STREAM) as end:
        end.bind((host, 0))
        end.listen(64)
        end.setblocking(False)
        yield end


def _env(count: int = 1) -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(count), "LISTEN_FDNAMES": "requests"}


def _passed(end: socket.socket, address: str) -> dict[str, int]:
    return passed_sockets(address, env=_env(), first=end.fileno())


def _address(end: socket.socket, host: str = "127.0.0.1") -> str:
    return f"tcp://{host}:{end.getsockname()[1]}"


async def _serve_one(network: Network, address: str) -> str:
    async with network.listener(address) as listener:
        (request,) = await listener.receive_batch(1)
        listener.send([Outgoing(request.envelope, b"served " + (request.body or b""))])
        return listener.address


async def test_what_is_asked_between_two_processes_is_answered() -> None:
    """Two programs serve one passed socket, one by one; what is asked between them is answered."""
    with _listening() as end:
        address = _address(end)
        options = WireOptions(passed=_passed(end, address))
        async with ZeroMQNetwork() as clients, clients.asker(address) as asker:
            for word in (b"one", b"two"):
                answers: list[bytes] = []

                async def ask(word: bytes = word, answers: list[bytes] = answers) -> None:
                    answers.append(await asker.ask(word))

                with trio.fail_after(10):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(ask)
                        await trio.testing.wait_all_tasks_blocked(0.05)
                        async with ZeroMQNetwork(options) as network:
                            assert await _serve_one(network, address) == address
                assert answers == [b"served " + word]


async def test_a_second_address_is_bound_beside_it(tmp_path: object) -> None:
    """The passed socket is taken for its address alone: a local one beside it is bound as always."""
    with _listening() as end:
        address, local = _address(end), f"ipc://{tmp_path}/local.sock"
        options = WireOptions(passed=_passed(end, address))
        async with (
            ZeroMQNetwork(options) as network,
            network.listener(address, local=local) as listener,
            network.asker(local) as asker,
            trio.open_nursery() as nursery,
        ):
            assert stat.S_IMODE(os.stat(local.removeprefix("ipc://")).st_mode) == 0o666  # whatever the umask
            nursery.start_soon(asker.ask, b"hello")
            with trio.fail_after(10):
                assert [request.body for request in await listener.receive_batch(1)] == [b"hello"]
            nursery.cancel_scope.cancel()


def test_nothing_passed_is_nothing() -> None:
    """Without variables, or with those of another process, there is no socket; and the variables are gone."""
    env = _env() | {"LISTEN_PID": "1"}
    assert passed_sockets("tcp://127.0.0.1:5555", env=env) == {}
    assert env == {}
    assert passed_sockets("tcp://127.0.0.1:5555", env={}) == {}


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://127.0.0.2:PORT", "tcp://*:PORT", "ipc:///x"])
def test_another_address_than_configured_is_refused(address: str) -> None:
    """What listens elsewhere than the configuration says is named, with both addresses."""
    with _listening() as end:
        address = address.replace("PORT", str(end.getsockname()[1]))
        with pytest.raises(WireError, match="ListenStream") as caught:
            _passed(end, address)
        assert _address(end) in str(caught.value)
        assert address in str(caught.value)


@pytest.mark.parametrize(
    ("host", "family", "configured"),
    [
        ("0.0.0.0", socket.AF_INET, "tcp://*:PORT"),
        ("0.0.0.0", socket.AF_INET, "tcp://0.0.0.0:PORT"),
        ("127.0.0.1", socket.AF_INET, "tcp://localhost:PORT"),
        ("::1", socket.AF_INET6, "tcp://[::1]:PORT"),
    ],
)
def test_the_same_address_in_other_words(host: str, family: int, configured: str) -> None:
    """However the configuration writes it, the same place is recognised."""
    with _listening(host, family=family) as end:
        address = configured.replace("PORT", str(end.getsockname()[1]))
        assert _passed(end, address) == {address: end.fileno()}


@pytest.mark.parametrize("configured", ["tcp://localhost:PORT", "tcp://some.host:PORT"])
def test_no_name_is_every_address(configured: str) -> None:
    """A socket at all addresses is not what a name means: that name needed no keys, all addresses do."""
    with (
        _listening("0.0.0.0", family=socket.AF_INET) as end,
        pytest.raises(WireError, match=r"server\.listen"),
    ):
        _passed(end, configured.replace("PORT", str(end.getsockname()[1])))


def test_what_does_not_listen_is_refused() -> None:
    """A socket that was never made to listen, and more than one, are errors and no surprise later."""
    with socket.socket() as idle, pytest.raises(WireError, match="no listening"):
        _passed(idle, "tcp://127.0.0.1:5555")
    with pytest.raises(WireError, match="2 sockets"):
        passed_sockets("tcp://127.0.0.1:5555", env=_env(2))


def test_libzmq_has_the_option() -> None:
    """This pyzmq can be given a descriptor at all."""
    assert isinstance(zmq.USE_FD, int)
