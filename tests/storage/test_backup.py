"""Backups: made beside a writer, checked, read anywhere, and what is refused."""

import io
import json
import sqlite3
import tarfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from storage_entries import ORIGINS, Author, conversation, put

from recado.protocol.messages import Entry
from storage.backup import BackupInvalid, make, read_manifest, verify
from storage.backup_restore import Occupied, restore
from storage.database import DataLocked
from storage.registry import RegistryStore
from storage.replica import RESTORED_KEY, Batch, Replica
from storage.verification import verify as compare

MADE = "2026-11-23T09:00:00Z"
Alter = Callable[[dict[str, bytes]], None]


@pytest.fixture
def running(tmp_path: Path) -> Replica:
    """A server's replica, open, with a conversation."""
    replica = Replica.open(tmp_path / "server-1", node="server-1")
    put(replica, conversation(60))
    return replica


def contents(path: Path) -> dict[str, bytes]:
    """The files in a backup."""
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def packed(path: Path, files: dict[str, bytes]) -> Path:
    """A tar of these files."""
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return path


def test_a_backup_holds_what_is_committed(tmp_path: Path, running: Replica) -> None:
    """Made beside an open replica it has every entry and a manifest that says so; the file is private."""
    out = tmp_path / "b.tar"
    told: list[tuple[int, int]] = []
    made = make(tmp_path / "server-1", out, made=MADE, cluster="c", progress=lambda *done: told.append(done))
    manifest = read_manifest(out)
    assert made.manifest == manifest
    assert (manifest.node, manifest.entries, manifest.cluster, manifest.made) == ("server-1", 64, "c", MADE)
    assert manifest.vector == {origin: head.seq for origin, head in sorted(running.heads().items())}
    assert told[-1][0] == told[-1][1] > 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("server-1", "b.tar")] == []
    assert verify(out).problems == []
    put(running, [Author().add(origin="server-5.0000000000000005")])
    running.close()
    with closing(sqlite3.connect(":memory:")) as inside:
        inside.deserialize(contents(out)["replica.db"])
        assert inside.execute("select count(*) from replication_log").fetchone() == (64,)
        assert inside.execute("pragma journal_mode").fetchone() == ("memory",)


def test_the_bytes_do_not_depend_on_the_host(tmp_path: Path, running: Replica) -> None:
    """No path, owner or time of a file is in the tar; the same state gives the same bytes."""
    first, second = tmp_path / "one.tar", tmp_path / "two.tar"
    for out in (first, second):
        make(tmp_path / "server-1", out, made=MADE)
    running.close()
    assert first.read_bytes() == second.read_bytes()
    assert str(tmp_path).encode() not in first.read_bytes()
    with tarfile.open(first) as tar:
        assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in tar} == {(0, 0, "", "", 0)}


def test_a_writer_is_not_kept_waiting(tmp_path: Path, running: Replica) -> None:
    """Between two steps of the copy a commit goes through, and the copy is still of the moment it began."""
    author = Author()
    author.heads = running.heads()
    commits: list[int] = []

    def meanwhile(done: int, all_: int) -> None:
        put(running, [author.add(body=b"x" * 100)])
        commits.append(done)

    made = make(tmp_path / "server-1", tmp_path / "b.tar", made=MADE, progress=meanwhile)
    assert commits
    assert made.manifest.entries == 64
    assert running.counts().entries == 64 + len(commits)
    running.close()


def test_a_restored_node_begins_a_new_log(tmp_path: Path, running: Replica) -> None:
    """The restored file equals the source, is the same node's, and knows that it was restored."""
    make(tmp_path / "server-1", tmp_path / "b.tar", made=MADE)
    running.close()
    manifest, aside = restore(tmp_path / "b.tar", tmp_path / "elsewhere" / "data", now="now")
    assert (manifest.node, aside) == ("server-1", None)
    paths = [tmp_path / "server-1" / "replica.db", tmp_path / "elsewhere" / "data" / "replica.db"]
    assert compare(paths, settled=True).equal
    with closing(Replica.open(tmp_path / "elsewhere" / "data", node="server-1")) as replica:
        assert replica.damaged is None
        assert replica.meta(RESTORED_KEY) == {"at": "now", "made": MADE, "from": "server-1"}


