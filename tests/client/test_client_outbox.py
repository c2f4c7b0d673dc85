"""The outbox: what is written down before it is sent, and sent again until somebody confirms it."""

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from both_loops import on_both_loops
from fake_cluster import Cluster, fake_cluster

from recado.client import ChannelMissing, Chat, Queued, Sent, connect
from recado.outbox import OutboxFile, OutboxFull, Unsent
from recado.protocol.limits import OUTBOX_AGE_SECONDS_MAX, OUTBOX_LINES_SPARE, OUTBOX_MESSAGES_MAX


def note(number: int, *, written: int = 1000, text: str = "oi") -> Unsent:
    return Unsent(id=b"%016d" % number, channel="geral", dst=None, text=text, level=None, written=written)


def box(folder: Path, *, now: Callable[[], int] = lambda: 1000, user: str = "ana") -> OutboxFile:
    return OutboxFile(folder, user, now_seconds=now)


def texts(cluster: Cluster) -> list[str]:
    return [message["message"] for message in cluster.shared.messages]


def silence(cluster: Cluster, mute: bool = True) -> None:
    for server in cluster.servers:
        server.mute = mute


async def queue(chat: Chat, *said: str) -> None:
    for text in said:
        with pytest.raises(Queued):
            await chat.publish("geral", text, outbox=True)


def test_what_is_written_down_survives(tmp_path: Path) -> None:
    """Another process finds what waits, oldest first, without what is done with."""
    first = box(tmp_path)
    for number in range(3):
        first.add(note(number, text=f"olá {number}\n…"))
    assert first.done(note(1).id)
    assert not first.done(note(1).id)
    assert [message.text for message in box(tmp_path).unsent()] == ["olá 0\n…", "olá 2\n…"]
    assert box(tmp_path, user="bob").unsent() == ()


def test_two_processes_share_it(tmp_path: Path) -> None:
    """Each sees at once what the other wrote down or is done with; only one sends."""
    one, other = box(tmp_path), box(tmp_path)
    one.add(note(1))
    other.add(note(2))
    assert [m.id for m in one.unsent()] == [m.id for m in other.unsent()] == [note(1).id, note(2).id]
    one.done(note(2).id)
    assert [m.id for m in other.unsent()] == [note(1).id]
    with one.sending() as mine, other.sending() as others:
        assert (mine, others) == (True, False)
    with other.sending() as others:
        assert others


def test_torn_and_damaged_lines_are_left_out(tmp_path: Path) -> None:
    """A half-written last line, and a line with a flipped bit, cost that message only."""
    written = box(tmp_path)
    for number in range(3):
        written.add(note(number))
    (path,) = tmp_path.glob("outbox-*.log")
    content = bytearray(path.read_bytes())
    content[30] ^= 1
    path.write_bytes(bytes(content[:-9]))
    found = box(tmp_path)
    assert [m.id for m in found.unsent()] == [note(1).id]
    found.add(note(7))
    assert [m.id for m in box(tmp_path).unsent()] == [note(1).id, note(7).id]


def test_every_cut_of_the_file_is_readable(tmp_path: Path) -> None:
    """Wherever a power cut ends the file, what was durable before the cut line is found."""
    written = box(tmp_path)
    sizes = [0]
    (tmp_path / "cut").mkdir()
    for number in range(4):
        written.add(note(number))
        (path,) = tmp_path.glob("outbox-*.log")
        sizes.append(path.stat().st_size)
    content = path.read_bytes()
    for cut in range(len(content) + 1):
        (tmp_path / "cut" / path.name).write_bytes(content[:cut])
        whole = sum(size <= cut + 1 for size in sizes) - 1  # the last line break may be missing
        assert len(box(tmp_path / "cut").unsent()) == whole


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    """What is done with is dropped from the file, what waits stays; a reader of the old file goes on."""
    written, reader = box(tmp_path), box(tmp_path)
    written.add(note(0))
    assert len(reader.unsent()) == 1
    for number in range(1, 3 * OUTBOX_LINES_SPARE):
        written.add(note(number))
        written.done(note(number).id)
    (path,) = tmp_path.glob("outbox-*.log")
    assert len([line for line in path.read_bytes().split(b"\n") if line]) <= OUTBOX_LINES_SPARE + 4
    assert [m.id for m in reader.unsent()] == [note(0).id]


def test_it_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its limit nothing more is written down, and that is said."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    written = box(tmp_path)
    for number in range(OUTBOX_MESSAGES_MAX):
        written.add(note(number))
    with pytest.raises(OutboxFull):
        written.add(note(OUTBOX_MESSAGES_MAX))


