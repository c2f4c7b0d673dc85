"""What was to be reached (T1 to T14), and whether it was: each row from the results in the JSON alone.  Pure.

A ratio is ours divided by the peer's within one round: the median over the rounds that count, and its range,
by the state of the disk.  A row of which nothing was measured says so.  Where files are in memory an fsync
costs nobody anything: what durable publishes are compared by there is told, and is no verdict.
"""

from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Any, Final

import msgspec

from bench.catchup import PAGES, SNAPSHOT, CatchUp
from bench.failover import ETCD, JETSTREAM_R3, OTHERS, OWN, UNDISTURBED, Failover
from bench.history import NEWEST, OLDER, SEARCHES, SINCE, Length, flatness
from bench.paired import Measured
from bench.peers import etcd, mosquitto, nats, ngircd, rabbitmq, recado, redis
from bench.rounds import STATES, Comparison, Round, Sample, Spread, compare, state_of
from bench.security import Pairs
from bench.soak import SETTLED_SECONDS, Soak, allowed_mib_per_hour, is_flat

ONE_MILLION: Final = 1_000_000
BOUNDED_MIB: Final = 192.0  # the most that either end of a catching up may take, whatever the log's length
UNDISTURBED_TIMES: Final = 2.0  # a wait that is no longer than so many without any kill is no gap
NO_DISK: Final = STATES[0]
FLAT_TIMES: Final = 2.0  # p99 at ten million, divided by p99 at ten thousand


class Row(msgspec.Struct, frozen=True):
    """One target: `met` is None where nothing was measured.  `where`: the state of the disk, or the like."""

    target: str
    what: str
    limit: str
    where: str
    result: str
    met: bool | None


def rows(results: dict[str, Any]) -> Iterator[Row]:
    """All of them, in their order; at least one for each."""
    for name, (what, limit, of) in TARGETS.items():
        found = list(of(results))
        yield from found or [Row(name, what, limit, "", "not measured", None)]


def markdown(results: dict[str, Any]) -> Iterator[str]:
    """As a table."""
    yield "| | target | | disk | result | |"
    yield "|---|---|---|---|---|---|"
    for row in rows(results):
        met = {True: "met", False: "**missed**", None: ""}[row.met]
        yield f"| {row.target} | {row.what} | {row.limit} | {row.where} | {row.result} | {met} |"


# Ratios of pairs ---------------------------------------------------------------------------------------


def measured(results: dict[str, Any], name: str) -> list[Measured]:
    """What was measured under that name, by directory."""
    return msgspec.convert(results.get(name, []), list[Measured])


def _spread(spread: Spread, rounds: int) -> str:
    if spread.low == spread.high:
        return f"{spread.median:.2f} ({rounds})"
    return f"{spread.median:.2f} [{spread.low:.2f} .. {spread.high:.2f}] ({rounds})"


def _ratios(
    results: dict[str, Any],
    name: str,
    shape: str,
    ours: str,
    peer: str,
    *,
    of: Callable[[Comparison], Spread],
    target: str,
    what: str,
    least: float | None = None,
    most: float | None = None,
) -> Iterator[Row]:
    """A row for each state of the disk in which there is a pair: at least, or at most so much."""
    limit = f">= {least:g}" if least is not None else f"<= {most:g}"
    for place in measured(results, name):
        for one in compare([r for r in place.rounds if r.shape == shape], ours, peer):
            spread = of(one)
            met: bool | None = spread.median >= least if least is not None else spread.median <= (most or 0.0)
            if name != "fanout" and one.state == NO_DISK:
                met = None
            text = f"{shape}, {ours} / {peer}: {what}"
            yield Row(target, text, limit, one.state, _spread(spread, one.rounds), met)


def _rate(one: Comparison) -> Spread:
    return one.rate


def _p50(one: Comparison) -> Spread:
    return one.p50


def _p99(one: Comparison) -> Spread:
    return one.p99


def _samples(rounds: Sequence[Round], shape: str, contender: str) -> dict[str, list[Sample]]:
    """By the state of the disk, where it did not change during the load."""
    found: dict[str, list[Sample]] = {}
    for one in rounds:
        sample = one.sample(contender) if one.shape == shape else None
        states = set() if sample is None else {state_of(us) for us in sample.probes_us}
        if sample is not None and len(states) == 1:
            found.setdefault(states.pop(), []).append(sample)
    return found


