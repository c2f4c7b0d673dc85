"""What a channel is, folded in total order whatever the order of arrival; who may do what in it."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recado.protocol import rules
from recado.protocol.channel_rules import Channel, ChannelRules
from recado.protocol.messages import Entry
from tests.protocol.rule_entries import ORIGINS, PEOPLE, about_channel, about_channels, creation

ANA, BIA, CAIO = PEOPLE  # ana founds the channel
START = creation(ANA)


def folded(*entries: Entry) -> ChannelRules:
    channels = ChannelRules()
    for one in entries:
        channels.take(one)
    return channels


def state(*entries: Entry) -> Channel:
    channel = folded(*entries).channel("geral")
    assert channel is not None
    return channel


@given(about_channels, st.integers(), st.integers(0, 16))
def test_the_order_of_arrival_and_repetitions_change_nothing(
    entries: list[Entry], seed: int, looked_at: int
) -> None:
    """Shuffled, repeated, and looked at in between, the same channel."""
    shuffled = entries + entries[: len(entries) // 2]
    Random(seed).shuffle(shuffled)
    channels = folded(*shuffled[:looked_at])
    channels.channel("geral")
    for one in shuffled[looked_at:]:
        channels.take(one)
    assert channels.channel("geral") == folded(*entries).channel("geral")


@given(about_channels)
def test_a_channel_always_makes_sense(entries: list[Entry]) -> None:
    """Nobody is banned and inside, operator and mere member, and every set holds known people."""
    channel = folded(*entries).channel("geral")
    if channel is not None:
        inside = channel.operators | channel.members | ({channel.founder} - {None})
        assert not channel.banned & inside
        assert not channel.operators & channel.members
        assert 0 <= channel.generation <= len(entries)


def test_two_operators_depose_each_other() -> None:
    """The smaller key counts; the other rule's author had no right any more."""
    ops = [about_channel(ANA, "op", BIA, at=2), about_channel(ANA, "op", CAIO, at=3)]
    one = about_channel(BIA, "deop", CAIO, at=5, origin=ORIGINS[0])
    other = about_channel(CAIO, "deop", BIA, at=5, origin=ORIGINS[1])
    assert state(START, *ops, one, other).operators == {BIA}
    assert state(START, *ops, other, one).operators == {BIA}


def test_a_ban_and_an_invitation_at_once() -> None:
    """Whichever is first, who is banned is not let in."""
    for ban_at, invite_at in ((5, 6), (6, 5)):
        ban = about_channel(ANA, "ban", BIA, at=ban_at)
        invite = about_channel(ANA, "invite", BIA, at=invite_at, origin=ORIGINS[1])
        channel = state(creation(ANA, private=True), invite, ban)
        assert channel.reading_problem(BIA) == "banned"


def test_a_late_rule_goes_to_its_place() -> None:
    """A mute by somebody who was deposed before, as it turns out, never counted."""
    op = about_channel(ANA, "op", BIA, at=2)
    mute = about_channel(BIA, "mute", CAIO, at=6)
    channels = folded(START, op, mute)
    channel = channels.channel("geral")
    assert channel is not None
    assert channel.muted == {CAIO}
    channels.take(about_channel(ANA, "deop", BIA, at=5, origin=ORIGINS[1]))
    channel = channels.channel("geral")
    assert channel is not None
    assert channel.muted == set()


def test_an_earlier_creation_changes_the_founder() -> None:
    """The smallest creation decides; that one of them said private is enough."""
    channels = folded(creation(BIA, at=3), creation(CAIO, at=4, private=True))
    channels.channel("geral")
    channels.take(creation(ANA, at=2, origin=ORIGINS[1]))
    channel = channels.channel("geral")
    assert channel is not None
    assert (channel.founder, channel.private) == (ANA, True)


def test_rules_without_a_creation_are_of_no_channel() -> None:
    """Until the creation is here there is nothing to read or to rule."""
    channels = folded(about_channel(ANA, "private", at=2))
    assert channels.channel("geral") is None
    assert channels.refusal("geral", ANA, rules.ChannelDeed(do="public")) == "channel_missing"
    channels.take(START)
    channel = channels.channel("geral")
    assert channel is not None
    assert channel.private


