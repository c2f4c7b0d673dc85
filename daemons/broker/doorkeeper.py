"""Who gets in at a secured broker, and what each may hear.

Servers, and they alone, publish.  Subscribers are servers, operators, and users whose key a server knows:
the broker has no log, so for a key that is not in the roster it asks a server, several in turn, while
the handshake waits.  It asks each time: a yes that was kept would let a key in that is revoked meanwhile,
and libzmq can't end that connection.  A no counts for a second, since the key may be registered at this
moment; when nobody can tell, the peer is not let in and tries again by itself.

A connection stays what it was let in as: libzmq can end none from here.  So after SIGHUP everybody who was
let in is looked at again, and if somebody would not be any more, all connections begin anew (`anew`); what
is published meanwhile the others fetch from the history.  For that everybody is remembered; when there is
no room for one more key, it is refused, and all begin anew so that those are forgotten who left.

Which topics are whose the policy says (`recado.protocol.policy.may_subscribe`).  The broker cannot tell
whether the capability in a topic is right, and need not: on a wrong one nothing is published.
"""

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple, NoReturn

import trio

from daemons.shared.logging import Logger
from recado.protocol import codec
from recado.protocol.errors import Malformed
from recado.protocol.lamport import LamportClock
from recado.protocol.limits import KEYS_REMEMBERED_MAX, WHOIS_SECONDS
from recado.protocol.policy import Role, may_subscribe
from recado.roster import Roster
from recado.values import clock_of
from recado.wire.ports import Asker, Principal, WireError
from recado.wire.security import NotNow

CROWDED_SECONDS: Final = 600.0  # between two times that all begin anew for want of room
UNKNOWN_SECONDS: Final = 1.0  # so long a server's word counts that nobody has a key
SKIPPED_SECONDS: Final = 5.0  # a server that did not answer is asked last for so long
_NOBODY: Final = frozenset({"key_unknown", "key_revoked"})
_ROLES: Final = {"key": Role.USER, "open": Role.STRANGER}  # only a key that a server knows has a name here


class _Word(NamedTuple):
    """What a server said of a key."""

    principal: Principal | None