def _of_samples(
    results: dict[str, Any],
    shape: str,
    contender: str,
    *,
    of: Callable[[Sample], float],
    target: str,
    what: str,
    limit: str,
    most: float,
) -> Iterator[Row]:
    """Ours alone: at most so much, by the state of the disk."""
    for place in measured(results, "publish"):
        for state, samples in _samples(place.rounds, shape, contender).items():
            spread = Spread.of([of(one) for one in samples])
            text = f"{shape}, {contender}: {what}"
            result = _spread(spread, len(samples))
            met = None if target == "T3" and state == NO_DISK else spread.median <= most
            yield Row(target, text, limit, state, result, met)


# One by one --------------------------------------------------------------------------------------------

SHORT, MANY = recado.SHORT.name, recado.MANY.name
JETSTREAM, RABBITMQ, REDIS = nats.ONE_COPY.name, rabbitmq.QUEUE.name, redis.STREAMS.name


def t1(results: dict[str, Any]) -> Iterator[Row]:
    """64 closed loops, one server: the rate."""
    for peer, least in ((JETSTREAM, 5.0), (RABBITMQ, 2.0), (REDIS, 1.0)):
        yield from _ratios(
            results, "publish", "64x1", SHORT, peer, of=_rate, target="T1", what="rate", least=least
        )


def t2(results: dict[str, Any]) -> Iterator[Row]:
    """Pipelined, in requests of one and of many: the rate."""
    for peer, least in ((JETSTREAM, 15.0), (RABBITMQ, 5.0), (REDIS, 1.0)):
        for ours in (SHORT, MANY):
            yield from _ratios(
                results, "publish", "8x64", ours, peer, of=_rate, target="T2", what="rate", least=least
            )


def t3(results: dict[str, Any]) -> Iterator[Row]:
    """One client: its median wait beside the disk's own, and its rate."""

    def beside_the_disk(one: Sample) -> float:
        return one.load.p50_us / (2 * median(one.probes_us) + 300.0)

    limit = "p50 <= 2 fdatasync + 0.3 ms: 1"
    yield from _of_samples(
        results,
        "1x1",
        SHORT,
        of=beside_the_disk,
        target="T3",
        what="p50 as a part of that",
        limit=limit,
        most=1.0,
    )
    for peer in (JETSTREAM, RABBITMQ):
        yield from _ratios(
            results, "publish", "1x1", SHORT, peer, of=_rate, target="T3", what="rate", least=0.75
        )


def t4(results: dict[str, Any]) -> Iterator[Row]:
    """64 closed loops: the slowest hundredth."""
    for peer, most in ((JETSTREAM, 0.3), (RABBITMQ, 0.25), (REDIS, 1.0)):
        yield from _ratios(
            results, "publish", "64x1", SHORT, peer, of=_p99, target="T4", what="p99", most=most
        )


def t5(results: dict[str, Any]) -> Iterator[Row]:
    """Three servers, answered by a quorum."""
    for peer, least in ((nats.THREE_COPIES.name, 5.0), (etcd.QUORUM.name, 1.5)):
        yield from _ratios(
            results,
            "replicated",
            "64x1",
            recado.QUORUM.name,
            peer,
            of=_rate,
            target="T5",
            what="rate",
            least=least,
        )


def t6(results: dict[str, Any]) -> Iterator[Row]:
    """What three copies cost: both answer after one fsynced copy, and only one of them has two more made."""
    yield from _ratios(
        results,
        "replicated",
        "64x1",
        recado.LOCAL.name,
        SHORT,
        of=_rate,
        target="T6",
        what="rate",
        least=0.6,
    )


