"""`recado replica dump|quarantine` on a file of their own."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from clients.replica import replica
from recado.protocol import names
from recado.protocol.entry import EMPTY, seal
from recado.protocol.messages import Kind
from storage.replica import Batch, Quarantined, Replica

SECRET = "encontro às nove"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A replica with one direct message, and one more that a peer sent and was refused."""
    uids = {"author": names.uid("ana"), "target": names.uid("bia")}
    place = {"origin": "server-1.0000000000000001", "lamport": 1, "wall_ms": 0, "prev": 0, "id": None}
    entry = seal(EMPTY, kind=Kind.USER_MESSAGE, body=SECRET.encode(), **uids, **place)
    refused = Quarantined("server-9.0000000000000099", 1, "forked", SECRET.encode(), "server-3")
    with closing(Replica.open(tmp_path, node="server-1")) as store:
        store.stage(Batch(entries=[entry], quarantined=[refused]))
        store.commit()
    return tmp_path / "replica.db"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_dump_hides_direct_messages(path: Path, form: list[str]) -> None:
    """As text and as JSON: the size without --direct, the words with it."""
    shy = CliRunner().invoke(replica, ["dump", str(path), *form])
    asked = CliRunner().invoke(replica, ["dump", str(path), "--direct", *form])
    assert (shy.exit_code, asked.exit_code) == (0, 0)
    assert SECRET not in shy.output
    assert "(direct message, 17 bytes)" in shy.output
    assert SECRET in asked.output


def test_quarantine_hides_what_was_refused(path: Path) -> None:
    """The bytes come with --direct only; without it their number."""
    shy = CliRunner().invoke(replica, ["quarantine", str(path), "--json"])
    asked = CliRunner().invoke(replica, ["quarantine", str(path), "--json", "--direct"])
    assert json.loads(shy.output)["raw"] == "(17 bytes)"
    assert bytes.fromhex(json.loads(asked.output)["raw"]).decode() == SECRET
