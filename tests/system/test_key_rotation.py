"""A server's key is replaced while people talk: `keygen`, `roster rotate`, SIGHUP, one restart."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from processes import recado, until
from running_cluster import Cluster, local_cluster

from recado.client import Patience, connect
from recado.secured import client_security

pytestmark = [pytest.mark.system, pytest.mark.slow]
WAIT_SECONDS = 30.0


class Rotation:
    """A cluster with keys, its files of keys, and the operator's commands."""

    def __init__(self, cluster: Cluster, home: Path) -> None:
        self.cluster, self.home = cluster, home
        self.roster = Path(cluster.summary["roster"])
        self.keys = self.roster.parent
        self.old = home / "old.toml"
        self.old.write_bytes(self.roster.read_bytes())
        self.env = {
            "RECADO_REFERENCE": cluster.summary["reference"],
            "RECADO_KEY": str(cluster.summary["key"]),
            "RECADO_ROSTER": str(self.roster),
            "RECADO_STATE": str(home / "state"),
        }

    def does(self, *arguments: str, **more: str) -> str:
        ran = recado(*arguments, env={**self.env, **more})
        assert ran.returncode == 0, (arguments, ran.stderr)
        return ran.stdout

    def reload(self) -> None:
        """What `systemctl reload` does on every host."""
        for row in self.cluster.rows().values():
            os.kill(row["pid"], signal.SIGHUP)

    def copies(self, text: str) -> int:
        """On how many servers a message of the operator's is, acknowledged at level all."""
        told = self.does("publish", "geral", text, "--user", "operator", "--level", "all", "--json")
        return int(json.loads(told)["acks"])

    @contextmanager
    def talk(self) -> Iterator[list[str]]:
        """Somebody with the roster of before the rotation publishes all the time: what was acknowledged."""
        said: list[str] = []
        stop = threading.Event()

        async def say() -> None:
            security = client_security(self.old, Path(self.cluster.summary["key"]))
            reach: dict[str, Any] = {"servers": self.cluster.servers, "security": security}
            async with connect("operator", **reach, patience=Patience(deadline_seconds=WAIT_SECONDS)) as chat:
                while not stop.is_set():
                    text = f"message {len(said)}"
                    await chat.publish("geral", text, level="quorum")
                    said.append(text)
                    await anyio.sleep(0.02)

        failed: list[BaseException] = []

        def run() -> None:
            try:
                anyio.run(say)
            except Exception as error:  # noqa: BLE001 - told to the test, which fails of it
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield said
        finally:
            stop.set()
            thread.join(2 * WAIT_SECONDS)
        assert failed == []


@pytest.fixture
def rotation(tmp_path: Path) -> Iterator[Rotation]:
    """Three servers; the operator is registered, and a channel is there."""
    with local_cluster(tmp_path / "data", "--secure") as cluster:
        there = Rotation(cluster, tmp_path)
        there.does("login", "operator")
        there.does("channel", "create", "geral", "--user", "operator", "--level", "all")
        yield there


def test_a_servers_key_while_people_talk(rotation: Rotation, tmp_path: Path) -> None:
    """In between both keys are good, then only the new one; no message fails; the old log stays good."""
    here, data = rotation, rotation.cluster.data
    old_key, new_key = here.keys / "server-2.key", here.home / "server-2.key"
    with here.talk() as said:
        until(lambda: len(said) > 20, seconds=WAIT_SECONDS, what="people talk")
        here.does("keygen", "--server", "server-2", "-o", str(new_key))
        here.does("roster", "rotate", str(here.home / "server-2.pub"))
        both = tmp_path / "both.toml"
        both.write_bytes(here.roster.read_bytes())
        here.reload()
        here.does("stop", "server-2", "--data", str(data))
        old_key.rename(tmp_path / "retired.key")
        new_key.rename(old_key)
        here.does("start", "server-2", "--data", str(data))
        until(lambda: here.copies("with the new key") == 3, seconds=WAIT_SECONDS, what="server-2 is a member")
        here.does("roster", "rotate", "--finish", "server-2")
        here.reload()
        count = len(said)
        until(lambda: len(said) > count + 20, seconds=WAIT_SECONDS, what="people still talk")
    assert here.copies("after the rotation") == 3
    second = here.cluster.servers[1]
    here.does("status", "--user", "operator", "--server", second)
    assert (
        recado(
            "status", "--server", second, "--timeout", "3", env={**here.env, "RECADO_ROSTER": str(here.old)}
        ).returncode
        == 69
    )
    # Who begins from nothing takes over what was signed with the old key too.
    here.does("stop", "server-3", "--data", str(data))
    here.cluster.replica("server-3").unlink()
    here.does("start", "server-3", "--data", str(data))
    until(lambda: here.copies("server-3 is back") == 3, seconds=WAIT_SECONDS, what="server-3 is back")
    here.does("verify", "--settled", "--data", str(data))
    told = json.loads(here.does("history", "geral", "-n", "1000", "--user", "operator", "--json"))
    kept = [message["text"] for message in told["messages"] if message["text"].startswith("message ")]
    assert kept == said[-len(kept) :]
    assert len(kept) > 20
