"""What a survey finds: frozen values, filled from what nodes say, which may be anything."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from statistics import median
from typing import Any, Literal

from recado.contradictions import is_loopback
from recado.protocol.domains import members_by_host
from recado.values import optional, texts, whole

# Why nobody answered: nothing listens there; no packet came back; no such host; it listens and says
# nothing; the address can't be dialled at all.
Problem = Literal["", "refused", "timeout", "unknown_host", "mute", "unusable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one node said to `status`, or why it said nothing.

    `name`: as it says, else as it is known.  `seconds`: the round trip.  `skew_seconds`: its system clock
    minus ours, wrong by at most half a round trip; None if it did not tell its clock.
    """

    address: str
    name: str = ""
    fields: Mapping[str, Any] | None = field(default=None, repr=False)
    problem: Problem = ""
    seconds: float = 0.0
    skew_seconds: float | None = None

    @property
    def answered(self) -> bool:
        return self.fields is not None

    def text(self, key: str) -> str:
        """A text of what it said; "" if there is none."""
        return optional(self.fields or {}, key, str) or ""

    def number(self, key: str) -> int | None:
        return whole((self.fields or {}).get(key))

    def real(self, key: str) -> float | None:
        value = (self.fields or {}).get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
            return None
        return float(value)

    def table(self, key: str) -> Mapping[str, Any]:
        value = (self.fields or {}).get(key)
        return value if isinstance(value, Mapping) else {}

    def names(self, key: str) -> tuple[str, ...]:
        return texts((self.fields or {}).get(key))

    def rows(self, key: str) -> Iterator[Mapping[str, Any]]:
        """Those elements of a list that are maps."""
        value = (self.fields or {}).get(key)
        yield from (item for item in value if isinstance(item, Mapping)) if isinstance(value, list) else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A broker's XPUB: `servers` whose beacons came through; without any `problem` says why, "" if listening
    did not last long enough to tell.
    """

    address: str
    servers: tuple[str, ...] = ()
    problem: Problem = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The cluster at one moment, as seen from here.

    `reference` is None if nobody named one, `brokers` is empty if nobody listened to them.
    """

    servers: tuple[Answer, ...]
    reference: Answer | None = None
    brokers: tuple[Heard, ...] = ()

    @property
    def answering(self) -> tuple[Answer, ...]:
        return tuple(answer for answer in self.servers if answer.answered)

    @property
    def leaders(self) -> tuple[str, ...]:
        """Everybody who is called coordinator by somebody."""
        return tuple(sorted({name for one in self.answering if (name := one.text("coordinator"))}))

    @property
    def leading(self) -> Answer | None:
        """What the one coordinator said; None if there are several, or it does not answer."""
        leaders = self.leaders
        return next((one for one in self.answering if (one.name,) == leaders), None)

    def skews(self) -> dict[str, float]:
        """Each server's system clock minus the median one, in seconds."""
        known = {one.name: one.skew_seconds for one in self.answering if one.skew_seconds is not None}
        middle = median(known.values()) if known else 0.0
        return {name: skew - middle for name, skew in known.items()}

    def hosts(self) -> dict[str, int]:
        """How many members each host has, by the addresses that the servers themselves use.

        {} where each has a host of its own, or all are on this machine's loopback: a laboratory.
        """
        members = {name for one in self.answering for name in one.names("members")}
        where = {one.name: one.address for one in self.servers if one.name in members}
        for one in self.answering:
            for peer in one.rows("peers"):
                name, address = optional(peer, "name", str), optional(peer, "address", str)
                if name in members and address:
                    where[name] = address
        counts = members_by_host(where.values())
        if len(counts) == len(where) or all(is_loopback(address) for address in where.values()):
            return {}
        return counts

    def lags(self) -> dict[str, int]:
        """How many entries each server has not confirmed, as the peer says that misses most."""
        found: dict[str, int] = {}
        for one in self.answering:
            for peer in one.rows("peers"):
                name, lag = optional(peer, "name", str), whole(peer.get("lag"))
                if name and lag is not None:
                    found[name] = max(found.get(name, 0), lag)
        return found
