"""What each rule of the leased election is for: switched off, a storm made for it finds what it prevents."""

from typing import Any

import msgspec
import pytest
from election_storm import Violation
from election_weather import DIRECTED, OVERTAKEN, SPOILT, STRANDED, Storm

from recado.protocol.election import ElectionTimings
from recado.protocol.election_rules import Rules


class Storms(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of weather, and within how many of its seeds a missing rule is to be noticed."""

    seeds: int
    kinds: set[str]
    options: dict[str, Any] = {}
    chaos_seconds: float = 60.0
    late_seconds: float = 0.0


QUICK = ElectionTimings(rpc_seconds=0.3, renew_seconds=0.3, backoff_seconds=(0.02, 0.1))
KEEN = ElectionTimings(backoff_seconds=(0.2, 0.4))
TWO = {"two_coordinators"}

NOTICED: dict[str, Storms] = {
    "sticky": Storms(seeds=30, kinds=TWO, options={"faults": DIRECTED}),
    "boot_silence": Storms(seeds=20, kinds=TWO, options={"faults": DIRECTED}),
    "static_members": Storms(seeds=10, kinds=TWO),
    "lease_from_send": Storms(
        seeds=40,
        kinds=TWO,
        options={"faults": OVERTAKEN, "timings": KEEN},
        chaos_seconds=121.0,
        late_seconds=0.9,
    ),
    "margin": Storms(
        seeds=60, kinds=TWO, options={"faults": OVERTAKEN, "timings": QUICK}, chaos_seconds=121.0
    ),
    "prevote": Storms(seeds=10, kinds={"not_the_highest"}),
    "renew_announces": Storms(seeds=5, kinds={"disagree"}),
    "hold_down": Storms(seeds=20, kinds={"restless"}, options={"permanent": "flapping"}, chaos_seconds=30.0),
    "silent_defer": Storms(
        seeds=40, kinds={"unavailable"}, options={"permanent": "flapping"}, chaos_seconds=30.0
    ),
    "re_epoch": Storms(seeds=60, kinds={"disagree"}, options={"faults": STRANDED}, chaos_seconds=35.0),
    "re_epoch_keep": Storms(seeds=60, kinds=TWO, options={"faults": SPOILT}),
    "unique_epochs": Storms(
        seeds=60, kinds={"epoch_twice"}, options={"faults": ("crash", "crash", "crash_top", "rejoin")}
    ),
}

# Nothing breaks without these: B1 follows from the silence of voters, B11 and the nonce from the answers to
# a pre-vote, which name the coordinator at work; a release only saves the wait for a promise to end.
MERE_DEFENCE = {"boot_listen", "abort_campaign", "nonce", "release"}


def first_violation(storms: Storms, rules: Rules) -> tuple[int, str] | None:
    """The first seed of these storms with a violation, and its kind; None if they all pass."""
    for seed in range(storms.seeds):
        storm = Storm(seed, mode="quorum", rules=rules, **storms.options)
        storm.chaos_seconds, storm.late_seconds = storms.chaos_seconds, storms.late_seconds
        try:
            storm.core() if storm.permanent else storm.weather()
        except Violation as violation:
            return seed, violation.kind
    return None


@pytest.mark.slow
@pytest.mark.parametrize("rule", NOTICED)
def test_a_rule_switched_off_is_noticed(rule: str) -> None:
    """Without the rule its storms find what it prevents, within the number of seeds stated."""
    found = first_violation(NOTICED[rule], Rules(**{rule: False}))
    assert found is not None
    assert found[1] in NOTICED[rule].kinds


@pytest.mark.slow
@pytest.mark.parametrize("rule", NOTICED)
def test_with_all_rules_the_same_storms_pass(rule: str) -> None:
    """The storms that a missing rule does not survive do no harm to the whole."""
    few = msgspec.structs.replace(NOTICED[rule], seeds=min(20, NOTICED[rule].seeds))
    assert first_violation(few, Rules()) is None


def test_every_rule_is_noticed_or_known_to_be_mere_defence() -> None:
    """No rule is without its storm, but those listed with the reason."""
    assert NOTICED.keys() | MERE_DEFENCE == {field.name for field in msgspec.structs.fields(Rules)}
    assert not NOTICED.keys() & MERE_DEFENCE
