"""What a long log does can be measured: it is made, read, caught up with and written to for a while."""

from pathlib import Path

import msgspec
import pytest

from bench import catchup, history, soak
from bench.long_log import RARE_EVERY, LongLog
from bench.report import markdown
from storage.replica import Replica
from storage.verification import verify


def test_a_long_log_is_one_that_a_server_could_have_written(tmp_path: Path) -> None:
    """Every hash is right, views and counts follow from the entries, and it grows where it ended."""
    log = LongLog(tmp_path / "server-1")
    assert log.grow(900).entries == 900
    assert log.grow(1_000).entries == 1_000
    replica = Replica.open(tmp_path / "server-1", node="server-1")
    assert {origin: head.seq for origin, head in replica.heads().items()} == log.heads()
    assert replica.counts().entries == 1_000
    assert len(replica.last_messages(channel="bench-1", limit=1_000)) > 900 // 20
    replica.close()
    report = verify([tmp_path / "server-1" / "replica.db"])
    assert report.differences == []


def test_few_messages_of_a_long_log_are_rare(tmp_path: Path) -> None:
    """A channel and a user's messages come once in ten thousand."""
    log = LongLog(tmp_path / "server-1")
    log.grow(3 * RARE_EVERY)
    replica = Replica.open(tmp_path / "server-1", node="server-1")
    assert len(replica.last_messages(channel="bench-rare", limit=100)) == 2
    replica.close()


@pytest.mark.slow
@pytest.mark.system
def test_pages_of_a_growing_log_are_timed_at_each_size(tmp_path: Path) -> None:
    """Each kind of request has its percentiles at each size, and a line in the report."""
    found = history.measure(tmp_path, sizes=[500, 1_000], pages=4)
    assert [one.entries for one in found] == [500, 1_000]
    assert all(0 < t.p50_ms <= t.p99_ms <= t.longest_ms for one in found for t in one.timings)
    assert all(one.start_seconds > 0 and one.idle_mib > 10 for one in found)
    flat = history.flatness(found, history.NEWEST)
    assert flat is not None
    assert flat > 0
    lines = list(markdown({"history": msgspec.to_builtins(found)}))
    assert any(line.startswith(f"| {history.OLDER} |") for line in lines)


@pytest.mark.slow
@pytest.mark.system
def test_an_empty_server_catches_up_in_both_ways(tmp_path: Path) -> None:
    """By a snapshot and in pages it ends with all entries; both are timed beside a copy of the file."""
    found = catchup.measure(tmp_path, entries=3_000)
    assert [one.way for one in found] == [catchup.SNAPSHOT, catchup.PAGES]
    assert all(one.seconds > 0 and one.copy_seconds > 0 and one.peak_mib > 10 for one in found)
    lines = list(markdown({"catchup": msgspec.to_builtins(found)}))
    assert any(line.startswith("| pages | 3,000 |") for line in lines)


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.needs("cc")
@pytest.mark.parametrize("rate", [100, 0], ids=["paced", "closed loop"])
def test_a_soak_writes_each_part_and_every_daemons_memory(tmp_path: Path, rate: float) -> None:
    """Parts, percentiles over all of them and four slopes; the file holds the same as the answer."""
    to = tmp_path / "soak.json"
    found = soak.measure(tmp_path, seconds=2.0, rate=rate, part_seconds=0.9, to=to)
    assert len(found.parts) == 2
    assert [one.name for one in found.memory] == ["server-1", "server-2", "server-3", "broker"]
    assert all(mib > 10 for one in found.memory for _, mib in one.seen)
    assert found.whole is not None
    assert 0 < found.whole.p50_us <= found.whole.p999_us
    if rate:
        assert found.whole.rate == pytest.approx(rate, rel=0.2)
    written = msgspec.json.decode(to.read_bytes(), type=soak.Soak)
    assert written.parts == found.parts
    assert any(line.startswith("| broker |") for line in markdown({"soak": msgspec.to_builtins(found)}))


def test_memory_that_grows_with_messages_is_not_flat() -> None:
    """At 1,000 a second 36 MiB an hour are allowed and 40 are not."""
    part = soak.Part(0, 3600, 1000.0, 0, 1, 2, 3, 4)
    calm, fat = soak.Memory("server-1", [], 35.0), soak.Memory("server-2", [], 40.0)
    steady = soak.Soak(0, 3600, "recado-short", [part], [calm])
    assert soak.allowed_mib_per_hour(steady) == pytest.approx(36.0)
    assert soak.is_flat(steady)
    assert not soak.is_flat(msgspec.structs.replace(steady, memory=[calm, fat]))
