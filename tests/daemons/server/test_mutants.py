"""The suite notices when a rule is broken: each mutant of the server makes a named test fail.

A mutant replaces one rule and runs one test of this room; the test must fail.  What a test is good
for is thereby said in the one place where it can be checked.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import pytest
import test_announcements as announcements
import test_contract_clients as clients
import test_group_commit as commits
import test_ids_and_levels as ids
import test_members as members
import test_plain_peers as plain
import test_replication as pulls
import test_stamps as stamps
import test_stopping as stops
import trio
import trio.testing

from daemons.server import replication, writes
from daemons.server.calls import Call
from daemons.server.commit import GroupCommit
from daemons.server.peer_services import PeerServices
from daemons.server.replication import Replication
from daemons.server.requests import Requests
from daemons.server.writes import Writes
from recado.protocol import names
from recado.protocol.acknowledgement import Acknowledgements
from recado.protocol.adjustment import AdjustmentGate
from recado.protocol.entry import Head, run_of
from recado.protocol.lamport import LamportClock
from recado.protocol.log import ReplicationLog
from recado.protocol.messages import Entry, Login, Message, Publish

VIRTUAL_SECONDS_MAX = 1000.0


class Mutant(NamedTuple):
    """A rule: where it stands, what replaces it (made from the original), and the test that notices."""

    owner: Any
    name: str
    broken: Callable[[Any], Any]
    test: Callable[..., Awaitable[None]]
    arguments: tuple[Any, ...] = ()


def _confirms_at_once(replicate: Any) -> Any:
    def broken(self: PeerServices, call: Call, asked: Any) -> None:
        commits: Any = self._node.commits
        commits.after = lambda callback: callback(None)
        replicate(self, call, asked)
        del commits.after

    return broken


def _keeps_after_answering(keep: Any) -> Any:
    def broken(self: GroupCommit, entry: Entry, after: Any = None) -> None:
        keep(self, entry)
        if after is not None:
            after(None)

    return broken


def _tells_followers_at_once(keep: Any) -> Any:
    def broken(self: GroupCommit, entry: Entry, after: Any = None) -> None:
        keep(self, entry, after)
        for follow in self.followers:
            follow([entry])

    return broken


def _followers_first(committed: Any) -> Any:
    def broken(self: GroupCommit, items: Any, entries: Any) -> None:
        followers, self.followers = self.followers, []
        for follow in followers:
            follow(entries)
        committed(self, items, entries)
        self.followers = followers

    return broken


def _retries_are_local(known: Any) -> Any:
    def broken(self: Writes, call: Call, draft: Any, asked: Any) -> bool:
        return bool(known(self, call, draft, msgspec.structs.replace(asked, level="local")))

    return broken


def _jumps_gaps(offer: Any) -> Any:
    def broken(self: ReplicationLog, run: Any, **more: Any) -> Any:
        head = self.heads.get(run.origin)
        if run.first > (head.seq if head else 0) + 1:
            self.heads[run.origin] = Head(run.first - 1, 0, run.previous_hash)
        return offer(self, run, **more)

    return broken


def _always_derives(_request_id: Any) -> Any:
    def broken(call: Call) -> bytes | None:
        asked = call.asked.data
        assert isinstance(asked, Login | Publish | Message | writes.CreateChannel)
        return names.identifier(asked.id) or names.derived_id((repr(asked),), timestamp=0, clock=0)

    return broken


def _one_piece(_chunks: Any) -> Any:
    return lambda previous_hash, entries, _signed=None: iter([run_of(list(entries), previous_hash)])


def _nothing(result: Any = None) -> Callable[[Any], Any]:
    return lambda _original: lambda *_args, **_more: result


MUTANTS: dict[str, Mutant] = {
    "replies before the commit": Mutant(
        GroupCommit, "keep", _keeps_after_answering, stops.test_a_slow_disk_delays_no_read
    ),
    "confirms a push before its commit": Mutant(
        PeerServices, "replicate", _confirms_at_once, members.test_a_push_is_confirmed_when_durable
    ),
    "pushes and announces before the commit": Mutant(
        GroupCommit, "keep", _tells_followers_at_once, announcements.test_nothing_leaves_before_its_commit
    ),
    "pushes before the answer": Mutant(
        GroupCommit, "_committed", _followers_first, commits.test_effects_come_in_the_order_of_the_contract
    ),
    "goes on with an origin after a full disk": Mutant(
        ReplicationLog,
        "abandon",
        _nothing(),
        commits.test_a_full_disk_gives_up_all_that_is_pending,
        ("stage_error",),
    ),
    "knows no id again": Mutant(
        Writes, "_known", _nothing(False), ids.test_a_retry_is_the_same_write, ("publish", "m1")
    ),
    "takes an id for other content": Mutant(
        Writes,
        "_same",
        _nothing(),
        ids.test_an_id_used_for_something_else_is_refused,
        ({"message": "tchau"},),
    ),
    "answers a retry at once": Mutant(
        Writes, "_known", _retries_are_local, ids.test_what_is_indeterminate_is_kept
    ),
    "derives ids from words alone": Mutant(
        writes, "request_id", _always_derives, clients.test_the_same_words_twice_are_two_messages
    ),
    "mints an id for each plain replicate": Mutant(
        writes, "plain_id", _nothing(None), plain.test_replicate_is_kept_once, ("channel_message",)
    ),
    "counts one copy as a quorum": Mutant(
        Acknowledgements,
        "needed",
        _nothing(1),
        ids.test_quorum_survives_one_member_and_all_does_not,
    ),
    "stamps a batch with one clock": Mutant(
        LamportClock, "receive_unsigned", _nothing(1), stamps.test_requests_of_one_batch_get_rising_stamps
    ),
    "takes a run beyond a gap": Mutant(
        ReplicationLog, "offer", _jumps_gaps, members.test_a_push_beyond_a_gap_is_not_kept
    ),
    "pulls no gap": Mutant(Replication, "_nudge", _nothing(), pulls.test_a_gap_is_pulled_at_once),
    "pushes a commit in one frame": Mutant(
        replication, "chunks", _one_piece, pulls.test_a_burst_of_long_messages_fits_into_frames
    ),
    "believes any sender": Mutant(
        PeerServices,
        "_member",
        _nothing("server-2"),
        members.test_only_members_of_this_cluster_are_heard,
        ("replicate",),
    ),
    "serves plain peers everywhere": Mutant(
        PeerServices,
        "_plain_only",
        _nothing(),
        plain.test_a_closed_cluster_refuses_the_plain_forms,
        ("sync", {}),
    ),
    "says at once that something is missing": Mutant(
        Requests, "_park", _nothing(False), stops.test_what_is_missing_here_is_looked_for_there
    ),
    "believes any adjustment": Mutant(
        AdjustmentGate, "_problem", _nothing(None), plain.test_adjust_is_bounded
    ),
    "forgets who waits when it stops": Mutant(
        Requests, "serve_parked", _nothing(), stops.test_stopping_answers_everybody
    ),
}


def fails(test: Callable[..., Awaitable[None]], arguments: tuple[Any, ...]) -> bool:
    """Whether a test of this room fails, by an assertion or by waiting in vain."""

    async def bounded() -> None:
        with trio.fail_after(VIRTUAL_SECONDS_MAX):
            clock = () if test.__module__ == "test_group_commit" else (None,)
            await test(*clock, *arguments)

    failed = False
    try:
        trio.run(bounded, clock=trio.testing.MockClock(autojump_threshold=0))
    except* (AssertionError, LookupError, trio.TooSlowError):
        failed = True
    return failed


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test passes with the rule and fails without it."""
    mutant = MUTANTS[name]
    assert not fails(mutant.test, mutant.arguments), "it fails anyway"
    original = getattr(mutant.owner, mutant.name)
    monkeypatch.setattr(mutant.owner, mutant.name, mutant.broken(original))
    assert fails(mutant.test, mutant.arguments), f"nobody noticed that the server {name}"
