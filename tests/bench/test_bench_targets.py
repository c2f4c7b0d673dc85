"""Each row of the table of targets follows from what was measured, and says so where nothing was."""

from typing import Any

import msgspec
import pytest

from bench import targets
from bench.catchup import PAGES, SNAPSHOT, CatchUp
from bench.failover import ETCD, JETSTREAM_R3, OTHERS, OWN, UNDISTURBED, Failover, Gaps
from bench.generator import Load
from bench.history import NEWEST, Length, Timing
from bench.paired import Measured
from bench.peers import etcd, nats, rabbitmq, recado, redis
from bench.rounds import Round, Sample
from bench.security import Measured as Cost
from bench.security import Pairs
from bench.soak import Memory, Part, Soak

SHORT, MANY = recado.SHORT.name, recado.MANY.name
JETSTREAM, RABBITMQ, REDIS = nats.ONE_COPY.name, rabbitmq.QUEUE.name, redis.STREAMS.name


def sample(who: str, rate: float = 100.0, *, ms: float = 1.0, us: float = 10.0, lost: int = 0) -> Sample:
    """One on a fast disk; p50 and p99 are `ms`, processor time a message `us`."""
    load = Load(1, 1, 0, 1.0, rate, round(ms * 1000), round(ms * 1000), round(ms * 1000), 0.1)
    return Sample(who, load, [100.0, 100.0], us, 50.0, lost)


def place(what: str, shape: str, *rounds: list[Sample]) -> dict[str, Any]:
    """Results of these rounds, as they are in the JSON."""
    names = list(dict.fromkeys(one.contender for samples in rounds for one in samples))
    done = [Round(shape, samples) for samples in rounds]
    found = Measured(what, "build", names, dict.fromkeys(names, "1"), dict.fromkeys(names, ""), [], done)
    return {what: msgspec.to_builtins([found])}


def met(results: dict[str, Any], target: str, part: str = "") -> list[bool | None]:
    """What became of the rows of a target that speak of `part`."""
    return [row.met for row in targets.rows(results) if row.target == target and part in row.what]


def test_what_was_not_measured_is_said() -> None:
    """Of no results each of the fourteen has one row without a verdict, and a line in the table."""
    rows = list(targets.rows({}))
    assert [row.target for row in rows] == [f"T{n}" for n in range(1, 15)]
    assert {(row.result, row.met) for row in rows} == {("not measured", None)}
    assert len(list(targets.markdown({}))) == 2 + 14


def test_t1_is_the_rate_of_64_closed_loops() -> None:
    """Five times JetStream is reached, twice RabbitMQ is not, and the median of the rounds decides."""
    rounds = [
        [sample(SHORT, 600), sample(JETSTREAM, 100), sample(RABBITMQ, 400), sample(REDIS, ours)]
        for ours in (300, 500, 1000)
    ]
    results = place("publish", "64x1", *rounds)
    assert met(results, "T1", JETSTREAM) == [True]
    assert met(results, "T1", RABBITMQ) == [False]
    assert met(results, "T1", REDIS) == [True]
    (row,) = [r for r in targets.rows(results) if r.target == "T1" and REDIS in r.what]
    assert (row.result, row.where, row.limit) == ("1.20 [0.60 .. 2.00] (3)", "fast", ">= 1")


def test_t2_has_a_row_for_each_form_of_request() -> None:
    """Requests of one reach half of Redis, requests of many one and a half of it."""
    results = place("publish", "8x64", [sample(SHORT, 50), sample(MANY, 150), sample(REDIS, 100)])
    assert met(results, "T2", SHORT) == [False]
    assert met(results, "T2", MANY) == [True]


@pytest.mark.parametrize(("p50_ms", "verdict"), [(0.5, True), (0.51, False)])
def test_t3_is_beside_the_disk(p50_ms: float, verdict: bool) -> None:
    """With fdatasync of 0.1 ms one client may wait for half a millisecond."""
    results = place("publish", "1x1", [sample(SHORT, 70, ms=p50_ms), sample(JETSTREAM, 100)])
    assert met(results, "T3", "p50") == [verdict]
    assert met(results, "T3", "rate") == [False]


def test_t4_is_the_slowest_hundredth() -> None:
    """Three tenths of JetStream's are allowed."""
    results = place("publish", "64x1", [sample(SHORT, ms=3), sample(JETSTREAM, ms=10), sample(REDIS, ms=2)])
    assert met(results, "T4") == [True, False]


def test_t5_compares_quorums_and_t6_local_answers() -> None:
    """Both sides of a ratio promise the same: a quorum in T5, one fsynced copy in T6."""
    everybody = [
        sample(recado.QUORUM.name, 300),
        sample(recado.LOCAL.name, 590),
        sample(SHORT, 1000),
        sample(nats.THREE_COPIES.name, 50),
        sample(etcd.QUORUM.name, 250),
    ]
    results = place("replicated", "64x1", everybody)
    assert met(results, "T5") == [True, False]
    assert met(results, "T6") == [False]


