"""In which forms a subscription asks the brokers for its topics (open mode).

Servers publish each message by itself, as other people's programs expect it, and in runs that share frames,
at topics of their own.  Either form alone is all of it, and each costs the broker, so one is asked for:

    single ──a beacon says `runs`──► both ──every beacon did, for `SETTLED_SECONDS`──► runs
       ▲                              ▲                                                  │
       └──────── at first             └──────────── a beacon does not ◄──────────────────┘

A server of before runs never says so, and one that knows of somebody who listens to everything says no more.
What comes in both forms is shown once, and what comes in neither, while asking changes, is found missing and
fetched, as everything is that a broker loses.
"""

from typing import Final

from recado.protocol.publications import run_topic
from recado.wire.ports import Subscriber

SETTLED_SECONDS: Final = 10.0  # several beacons of each server


class Forms:
    """Asks `subscriber` for topics.  `now` is in monotonic seconds."""

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber
        self._topics: set[bytes] = set()
        self._single, self._runs = True, False
        self._since: float | None = None  # when the first of the beacons since came that all said `runs`

    def follow(self, topic: bytes) -> None:
        """Ask for a topic."""
        self._topics.add(topic)
        for form in self._of(topic, single=self._single, runs=self._runs):
            self._subscriber.subscribe(form)

    def leave(self, topic: bytes) -> None:
        """Ask for it no longer."""
        self._topics.discard(topic)
        for form in self._of(topic, single=True, runs=True):
            self._subscriber.unsubscribe(form)

    def beacon(self, *, runs: bool, now: float) -> None:
        """A server has said whether it publishes runs."""
        if not runs:
            self._since = None
        elif self._since is None:
            self._since = now
        settled = self._since is not None and now >= self._since + SETTLED_SECONDS
        self._ask(single=not settled, runs=self._runs or runs)

    def _ask(self, *, single: bool, runs: bool) -> None:
        if (single, runs) == (self._single, self._runs):
            return
        for topic in self._topics:
            for form in self._of(topic, single=single and not self._single, runs=runs and not self._runs):
                self._subscriber.subscribe(form)
            for form in self._of(topic, single=self._single and not single, runs=False):
                self._subscriber.unsubscribe(form)
        self._single, self._runs = single, runs

    @staticmethod
    def _of(topic: bytes, *, single: bool, runs: bool) -> list[bytes]:
        return [form for form, asked in ((topic, single), (run_topic(topic), runs)) if asked]
