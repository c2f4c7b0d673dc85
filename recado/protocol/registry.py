"""The reference's registry as a pure machine: a rank for ever, a place in the list while alive.

The theory.  A rank belongs to a *name*: the first time a name asks it gets one, and no other name ever
gets that rank, so restarts, expiries and a lost list change no ranks (A23).  A server that brings its
old rank along (`rank_hint`) gets it back from a registry that forgot everything, if it is free; without
a hint the smallest rank that was never given is next: 1, 2, 3, ….

Liveness is another matter, and only a hint for finding servers: nobody counts it for elections or
quorums (A24).  A name is *active* from its first word until `expiry_seconds` of silence, by a monotonic
clock that knows nothing of before the start (A47).  So after a restart of the reference everybody who
was active is granted one fresh period; who had expired stays off the list until heard again.

Nobody proves who he is, so the list could be bent by anybody who knows a name.  While a server is active
its address is therefore not replaced: who states another one is told the rank, but moves nothing and is
no sign of life, until the name has expired or says the address that is listed.

`Keep` must be durable before the reply leaves: a rank once told must not be given to another.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from recado.protocol.effects import Note
from recado.protocol.errors import Refused
from recado.protocol.limits import ADDRESS_BYTES_MAX, RANK_MAX, REGISTERED_SERVERS_MAX
from recado.protocol.names import user_name

EXPIRY_SECONDS = 60.0


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a server."""

    name: str
    rank: int
    address: str | None = None
    active: bool = True


class Active(NamedTuple):
    """One line of the list: `load` is what the server said of itself, None if it said nothing."""

    name: str
    rank: int
    address: str | None
    load: float | None


class Keep(msgspec.Struct, frozen=True):
    """Store this record durably before anything that comes after it leaves."""

    record: Registered


Effect = Keep | Note


class Given(NamedTuple):
    """A rank to tell, once the effects were carried out."""

    rank: int
    effects: list[Effect]


class Registry:
    """Ranks and liveness.  `known`: what was kept; `now`: monotonic seconds, as in all inputs."""

    def __init__(
        self, known: Iterable[Registered], *, now: float, expiry_seconds: float = EXPIRY_SECONDS
    ) -> None:
        self._expiry_seconds = expiry_seconds
        self._records = {record.name: record for record in known}
        self._taken = {record.rank for record in self._records.values()}
        self._next_rank = 1
        self._loads: dict[str, float] = {}
        # In order of time: who is heard moves to the end, so the first is the next to expire.
        self._heard = {record.name: now for record in self._records.values() if record.active}

    @property
    def deadline(self) -> float:
        """When `tick` has a server to expire, at the earliest; infinity if nobody is active."""
        first = next(iter(self._heard.values()), math.inf)
        return first + self._expiry_seconds

    @property
    def known(self) -> int:
        """How many names have a rank."""
        return len(self._records)

    def rank(
        self, user: str, *, now: float, address: str | None = None, rank_hint: int | None = None
    ) -> Given:
        """The rank of `user`, given for ever if it has none yet; asking is a sign of life.

        Raises `Refused`: a name no server can have (`user_empty`, `name_…`), `address_invalid`,
        `registry_full`.  A hint that is taken or out of range is passed over.
        """
        name, address = user_name(user), _address(address)
        before = self._records.get(name)
        if before is not None:
            effects = self._alive(before, now, address=address)
            return Given(before.rank, [*effects, _assigned(name, before.rank, new=False)])
        if len(self._records) >= REGISTERED_SERVERS_MAX:
            raise Refused("registry_full", f"Registro cheio: {REGISTERED_SERVERS_MAX} servidores")
        record = Registered(name=name, rank=self._free(rank_hint), address=address)
        self._records[name] = record
        self._taken.add(record.rank)
        self._hear(name, now)
        return Given(record.rank, [Keep(record), _assigned(name, record.rank, new=True)])

    def heartbeat(
        self,
        user: str,
        *,
        now: float,
        address: str | None = None,
        rank_hint: int | None = None,
        load: float | None = None,
    ) -> Given:
        """`user` lives.  A name without a rank is given one, as by `rank`; raises as `rank` does.

        The load of who states another address than the active server's is not taken either.
        """
        name, address = user_name(user), _address(address)
        before = self._records.get(name)
        if before is not None and self._is_another(before, address):
            load = None
        if before is None:
            given = self.rank(name, now=now, address=address, rank_hint=rank_hint)
        else:
            given = Given(before.rank, self._alive(before, now, address=address))
        if load is not None and math.isfinite(load) and load >= 0:
            self._loads[name] = load
        return given

    def active(self) -> list[Active]:
        """The active servers, lowest rank first."""
        records = sorted((self._records[name] for name in self._heard), key=lambda record: record.rank)
        return [Active(r.name, r.rank, r.address, self._loads.get(r.name)) for r in records]

    def tick(self, now: float) -> list[Effect]:
        """Time is now `now`: who was silent for too long leaves the list."""
        effects: list[Effect] = []
        for name, heard in list(self._heard.items()):
            if now < heard + self._expiry_seconds:
                break
            del self._heard[name]
            self._loads.pop(name, None)
            record = msgspec.structs.replace(self._records[name], active=False)
            self._records[name] = record
            fields = {"server": name, "rank": record.rank, "silence_seconds": round(now - heard, 3)}
            effects += [Keep(record), Note("server expired", fields)]
        return effects

    def _is_another(self, before: Registered, address: str | None) -> bool:
        """Whether the address is not the one of the server that is active under this name."""
        return (
            before.name in self._heard and None not in (address, before.address) and address != before.address
        )

    def _alive(self, before: Registered, now: float, *, address: str | None) -> list[Effect]:
        if self._is_another(before, address):
            return [
                Note("address kept", {"server": before.name, "listed": before.address, "stated": address})
            ]
        record = msgspec.structs.replace(before, active=True, address=address or before.address)
        self._hear(before.name, now)
        if record == before:
            return []
        self._records[record.name] = record
        effects: list[Effect] = [Keep(record)]
        if not before.active:
            effects.append(Note("server is back", {"server": record.name, "rank": record.rank}))
        return effects

    def _hear(self, name: str, now: float) -> None:
        self._heard.pop(name, None)
        self._heard[name] = now

    def _free(self, hint: int | None) -> int:
        if hint is not None and 1 <= hint <= RANK_MAX and hint not in self._taken:
            return hint
        while self._next_rank in self._taken:  # only moves up: never more steps than ranks given
            self._next_rank += 1
        return self._next_rank


def _assigned(name: str, rank: int, *, new: bool) -> Note:
    return Note("rank assigned", {"server": name, "rank": rank, "new": new})


def _address(value: str | None) -> str | None:
    if value is None or value == "":
        return None
    if len(value.encode("utf-8", "replace")) > ADDRESS_BYTES_MAX or not value.isprintable() or " " in value:
        raise Refused("address_invalid", f"Endereço: até {ADDRESS_BYTES_MAX} bytes, sem espaços")
    return value
