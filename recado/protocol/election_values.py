"""What the election machine speaks in: members, timings, effects, and the answers it reads."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from recado.protocol.effects import Note
from recado.protocol.messages import Abdicate, Coordinator, Election, Epoch, PreVote, Release

Question = Election | Coordinator | Release | PreVote | Abdicate


class Member(NamedTuple):
    """A configured member; compared by rank, then name, so equal ranks still have one order."""

    rank: int
    name: str


class ElectionTimings(msgspec.Struct, frozen=True, kw_only=True):
    """All in seconds, but `drift`: how far the rates of two clocks may differ, as a fraction.

    Raises `ValueError` if a follower could miss a coordinator that renews on time.
    """

    lease_seconds: float = 6.0  # silence after which the coordinator counts as gone
    renew_seconds: float = 1.5
    rpc_seconds: float = 1.0  # how long members have to answer
    hold_seconds: float = 5.0  # from a start to deposing a lower coordinator; doubles with each recent start
    hold_seconds_max: float = 160.0
    backoff_seconds: tuple[float, float] = (0.5, 3.0)  # after an ``OK``
    retry_seconds: tuple[float, float] = (0.1, 0.6)  # after meeting a larger epoch
    check_seconds: float = 0.05  # from being asked to standing, if no coordinator is known
    drift: float = 0.03

    def __post_init__(self) -> None:
        if not 0 < self.renew_seconds + self.rpc_seconds < self.lease_seconds:
            raise ValueError("lease_seconds must exceed renew_seconds + rpc_seconds")
        if not self.rpc_seconds > 0 or not 0 <= self.hold_seconds <= self.hold_seconds_max:
            raise ValueError("rpc_seconds must be positive, hold_seconds at most hold_seconds_max")

    def listening(self, *, fast: bool) -> float:
        """How long a member listens after its start: a lease as the slowest clock counts it (B1)."""
        return self.renew_seconds if fast else self.lease_seconds * (1 + 2 * self.drift)

    @property
    def held_seconds(self) -> float:
        """For how long a holder believes its lease, from before it asked (B7).

        The slowest clock counts this faster than the fastest counts the promise, `lease_seconds`.
        """
        return self.lease_seconds * (1 - 3 * self.drift)

    @property
    def nonce_seconds(self) -> float:
        """How long a pre-vote answer proves that it was heard; as long an abdicated one keeps quiet (B4)."""
        return 3 * self.rpc_seconds

    def holding(self, boots_recent: int, *, fast: bool) -> float:
        """How long after its start a member leaves a lower coordinator in office (B2)."""
        if fast and boots_recent <= 1:
            return 0.0
        doublings = min(max(boots_recent, 1) - 1, 16)
        return float(min(self.hold_seconds * 2**doublings, self.hold_seconds_max))


class Ask(msgspec.Struct, frozen=True):
    """Ask each of `members`; feed each reply to `answered`, each silence to `unanswered`, with `tag`.

    `request` lacks what every peer request carries (`v`, `cluster`, `from`, `boot`): the caller adds it.
    Replies to `release` need not be fed back.
    """

    members: tuple[str, ...]
    service: str
    request: Question
    tag: int
    deadline_seconds: float


class Announce(msgspec.Struct, frozen=True):
    """Publish on the topic `servers` that this member coordinates."""

    epoch: Epoch


class PersistEpoch(msgspec.Struct, frozen=True):
    """Make this the largest epoch seen, durably, before anything that comes after it leaves."""

    epoch: Epoch


class Lead(msgspec.Struct, frozen=True):
    """This member coordinates from now on, in `epoch`."""

    epoch: Epoch


class Follow(msgspec.Struct, frozen=True):
    """Another member coordinates from now on; None: nobody known does.  This member does not."""

    epoch: Epoch | None


Effect = Ask | Announce | PersistEpoch | Lead | Follow | Note


class Answer(msgspec.Struct, frozen=True):
    """The fields of a reply that count: the plain form has only `election`.

    From `higher` on they belong to mode `quorum`.
    """

    election: str | None = None
    coordinator: str | None = None
    epoch: Epoch | None = None  # the largest that the answerer has seen
    known: Epoch | None = None  # the coordinator that the answerer hears itself, or is
    age: float = 0.0  # seconds since it heard it
    lease: float = 0.0  # seconds for which the answerer has bound itself
    abdicate: str | None = None
    higher: bool = False  # the answerer would stand itself
    silent: bool = False  # it has just started and grants nothing yet
    held: str | None = None  # whom its promise binds it to
    held_seconds: float = 0.0  # for how long still
    nonce: int | None = None
    acting: Epoch | None = None  # the answerer coordinates now, in this epoch


class Campaign(msgspec.Struct):
    """An election of our own in progress."""

    epoch: Epoch
    tag: int
    until: float
    waiting: set[str]
    granted: list[str] = []


def plain(epoch: Epoch) -> list[Any]:
    """An epoch as it stands in a reply: [n, rank, name, boot]."""
    return [epoch.n, epoch.rank, epoch.name, epoch.boot]


def request_fields(request: Question) -> dict[str, Any]:
    """What a request carries beside who asks: `epoch`, `lease` and `nonce`, as far as it has them."""
    if isinstance(request, PreVote):
        return {}
    fields: dict[str, Any] = {} if request.epoch is None else {"epoch": plain(request.epoch)}
    if isinstance(request, Election | Coordinator) and request.lease is not None:
        fields["lease"] = request.lease
    if isinstance(request, Abdicate):
        fields["nonce"] = request.nonce
    return fields


def read_answer(fields: Mapping[str, Any]) -> Answer | None:
    """A reply's fields, or None if it is an error or not in our language."""
    if fields.get("status") == "erro":
        return None
    try:
        answer = msgspec.convert(fields, Answer)
    except msgspec.ValidationError:
        return None
    times = (answer.age, answer.lease, answer.held_seconds)
    return answer if all(math.isfinite(seconds) and seconds >= 0 for seconds in times) else None


def identity(epoch: Epoch) -> Member:
    """Whose epoch this is."""
    return Member(epoch.rank, epoch.name)
