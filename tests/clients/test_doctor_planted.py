"""Each fault that the doctor names, planted in a cluster of real servers in memory, in virtual time."""

from collections.abc import Sequence

import pytest
import trio
from planted import SETTLED_SECONDS, Planted, planted

from clients.watching.doctor_words import DOCTOR_WORDS
from clients.watching.values import Survey
from recado.wire.memory import TrafficKind

Clock = trio.abc.Clock


class Cuttable:
    """Links that a test cuts between servers; whoever looks from outside sees everybody."""

    def __init__(self) -> None:
        self.sides: tuple[set[str], set[str]] = (set(), set())

    def delays(self, source: str, destination: str, kind: TrafficKind, size: int) -> Sequence[float]:
        left, right = self.sides
        apart = (source in left and destination in right) or (source in right and destination in left)
        return () if apart else (0.001,)


async def _settled(cluster: Planted) -> None:
    await trio.sleep(SETTLED_SECONDS)


async def test_a_healthy_cluster_has_nothing(autojump_clock: Clock) -> None:
    """Three servers and a broker that are well: no finding, all of them answer, beacons come through."""
    async with planted() as cluster:
        await cluster.all()
        await _settled(cluster)
        survey, found = await cluster.examine()
    assert found == []
    assert [one.name for one in survey.answering] == ["server-1", "server-2", "server-3"]
    assert survey.leaders == ("server-3",)
    assert all(heard.servers for heard in survey.brokers)


async def test_an_unreachable_peer_is_named(autojump_clock: Clock) -> None:
    """A member that does not run is named, with those for whom it is silent as well."""
    async with planted() as cluster:
        await cluster.broker()
        await cluster.start("server-1")
        await cluster.start("server-3")
        await _settled(cluster)
        _, found = await cluster.examine()
    (one,) = found
    assert (one.code, one.case, one.subject) == ("unreachable", "unreachable.refused", "server-2")
    assert one.facts["others"] == "server-1, server-3"


async def test_a_skewed_clock_is_named(autojump_clock: Clock) -> None:
    """The one server whose system clock is 7 s ahead is named, though the time it shows is corrected."""
    async with planted() as cluster:
        await cluster.broker()
        await cluster.start("server-1")
        await cluster.start("server-2", wall_seconds=7.0)
        await cluster.start("server-3")
        await _settled(cluster)
        _, found = await cluster.examine()
    (one,) = found
    assert (one.case, one.subject) == ("clock.server", "server-2")
    assert one.facts["skew"] == pytest.approx(7.0, abs=0.1)
    assert one.facts["offset"] < -4000


async def test_a_full_disk_is_named(autojump_clock: Clock) -> None:
    """A server that has become read-only is named."""
    async with planted() as cluster:
        await cluster.all()
        await _settled(cluster)
        cluster.nodes["server-1"].commits.full = True
        assert await cluster.codes() == {("disk_full.full", "server-1")}


async def test_a_foreign_cluster_id_is_named(autojump_clock: Clock) -> None:
    """A server with another cluster.id is named once, as what it says of itself shows it."""
    async with planted() as cluster:
        await cluster.broker()
        await cluster.start("server-1")
        await cluster.start("server-2", id="outro")
        await cluster.start("server-3")
        await _settled(cluster)
        _, found = await cluster.examine()
        cases = {(one.case, one.subject) for one in found}
        assert ("foreign_cluster.answers", "server-2") in cases
        assert len([one for one in found if one.code == "foreign_cluster"]) == 1
        assert not [one for one in found if one.code in ("split_view", "version")]
        assert ("foreign_cluster.answers", "server-1") in await cluster.codes(cluster="outro")


async def test_a_stranger_that_only_asks_is_named(autojump_clock: Clock) -> None:
    """A server of another cluster that nobody here lists is named by whom it asked."""
    async with planted(of=2) as cluster:
        await cluster.all()
        await _settled(cluster)
        cluster.nodes["server-1"].complain_of_stranger("server-9", "outro")
        _, found = await cluster.examine()
    (one,) = found
    assert (one.case, one.subject, one.facts["server"]) == ("foreign_cluster.asks", "server-9", "server-1")


