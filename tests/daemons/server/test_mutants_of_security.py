"""The suite notices when a rule of a secured cluster is broken: see `test_mutants`."""

from collections.abc import Callable
from typing import Any

import pytest
import test_ceiling as stamps
import test_clock_tags as clocks
import test_origin_proofs as proofs
import test_proved_copies as copies
from test_mutants import Mutant, fails

from daemons.server import peer_services
from daemons.server.clock_tags import ClockTags
from daemons.server.commit import GroupCommit
from daemons.server.node import Node
from daemons.server.old_logs import OldLogs
from daemons.server.peer_services import PeerServices
from daemons.server.put_off import PutOff
from daemons.server.scrub import Scrub
from daemons.server.signing import Proofs
from recado.protocol.clock_tag import clock_tag
from recado.protocol.limits import LAMPORT_LIMIT
from recado.protocol.log import ReplicationLog
from storage.replica import Replica
from storage.snapshot import Candidate


def _always(result: Any) -> Callable[[Any], Any]:
    return lambda _original: lambda *_args, **_more: result


def _without(name: str) -> Callable[[Any], Any]:
    """The original, without one of its options."""

    def mutate(original: Any) -> Any:
        def broken(*args: Any, **more: Any) -> Any:
            more.pop(name, None)
            return original(*args, **more)

        return broken

    return mutate


def _tags_everything(_vouch: Any) -> Any:
    return lambda self, fields, clock: fields.update(ctag=clock_tag(self._key, clock)) if self._key else None


async def _sleeps(_self: Any) -> None:
    """Signs nothing."""


MUTANTS: dict[str, Mutant] = {
    "takes what its node has not signed": Mutant(
        Proofs,
        "problem",
        _always(None),
        proofs.test_a_forged_run_is_refused_and_the_honest_log_goes_on,
        ("a member's own, over another's log",),
    ),
    "takes a page without its signature": Mutant(
        Proofs,
        "problem",
        _always(None),
        proofs.test_a_forged_run_is_refused_and_the_honest_log_goes_on,
        ("a page cut off its signature",),
    ),
    "calls any other history a fork": Mutant(
        Proofs, "problem", _always(None), proofs.test_a_forged_head_does_not_look_like_a_fork
    ),
    "stops a log for what its bringer did": Mutant(
        peer_services,
        "altered",
        _always(False),
        proofs.test_a_changed_body_stops_nobody_s_log_but_is_not_taken,
    ),
    "takes a part of a signed run": Mutant(
        ReplicationLog, "offer", _without("whole"), proofs.test_an_invalid_entry_takes_its_whole_run_with_it
    ),
    "cuts a signed run in two commits": Mutant(
        GroupCommit,
        "_end_of_run",
        lambda _original: lambda _self, end: end,
        proofs.test_a_signed_run_is_committed_as_one,
    ),
    "signs nothing": Mutant(Proofs, "of_batch", _always({}), proofs.test_a_commit_holds_its_signature),
    "sends pages without signatures": Mutant(
        Replica, "run_after", _without("signed"), proofs.test_the_signature_goes_from_hand_to_hand
    ),
    "leaves old logs unsigned": Mutant(
        OldLogs,
        "run",
        lambda _original: _sleeps,
        proofs.test_what_was_written_in_open_mode_is_signed_at_the_first_secured_start,
    ),
    "lets members claim each other's epochs": Mutant(
        PeerServices,
        "_own_epoch",
        _always(None),
        proofs.test_nobody_leads_in_another_s_name,
        ("coordinator",),
    ),
    "vouches for clocks that it only heard of": Mutant(
        ClockTags, "vouch", _tags_everything, clocks.test_a_lie_can_t_be_laundered
    ),
    "believes any tag": Mutant(
        ClockTags,
        "_is_tagged",
        _always(True),
        clocks.test_without_its_tag_a_clock_moves_ours_only_so_far,
        ("of another cluster",),
    ),
    "believes no tag": Mutant(
        ClockTags,
        "_is_tagged",
        _always(False),
        clocks.test_own_order_survives_the_change_to_a_server_far_behind,
    ),
    "believes clocks above the ceiling": Mutant(
        ClockTags, "_is_low", _always(True), stamps.test_no_clock_beyond_the_ceiling_is_believed, (True,)
    ),
    "takes entries at the end of numbers": Mutant(
        Node, "ceiling", _always(LAMPORT_LIMIT - 1), stamps.test_a_member_s_last_stamp_is_not_taken
    ),
    "asks for what it does not take": Mutant(
        PutOff, "of", _always(set()), stamps.test_what_waits_is_pulled_when_its_time_comes
    ),
    "takes them in snapshots": Mutant(
        Candidate, "_cut_beyond", _always(None), stamps.test_a_snapshot_brings_none_either
    ),
    "believes snapshots": Mutant(
        Proofs,
        "verifier",
        _always(_always(True)(None)),
        copies.test_of_a_forged_snapshot_nothing_is_taken_and_it_is_not_asked_for_again,
    ),
    "repairs with whatever fits": Mutant(
        Scrub,
        "_proved",
        _always(True),
        copies.test_the_open_end_of_a_log_is_not_repaired_with_a_forgery,
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_of_security_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test passes with the rule and fails without it."""
    mutant = MUTANTS[name]
    assert not fails(mutant.test, mutant.arguments), "it fails anyway"
    original = getattr(mutant.owner, mutant.name)
    monkeypatch.setattr(mutant.owner, mutant.name, mutant.broken(original))
    assert fails(mutant.test, mutant.arguments), f"nobody noticed that the server {name}"
