"""What several tasks publish at once, from the library to a real server over ZeroMQ, and over CURVE."""

from functools import partial
from pathlib import Path

import anyio
import pytest
from one_server import servers
from test_secured_server import ANA, SERVER, secured_server

from recado.client import Chat, Receipt, connect
from recado.keys import write_identity
from recado.roster import Roster

pytestmark = pytest.mark.system
EACH = 4
WAIT_SECONDS = 60.0


async def talk(chat: Chat, name: int, receipts: dict[str, Receipt]) -> None:
    """Say a few things, one after the other."""
    for number in range(EACH):
        receipts[f"{name} {number}"] = await chat.publish("geral", f"{name} {number}")


async def everybody(connected: "partial[object]", count: int) -> None:
    """All talk at once; each message is in the history once, at its receipt's place, in its task's order."""
    receipts: dict[str, Receipt] = {}
    with anyio.fail_after(WAIT_SECONDS):
        async with connected() as chat:  # type: ignore[attr-defined]
            await chat.login()
            await chat.create_channel("geral")
            async with anyio.create_task_group() as tasks:
                for name in range(count):
                    tasks.start_soon(talk, chat, name, receipts)
            page = await chat.history("geral", limit=1000)
            assert chat._connection._bundles._known == {chat.server}
    assert len(page) == count * EACH
    assert {message.text: message.key for message in page} == {t: r.key for t, r in receipts.items()}
    for name in range(count):
        mine = [message.text for message in page if message.text.split()[0] == str(name)]
        assert mine == [f"{name} {number}" for number in range(EACH)]


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_many_tasks_over_zeromq(tmp_path: Path, backend: str) -> None:
    """Sixty-four tasks share their requests to a server without keys."""
    with servers(tmp_path, "a") as (made, _):
        made["a"].start()
        made["a"].ready()
        anyio.run(everybody, partial(connect, "ana", servers=[made["a"].address]), 64, backend=backend)
        made["a"].end()


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_many_tasks_over_curve(tmp_path: Path, backend: str) -> None:
    """The same to a server with keys, by a user with one; no more than a user may send at once."""
    write_identity(tmp_path / "ana.key", ANA)
    with secured_server(tmp_path) as server:
        roster = Roster(cluster="recado").with_part(SERVER.public_part)
        ana = partial(connect, "ana", servers=[server.address], roster=roster, key=tmp_path / "ana.key")
        anyio.run(everybody, ana, 8, backend=backend)
