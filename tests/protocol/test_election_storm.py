"""Both modes of Bully in bad weather: storms, permanent faults, and how soon somebody coordinates."""

import os
from collections.abc import Iterable
from math import inf
from typing import Any

import pytest
from election_storm import Mode, Violation
from election_weather import PERMANENT_FAULTS, Storm

from recado.protocol.election import Bully, Effect
from recado.protocol.election_values import Answer, Campaign, Member, Question
from recado.protocol.messages import Coordinator

SEEDS = int(os.environ.get("RECADO_STORM_SEEDS", "200"))
MODES: tuple[Mode, ...] = ("available", "quorum")
both_modes = pytest.mark.parametrize("mode", MODES)


def first_violation(
    seeds: Iterable[int], *, machine: type[Bully], permanent: str | None = None
) -> str | None:
    """The kind of the first violation in these histories, or None."""
    for seed in seeds:
        storm = Storm(seed, machine=machine, permanent=permanent)
        try:
            storm.core() if permanent else storm.weather()
        except Violation as violation:
            return violation.kind
    return None


@both_modes
def test_after_healing_the_highest_leads_and_everybody_knows(mode: Mode) -> None:
    """In 25 storms no two act, no epoch is won twice, and after healing the highest leads, known to all."""
    for seed in range(25):
        Storm(seed, mode=mode).weather()


@pytest.mark.slow
@both_modes
def test_after_healing_the_highest_leads_in_many_storms(mode: Mode) -> None:
    """The same in further and longer storms: 200, or as many as RECADO_STORM_SEEDS says."""
    for seed in range(10_000, 10_000 + SEEDS):
        storm = Storm(seed, mode=mode)
        storm.chaos_seconds = 60.0
        storm.weather()


