"""The laboratory's network is cut in two and healed: told by status, metrics and journal; nothing is lost."""

import json

import pytest
from lab_load import under_load
from laboratory import NEEDS, Laboratory

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*NEEDS)]


def test_a_partition_and_its_healing_are_seen(lab: Laboratory) -> None:
    """Both sides say who is silent and whom they follow, and as one again, all of it in the journal too."""
    one, alone = lab["n1"], lab["n3"]
    with under_load(lab, "partition") as load:
        lab.network.part(["n1", "n2"], ["n3"])
        one.wait_for(lambda: one.metric('recado_peer_silent{peer="n3"}') == 1, "n3 is silent for n1")
        one.wait_for(lambda: _follows(lab) == {"n1": "n2", "n2": "n2", "n3": "n3"}, "two coordinators")
        alone.wait_for(lambda: alone.metric('recado_peer_silent{peer="n1"}') == 1, "n1 is silent for n3")
        assert {name for name, said in _answered(lab, "n1").items() if not said} == {"n3"}
        assert {name for name, said in _answered(lab, "n3").items() if not said} == {"n1", "n2"}
        load.goes_on()
        epoch = one.metric("recado_epoch")
        lab.network.heal()
        assert lab.leader() == "n3"
        one.wait_for(lambda: one.metric('recado_peer_silent{peer="n3"}') == 0, "n3 answers n1")
        assert one.metric("recado_epoch") > epoch
    during = one.events("coordinator is now n2", epoch=f"{epoch:.0f}")
    assert [event["RECADO_COORDINATOR"] for event in during] == ["n2"]
    after = [event for event in one.events("coordinator is now n3") if int(event["RECADO_EPOCH"]) > epoch]
    assert after
    assert int(after[0]["__REALTIME_TIMESTAMP"]) > int(during[0]["__REALTIME_TIMESTAMP"])


def _follows(lab: Laboratory) -> dict[str, str]:
    """Whom each server follows, as seen from beyond the cuts."""
    told = json.loads(lab.recado("status", "--json"))["servers"]
    return {one["name"]: one["status"].get("coordinator") for one in told if one["answered"]}


def _answered(lab: Laboratory, node: str) -> dict[str, bool]:
    """Which servers answer on a host's own side, by what its own one knows."""
    own = f"tcp://{lab[node].address}:5555"
    return {one["name"]: one["answered"] for one in lab[node].status("--server", own)["servers"]}


def test_a_cut_of_one_direction_loses_nothing(lab: Laboratory) -> None:
    """Frames to a server are dropped, frames from it are not: people go on, it lacks nothing."""
    with under_load(lab, "one-way cut") as load:
        lab.network.cut([("n1", "n2"), ("n3", "n2")])
        load.goes_on()
        lab.network.heal()
