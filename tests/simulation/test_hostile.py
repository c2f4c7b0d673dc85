"""Secured clusters in storms, with hostile keys among their clients and members."""

from functools import partial
from typing import Any

import msgspec
import pytest
from adversaries import FORGED, ExMember, Hostile, Member
from deterministic import run_history
from fleet import survey, told
from plans import plan
from secured_world import FORMER, identity, user
from sightings import watched
from storm import Storm
from verdict import AGREE_SECONDS, LEVEL_SECONDS, verdict
from workload import Crowd
from world import World, cluster

from daemons.server.signing import Proofs
from recado.settings import Disk
from recado.wire.ports import Principal

SECONDS = 60.0
VICTIM = "ana"


def enemies(world: World) -> list[Hostile]:
    """A stranger, a registered user, a former member, a present one."""
    last = list(world.servers)[-1]
    former = Principal("key", "", identity("server", FORMER).public)
    present = Principal("server", last, identity("server", last).public)
    return [
        Hostile(world, "host-of-nobody", principal=user("nobody"), victim=VICTIM),
        Hostile(world, "host-of-mallory", principal=user("mallory"), victim=VICTIM),
        ExMember(world, FORMER, principal=former, victim=VICTIM),
        Member(world, "cellar", principal=present, victim=VICTIM),
    ]


async def siege(seed: int) -> dict[str, Any]:
    """What became of a stormy history with enemies in it."""
    what = plan(seed, seconds=SECONDS)
    faults = [fault for fault in what.faults if fault.kind != "poison"]  # which members may do
    far = what.snapshot_entries
    disk = Disk() if far is None else Disk(snapshot_entries=far)
    with watched() as sightings:
        async with cluster(
            seed=seed, servers=what.servers, election=what.election, disk=disk, secured=True
        ) as world:
            await world.until(world.agreed, within_seconds=60, what="one coordinator")
            for name in (VICTIM, "mallory"):
                assert (await world.ask("server-1", "login", user=name, level="all"))["status"] == "sucesso"
            storm, people, hostile = Storm(world), Crowd(world), enemies(world)
            for task in (
                people.run,
                *(enemy.run for enemy in hostile),
                *(enemy.listen for enemy in hostile[:3]),
            ):
                world.nursery.start_soon(task)
            await storm.rage(faults, seconds=SECONDS)
            await people.go_home(within_seconds=60)
            await world.until(world.level, within_seconds=LEVEL_SECONDS, what="equal replicas")
            await world.until(world.agreed, within_seconds=AGREE_SECONDS, what="one coordinator")
            found = await verdict(world, people.history, sightings=sightings, in_order=True)
            return {
                "complaints": found.complaints,
                "acknowledged": found.acknowledged,
                "taken": [taken for enemy in hostile for taken in enemy.taken],
                "heard": [topic for enemy in hostile for topic in enemy.heard],
                "tries": min(enemy.tries for enemy in hostile),
                "states": [node.store.states() for node in world.servers.values()],
                "forged": [row for node in world.healthy for row in forgeries(node)],
                "clocks": max(head.lamport for head in world.servers["server-1"].store.heads().values()),
            }


def forgeries(node: Any) -> list[Any]:
    """Entries of a replica that somebody made up."""
    with node.store.reading() as connection:
        return list(connection.execute("select * from entry where body like ?", (f"%{FORGED}%",)))


def besieged(seed: int) -> dict[str, Any]:
    """The history of a seed."""
    return run_history(partial(siege, seed), seed=seed, virtual_seconds_max=1000.0)  # type: ignore[no-any-return]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_hostile_keys_get_nothing_and_stop_nothing(seed: int) -> None:
    """Nothing of theirs is taken or heard by them, no log stops, no clock jumps, and people are served."""
    found = besieged(seed)
    assert found["taken"] == []
    assert found["heard"] == []
    assert found["forged"] == []
    assert found["states"] == [{}] * len(found["states"])
    assert found["complaints"] == []
    assert found["clocks"] < 10**6
    assert found["tries"] > 20
    assert found["acknowledged"] > 15


@pytest.mark.slow
def test_storms_over_a_secured_cluster() -> None:
    """The storms of open mode, all faults and all people, break no promise where everybody has a key."""
    plans = [msgspec.structs.replace(plan(seed), secured=True) for seed in range(16)]
    assert [told(result) for result in survey(plans) if result.complaints] == []


async def _calm_forgery() -> list[Any]:
    async with cluster(seed=1, secured=True) as world:
        await world.until(world.agreed, within_seconds=60, what="one coordinator")
        member = enemies(world)[-1]
        assert isinstance(member, Member)
        for _ in range(30):
            await member.forge_another_s_log()
            await member.change_a_body()
        return [
            *(row for node in world.healthy for row in forgeries(node)),
            *world.servers["server-1"].store.states(),
        ]


@pytest.mark.slow
def test_without_the_check_the_forgeries_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The enemies are not harmless: where signatures are not looked at, their words are in the logs."""
    assert run_history(_calm_forgery, seed=1, virtual_seconds_max=600.0) == []
    monkeypatch.setattr(Proofs, "problem", lambda *_args: None)
    assert run_history(_calm_forgery, seed=1, virtual_seconds_max=600.0) != []