@pytest.mark.slow
@both_modes
@pytest.mark.parametrize("permanent", PERMANENT_FAULTS)
def test_one_bad_member_does_not_unsettle_the_rest(mode: Mode, permanent: str) -> None:
    """With one fault that never heals somebody acts 80 % of the time, with at most 4 changes a minute."""
    for seed in range(max(1, SEEDS // 8)):
        Storm(seed, mode=mode, permanent=permanent).core()


@both_modes
def test_a_seed_is_a_history(mode: Mode) -> None:
    """The same seed gives the same history, line by line."""
    one, two = Storm(42, mode=mode), Storm(42, mode=mode)
    one.weather()
    two.weather()
    assert one.record == two.record
    assert any("LEADS" in line for line in one.record)


def calm(seed: int, mode: Mode) -> Storm:
    """A cluster that started in fair weather and has its coordinator."""
    storm = Storm(seed, mode=mode)
    storm.chaos_seconds = 0.0
    storm.start_all()
    storm.run(25)
    storm.judge_healed()
    return storm


def heir_of(storm: Storm) -> str:
    """Who follows the highest."""
    return max(member for member in storm.members if member != storm.top).name


@both_modes
def test_a_killed_coordinator_is_replaced_within_twelve_seconds(mode: Mode) -> None:
    """Coordinator killed: the next highest acts within 12 s, in half of the cases 8 s, followed by all."""
    took = []
    for seed in range(60):
        storm = calm(seed, mode)
        storm.nodes[storm.top.name].crash()
        before, at = len(storm.changes), storm.time
        storm.run(at + 12)
        assert [name for _, name in storm.changes[before:]] == [heir_of(storm)]
        took.append(storm.changes[-1][0] - at)
        left = [node for node in storm.nodes.values() if node.up]
        assert {node.machine.coordinator.name for node in left if node.machine.coordinator} == {
            heir_of(storm)
        }
    assert sorted(took)[len(took) // 2] < 8


@both_modes
def test_a_coordinator_that_resigns_is_replaced_within_three_seconds(mode: Mode) -> None:
    """A graceful stop tells everybody: the heir leads within 3 s, in one change."""
    for seed in range(60):
        storm = calm(seed, mode)
        top = storm.nodes[storm.top.name]
        before = len(storm.changes)
        top.carry_out(top.machine.resign())
        top.crash()
        storm.run(storm.time + 3)
        assert [name for _, name in storm.changes[before:]] == [heir_of(storm)]


def test_a_coordinator_that_resigns_among_restarted_ones_is_replaced_within_three_seconds() -> None:
    """Whoever has just started waits neither to have listened nor to have held down: the highest leads."""
    for seed in range(60):
        storm = calm(seed, "available")
        heir = storm.nodes[heir_of(storm)]
        heir.crash()
        heir.start()
        storm.run(storm.time + 2)
        top = storm.nodes[storm.top.name]
        before = len(storm.changes)
        top.carry_out(top.machine.resign())
        top.crash()
        storm.run(storm.time + 3)
        assert [name for _, name in storm.changes[before:]] == [heir.name]


@both_modes
def test_a_resigned_member_neither_stands_nor_objects(mode: Mode) -> None:
    """After `resign` a member that goes on answering lets the heir win, and never stands itself."""
    storm = calm(7, mode)
    top = storm.nodes[storm.top.name]
    top.carry_out(top.machine.resign())
    top.arm()
    storm.run(storm.time + 20)
    assert storm.changes[-1][1] != storm.top.name
    assert not top.machine.leading


def test_a_fast_start_has_its_coordinator_within_four_seconds() -> None:
    """A cluster that starts for the first time has the highest as coordinator, known to all, in 4 s."""
    for seed in range(60):
        storm = Storm(seed)
        storm.chaos_seconds, storm.fast_start = 0.0, True
        storm.start_all()
        storm.run(4)
        storm.judge_healed()


def test_a_cold_start_with_leases_has_its_coordinator_within_fifteen_seconds() -> None:
    """In mode `quorum` voters are silent at first; 15 s after the start the highest acts, known to all."""
    for seed in range(60):
        storm = Storm(seed, mode="quorum")
        storm.chaos_seconds = 0.0
        storm.start_all()
        storm.run(15)
        storm.judge_healed()


@both_modes
def test_the_old_highest_takes_over_again(mode: Mode) -> None:
    """The highest returns: it takes over after listening and hold-down, once, and everybody agrees."""
    for seed in range(60):
        storm = calm(seed, mode)
        top = storm.nodes[storm.top.name]
        top.crash()
        storm.run(storm.time + 15)
        before = len(storm.changes)
        top.start()
        storm.run(storm.time + 5)
        assert len(storm.changes) == before, "it waits for its hold-down"
        storm.run(storm.time + 12)
        storm.judge_healed()
        assert [name for _, name in storm.changes[before:]] == [storm.top.name]


# Mutants: each has one rule off, and a judge that says so -----------------------------------------


class SharedEpochs(Bully):
    """An epoch does not tell one life of a member from the next."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options | {"boot": "same"})


class Forgetful(Bully):
    """The epoch is not kept before the request leaves."""

    def _stand(self, now: float) -> list[Effect]:
        effects = super()._stand(now)
        return [*effects[1:], effects[0]]


class Meek(Bully):
    """The highest neither objects nor takes over."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._patience._hold_until = inf


class Egoist(Bully):
    """No OK on behalf of the living coordinator: who cannot hear it deposes it in everybody's eyes."""

    def _count(self, campaign: Campaign, member: Member, *, answer: Answer, now: float) -> list[Effect]:
        return super()._count(campaign, member, answer=Answer(election="grant"), now=now)


class Stubborn(Bully):
    """A coordinator that meets a larger epoch goes on with its own."""

    def _outdated(self) -> bool:
        return False


class Restless(Bully):
    """No hold-down and no listening: each return of the highest deposes the coordinator."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._patience._hold_until = self._patience._listen_until = self._patience.next_try


class DeafToRenewals(Bully):
    """Only announcements name the coordinator; a lost one is lost."""

    def asked(self, request: Question, sender: str | None, now: float) -> tuple[dict[str, Any], list[Effect]]:
        if isinstance(request, Coordinator):
            return {"coordinator": "OK"}, []
        return super().asked(request, sender, now)


MUTANTS: list[tuple[type[Bully], str | None, set[str]]] = [
    (SharedEpochs, None, {"epoch_twice"}),
    (Forgetful, None, {"not_kept"}),
    (Meek, None, {"not_the_highest", "unstable"}),
    (Egoist, "cut_pair", {"restless", "spins"}),
    (Stubborn, None, {"not_the_highest", "disagree"}),
    (Restless, "flapping", {"restless", "unavailable"}),
    (DeafToRenewals, None, {"not_the_highest", "disagree"}),
]


@pytest.mark.parametrize(("mutant", "permanent", "kinds"), MUTANTS)
def test_a_rule_switched_off_is_noticed(mutant: type[Bully], permanent: str | None, kinds: set[str]) -> None:
    """Each mutant breaks what its rule is for within 150 histories."""
    assert first_violation(range(150), machine=mutant, permanent=permanent) in kinds
