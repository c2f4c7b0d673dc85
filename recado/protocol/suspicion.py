"""When a server's disk is lost, what a subscriber saw of it may exist nowhere any more (E8, A44, A45).

Some things make an origin suspected.  A beacon that has less of it than was seen here proves nothing, as
it may be older than what was seen, or come from a server that lags; its own server is doubted at once,
another if nobody has said better for `LAGGING_SECONDS`.  And a server that has started anew may have
done so on another disk, so that nobody even knows the origins it had before: all that was seen of
them is doubted, unless its beacon confirms it.  Likewise an origin that is still published while
its server speaks of it no more: every beacon names the origin that its server writes to.

Then *all* members are asked, after the suspicion (`Audit`), and only if each of them answers, and each
with less, is the rest gone.  An audit that some member did not answer settles nothing and is repeated
ever more seldom, until a server starts.

    quiet ── beacon with less ──> suspected ── due ──> audited ── all have less ──> forgotten
      ^          │ beacon with enough       ^             │ not all answered, or somebody has it
      └──────────┘                          └─────────────┘
"""

from collections.abc import Mapping

from recado.protocol.limits import SUBSCRIPTION_SUSPICIONS_MAX
from recado.protocol.vector import Vector

LAGGING_SECONDS = 10.0
LIVE_ORIGINS_MAX = 64
SERVERS_MAX = 64
PAUSE_SECONDS = 5.0  # between two audits; doubles while members don't answer
PAUSE_SECONDS_MAX = 300.0


class Suspicions:
    """What one subscription doubts.  `have` is what it has seen; times are monotonic seconds.

    `resumed`: some of it was seen before, while servers may have lost their disks unheard.
    """

    def __init__(self, *, resumed: bool = False) -> None:
        self._resumed = resumed
        self._boots: dict[str, str] = {}
        self._live: dict[str, None] = {}  # origins whose publications were met, the latest last
        self._due_at: dict[str, float] = {}  # suspected origin → when to ask about it
        self._asked: Vector = {}  # what the audit that is out asks about
        self._not_before = 0.0
        self._unanswered = 0  # audits in a row

    @property
    def deadline(self) -> float | None:
        """When `audit` wants to be called next; None while nothing is suspected, or an audit is out."""
        if self._asked or not self._due_at:
            return None
        return max(self._not_before, min(self._due_at.values()))

    def published(self, origin: str) -> None:
        """A publication of this origin was met."""
        self._live.pop(origin, None)
        self._live[origin] = None
        if len(self._live) > LIVE_ORIGINS_MAX:
            del self._live[next(iter(self._live))]

    def heard(
        self,
        vector: Mapping[str, int],
        *,
        server: str,
        boot: str,
        have: Mapping[str, int],
        now: float,
    ) -> None:
        """A server speaks: which start of it this is, and components of its durable vector."""
        if self._boots.get(server) != boot:
            anew = self._resumed or server in self._boots
            self._back(now)
            if server in self._boots or len(self._boots) < SERVERS_MAX:
                self._boots[server] = boot
            for origin in have if anew else ():
                if _owner(origin) == server:
                    self._suspect(origin, now)
        for origin in self._live:
            if _owner(origin) == server and origin not in vector and origin in have:
                self._suspect(origin, now + LAGGING_SECONDS)
        for origin, seq in vector.items():
            if seq >= have.get(origin, 0):
                self._due_at.pop(origin, None)
            else:
                self._suspect(origin, now if _owner(origin) == server else now + LAGGING_SECONDS)

    def _back(self, now: float) -> None:
        """A server has started: it may be the one that did not answer."""
        self._unanswered = 0
        self._not_before = min(self._not_before, now + PAUSE_SECONDS)

    def _suspect(self, origin: str, due_at: float) -> None:
        if origin in self._due_at or len(self._due_at) < SUBSCRIPTION_SUSPICIONS_MAX:
            self._due_at[origin] = min(due_at, self._due_at.get(origin, due_at))

    def audit(self, *, have: Mapping[str, int], now: float) -> Vector:
        """What to ask all members about now; empty: nothing."""
        deadline = self.deadline
        if deadline is None or now < deadline:
            return {}
        self._asked = {o: have[o] for o, due_at in self._due_at.items() if due_at <= now and have.get(o)}
        if not self._asked:
            self._due_at.clear()
        return dict(self._asked)

    def answered(self, most: Mapping[str, int] | None, *, have: Mapping[str, int], now: float) -> Vector:
        """The most that any member has of each origin asked about; None: not all of them answered.

        Gives what is left of the origins that no member has as far as they were seen.
        """
        asked, self._asked = self._asked, {}
        if not asked:
            return {}
        if most is None:
            pause = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2.0 ** min(self._unanswered, 10))
            self._unanswered += 1
            self._not_before = now + pause
            return {}
        self._unanswered = 0
        self._not_before = now + PAUSE_SECONDS
        for origin in asked:
            self._due_at.pop(origin, None)
            self._live.pop(origin, None)
        # An origin that has grown here since the question is alive, whatever was answered to it.
        return {o: most.get(o, 0) for o, n in asked.items() if most.get(o, 0) < n == have.get(o)}


def _owner(origin: str) -> str:
    """The server whose origin it is: origins are its name and the random part of one start."""
    return origin.rpartition(".")[0]
