"""The network's weather: what becomes of each message of the simulated cluster, all of it from a seed.

`FaultyTransit` is a `recado.wire.memory.Transit`.  Each message and hop is delayed by a lognormal time
of its own, so what is sent later may arrive earlier; it may be lost or doubled.  `cut` takes single
directions of links away.  Hosts whose names begin with ``observer`` see the world as it is.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from random import Random

import msgspec

from recado.wire.memory import TrafficKind

OBSERVER = "observer"
OBSERVER_SECONDS = 0.0005
TRAFFIC_MAX = 2_000_000  # messages of one history: beyond it something talks without end


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """What a link does to messages.  Times in seconds, the others are shares of all messages."""

    delay_seconds: float = 0.001  # the median; a tenth of the messages takes twice that or more
    spread: float = 0.5  # sigma of the lognormal
    loss: float = 0.0
    duplication: float = 0.0
    late: float = 0.0  # held up by up to `late_seconds` more
    late_seconds: float = 3.0
    publication_loss: float = 0.0  # beside `loss`: a full queue on the way drops hints


CALM = Weather()
ROUGH = Weather(delay_seconds=0.01, spread=1.0, loss=0.05, duplication=0.05, late=0.03, publication_loss=0.3)


def directions(
    sources: Iterable[str], destinations: Iterable[str], *, both_ways: bool
) -> list[tuple[str, str]]:
    """(from, to) of every pair, and back if `both_ways`."""
    others = list(destinations)
    pairs = [(a, b) for a in sources for b in others if a != b]
    return [*pairs, *((b, a) for a, b in pairs)] if both_ways else pairs


class FaultyTransit:
    """Delays, losses, duplicates and cuts.  `record` says what was done to the links, and when.

    `digest` is the trace: a hash over every message, its time, its way and what became of it.
    """

    def __init__(self, random: Random, *, now: Callable[[], float], weather: Weather = CALM) -> None:
        self.weather = weather
        self.links: dict[tuple[str, str], Weather] = {}  # (from, to): instead of the general weather
        self.record: list[tuple[float, str]] = []
        self.messages = 0
        self.busiest: tuple[int, int, str, str] = (0, 0, "", "")  # messages, in which second, from, to
        self._random = random
        self._now = now
        self._cut: Counter[tuple[str, str]] = Counter()  # how many faults cut this direction
        self._frozen: dict[str, float] = {}  # host: until when it neither sends nor hears
        self._second = -1
        self._rates: Counter[tuple[str, str]] = Counter()
        self._trace = hashlib.blake2b(digest_size=16)

    @property
    def digest(self) -> str:
        """The trace so far, in hexadecimal."""
        return self._trace.hexdigest()

    def note(self, what: str) -> None:
        """Put a line into the fault record."""
        self.record.append((self._now(), what))

    # The links ---------------------------------------------------------------------------------

    def cut(self, sources: Iterable[str], destinations: Iterable[str], *, both_ways: bool = True) -> None:
        """Nothing passes from `sources` to `destinations`, nor back unless told so."""
        ways = directions(sources, destinations, both_ways=both_ways)
        self._cut.update(ways)
        self.note("cut " + " ".join(f"{a}-/->{b}" for a, b in ways))

    def mend(self, sources: Iterable[str], destinations: Iterable[str], *, both_ways: bool = True) -> None:
        """Undo one `cut` of the same; what another has cut as well stays cut."""
        ways = directions(sources, destinations, both_ways=both_ways)
        self._cut.subtract(ways)
        self._cut = +self._cut
        self.note("mend " + " ".join(f"{a}--->{b}" for a, b in ways))

    def freeze(self, host: str, *, until: float) -> None:
        """A process that is stopped (SIGSTOP): what it is sent, and what it sends, waits that long."""
        self._frozen[host] = until
        self.note(f"pause {host} until {until:.2f}")

    def heal(self) -> None:
        """Every link is whole again."""
        self._cut.clear()
        self._frozen.clear()
        self.links.clear()
        self.note("healed")

    def become(self, weather: Weather) -> None:
        """Another weather from now on."""
        self.weather = weather
        self.note(f"weather {weather}")

    # `recado.wire.memory.Transit` --------------------------------------------------------------

    def delays(self, source: str, destination: str, kind: TrafficKind, size: int) -> Sequence[float]:
        delays = self._delays(source, destination, kind)
        self.messages += 1
        if self.messages > TRAFFIC_MAX:
            raise RuntimeError("the cluster talks without end")
        now = self._now()
        self._trace.update(f"{now} {source} {destination} {kind} {size} {delays}".encode())
        self._count(source, destination, int(now))
        return delays

    def _count(self, source: str, destination: str, second: int) -> None:
        if second != self._second:
            self._second = second
            self._rates.clear()
        rate = self._rates[source, destination] + 1
        self._rates[source, destination] = rate
        if rate > self.busiest[0]:
            self.busiest = (rate, second, source, destination)

    def _delays(self, source: str, destination: str, kind: TrafficKind) -> tuple[float, ...]:
        if source.startswith(OBSERVER) or destination.startswith(OBSERVER):
            return (OBSERVER_SECONDS,)
        if (source, destination) in self._cut:
            return ()
        weather, random = self.links.get((source, destination), self.weather), self._random
        if kind == "publication" and random.random() < weather.publication_loss:
            return ()
        if random.random() < weather.loss:
            return ()
        copies = 2 if random.random() < weather.duplication else 1
        if self._frozen:
            return tuple(self._thawed(source, destination, self._delay(weather)) for _ in range(copies))
        return tuple(self._delay(weather) for _ in range(copies))

    def _thawed(self, source: str, destination: str, delay: float) -> float:
        now = self._now()
        sent = max(now, self._frozen.get(source, 0.0))
        return max(sent + delay, self._frozen.get(destination, 0.0)) - now

    def _delay(self, weather: Weather) -> float:
        seconds = weather.delay_seconds * self._random.lognormvariate(0.0, weather.spread)
        if self._random.random() < weather.late:
            seconds += self._random.uniform(0.0, weather.late_seconds)
        return seconds