def test_what_could_not_be_made_durable_is_not_found_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed fsync raises, and the message is neither sent nor found afterwards."""
    written = box(tmp_path)
    written.add(note(1))

    def broken(_descriptor: int) -> None:
        raise OSError("no")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match="no"):
            written.add(note(2))
    assert [m.id for m in written.unsent()] == [m.id for m in box(tmp_path).unsent()] == [note(1).id]


def test_after_seven_days_it_is_given_up(tmp_path: Path) -> None:
    """What has waited for longer is told once and is gone."""
    now = [1000]
    written = box(tmp_path, now=lambda: now[0])
    written.add(note(1))
    now[0] += OUTBOX_AGE_SECONDS_MAX
    written.add(note(2, written=now[0]))
    assert written.expire() == ()
    now[0] += 1
    assert [m.id for m in written.expire()] == [note(1).id]
    assert written.expire() == ()
    assert [m.id for m in box(tmp_path).unsent()] == [note(2).id]


@on_both_loops
async def test_a_lost_cluster_keeps_messages_in_the_outbox(tmp_path: Path) -> None:
    """While nobody answers messages wait; a later process sends them in order, once, with their ids."""
    async with fake_cluster() as cluster:
        options = cluster.reaching(level="local", data=tmp_path / str(id(cluster)))
        async with connect("ana", **options) as chat:
            await chat.create_channel("geral")
            receipt = await chat.publish("geral", "antes", outbox=True)
            assert receipt.key is not None
            assert chat.outbox.unsent == ()
            cluster.servers[0].lost_replies = 1
            for server in cluster.servers[1:]:
                server.mute = True
            cluster.servers[0].on_request = lambda _asked: silence(cluster)
            await queue(chat, "um", "dois")
        silence(cluster, False)
        cluster.servers[0].on_request = None
        async with connect("ana", **options) as chat:
            assert [m.text for m in chat.outbox.unsent] == ["um", "dois"]
            sent = await chat.outbox.send()
            assert [s.message.text for s in sent] == ["um", "dois"]
            assert all(s.receipt is not None for s in sent)
            assert chat.outbox.unsent == ()
        assert texts(cluster) == ["antes", "um", "dois"]


@on_both_loops
async def test_messages_keep_their_order(tmp_path: Path) -> None:
    """A new message goes after those that wait, also if it is the one that finds somebody again."""
    async with fake_cluster() as cluster:
        options = cluster.reaching(level="local", data=tmp_path / str(id(cluster)))
        async with connect("ana", **options) as chat:
            await chat.create_channel("geral")
            silence(cluster)
            await queue(chat, "um", "dois")
            silence(cluster, False)
            await chat.publish("geral", "três", outbox=True)
        assert texts(cluster) == ["um", "dois", "três"]


@on_both_loops
async def test_what_is_refused_stays_and_holds_nothing_back(tmp_path: Path) -> None:
    """A refusal at once is raised and nothing is kept; one of what waited is told, and can be repeated."""
    async with fake_cluster() as cluster:
        options = cluster.reaching(level="local", data=tmp_path / str(id(cluster)))
        async with connect("ana", **options) as chat:
            await chat.create_channel("geral")
            with pytest.raises(ChannelMissing):
                await chat.publish("nada", "oi", outbox=True)
            assert chat.outbox.unsent == ()
            silence(cluster)
            with pytest.raises(Queued):
                await chat.publish("nada", "cedo", outbox=True)
            await queue(chat, "depois")
            silence(cluster, False)
            refused, sent = await chat.outbox.send()
            assert isinstance(refused.refused, ChannelMissing)
            assert sent.receipt is not None
            assert [m.refused for m in chat.outbox.unsent] == ["channel_missing"]
            assert await chat.outbox.send() == []
            await chat.create_channel("nada")
            (sent,) = await chat.outbox.send(refused=True)
            assert sent.receipt is not None
            silence(cluster)
            await queue(chat, "esqueça")
            assert chat.outbox.drop(chat.outbox.unsent[0].id)
            assert chat.outbox.unsent == ()


@on_both_loops
async def test_it_is_sent_by_itself(tmp_path: Path) -> None:
    """A task sends what waits within the pause after somebody answers again, and tells of each."""
    told: list[Sent] = []
    left = anyio.Event()

    def tell(sent: Sent) -> None:
        told.append(sent)
        left.set()

    async with fake_cluster() as cluster, anyio.create_task_group() as tasks:
        options = cluster.reaching(level="local", data=tmp_path / str(id(cluster)))
        async with connect("ana", **options) as chat:
            await chat.create_channel("geral")
            tasks.start_soon(chat.outbox.keep_sending, tell)
            silence(cluster)
            await queue(chat, "um")
            silence(cluster, False)
            with anyio.fail_after(60):
                await left.wait()
            assert told[0].message.text == "um"
            assert texts(cluster) == ["um"]
            tasks.cancel_scope.cancel()


@on_both_loops
async def test_without_a_directory_there_is_none() -> None:
    """The outbox without `data` is an error of the program, before anything is sent."""
    async with fake_cluster() as cluster, connect("ana", **cluster.reaching()) as chat:
        with pytest.raises(ValueError, match="data"):
            await chat.publish("geral", "oi", outbox=True)
        assert cluster.servers[0].asked == []
