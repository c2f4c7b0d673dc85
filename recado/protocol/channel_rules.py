"""What a channel is and who may do what in it, folded from the log in the total order (A17, A18).

A channel belongs to the author of the smallest entry that creates it, its *founder*.  Rules are taken in
the order of their keys, and each counts only if its author had the right at that point: as founder, as one
of the channel's operators then, or because the accepting server saw an operator of the cluster act.  So of
two rules that were given at once, say each of two operators taking the other's rights, the smaller
key decides, on every replica alike.  A rule that comes late goes to its place, and the channel is
folded anew when it is next looked at: rules are rare.

Rules decide what is accepted and whom history is given to.  A message that was acknowledged stays shown,
also if a smaller rule arrives later that would have refused it.

Of creations at once it is enough that one says private: nobody's confidence depends on who was first.
A private channel is listed and readable for its members: who was invited and is neither put out
nor gone, its operators and its founder.  `generation` counts those who stopped being members; it
is part of the topic, so that what they subscribed to falls silent.  The founder can be put out, or
lose a right, only by an operator of the cluster.
"""

from bisect import insort
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from recado.protocol import rules
from recado.protocol.entry import shape_problem
from recado.protocol.limits import CHANNEL_RULES_MAX
from recado.protocol.lookalikes import skeleton
from recado.protocol.messages import Entry, Kind

Key = tuple[int, str, int]  # (lamport, origin, seq): the total order
_AGAINST = frozenset({"uninvite", "deop", "devoice", "mute", "ban", "kick"})  # what a founder is safe from

# What one is told why: the error's code, the rules that give its reason, those that end it.
_WHY = (
    ("muted", {"mute"}, {"unmute"}),
    ("banned", {"ban"}, {"unban"}),
    ("channel_closed", {"kick", "uninvite"}, {"invite", "op"}),
)


class Topic(NamedTuple):
    """A channel's topic: whose words, since when."""

    text: str
    by: bytes
    since_ms: int


class _Rule(NamedTuple):
    key: Key
    actor: bytes
    wall_ms: int
    said: rules.ChannelDeed


class _Creation(NamedTuple):
    key: Key
    founder: bytes | None
    private: bool
    wall_ms: int


class Channel(msgspec.Struct, kw_only=True):
    """A channel as the rules taken so far make it: for reading.  People are user ids."""

    name: str
    founder: bytes | None
    since_ms: int
    private: bool
    moderated: bool = False
    topic: Topic | None = None
    operators: set[bytes] = msgspec.field(default_factory=set)
    members: set[bytes] = msgspec.field(default_factory=set)  # invited; without founder and operators
    voices: set[bytes] = msgspec.field(default_factory=set)
    muted: set[bytes] = msgspec.field(default_factory=set)
    banned: set[bytes] = msgspec.field(default_factory=set)
    generation: int = 0
    reasons: dict[tuple[str, bytes], str] = msgspec.field(default_factory=dict)  # by error code

    def is_operator(self, uid: bytes | None) -> bool:
        """Whether they may give rules here."""
        return uid is not None and (uid == self.founder or uid in self.operators)

    def is_member(self, uid: bytes | None) -> bool:
        """Whether they are let in if the channel is private."""
        return self.is_operator(uid) or uid in self.members

    def reading_problem(self, uid: bytes | None, *, operator: bool = False) -> str | None:
        """Why they may not list or read the channel, as an error's code; `operator`: of the cluster."""
        if not self.private or operator or self.is_member(uid):
            return None
        return "banned" if uid in self.banned else "channel_closed"

    def publishing_problem(self, uid: bytes | None, *, operator: bool = False) -> str | None:
        """Why they may not publish, as an error's code."""
        if operator or self.is_operator(uid):
            return None
        if uid in self.banned:
            return "banned"
        if self.private and not self.is_member(uid):
            return "channel_closed"
        if uid in self.muted:
            return "muted"
        return "moderated" if self.moderated and uid not in self.voices else None

    def reason_of(self, code: str, uid: bytes | None) -> str | None:
        """Why somebody who is refused with that error's code was muted, banned or put out."""
        return None if uid is None else self.reasons.get((code, uid))

    def ruling_problem(self, uid: bytes, said: rules.ChannelDeed) -> str | None:
        """Why they may not give this rule, as an error's code."""
        if said.by == rules.OPERATOR:
            return None
        if said.do == "leave":
            if uid == self.founder:
                return "is_founder"
            return None if self.is_member(uid) else "rule_invalid"  # else anybody could fill the list
        if not self.is_operator(uid):
            return "not_channel_operator"
        whom = rules.uid_of_hex(said.who)
        return "is_founder" if said.do in _AGAINST and whom is not None and whom == self.founder else None

    # The fold -----------------------------------------------------------------------------------

    def _apply(self, rule: _Rule) -> None:
        said = rule.said
        if self.ruling_problem(rule.actor, said) is not None:
            return
        match said.do:
            case "topic":
                self.topic = Topic(said.text or "", rule.actor, rule.wall_ms) if said.text else None
            case "private" | "public":
                self.private = said.do == "private"
            case "moderated" | "unmoderated":
                self.moderated = said.do == "moderated"
            case "leave":
                self._put_out(rule.actor)
        whom = rules.uid_of_hex(said.who)
        if whom is not None:
            self._apply_to(whom, said.do)
            self._note_reason(whom, said)

    def _apply_to(self, whom: bytes, do: str) -> None:
        match do:
            case "invite" if whom not in self.banned and not self.is_operator(whom):
                self.members.add(whom)
            case "op" if whom not in self.banned:
                self.members.discard(whom)
                self.operators.add(whom)
            case "deop" if self.is_operator(whom):
                self._depose(whom)
                self.members.add(whom)
            case "voice":
                self.voices.add(whom)
            case "devoice":
                self.voices.discard(whom)
            case "mute":
                self.muted.add(whom)
            case "unmute":
                self.muted.discard(whom)
            case "uninvite" | "kick":
                self._put_out(whom)
            case "ban":
                self._put_out(whom)
                self.banned.add(whom)
            case "unban":
                self.banned.discard(whom)

    def _note_reason(self, whom: bytes, said: rules.ChannelDeed) -> None:
        for code, given_by, ended_by in _WHY:
            if said.do in given_by or said.do in ended_by:
                self.reasons.pop((code, whom), None)
            if said.do in given_by and said.reason:
                self.reasons[code, whom] = said.reason

    def _depose(self, whom: bytes) -> None:
        self.operators.discard(whom)
        if whom == self.founder:
            self.founder = None

    def _put_out(self, whom: bytes) -> None:
        if self.is_member(whom):
            self.generation += 1
        self._depose(whom)
        self.members.discard(whom)
        self.voices.discard(whom)