def test_a_backup_becomes_another_node(tmp_path: Path, running: Replica) -> None:
    """Under another name nothing of the old node's own facts is left, and all entries are."""
    running.stage(Batch(meta={"epoch": 7}))
    running.commit()
    make(tmp_path / "server-1", tmp_path / "b.tar", made=MADE)
    running.close()
    restore(tmp_path / "b.tar", tmp_path / "new", node="server-4", now="now")
    with closing(Replica.open(tmp_path / "new", node="server-4")) as replica:
        assert replica.meta("epoch") is None
        assert replica.boot_count == 1
        assert replica.counts().entries == 64


def test_a_running_node_is_not_restored(tmp_path: Path, running: Replica) -> None:
    """Neither beside its process nor, without being told so, over its file; a replaced file is kept."""
    make(tmp_path / "server-1", tmp_path / "b.tar", made=MADE)
    with pytest.raises(DataLocked, match="in use by process"):
        restore(tmp_path / "b.tar", tmp_path / "server-1", now="now", replace=True)
    running.close()
    with pytest.raises(Occupied):
        restore(tmp_path / "b.tar", tmp_path / "server-1", now="now")
    _, aside = restore(tmp_path / "b.tar", tmp_path / "server-1", now="now", replace=True)
    assert aside == tmp_path / "server-1" / "replica.replaced-1.db"
    assert compare([aside, tmp_path / "server-1" / "replica.db"], settled=True).equal


def test_damaged_data_are_no_backup(tmp_path: Path, running: Replica) -> None:
    """A flipped bit in the log is found before anything is written under the backup's name."""
    running.close()
    path = tmp_path / "server-1" / "replica.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("update entry set body = 'oj' where number = 2 and seq = 3")
        connection.commit()
    with pytest.raises(BackupInvalid, match="does not match its hash"):
        make(tmp_path / "server-1", tmp_path / "b.tar", made=MADE)
    assert [path.name for path in tmp_path.iterdir()] == ["server-1"]


def _cut(files: dict[str, bytes]) -> None:
    files["replica.db"] = files["replica.db"][:-4096]


