"""Real disks that fill up, fail, and rot; and the documented changes of the list of members.

The servers are processes on file systems of their own; nothing but the disk is made up.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import zmq
from one_server import START_SECONDS, Servers, asked, servers
from plain_client import PlainClient
from processes import recado, until

from storage.verification import verify

pytestmark = [pytest.mark.system, pytest.mark.slow]

MIB = 1 << 20
FULL = "disk is full, read-only until there is room"
ROOM = "disk has room again, writes are taken"
SMALL_RESERVE = f"[disk]\nreserve_bytes = {8 * MIB}\nprobe_seconds = 0.5\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(disk)], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room there is."""
    filler = disk / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (MIB, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
    return filler


def furnish(client: PlainClient) -> None:
    asked(client, "login", user="ana")
    asked(client, "channel", channel="geral")


def texts(client: PlainClient) -> list[str]:
    history = asked(client, "history", channel="geral", limit=1000)
    return [message["message"] for message in history["messages"]]


def equal(made: Servers, *names: str, seconds: float = 30.0) -> None:
    """Wait until the replicas hold the same."""
    paths = [made[name].data / "replica.db" for name in names]
    until(lambda: verify(paths, settled=True).equal, seconds=seconds, what=f"{names} are equal")


@pytest.mark.needs("root", "mount")
def test_a_disk_that_is_full_for_a_while(tmp_path: Path, small_disk: Path) -> None:
    """Writes are refused and the rest goes on; with room again writes are taken; nothing said OK is lost."""
    settings = SMALL_RESERVE
    with servers(tmp_path, "a", "b", disks={"a": small_disk / "a"}, settings=settings) as (made, clients):
        for name in ("a", "b"):
            made[name].start()
            made[name].ready()
        full, other = clients["a"], clients["b"]
        furnish(full)
        assert (small_disk / "a" / "reserve").stat().st_size == 8 * MIB
        kept = []
        for n in range(200):
            if n == 100:
                filler = fill(small_disk)
            reply = full.ask("publish", user="ana", channel="geral", message=f"{n}" + "x" * 16_000)
            if reply["status"] == "OK":
                kept.append(n)
            else:
                assert reply["code"] == "storage_full", reply
        until(lambda: made["a"].lines(FULL), seconds=5, what="the server says that its disk is full")
        assert 100 <= len(kept) < 200
        assert asked(full, "status")["disk"] == "full"
        assert not (small_disk / "a" / "reserve").exists()
        assert asked(full, "users")["users"] == ["ana"]
        assert asked(full, "history", channel="geral", limit=5)["messages"]
        asked(other, "publish", user="ana", channel="geral", message="meanwhile at the other")
        filler.unlink()
        until(lambda: made["a"].lines(ROOM), seconds=10, what="the server finds room")
        assert (small_disk / "a" / "reserve").stat().st_size == 8 * MIB
        asked(full, "publish", user="ana", channel="geral", message="afterwards")
        equal(made, "a", "b")
        said = texts(other)
        assert [text for text in said if text.startswith(tuple("0123456789"))] == [
            f"{n}" + "x" * 16_000 for n in kept
        ]
        assert {"afterwards", "meanwhile at the other"} <= set(said)


@pytest.mark.needs("root", "mount")
def test_a_start_on_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    """The reserve is given up to open the file: reads are served at once, writes when there is room."""
    settings = SMALL_RESERVE
    with servers(tmp_path, "a", disks={"a": small_disk / "a"}, settings=settings) as (made, clients):
        made["a"].start()
        made["a"].ready()
        furnish(clients["a"])
        assert made["a"].end() == 0
        filler = fill(small_disk)
        made["a"].start()
        until(lambda: made["a"].lines("serving") == 2, seconds=START_SECONDS, what="it serves again")
        assert asked(clients["a"], "users")["users"] == ["ana"]
        reply = clients["a"].ask("publish", user="ana", channel="geral", message="oi")
        assert reply["code"] == "storage_full"
        filler.unlink()
        until(lambda: made["a"].lines(ROOM), seconds=10, what="the server finds room")
        asked(clients["a"], "publish", user="ana", channel="geral", message="oi")


@pytest.mark.needs("strace")
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_a_sync_that_fails(tmp_path: Path, error: str) -> None:
    """A failed fdatasync ends the server with 70 and without an answer; what was answered is there."""
    with servers(tmp_path, "a") as (made, clients):
        wal = made["a"].data / "replica.db-wal"
        made["a"].data.mkdir()
        made["a"].start(
            under=[
                "strace", "-f", "-qqq", "-o", os.devnull, "-P", str(wal), "-e", "trace=fdatasync",
                "-e", f"inject=fdatasync:error={error}:when=20+",
            ]
        )  # fmt: skip
        made["a"].ready()
        furnish(clients["a"])
        kept = []
        for n in range(100):
            try:
                reply = clients["a"].ask("publish", user="ana", channel="geral", message=f"m{n}")
            except zmq.ZMQError:
                break
            assert reply["status"] == "OK", "a failed sync is no full disk, and no refusal"
            kept.append(f"m{n}")
            if made["a"].process is not None and made["a"].process.poll() is not None:
                break
        assert made["a"].ended() == 70
        assert 0 < len(kept) < 100
        made["a"].start()
        until(lambda: made["a"].lines("serving") == 2, seconds=START_SECONDS, what="it serves again")
        assert [text for text in texts(clients["a"]) if text in kept] == kept


def test_a_file_that_rots(tmp_path: Path) -> None:
    """A file that SQLite finds damaged is moved aside; the server starts empty and fetches everything."""
    with servers(tmp_path, "a", "b") as (made, clients):
        for name in ("a", "b"):
            made[name].start()
            made[name].ready()
        furnish(clients["a"])
        for n in range(300):
            asked(clients["a"], "publish", user="ana", channel="geral", message=f"m{n}" + "y" * 500)
        equal(made, "a", "b")
        assert made["a"].end() == 0
        file = made["a"].data / "replica.db"
        with file.open("r+b") as raw:
            for page in range(2, file.stat().st_size // 4096, 3):
                raw.seek(page * 4096)
                raw.write(os.urandom(64))
        made["a"].start()
        until(lambda: made["a"].lines("serving") == 2, seconds=START_SECONDS, what="it serves again")
        assert made["a"].lines("replica was damaged, starting empty") == 1
        assert (made["a"].data / "replica.damaged-1.db").exists()
        equal(made, "a", "b")
        asked(clients["a"], "publish", user="ana", channel="geral", message="depois", level="all")
        assert len(texts(clients["b"])) == 301


def change(made: Servers, names: tuple[str, ...], *arguments: str) -> None:
    """The same `recado member` command on several nodes."""
    for name in names:
        done = recado("member", *arguments, "--config", str(made[name].config))
        assert done.returncode == 0, done.stderr


def restart(made: Servers, name: str) -> None:
    """Stop it in order and wait until it serves again."""
    before = made[name].lines("serving")
    assert made[name].end() == 0
    made[name].start()
    until(lambda: made[name].lines("serving") > before, seconds=START_SECONDS, what=f"{name} serves again")


def test_the_list_of_members_changes(tmp_path: Path) -> None:
    """As operations tells it: a fourth server joins, a dead one is replaced by an empty one, one leaves."""
    names = ("a", "b", "c", "d")
    with servers(tmp_path, *names, settings="[disk]\nsnapshot_entries = 200\n") as (made, clients):
        change(made, names, "remove", "d")
        for name in ("a", "b", "c"):
            made[name].start()
            made[name].ready()
        furnish(clients["a"])
        for n in range(400):
            asked(clients["a"], "publish", user="ana", channel="geral", message=f"m{n}")
        # A fourth server joins.
        address = made["d"].address
        change(made, ("d", "a", "b", "c"), "add", "d", "--rank", "4", "--address", address)
        for name in ("a", "b", "c"):
            restart(made, name)
        made["d"].start()
        made["d"].ready()
        equal(made, *names)
        assert made["d"].lines("snapshot installed") == 1
        reply = asked(clients["d"], "publish", user="ana", channel="geral", message="de d", level="all")
        assert (reply["acks"], reply["of"]) == (4, 4)
        # A server whose disk is lost comes back with an empty one.
        made["b"].end(signal.SIGKILL)
        for file in sorted(made["b"].data.glob("*.db*")):
            file.unlink()
        before = made["b"].lines("serving")
        made["b"].start()
        until(lambda: made["b"].lines("serving") > before, seconds=START_SECONDS, what="b serves again")
        equal(made, *names)
        assert made["b"].lines("snapshot installed") == 1
        # One leaves.
        assert made["c"].end() == 0
        change(made, ("a", "b", "d"), "remove", "c")
        for name in ("a", "b", "d"):
            restart(made, name)
        reply = asked(clients["a"], "publish", user="ana", channel="geral", message="fim", level="all")
        assert (reply["acks"], reply["of"]) == (3, 3)
        equal(made, "a", "b", "d")


def test_a_server_of_another_cluster_is_refused(tmp_path: Path) -> None:
    """With another `cluster.id` it gets nothing and gives nothing, and both sides say why."""
    with servers(tmp_path, "a", "b") as (made, clients):
        file = made["b"].config
        file.write_text(file.read_text().replace("[cluster]\n", '[cluster]\nid = "outro"\n'))
        for name in ("a", "b"):
            made[name].start()
            made[name].ready()
        furnish(clients["a"])
        for name, other in (("a", "b"), ("b", "a")):
            until(
                lambda name=name: made[name].lines("a server that is no member is refused"),  # type: ignore[misc]
                seconds=15,
                what=f"{name} refuses {other}",
            )
        assert asked(clients["b"], "users")["users"] == []