class _Log:
    """The entries about one channel, and the state they were last folded to."""

    __slots__ = ("applied", "creation", "rules", "seen", "state")

    def __init__(self) -> None:
        self.creation: _Creation | None = None
        self.rules: list[_Rule] = []  # in total order
        self.seen: set[Key] = set()
        self.state: Channel | None = None
        self.applied = 0  # how many of `rules` are in `state`


class ChannelRules:
    """All channels whose creation or rules were taken."""

    def __init__(self) -> None:
        self._logs: dict[str, _Log] = {}
        self._alike: dict[str, set[str]] = {}  # skeleton → created channels

    def take(self, entry: Entry) -> None:
        """An entry of the log; other kinds and what makes no sense are passed over, repetitions harmless."""
        if entry.kind not in (Kind.CHANNEL, Kind.CHANNEL_RULE) or shape_problem(entry) is not None:
            return
        name = str(entry.target)
        if entry.kind == Kind.CHANNEL:
            self._create(name, entry)
        else:
            self._rule(name, entry)

    def channel(self, name: str) -> Channel | None:
        """The channel as it is; None while its creation is not here."""
        log = self._logs.get(name)
        if log is None or log.creation is None:
            return None
        if log.state is None:
            made = log.creation
            log.state = Channel(name=name, founder=made.founder, since_ms=made.wall_ms, private=made.private)
            log.applied = 0
        while log.applied < len(log.rules):
            log.state._apply(log.rules[log.applied])
            log.applied += 1
        return log.state

    def channels(self) -> Iterator[Channel]:
        """All that are created, in the order of their creation."""
        created = [(log.creation.key, name) for name, log in self._logs.items() if log.creation is not None]
        for _, name in sorted(created):
            if (channel := self.channel(name)) is not None:
                yield channel

    def refusal(self, name: str, actor: bytes, said: rules.ChannelDeed) -> str | None:
        """Why a rule is not accepted now, as an error's code; None: it is.

        `channel_missing` may mean that the creation is on its way.
        """
        channel = self.channel(name)
        if channel is None:
            return "channel_missing"
        if said.by != rules.OPERATOR and len(self._logs[name].rules) >= CHANNEL_RULES_MAX:
            return "rules_full"
        return channel.ruling_problem(actor, said)

    def name_like(self, name: str) -> str | None:
        """Another channel that people could take for this one (`lookalikes.skeleton`)."""
        return min(self._alike.get(skeleton(name), set()) - {name}, default=None)

    def _create(self, name: str, entry: Entry) -> None:
        said = rules.channel_of(entry.body)
        if said is None:
            return
        log = self._logs.setdefault(name, _Log())
        before = log.creation
        first = before is None or entry.key < before.key
        private = said.private or (before is not None and before.private)
        if before is None or first:
            log.creation = _Creation(entry.key, entry.author, private, entry.wall_ms)
        elif private != before.private:
            log.creation = before._replace(private=private)
        if log.creation is not before:
            log.state = None
        self._alike.setdefault(skeleton(name), set()).add(name)

    def _rule(self, name: str, entry: Entry) -> None:
        said = rules.channel_deed_of(entry.body)
        if said is None or entry.author is None:
            return
        log = self._logs.setdefault(name, _Log())
        if entry.key in log.seen:
            return
        log.seen.add(entry.key)
        rule = _Rule(entry.key, entry.author, entry.wall_ms, said)
        if log.applied and rule.key < log.rules[log.applied - 1].key:
            log.state = None
            log.applied = 0
        insort(log.rules, rule, key=lambda one: one.key)