def t7(results: dict[str, Any]) -> Iterator[Row]:
    """Bursts: through the broker alone, which promises as little as they do; beside NATS in what our clients
    speak, through the durable server; and nothing is lost."""
    bus = recado.BUS.name
    limits = (
        (nats.NEW_CORE.name, 1.0),
        (nats.CORE.name, 1.0),
        (ngircd.CHANNEL.name, 2.0),
        (mosquitto.QOS1.name, 8.0),
        (rabbitmq.FANOUT.name, 8.0),
    )
    places = measured(results, "fanout")
    bursts = dict.fromkeys(r.shape for p in places for r in p.rounds if r.shape.startswith("burst"))
    for shape in bursts:
        for peer, least in limits:
            yield from _ratios(
                results, "fanout", shape, bus, peer, of=_rate, target="T7", what="deliveries", least=least
            )
        for peer in (nats.NEW_CORE.name, nats.CORE.name):
            clients = recado.SPREAD_IN_RUNS.name
            yield from _ratios(
                results, "fanout", shape, clients, peer, of=_rate, target="T7", what="deliveries", least=1.0
            )
    ours = (bus, recado.SPREAD.name, recado.SPREAD_IN_RUNS.name)
    lost = [s.lost for p in places for r in p.rounds for s in r.samples if s.contender in ours]
    if lost:
        text = f"{sum(lost):,} in {len(lost)} loads"
        yield Row("T7", "deliveries that did not come, ours", "0", "", text, not sum(lost))


def t8(results: dict[str, Any]) -> Iterator[Row]:
    """Paced, 1,000 subscribers: published at the durable server, and seen; the peer keeps nothing."""
    for ours in (recado.SPREAD.name, recado.SPREAD_IN_RUNS.name):
        for peer in (nats.NEW_CORE.name, nats.CORE.name):
            yield from _ratios(
                results, "fanout", "paced to 1000", ours, peer, of=_p50, target="T8", what="p50", most=1.1
            )


def t9(results: dict[str, Any]) -> Iterator[Row]:
    """Processor time of 100,000 publishes."""
    for ours in (SHORT, MANY):
        yield from _of_samples(
            results,
            "8x64",
            ours,
            of=lambda one: one.processor_us / 10,
            target="T9",
            what="s CPU per 100,000",
            limit="<= 1.8",
            most=1.8,
        )


def t10(results: dict[str, Any]) -> Iterator[Row]:
    """kill -9: the longest wait of a client, medians over the kills."""
    if "failover" not in results:
        return
    found = msgspec.convert(results["failover"], Failover)
    gaps = {gap.name: gap.median_ms for gap in found.gaps}
    for peer, most in ((ETCD, 0.25), (JETSTREAM_R3, 0.1)):
        if peer in gaps and OWN in gaps:
            ratio = gaps[OWN] / max(gaps[peer], 1e-9)
            text = f"{ratio:.3f} ({gaps[OWN]:,.0f} ms / {gaps[peer]:,.0f} ms)"
            yield Row("T10", f"longest gap, {OWN} / {peer}", f"<= {most:g}", "", text, ratio <= most)
    if OTHERS in gaps and UNDISTURBED in gaps:
        ratio = gaps[OTHERS] / max(gaps[UNDISTURBED], 1e-9)
        text = f"{ratio:.2f} ({gaps[OTHERS]:,.0f} ms, {gaps[UNDISTURBED]:,.0f} ms if nobody is killed)"
        limit = f"no gap: <= {UNDISTURBED_TIMES:g} times the longest wait without a kill"
        yield Row("T10", OTHERS, limit, "", text, ratio <= UNDISTURBED_TIMES)


def t11(results: dict[str, Any]) -> Iterator[Row]:
    """An empty replica, by both ways."""
    found = msgspec.convert(results.get("catchup", []), list[CatchUp])
    for state in dict.fromkeys(state_of(one.fdatasync_us) for one in found):
        of_state = [one for one in found if state_of(one.fdatasync_us) == state]
        by_way = {way: [one for one in of_state if one.way == way] for way in (SNAPSHOT, PAGES)}
        if copies := [one.copies for one in by_way[SNAPSHOT]]:
            entries = f"{by_way[SNAPSHOT][0].entries:,} entries"
            spread = Spread.of(copies)
            text = _spread(spread, len(copies))
            yield Row("T11", f"snapshot / cp + fsync, {entries}", "<= 6", state, text, spread.median <= 6)
        if speeds := [one.rows_per_second for one in by_way[PAGES]]:
            text = f"{median(speeds):,.0f} [{min(speeds):,.0f} .. {max(speeds):,.0f}] ({len(speeds)})"
            met = median(speeds) >= 150_000
            yield Row("T11", "rows a second in pages", ">= 150,000", state, text, met)
        peak = max(max(one.peak_mib, one.donor_peak_mib) for one in of_state)
        limit = f"bounded: <= {BOUNDED_MIB:.0f} MiB"
        yield Row("T11", "peak memory of either end", limit, state, f"{peak:.0f} MiB", peak <= BOUNDED_MIB)


