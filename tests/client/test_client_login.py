"""Logging in again: the id of a login outlives the connection if it is given a place to."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from both_loops import on_both_loops
from fake_cluster import fake_cluster

from recado.client import Indeterminate, NameRefused, NameTaken, connect
from recado.keepsake import Keepsakes, write_durably


def kept_files(directory: Path) -> int:
    return len(list(directory.iterdir()))


@on_both_loops
async def test_a_login_is_remembered_in_the_data_directory(tmp_path: Path) -> None:
    """The same user comes back with `data`, also after a restart; without it the name is taken."""
    async with fake_cluster() as cluster:
        reaching = cluster.reaching()
        async with connect("ana", data=tmp_path, **reaching) as chat:
            first = await chat.login()
            assert (await chat.login()).id == first.id
        async with connect(" ana ", data=tmp_path, **reaching) as chat:
            assert (await chat.login()).id == first.id
        async with connect("ana", **reaching) as chat:
            with pytest.raises(NameTaken):
                await chat.login()


@on_both_loops
async def test_a_login_that_was_not_confirmed_keeps_its_id(tmp_path: Path) -> None:
    """After an indeterminate login the next process comes back as the same user."""
    async with fake_cluster(1) as cluster:
        cluster.servers[0].lost_replies = 99
        async with connect("ana", data=tmp_path, **cluster.reaching(level="local")) as chat:
            with pytest.raises(Indeterminate):
                await chat.login(deadline_seconds=1)
        cluster.servers[0].lost_replies = 0
        async with connect("ana", data=tmp_path, **cluster.reaching()) as chat:
            await chat.login()


@on_both_loops
async def test_a_refused_login_leaves_nothing_behind(tmp_path: Path) -> None:
    """When the name was somebody else's no id is kept, and without `data` a later login gets a new id."""
    async with fake_cluster(1) as cluster, connect("ana", data=tmp_path, **cluster.reaching()) as chat:
        cluster.shared.users["ana"] = b"somebody else's"
        with pytest.raises(NameTaken):
            await chat.login()
        assert kept_files(tmp_path) == 0
        cluster.shared.users.clear()
        await chat.login()
        assert kept_files(tmp_path) == 1


@on_both_loops
async def test_reading_needs_no_user() -> None:
    """Without a user reads work and everything that needs one is refused here."""
    async with fake_cluster(1) as cluster, connect(None, **cluster.reaching()) as chat:
        assert await chat.users() == []
        for action in (chat.login, chat.direct_messages):
            with pytest.raises(NameRefused):
                await action()  # type: ignore[operator]
        with pytest.raises(NameRefused):
            chat.subscribe(direct=True)


def test_a_keepsake_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """What was kept is either the old or the new content, in a file of its owner alone."""
    path = tmp_path / "deep" / "thing"
    write_durably(path, b"one")
    write_durably(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["thing"]


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"name": "bob"}', b'{"name": "ana", "id": 3}'])
def test_a_damaged_keepsake_counts_as_missing(tmp_path: Path, content: bytes) -> None:
    """Junk in the file of a login is as if there were none: a fresh id is minted and kept."""
    keepsakes = Keepsakes(tmp_path)
    keepsakes.keep("login", "ana", {"id": "00ff"})
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)

    async def main() -> None:
        async with fake_cluster(1) as cluster, connect("ana", data=tmp_path, **cluster.reaching()) as chat:
            assert len((await chat.login()).id) == 16

    anyio.run(main)
    kept: dict[str, Any] | None = keepsakes.recall("login", "ana")
    assert kept is not None
    assert len(bytes.fromhex(kept["id"])) == 16