def test_in_memory_durability_is_not_compared_and_processor_time_is() -> None:
    """Without a disk the ratio is told and is no verdict; what a message costs is one."""
    samples = [
        msgspec.structs.replace(one, probes_us=[1.0, 1.0]) for one in (sample(SHORT, us=17), sample(REDIS))
    ]
    results = place("publish", "8x64", samples)
    assert met(results, "T2", REDIS) == [None]
    assert met(results, "T9", SHORT) == [True]


def test_a_short_soak_is_no_verdict() -> None:
    """Within twenty minutes caches are still filling."""
    part = Part(0, 600, 100.0, 0, 1, 2, 3, 4)
    soak = Soak(100.0, 600, "recado-short", [part], [Memory("server-1", [], 1000.0)])
    assert met({"soak": msgspec.to_builtins(soak)}, "T13") == [None]


def test_t7_is_missed_if_anything_is_lost() -> None:
    """A rate above NATS' is one thing, a delivery that did not come another."""
    ours, peer = recado.BUS.name, nats.CORE.name
    results = place("fanout", "burst to 100", [sample(ours, 200, lost=1), sample(peer, 100)])
    assert met(results, "T7", peer) == [True]
    assert met(results, "T7", "did not come") == [False]


def test_t8_is_through_the_durable_server() -> None:
    """1.1 times what NATS core takes is allowed."""
    results = place(
        "fanout", "paced to 1000", [sample(recado.SPREAD.name, ms=11), sample(nats.CORE.name, ms=10)]
    )
    assert met(results, "T8") == [True]


def test_t9_is_processor_time() -> None:
    """18 us a message are 1.8 s for 100,000."""
    results = place("publish", "8x64", [sample(SHORT, us=18.1), sample(MANY, us=17.9)])
    assert met(results, "T9") == [False, True]


def test_t10_is_the_longest_gap() -> None:
    """Of clients of the killed server beside the peers; of all others beside what there is without a kill."""
    gaps = {OWN: 100.0, OTHERS: 30.0, UNDISTURBED: 10.0, ETCD: 500.0, JETSTREAM_R3: 900.0}
    found = Failover([Gaps(name, "1", [ms], [1.0]) for name, ms in gaps.items()], [])
    assert met({"failover": msgspec.to_builtins(found)}, "T10") == [True, False, False]


def test_t11_is_of_both_ways_and_of_memory() -> None:
    """A snapshot of seven copies is too slow, 200,000 rows a second are enough, and so is 100 MiB."""
    found = [
        CatchUp(SNAPSHOT, 1_000_000, 7.0, 0.5, 1.0, 200, 90, 60, 100, 5.0, 100.0),
        CatchUp(PAGES, 1_000_000, 5.0, 0.5, 1.0, 200, 90, 60, 100, 5.0, 100.0),
    ]
    assert met({"catchup": msgspec.to_builtins(found)}, "T11") == [False, True, True]


def test_t12_is_the_median_of_pairs_of_publishes() -> None:
    """Conversations are left to the table of keys."""
    open_, secured = [Cost(1, 1, 100.0)] * 3, [Cost(1, 1, rate) for rate in (50.0, 86.0, 90.0)]
    found = [Pairs("publish 8 x 64", open_, secured), Pairs("8 x 64, 10 subscribers", open_, secured)]
    assert met({"security": msgspec.to_builtins(found)}, "T12") == [True]


def length(entries: int, *, idle_mib: float, p99_ms: float) -> Length:
    """A log of that length, the newest page of which was asked for."""
    return Length(entries, 1.0, 1.0, 1.0, idle_mib, 0.0, 1.0, [Timing(NEWEST, 1, 1.0, p99_ms, p99_ms)])


def test_t13_is_of_a_million_messages_and_of_a_soak() -> None:
    """Small logs say nothing of memory; a slope above what is allowed is missed."""
    lengths = [length(10_000, idle_mib=99, p99_ms=1), length(1_000_000, idle_mib=79, p99_ms=1)]
    part = Part(0, 3600, 100.0, 0, 1, 2, 3, 4)
    soak = Soak(100.0, 3600, "recado-short", [part], [Memory("server-1", [], 3.7), Memory("broker", [], 0.0)])
    results = {"history": msgspec.to_builtins(lengths), "soak": msgspec.to_builtins(soak)}
    assert met(results, "T13") == [True, False]


def test_t14_is_of_the_longest_log() -> None:
    """Nine milliseconds are enough and three times as many as at first are not flat."""
    lengths = [length(10_000, idle_mib=1, p99_ms=3), length(10_000_000, idle_mib=1, p99_ms=9)]
    assert met({"history": msgspec.to_builtins(lengths)}, "T14") == [True, False]
