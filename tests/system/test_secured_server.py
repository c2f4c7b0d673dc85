"""A secured server as a process of its own, with CURVE sockets and a Unix socket around it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import zmq
from processes import until

from recado.keys import Identity, make_cluster_key, make_identity, write_cluster_key, write_identity
from recado.protocol import codec
from recado.protocol.codec import encode, unpack
from recado.roster import Roster
from recado.wire.security import Security
from recado.wire.zeromq import ZeroMQNetwork

pytestmark = pytest.mark.system
SERVER = make_identity("server", "server-1")
ANA, OLGA = make_identity("user", "ana"), make_identity("user", "olga")
WAIT_SECONDS = 10.0


class Served:
    """A secured server on a port and a Unix socket of its own."""

    def __init__(self, process: subprocess.Popen[str], address: str, home: Path) -> None:
        self.process, self.address, self.home = process, address, home
        self.roster = home / "roster.toml"
        self.log = home / "log"

    def ask(self, identity: Identity, service: str, **data: Any) -> dict[str, Any]:
        """One request over CURVE as this user."""
        security = Security(
            public=identity.public, secret=identity.secret, keys_of=lambda _address: (SERVER.public,)
        )

        async def ask() -> bytes:
            with trio.fail_after(WAIT_SECONDS):
                async with ZeroMQNetwork(None, security) as network, network.asker(self.address) as asker:
                    return await asker.ask(encode(service, data))

        return dict(codec.decode_reply(trio.run(ask)).data)

    def ask_here(self, service: str, **data: Any) -> dict[str, Any]:
        """One request over the Unix socket, without any key."""
        with zmq.Context() as context, context.socket(zmq.REQ) as client:
            client.setsockopt(zmq.LINGER, 0)
            client.setsockopt(zmq.RCVTIMEO, int(1000 * WAIT_SECONDS))
            client.connect(f"ipc://{self.home}/local")
            client.send(encode(service, data))
            return dict(unpack(client.recv())["data"])

    def hang_up(self, said: str) -> None:
        """SIGHUP, and wait until the log has one line more that says so."""
        before = self.log.read_text().count(said)
        self.process.send_signal(signal.SIGHUP)
        until(lambda: self.log.read_text().count(said) > before, seconds=WAIT_SECONDS, what=said)


def _written(home: Path) -> None:
    """Keys, the cluster key, the roster and the configuration."""
    write_identity(home / "node.key", SERVER)
    write_cluster_key(home / "cluster.key", make_cluster_key())
    roster = Roster(cluster="recado").with_part(SERVER.public_part)
    roster.write(home / "roster.toml")
    (home / "recado.toml").write_text(
        f"""[node]
name = "server-1"
data = "{home}"
[cluster]
reference = ""
brokers = []
[server]
listen = "tcp://127.0.0.1:*"
[security]
roster = "{home}/roster.toml"
local_listen = "ipc://{home}/local"
local_accounts = ["{os.getuid()}=lia"]
[log]
file = "{home}/log"
"""
    )


@contextmanager
def secured_server(home: Path) -> Iterator[Served]:
    """The server, serving."""
    _written(home)
    read_end, write_end = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "daemons.server", "--config", str(home / "recado.toml")],
        pass_fds=(write_end,),
        env={**os.environ, "RECADO_READY_FD": str(write_end)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(write_end)
        try:
            with open(read_end) as end:
                line = end.readline()
            assert line, process.communicate()[1]
            yield Served(process, json.loads(line)["listen"]["requests"], home)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_a_secured_server(tmp_path: Path) -> None:
    """Keys over CURVE, a Unix user over ipc; a bad roster changes nothing, a good one counts at once."""
    with secured_server(tmp_path) as server:
        assert server.ask(ANA, "users")["code"] == "key_unknown"
        assert server.ask(ANA, "login", user="ana")["status"] == "sucesso"
        assert server.ask(OLGA, "login", user="ana")["code"] == "user_taken"
        assert server.ask(ANA, "publish", user="olga", channel="c", message="oi")["code"] == "not_you"
        assert server.ask_here("login", user="lia")["status"] == "sucesso"
        assert server.ask_here("login", user="ana")["code"] == "not_you"
        told = server.ask(ANA, "status")["security"]
        assert told["mode"] == "secured"
        assert told["connections"] >= 1
        assert set(told["refused"].values()) == {0}
        good = server.roster.read_text()
        server.roster.write_text("cluster = 7")
        server.hang_up("everything stays as it was")
        assert server.ask(ANA, "users")["users"] == ["ana", "lia"]
        Roster.parse(good).with_part(OLGA.public_part, operator=True).write(server.roster)
        server.hang_up("were read again")
        assert server.ask(OLGA, "audit_log", user="olga")["changes"] == []


def test_a_plain_client_gets_nothing(tmp_path: Path) -> None:
    """Without CURVE nobody is answered, and the others are served on."""
    with secured_server(tmp_path) as server, zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.setsockopt(zmq.LINGER, 0)
        client.setsockopt(zmq.RCVTIMEO, 500)
        client.connect(server.address)
        client.send(encode("status", {}))
        with pytest.raises(zmq.Again):
            client.recv()
        assert server.ask(ANA, "login", user="ana")["status"] == "sucesso"
