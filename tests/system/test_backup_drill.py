"""The restore drill: backups made beside servers under load, restored elsewhere, and what is in them then."""

import json
import shutil
import signal
import subprocess
import sys
import tarfile
from itertools import count
from pathlib import Path

import pytest
from one_server import START_SECONDS, Servers, asked, servers
from plain_client import PlainClient
from processes import recado, until

from storage.verification import verify

pytestmark = [pytest.mark.system, pytest.mark.slow]

NAMES = ("server-1", "server-2", "server-3")
MARKED = "restored from a backup, peers are asked before the first write"


class Talk:
    """Messages at level `quorum`, each at the next server; `said` is what was acknowledged."""

    def __init__(self, clients: dict[str, PlainClient]) -> None:
        self._clients = clients
        self._numbers = count()
        self.said: list[str] = []

    def say(self, times: int, *, at: tuple[str, ...] = NAMES) -> None:
        for _ in range(times):
            number = next(self._numbers)
            text = f"m{number}"
            client = self._clients[at[number % len(at)]]
            reply = client.ask("publish", user="ana", channel="geral", message=text, level="quorum")
            if reply.get("status") == "OK":
                self.said.append(text)


def begin(made: Servers, clients: dict[str, PlainClient], *names: str) -> Talk:
    """Start the servers; a user and a channel."""
    for name in names:
        made[name].start()
    for name in names:
        made[name].ready()
    asked(clients[names[0]], "login", user="ana", level="all")
    asked(clients[names[0]], "channel", channel="geral", level="all")
    return Talk(clients)


def backed_up(talk: Talk, directory: Path, file: Path) -> dict[str, object]:
    """The backup of a running server, made while people go on writing; its manifest."""
    command = [
        sys.executable,
        "-m",
        "clients.cli",
        "backup",
        "--dir",
        str(directory),
        "-o",
        str(file),
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as making:
        while making.poll() is None:
            talk.say(5)
        assert making.stdout is not None
        told: dict[str, dict[str, object]] = json.loads(making.stdout.read())
    assert making.returncode == 0
    return told["manifest"]


def texts_of(client: PlainClient) -> list[str]:
    """Everything said in the channel."""
    found: list[str] = []
    before = None
    while True:
        more = {} if before is None else {"before": before}
        page = asked(client, "history", channel="geral", limit=500, **more)["messages"]
        found = [message["message"] for message in page] + found
        if len(page) < 500:
            return found
        first = page[0]
        before = [first["clock"], first["origin"], first["seq"]]


def equal(paths: list[Path]) -> None:
    until(lambda: verify(paths, settled=True).equal, seconds=60, what="equal replicas")


def test_a_server_comes_back_from_a_backup(tmp_path: Path) -> None:
    """Restored in another directory, with its later past forgotten: it gets it back, and loses no word."""
    with servers(tmp_path, *NAMES) as (made, clients):
        talk = begin(made, clients, *NAMES)
        talk.say(300)
        manifest = backed_up(talk, made["server-2"].data, tmp_path / "b.tar")
        talk.say(300)
        made["server-2"].end(signal.SIGKILL)
        shutil.rmtree(made["server-2"].data)
        talk.say(60, at=("server-1", "server-3"))

        elsewhere = tmp_path / "another host" / "var" / "lib"
        assert recado("restore", str(tmp_path / "b.tar"), "--dir", str(elsewhere)).returncode == 0
        returned = made["server-2"]
        text = returned.config.read_text()
        returned.config.write_text(text.replace(f'data = "{returned.data}"', f'data = "{elsewhere}"'))
        returned.data = elsewhere
        before = returned.lines("serving")
        returned.start()
        until(lambda: returned.lines("serving") > before, seconds=START_SECONDS, what="it serves again")
        talk.say(60)

        equal([made[name].data / "replica.db" for name in NAMES])
        servers_here = [made[name].address for name in ("server-1", "server-2")]
        same = recado("replica", "diff", *servers_here)
        assert same.returncode == 0, same.stdout + same.stderr
        backup = tmp_path / "replica.db"
        with tarfile.open(tmp_path / "b.tar") as tar:
            tar.extract("replica.db", tmp_path, filter="data")
        since = recado("replica", "diff", str(backup), servers_here[0], "--json")
        assert since.returncode == 1
        assert {part["what"] for part in json.loads(since.stdout)["parts"]} == {"behind"}
        assert returned.lines(MARKED) == 1
        report = verify([elsewhere / "replica.db"])
        assert report.replicas[0].entries > int(str(manifest["entries"]))
        for name in NAMES:
            there = texts_of(clients[name])
            assert len(there) == len(set(there))
            assert set(talk.said) <= set(there)
        again = recado("restore", str(tmp_path / "b.tar"), "--dir", str(elsewhere), "--replace")
        assert (again.returncode, "in use by process" in again.stderr) == (73, True)


def test_a_cluster_rises_from_one_backup(tmp_path: Path) -> None:
    """All hosts lost: one file becomes each of three servers, of other names, at other addresses."""
    with servers(tmp_path / "old", *NAMES) as (made, clients):
        talk = begin(made, clients, *NAMES)
        talk.say(200)
        manifest = backed_up(talk, made["server-3"].data, tmp_path / "b.tar")
    (tmp_path / "old").rename(tmp_path / "ashes")
    assert recado("backup", "verify", str(tmp_path / "b.tar")).returncode == 0
    new = ("norte", "sul", "leste")
    with servers(tmp_path / "new", *new) as (made, clients):
        for name in new:
            put = recado("restore", str(tmp_path / "b.tar"), "--as", name, "--dir", str(made[name].data))
            assert put.returncode == 0, put.stderr
            made[name].start()
        for name in new:
            made[name].ready()
        for name in new:
            asked(clients[name], "publish", user="ana", channel="geral", message=f"de {name}", level="all")
        equal([made[name].data / "replica.db" for name in new])
        there = texts_of(clients["sul"])
        assert set(talk.said[:200]) <= set(there)
        assert there[-3:] == [f"de {name}" for name in new]
        (found,) = verify([made["sul"].data / "replica.db"]).replicas
        assert found.entries == int(str(manifest["entries"])) + 3
