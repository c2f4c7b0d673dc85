"""Searches in a real server: threads, files, a kill, a shell that asks the index."""

import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from one_server import asked, servers
from plain_client import PlainClient
from processes import until

pytestmark = [pytest.mark.system, pytest.mark.slow]

COUNT = 300
# As docs/inspection.md tells it.
LOOK = """select e.body from words join source s on s.slot = words.rowid & 1023
    join log.origin o using (origin)
    cross join log.entry e on e.kind = 3 and e.lamport = words.rowid >> 10 and e.number = o.number and e.shown
    where words match 'said : ("cafe" AND "numero 7")' order by words.rowid desc limit 20"""


def indexed(client: PlainClient) -> None:
    """Wait until the index has everything."""
    until(lambda: asked(client, "status")["search"]["lag"] == 0, seconds=20, what="the index has all")


def test_what_is_said_is_found_over_kills(tmp_path: Path) -> None:
    """All is found after SIGKILL in the middle of the indexing, and a stop takes no longer for it."""
    with servers(tmp_path, "server-1") as (made, clients):
        one, client = made["server-1"], clients["server-1"]
        for round_ in (1, 2):
            one.start()
            until(lambda n=round_: one.lines("serving") == n, seconds=20, what="it serves")  # type: ignore[misc]
            if round_ == 1:
                asked(client, "login", user="ana")
                asked(client, "channel", channel="geral")
            for n in range(COUNT):
                asked(client, "publish", user="ana", channel="geral", message=f"café, número {n} de {round_}")
            if round_ == 1:
                one.end(signal.SIGKILL)
        indexed(client)
        found = asked(client, "search", text='cafe "numero 7"')["messages"]
        assert [m["message"] for m in found] == ["café, número 7 de 1", "café, número 7 de 2"]
        assert len(asked(client, "search", text="cafe", limit=200)["messages"]) == 200
        with closing(sqlite3.connect(f"file:{one.data / 'search.db'}?mode=ro", uri=True)) as shell:
            shell.execute("attach ? as log", (f"file:{one.data / 'replica.db'}?mode=ro",))
            assert shell.execute(LOOK).fetchall() == [("café, número 7 de 2",), ("café, número 7 de 1",)]
        stopping = time.monotonic()
        assert one.end() == 0
        assert time.monotonic() - stopping < 5.0
