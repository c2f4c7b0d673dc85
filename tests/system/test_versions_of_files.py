"""A server's process and files of other versions: forward with a copy kept, backwards not at all."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from one_server import asked, servers

from storage.schema import STEPS

pytestmark = [pytest.mark.system, pytest.mark.slow]

FIRST = Path(__file__).parents[1] / "storage" / "replica-v1.sql"


def written_by_the_first_version(directory: Path) -> Path:
    directory.mkdir(parents=True)
    path = directory / "replica.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(FIRST.read_text("utf-8"))
    return path


def test_an_old_file_goes_forward_and_not_back(tmp_path: Path) -> None:
    """It is served with all it held, a copy kept; a newer one ends the process with 78, untouched."""
    with servers(tmp_path, "server-1") as (made, clients):
        one = made["server-1"]
        path = written_by_the_first_version(one.data)
        one.start()
        one.ready()
        assert one.lines("schema brought forward") == 1
        status = asked(clients["server-1"], "status")
        assert (status["schema"], status["wire"]) == (len(STEPS), 2)
        assert sorted(asked(clients["server-1"], "users")["users"]) == ["ana", "bia", "caio"]
        assert one.end() == 0
        copy = one.data / "replica.before-upgrade-1.db"
        with closing(sqlite3.connect(copy)) as db:
            assert db.execute("pragma user_version").fetchone() == (1,)
        with closing(sqlite3.connect(path)) as db:
            db.execute(f"pragma user_version = {len(STEPS) + 1}")
        before = path.read_bytes()
        one.start()
        assert one.ended() == 78
        said = one.log.with_suffix(".err").read_text()
        assert "was written by a newer version" in said
        assert str(copy) in said
        assert path.read_bytes() == before
