"""What may be compared is compared, what may not is dropped and said."""

import json
from math import isclose

import msgspec

from bench.generator import Load, parse, publish
from bench.report import markdown
from bench.rounds import (
    FAILED,
    MIXED,
    SATURATED,
    Round,
    Sample,
    compare,
    dropped,
    is_steady,
    slope_per_hour,
    state_of,
)


def load(rate: float = 100.0, *, cores: float = 0.1) -> Load:
    """A load of that rate."""
    return Load(
        answered=10,
        measured=10,
        refused=0,
        seconds=0.1,
        rate=rate,
        p50_us=10,
        p99_us=20,
        p999_us=30,
        generator_cores=cores,
    )


def sample(who: str, rate: float, *, probes: tuple[float, float] = (100, 100), cores: float = 0.1) -> Sample:
    """One of `who`, with what the disk's probes said around it."""
    return Sample(who, load(rate, cores=cores), list(probes), processor_us=2.0, resident_mib=50.0)


def test_ratios_are_medians_of_pairs_not_ratios_of_medians() -> None:
    """Each round's own ratio counts: 2, 3 and 4 make 3, although the rates' medians make another number."""
    rounds = [
        Round("64x1", [sample("ours", ours), sample("peer", peer)])
        for ours, peer in ((200, 100), (3000, 1000), (40, 10))
    ]
    (found,) = compare(rounds, "ours", "peer")
    assert (found.rate.median, found.rate.low, found.rate.high) == (3, 2, 4)
    assert (found.state, found.rounds, found.shape) == ("fast", 3, "64x1")


def test_states_of_the_disk_are_told_apart() -> None:
    """Rounds on a fast disk and on a slow one make two comparisons."""
    rounds = [
        Round("1x1", [sample("ours", 10), sample("peer", 10)]),
        Round("1x1", [sample("ours", 40, probes=(4000, 4100)), sample("peer", 10, probes=(4100, 3900))]),
    ]
    assert {one.state: one.rate.median for one in compare(rounds, "ours", "peer")} == {"fast": 1, "slow": 4}
    assert [state_of(us) for us in (1, 100, 4000)] == ["no disk", "fast", "slow"]


def test_a_round_in_which_the_disk_changed_is_dropped_and_said() -> None:
    """One probe of four in another state is enough."""
    rounds = [Round("1x1", [sample("ours", 10), sample("peer", 10, probes=(100, 4000))])]
    assert list(compare(rounds, "ours", "peer")) == []
    assert dropped(rounds, "ours", "peer") == {MIXED: 1}


def test_a_round_is_repeated_only_for_the_disk() -> None:
    """Steady is a disk in one state; a saturated generator would be saturated again."""
    assert is_steady(Round("1x1", [sample("ours", 10), sample("peer", 10, cores=1.0)]))
    assert not is_steady(Round("1x1", [sample("ours", 10), sample("peer", 10, probes=(100, 4000))]))


def test_only_pairs_with_a_saturated_generator_are_dropped() -> None:
    """A generator that was the limit of one peer spoils nothing between the others."""
    rounds = [Round("1x1", [sample("ours", 10), sample("quick", 90, cores=0.95), sample("slow", 5)])]
    assert list(compare(rounds, "ours", "quick")) == []
    assert dropped(rounds, "ours", "quick") == {SATURATED: 1}
    assert [one.rate.median for one in compare(rounds, "ours", "slow")] == [2]
    assert dropped(rounds, "ours", "slow") == {}


def test_a_peer_that_failed_is_said_and_one_that_took_no_part_is_not() -> None:
    """A load that broke is a reason; a load that a peer cannot have (etcd with many out) is none."""
    rounds = [
        Round("1x1", [sample("ours", 10)], {"peer": "closed by the server"}),
        Round("8x64", [sample("ours", 10)]),
    ]
    assert dropped(rounds, "ours", "peer") == {FAILED: 1}


def test_the_slope_is_per_hour() -> None:
    """A MiB each minute is sixty an hour, whatever else the line does."""
    assert isclose(slope_per_hour([(60.0 * n, 50.0 + n) for n in range(10)]), 60.0)
    assert slope_per_hour([(0.0, 1.0)]) == 0.0


def test_the_generator_is_told_what_to_do_in_words() -> None:
    """Settings without a value are left out, and what it says before its line of JSON is not read."""
    words = publish(["load"], "redis-streams", ["127.0.0.1:1", "127.0.0.1:2"], window=8, level="")
    assert words == ["load", "publish", "redis-streams", "127.0.0.1:1,127.0.0.1:2", "bytes=120", "window=8"]
    line = json.dumps(msgspec.to_builtins(load(7.5)))
    assert parse(f"connected\nhearing\n{line}\n").rate == 7.5


def test_the_report_names_who_was_left_out_and_what_was_lost() -> None:
    """Neither a missing peer nor a lost delivery is silent."""
    lossy = Sample("Recado's broker alone", load(), [1, 1], 2.0, 50.0, lost=7)
    measured = {
        "what": "fanout",
        "directory": "build",
        "contenders": ["Recado's broker alone"],
        "versions": {"Recado's broker alone": "1"},
        "promises": {"Recado's broker alone": "none"},
        "left_out": ["ngircd: not installed (apt-get install ngircd)"],
        "rounds": [{"shape": "burst to 10", "samples": [to_json(lossy)], "failed": {}}],
    }
    lines = "\n".join(markdown({"fanout": [measured]}))
    assert "**left out**: ngircd" in lines
    assert "**7 lost**" in lines


def to_json(one: Sample) -> object:
    """As it comes out of the file."""
    return msgspec.to_builtins(one)