@pytest.mark.parametrize(
    ("fields", "case"),
    [({"version": "9.9", "wire": 1}, "version.differs"), ({"version": "9.9", "wire": 900}, "version.wire")],
)
async def test_a_version_mismatch_is_named(
    fields: dict[str, object], case: str, autojump_clock: Clock
) -> None:
    """One server of another version is named; those that can't understand it are, by their wire version."""
    async with planted() as cluster:
        await cluster.broker()
        await cluster.start("server-1")
        await cluster.start("server-3")
        wire = {} if fields["wire"] == 900 else {"wire": 2}
        await cluster.pretend("server-2", cluster="recado", **{**fields, **wire})
        await _settled(cluster)
        cases = await cluster.codes()
    found = {found for found in cases if found[0].startswith("version.")}
    assert (case, "server-2" if case == "version.differs" else "server-1") in found


async def test_two_coordinators_are_named(autojump_clock: Clock) -> None:
    """Where the network between them is cut, both sides' coordinators are named, with their followers."""
    weather = Cuttable()
    async with planted(transit=weather) as cluster:
        await cluster.all()
        await _settled(cluster)
        weather.sides = ({"server-1", "server-2"}, {"server-3"})
        await trio.sleep(30)
        _, found = await cluster.examine()
    by_case = {one.case: one for one in found}
    assert by_case["split_view.leaders"].subject == "server-2 server-3"
    assert by_case["split_view.leaders"].facts["views"] == "server-2: server-1, server-2; server-3: server-3"
    assert by_case["unreachable.from_peer"].code == "unreachable"


async def test_different_member_lists_are_named(autojump_clock: Clock) -> None:
    """A server with another list of members than most is named."""
    async with planted() as cluster:
        await cluster.broker()
        await cluster.start("server-1")
        await cluster.start("server-2")
        members = cluster.nodes["server-1"].config.cluster.members
        await cluster.start("server-3", members=members[1:])
        await _settled(cluster)
        assert ("split_view.members", "server-3") in await cluster.codes()


async def test_a_dead_broker_is_named(autojump_clock: Clock) -> None:
    """A broker that nobody hears through is named; the servers are well."""
    async with planted() as cluster:
        for n in (1, 2, 3):
            await cluster.start(f"server-{n}")
        await _settled(cluster)
        assert await cluster.codes() == {("broker.dead", "tcp://broker:5558")}


async def test_who_has_left_is_not_missed(autojump_clock: Clock) -> None:
    """Whom the reference lists is asked, and may be unreachable; one that was removed is not even asked."""
    async with planted() as cluster:
        await cluster.all()
        await cluster.lists("tcp://reference:5559", **{"server-9": "tcp://nine:5555"})
        await _settled(cluster)
        survey, found = await cluster.examine(left=["server-9"])
        assert found == []
        assert [one.name for one in survey.servers] == ["server-1", "server-2", "server-3"]
        assert ("unreachable.refused", "server-9") in await cluster.codes()


async def test_nobody_at_all_is_a_finding(autojump_clock: Clock) -> None:
    """Where no server is known there is nothing to ask, and that is said."""
    async with planted() as cluster:
        cluster.known = type(cluster.known)(servers={})
        survey, found = await cluster.examine()
    assert survey == Survey(servers=())
    assert [one.case for one in found] == ["unreachable.nobody"]


def test_every_case_has_words() -> None:
    """Evidence and cause of each case that the rules name are in the table."""
    from pathlib import Path
    from re import findall

    import clients.watching as room

    code = "".join(
        (Path(room.__path__[0]) / f"{name}.py").read_text("utf-8")
        for name in ("findings", "local_checks", "doctor")
    )
    cases = set(findall(r'case="([a-z_.]+)"', code))
    cases |= {f"unreachable.{why}" for why in ("refused", "timeout", "unknown_host", "mute", "unusable")}
    cases |= {f"key_permissions.{case}" for case in ("mode", "owner", "directory")}
    cases |= {"foreign_cluster.asks", "foreign_cluster.no_member", "clock.either", "broker.deaf"}
    assert len(cases) > 20
    missing = [c for c in cases if {f"doctor.{c}", f"doctor.{c}.cause"} - DOCTOR_WORDS.keys()]
    assert missing == []