class Doorkeeper:
    """Decides about handshakes (`authenticate`) and subscriptions (`grant`).

    `roster` gives the one in force.  `askers`: ends to the servers, put there once they are open.
    """

    def __init__(
        self,
        roster: Callable[[], Roster],
        *,
        lamport: LamportClock,
        log: Logger,
        now: Callable[[], float] = trio.current_time,
    ) -> None:
        self.askers: Sequence[Asker] = ()
        self._roster = roster
        self._lamport = lamport
        self._log = log
        self._now = now
        self._unknown: OrderedDict[bytes, float] = OrderedDict()  # nobody's keys, until when that counts
        self._let_in: dict[tuple[bytes, str], None] = {}  # keys and where
        self.refused_for_room = 0  # keys beyond those that can be remembered
        self._crowded_until = -math.inf
        self._changed = trio.Event()
        self._anew = trio.Event()
        self._skipped: dict[str, float] = {}  # addresses of servers, until when
        self._turn = 0

    # Handshakes -----------------------------------------------------------------------------------

    def authenticate(
        self, key: bytes, domain: str, _address: str
    ) -> Principal | Awaitable[Principal | None] | None:
        """Who a key is at the XSUB or the XPUB; None: it has no business there.

        Of a key for which servers have to be asked the answer is to be waited for, and raises `NotNow` if
        none can tell at present.  That many wait keeps out no server.
        """
        listed = self._roster().role_of(key)
        if not _is_asked_about(domain, listed):
            return self._noted(key, domain, _by_roster(domain, listed))
        return self._authenticate(key, domain)

    async def _authenticate(self, key: bytes, domain: str) -> Principal | None:
        return self._noted(key, domain, await self._find(key, domain))

    def _noted(self, key: bytes, domain: str, found: Principal | None) -> Principal | None:
        if found is not None:
            if (key, domain) not in self._let_in and not self._has_room(key):
                return None
            self._let_in[key, domain] = None
        return found

    def _has_room(self, key: bytes) -> bool:
        """Whether one more can be remembered; those of the roster always, they are bounded themselves."""
        if len(self._let_in) < KEYS_REMEMBERED_MAX or self._roster().role_of(key) is not None:
            return True
        self.refused_for_room += 1
        if self._now() >= self._crowded_until:
            self._crowded_until = self._now() + CROWDED_SECONDS
            self._log.warning(
                "connections begin anew: too many keys were let in", refused=self.refused_for_room
            )
            self._begin_anew()
        return False

    def _begin_anew(self) -> None:
        self._let_in.clear()
        self._anew.set()
        self._anew = trio.Event()

    async def _find(self, key: bytes, domain: str) -> Principal | None:
        listed = self._roster().role_of(key)
        if not _is_asked_about(domain, listed):
            return _by_roster(domain, listed)
        if listed is None:
            return await self.whois(key)
        try:
            found = await self.whois(key, most=1)
        except NotNow:
            found = None
        return listed if found is None else listed._replace(name=found.name)

    async def whois(self, key: bytes, *, most: int | None = None) -> Principal | None:
        """The user of a key, as servers say (at most so many are asked); None if nobody has it.

        Raises `NotNow`.
        """
        if self._unknown.get(key, self._now()) > self._now():
            return None
        for asker in list(self._in_turn())[:most]:
            word = await self._ask(asker, key)
            if word is not None:
                if word.principal is None:
                    self._nobodys(key)
                return word.principal
        raise NotNow

    def _in_turn(self) -> Iterable[Asker]:
        """All servers, beginning with another one each time; those that were silent come last."""
        now, count = self._now(), len(self.askers)
        self._turn += 1
        turned = [self.askers[(self._turn + step) % count] for step in range(count)]
        return sorted(turned, key=lambda asker: self._skipped.get(asker.address, now) > now)

    async def _ask(self, asker: Asker, key: bytes) -> _Word | None:
        """One server's word; None if it has none."""
        frame = codec.encode("whois", {"key": key, "clock": self._lamport.tick()})
        reply = None
        try:
            with trio.move_on_after(WHOIS_SECONDS):
                reply = codec.decode_reply(await asker.ask(frame))
        except (WireError, Malformed) as error:
            self._log.warning("whois not answered", server=asker.address, reason=str(error))
        if reply is None:
            self._skipped[asker.address] = self._now() + SKIPPED_SECONDS
            return None
        self._skipped.pop(asker.address, None)
        self._lamport.receive(clock_of(reply.data))
        if reply.failed:
            nobody = reply.data.get("code") in _NOBODY
            return _Word(None) if nobody else None
        name = reply.data.get("name")
        if not isinstance(name, str) or not name:
            return None
        return _Word(Principal("key", name, key))

    def _nobodys(self, key: bytes) -> None:
        self._unknown[key] = self._now() + UNKNOWN_SECONDS
        self._unknown.move_to_end(key)
        if len(self._unknown) > KEYS_REMEMBERED_MAX:
            self._unknown.popitem(last=False)

    # Who was let in before ------------------------------------------------------------------------

    def changed(self) -> None:
        """The roster was read again: look at everybody again."""
        self._changed.set()

    async def review(self) -> NoReturn:
        """The task: after each `changed`, see whether all who are in would be let in now."""
        while True:
            await self._changed.wait()
            self._changed = trio.Event()
            self._unknown.clear()
            out = [key for key, domain in list(self._let_in) if await self._is_out(key, domain)]
            if out:
                self._log.info("connections begin anew: not everybody would be let in now", keys=len(out))
                self._begin_anew()

    async def _is_out(self, key: bytes, domain: str) -> bool:
        try:
            return await self._find(key, domain) is None
        except NotNow:
            return False  # who cannot be asked about stays

    async def anew(self) -> None:
        """Wait until all connections are to begin anew."""
        await self._anew.wait()

    # Subscriptions --------------------------------------------------------------------------------

    def grant(self, principal: Principal, topic: bytes) -> bool:
        """Whether this one may subscribe to exactly this topic."""
        if not principal.name:
            return False
        role = _ROLES.get(principal.role) or Role(principal.role)
        return may_subscribe(topic, role=role, name=principal.name)


def _is_asked_about(domain: str, listed: Principal | None) -> bool:
    """Whether the roster does not say enough of a key: users, and operators, who are users too."""
    return domain == "xpub" and (listed is None or listed.role == "operator")


def _by_roster(domain: str, listed: Principal | None) -> Principal | None:
    """Servers publish and hear; nothing else listens here."""
    inside = domain in ("xsub", "xpub") and listed is not None and listed.role == "server"
    return listed if inside else None
