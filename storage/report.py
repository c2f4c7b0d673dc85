"""What comparing replicas finds: structs that go into JSON as they are."""

import msgspec

from recado.protocol.limits import VERIFY_DIFFERENCES_MAX


class Summary(msgspec.Struct, frozen=True):
    """One replica: how much it holds, and digests that agree if two hold the same."""

    replica: str
    node: str
    entries: int
    origins: int
    users: int
    channels: int
    channel_messages: int
    user_messages: int
    quarantined: int
    lamport: int
    heads_digest: str
    views_digest: str


class Difference(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that should not be.

    `kind`: ``changed`` (an entry's bytes do not match its hash), ``missing`` (a hole in a log),
    ``forked`` (unequal entries, each with a sound chain), ``behind`` (settled, and yet not everywhere),
    ``view`` (a view's row is not what the log says), ``unreadable`` (a file that SQLite finds damaged).
    `replicas` says what each replica concerned has.
    """

    kind: str
    text: str
    replicas: dict[str, str]
    origin: str | None = None
    seq: int | None = None
    last_seq: int | None = None
    view: str | None = None


class InFlight(msgspec.Struct, frozen=True):
    """Entries `first` to `last` of an origin that not all replicas have yet."""

    origin: str
    first: int
    last: int
    has: list[str]
    lacks: list[str]


class Report(msgspec.Struct, frozen=True):
    """What `verify` found.  `differences` are at most 100; `differences_total` counts all of them.

    `views_compared_with`: ``definition``, ``each other``, or ``nothing`` (large replicas with unequal
    vectors).
    """

    equal: bool
    settled: bool
    replicas: list[Summary]
    differences: list[Difference]
    differences_total: int
    in_flight: list[InFlight]
    views_compared_with: str


class Findings:
    """Differences, the first of them in full, and what is in flight."""

    def __init__(self) -> None:
        self.differences: list[Difference] = []
        self.total = 0
        self.in_flight: list[InFlight] = []

    def add(self, difference: Difference) -> None:
        self.total += 1
        if len(self.differences) < VERIFY_DIFFERENCES_MAX:
            self.differences.append(difference)

    def unreadable(self, name: str) -> None:
        self.add(Difference("unreadable", f"{name} is damaged", {name: "damaged"}))

    def behind(self, part: InFlight) -> None:
        has = dict.fromkeys(part.has, "has them") | dict.fromkeys(part.lacks, "has not")
        text = f"{span(part.origin, part.first, part.last)} not in {', '.join(part.lacks)}"
        self.add(Difference("behind", text, has, part.origin, part.first, part.last))


def span(origin: str, first: int, last: int) -> str:
    """Entries of an origin in words."""
    return f"{origin}/{first}" if first == last else f"{origin}/{first} to {last}"