def _flip(files: dict[str, bytes]) -> None:
    changed = bytearray(files["replica.db"])
    changed[len(changed) // 2] ^= 1
    files["replica.db"] = bytes(changed)


def _smuggle(files: dict[str, bytes]) -> None:
    files["../../outside"] = b"x"


def _name_outside(files: dict[str, bytes]) -> None:
    manifest = json.loads(files["manifest.json"])
    manifest["files"].append({"name": "keys/../../outside", "size": 1, "sha256": ""})
    files["manifest.json"] = json.dumps(manifest).encode()


def _lie(files: dict[str, bytes]) -> None:
    files["manifest.json"] = files["manifest.json"].replace(b'"server-1"', b'"server-2"')


def _later_form(files: dict[str, bytes]) -> None:
    files["manifest.json"] = files["manifest.json"].replace(b'"format": 1', b'"format": 2')


def _no_manifest(files: dict[str, bytes]) -> None:
    del files["manifest.json"]


@pytest.mark.parametrize("alter", [_cut, _flip, _smuggle, _name_outside, _lie, _later_form, _no_manifest])
def test_what_is_not_as_it_was_made_is_found(tmp_path: Path, running: Replica, alter: Alter) -> None:
    """`verify` says so or refuses, and nothing outside is written by a restore."""
    make(tmp_path / "server-1", tmp_path / "b.tar", made=MADE)
    running.close()
    files = contents(tmp_path / "b.tar")
    alter(files)
    bad = packed(tmp_path / "bad.tar", files)
    try:
        assert verify(bad).problems
    except BackupInvalid:
        with pytest.raises(BackupInvalid):
            restore(bad, tmp_path / "new", now="now")
    assert not (tmp_path / "outside").exists()


def test_half_a_file_is_found(tmp_path: Path, running: Replica) -> None:
    """A copy that broke off in the middle is named as one."""
    out = tmp_path / "b.tar"
    make(tmp_path / "server-1", out, made=MADE)
    running.close()
    out.write_bytes(out.read_bytes()[: out.stat().st_size // 2])
    problems = verify(out).problems
    assert problems
    with pytest.raises(BackupInvalid):
        restore(out, tmp_path / "new", now="now")
    assert not list((tmp_path / "new").glob("*.db"))


def test_a_file_with_another_program_in_it_is_refused(tmp_path: Path, running: Replica) -> None:
    """A trigger in a backup, whose hashes were made to match, would act inside the server."""
    running.close()
    with closing(sqlite3.connect(tmp_path / "server-1" / "replica.db")) as connection:
        connection.execute("create trigger mine after insert on entry begin delete from meta; end")
    with pytest.raises(BackupInvalid, match="not those of a replica"):
        make(tmp_path / "server-1", tmp_path / "b.tar", made=MADE)


def test_signatures_are_checked_with_keys(tmp_path: Path) -> None:
    """A good one counts, a wrong one is a problem, and what stands behind the last one is told."""
    entries: list[Entry] = conversation(30)
    mine = [entry for entry in entries if entry.origin == ORIGINS[0]]
    with closing(Replica.open(tmp_path / "server-1", node="server-1")) as replica:
        signatures: dict[tuple[str, int], bytes | None] = {
            (ORIGINS[0], mine[4].seq): b"good" * 16,
            (ORIGINS[0], mine[6].seq): b"evil" * 16,
        }
        replica.stage(Batch(entries=entries, signatures=signatures))
        replica.commit()

    def good(_origin: str, _seq: int, _hash: bytes, signature: bytes) -> bool:
        return signature.startswith(b"good")

    make(tmp_path / "server-1", tmp_path / "b.tar", made=MADE)
    checked = verify(tmp_path / "b.tar", verify_signature=good)
    assert checked.signed is not None
    assert (checked.signed.good, checked.signed.bad) == (1, [f"{ORIGINS[0]}/{mine[6].seq}"])
    assert checked.signed.unsigned == len(entries) - mine[4].seq
    assert checked.problems == [f"the signature of {ORIGINS[0]}/{mine[6].seq} is not of its node"]


def test_the_references_file_is_backed_up_too(tmp_path: Path) -> None:
    """`registry.db` goes the same way."""
    RegistryStore.open(tmp_path / "reference").close()
    made = make(tmp_path / "reference", tmp_path / "r.tar", made=MADE)
    assert (made.manifest.role, made.manifest.schema_version) == ("reference", 1)
    assert verify(tmp_path / "r.tar").problems == []
    restore(tmp_path / "r.tar", tmp_path / "new", now="now")
    RegistryStore.open(tmp_path / "new").close()


def test_settings_and_keys_go_where_they_are_told(tmp_path: Path, running: Replica) -> None:
    """Further parts come back byte for byte, private, and never over anything."""
    running.close()
    (tmp_path / "k").write_bytes(b"secret")
    made = make(tmp_path / "server-1", tmp_path / "b.tar", made=MADE, more={"keys/node.key": tmp_path / "k"})
    assert made.manifest.keys
    target = tmp_path / "restored.key"
    restore(tmp_path / "b.tar", tmp_path / "new", now="now", settings={"keys/node.key": target})
    assert target.read_bytes() == b"secret"
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Occupied):
        restore(tmp_path / "b.tar", tmp_path / "n2", now="now", settings={"keys/node.key": target})


def test_a_pipe_takes_a_backup(tmp_path: Path, running: Replica) -> None:
    """What is written to something that can't seek is the same file."""
    running.close()
    out = io.BytesIO()
    make(tmp_path / "server-1", out, made=MADE)
    make(tmp_path / "server-1", tmp_path / "b.tar", made=MADE)
    assert out.getvalue() == (tmp_path / "b.tar").read_bytes()


def test_the_manifest_can_be_read_by_programs(tmp_path: Path, running: Replica) -> None:
    """It is JSON, the first thing in the tar, with a SHA-256 that is the file's."""
    make(tmp_path / "server-1", tmp_path / "b.tar", made=MADE)
    running.close()
    files = contents(tmp_path / "b.tar")
    told = msgspec.json.decode(files["manifest.json"])
    assert next(iter(files)) == "manifest.json"
    assert {"made", "node", "program", "schema_version", "wire_version", "files"} <= told.keys()


@pytest.mark.slow
def test_a_backup_under_load_is_sound(tmp_path: Path) -> None:
    """While another thread commits without a pause, each of several backups is a sound prefix."""
    replica = Replica.open(tmp_path / "server-1", node="server-1")
    author, stop = Author(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            put(replica, [author.add(body=b"x" * 300) for _ in range(50)])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        sizes = []
        for n in range(5):
            made = make(tmp_path / "server-1", tmp_path / f"{n}.tar", made=MADE)
            sizes.append(made.manifest.entries)
    finally:
        stop.set()
        writer.join()
        replica.close()
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]
    assert all(verify(tmp_path / f"{n}.tar").problems == [] for n in range(5))