@pytest.mark.parametrize(
    ("deeds", "reads", "publishes"),
    [
        ([], None, None),
        ([("mute", BIA)], None, "muted"),
        ([("mute", BIA), ("unmute", BIA)], None, None),
        ([("moderated", None)], None, "moderated"),
        ([("moderated", None), ("voice", BIA)], None, None),
        ([("moderated", None), ("voice", BIA), ("mute", BIA)], None, "muted"),
        ([("moderated", None), ("voice", BIA), ("kick", BIA)], None, "moderated"),
        ([("moderated", None), ("unmoderated", None)], None, None),
        ([("ban", BIA)], None, "banned"),
        ([("ban", BIA), ("unban", BIA)], None, None),
        ([("private", None)], "channel_closed", "channel_closed"),
        ([("private", None), ("public", None)], None, None),
        ([("private", None), ("invite", BIA)], None, None),
        ([("private", None), ("invite", BIA), ("uninvite", BIA)], "channel_closed", "channel_closed"),
        ([("private", None), ("invite", BIA), ("ban", BIA)], "banned", "banned"),
        ([("private", None), ("op", BIA), ("mute", BIA)], None, None),
        ([("private", None), ("op", BIA), ("deop", BIA)], None, None),
        ([("private", None), ("ban", BIA), ("op", BIA)], "banned", "banned"),
    ],
)
def test_what_rules_do(
    deeds: list[tuple[str, bytes | None]], reads: str | None, publishes: str | None
) -> None:
    """After these rules of the founder, why bia may not read, and not publish."""
    channel = state(START, *(about_channel(ANA, do, who, at=at) for at, (do, who) in enumerate(deeds, 2)))
    assert (channel.reading_problem(BIA), channel.publishing_problem(BIA)) == (reads, publishes)
    assert channel.reading_problem(None, operator=True) is None


def test_each_lost_membership_is_a_generation() -> None:
    """Put out, gone, banned: each once; who was not in leaves no trace."""
    steps = [("invite", BIA), ("kick", BIA), ("invite", BIA), ("ban", BIA), ("kick", BIA), ("uninvite", CAIO)]
    entries = [about_channel(ANA, do, who, at=at) for at, (do, who) in enumerate(steps, 2)]
    assert state(creation(ANA, private=True), *entries).generation == 2
    gone = [about_channel(ANA, "invite", CAIO, at=20), about_channel(CAIO, "leave", at=21)]
    assert state(creation(ANA, private=True), *entries, *gone).generation == 3


def test_who_may_rule() -> None:
    """Members no, operators all but against the founder, operators of the cluster everything."""
    channels = folded(START, about_channel(ANA, "op", BIA, at=2), about_channel(ANA, "invite", CAIO, at=3))

    def refusal(actor: bytes, do: str, who: bytes | None = None, by: str | None = None) -> str | None:
        said = rules.ChannelDeed(do=do, who=None if who is None else who.hex(), by=by)
        return channels.refusal("geral", actor, said)

    assert refusal(CAIO, "private") == "not_channel_operator"
    assert refusal(CAIO, "leave") is None
    assert refusal(ANA, "leave") == "is_founder"
    assert refusal(b"x" * 16, "leave") == "rule_invalid"
    assert refusal(BIA, "kick", CAIO) is None
    assert refusal(BIA, "ban", ANA) == "is_founder"
    assert refusal(CAIO, "ban", ANA, by=rules.OPERATOR) is None


def test_a_deposed_founder_has_no_rights() -> None:
    """An operator of the cluster takes the channel from its founder and gives it to another."""
    by = {"by": rules.OPERATOR}
    channel = state(
        START,
        about_channel(CAIO, "ban", ANA, at=2, **by),
        about_channel(CAIO, "op", BIA, at=3, **by),
        about_channel(ANA, "deop", BIA, at=4),
        about_channel(BIA, "topic", at=5, text="novo"),
    )
    assert (channel.founder, channel.operators, channel.generation) == (None, {BIA}, 1)
    assert channel.topic is not None
    assert (channel.topic.text, channel.topic.by) == ("novo", BIA)


def test_channels_that_read_alike_are_found() -> None:
    """A created channel is found under what looks like it."""
    channels = folded(START)
    assert [channels.name_like(name) for name in ("Geral", "geral")] == ["geral", None]
    assert [channel.name for channel in channels.channels()] == ["geral"]


def test_the_rules_of_a_channel_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeated entry counts once; beyond the limit only operators of the cluster are taken."""
    monkeypatch.setattr("recado.protocol.channel_rules.CHANNEL_RULES_MAX", 2)
    once = about_channel(ANA, "mute", BIA, at=2)
    channels = folded(START, once, once, once)
    assert channels.refusal("geral", ANA, rules.ChannelDeed(do="public")) is None
    channels.take(about_channel(ANA, "unmute", BIA, at=3))
    assert channels.refusal("geral", ANA, rules.ChannelDeed(do="public")) == "rules_full"
    by_operator = rules.ChannelDeed(do="public", by=rules.OPERATOR)
    assert channels.refusal("geral", ANA, by_operator) is None


@pytest.mark.parametrize(
    ("code", "does", "undoes"),
    [("muted", "mute", "unmute"), ("banned", "ban", "unban"), ("channel_closed", "kick", "invite")],
)
def test_who_is_refused_is_told_why(code: str, does: str, undoes: str) -> None:
    """The reason is that of the last such rule, of that user alone, and goes when the rule ends."""
    first = about_channel(ANA, does, BIA, at=2, reason="barulho")
    channel = state(START, first)
    assert channel.reason_of(code, BIA) == "barulho"
    assert channel.reason_of(code, CAIO) is None
    assert channel.reason_of("moderated", BIA) is None
    again = about_channel(ANA, does, BIA, at=3)
    assert state(START, first, again).reason_of(code, BIA) is None
    assert state(START, first, about_channel(ANA, undoes, BIA, at=3)).reason_of(code, BIA) is None