def t12(results: dict[str, Any]) -> Iterator[Row]:
    """The same loads, secured and open, in pairs."""
    for pairs in msgspec.convert(results.get("security", []), list[Pairs]):
        if pairs.load.startswith("publish"):
            ratios = [s.rate / max(o.rate, 1e-9) for s, o in zip(pairs.secured, pairs.open, strict=True)]
            spread = Spread.of(ratios)
            text = _spread(spread, len(ratios))
            yield Row("T12", f"{pairs.load}: rate secured / open", ">= 0.85", "", text, spread.median >= 0.85)


def t13(results: dict[str, Any]) -> Iterator[Row]:
    """Memory at rest with a million messages on disk, and over a soak."""
    for one in msgspec.convert(results.get("history", []), list[Length]):
        if one.entries >= ONE_MILLION:
            text, met = f"{one.idle_mib:.0f} MiB", one.idle_mib <= 80
            yield Row("T13", f"idle, {one.entries:,} messages on disk", "<= 80 MiB", "", text, met)
    if "soak" in results:
        soak = msgspec.convert(results["soak"], Soak)
        steepest = max(soak.memory, key=lambda one: one.slope_mib_per_hour)
        text = (
            f"{steepest.slope_mib_per_hour:+.2f} MiB an hour ({steepest.name}), {soak.seconds / 60:.0f} min"
        )
        limit = f"flat: <= {allowed_mib_per_hour(soak):.1f} MiB an hour"
        settled = soak.seconds >= 2 * SETTLED_SECONDS  # until then caches are filling
        yield Row("T13", "slope over a soak", limit, "", text, is_flat(soak) if settled else None)


def t14(results: dict[str, Any]) -> Iterator[Row]:
    """Pages and searches in the longest log that was measured."""
    found = msgspec.convert(results.get("history", []), list[Length])
    for kind in (NEWEST, OLDER, SINCE, *SEARCHES):
        timing = found[-1].timing(kind) if found else None
        if timing is None:
            continue
        what = f"{kind}, {found[-1].entries:,} entries: p99"
        yield Row("T14", what, "<= 10 ms", "", f"{timing.p99_ms:.2f} ms", timing.p99_ms <= 10)
        if (flat := flatness(found, kind)) is not None:
            what = f"{kind}: p99, divided by that of {found[0].entries:,}"
            yield Row("T14", what, f"flat: <= {FLAT_TIMES:g}", "", f"{flat:.2f}", flat <= FLAT_TIMES)


Rows = Callable[[dict[str, Any]], Iterator[Row]]
# What stands there if it was not measured, and how it is found.
TARGETS: Final[dict[str, tuple[str, str, Rows]]] = {
    "T1": ("64x1, one server: rate", ">= 5 JetStream, 2 RabbitMQ, 1 Redis", t1),
    "T2": ("8x64, one server: rate", ">= 15 JetStream, 5 RabbitMQ, 1 Redis", t2),
    "T3": ("1x1: p50 beside the disk, rate", "<= 2 fdatasync + 0.3 ms; >= 0.75 JetStream, RabbitMQ", t3),
    "T4": ("64x1: p99", "<= 0.3 JetStream, 0.25 RabbitMQ, 1 Redis", t4),
    "T5": ("three servers, quorum, 64x1: rate", ">= 5 JetStream R3, 1.5 etcd", t5),
    "T6": ("three copies / one, 64x1: rate", ">= 0.6", t6),
    "T7": ("burst to 10, 100, 1,000", ">= 1 NATS core, 2 ngircd, 8 Mosquitto, RabbitMQ; none lost", t7),
    "T8": ("paced to 1,000 through the server: p50", "<= 1.1 NATS core", t8),
    "T9": ("8x64: s CPU per 100,000", "<= 1.8", t9),
    "T10": ("kill -9 of one of three: longest gap", "<= 0.25 etcd, 0.1 JetStream R3; none for others", t10),
    "T11": ("an empty replica", "<= 6 cp + fsync; >= 150,000 rows/s; bounded memory", t11),
    "T12": ("secured / open: rate", ">= 0.85", t12),
    "T13": ("memory", "<= 80 MiB idle; flat", t13),
    "T14": ("history and search at 10 M", "p99 <= 10 ms; flat", t14),
}
