"""What the subscribers behind a broker want, as the publishing end hears of it.

An XPUB is told the first subscription to each topic, and that the last one has ended; a connection that
ends takes its own with it.  So the set below is what libzmq itself filters by, for a frame at each change.
"""

from collections import Counter
from typing import Final

from recado.protocol.limits import TOPICS_WANTED_MAX

_SUBSCRIBE: Final = b"\1"
_UNSUBSCRIBE: Final = b"\0"


class Interest:
    """The topics subscribed to at one XPUB.  More than `TOPICS_WANTED_MAX`: everything counts as wanted."""

    def __init__(self) -> None:
        self._topics: set[bytes] = set()
        self._lengths: Counter[int] = Counter()  # of the topics: the prefixes of another one to look up
        self._overflown = False
        self._cut = False

    def told(self, frames: list[bytes], more: bool) -> None:
        """What was received, `more` if its message goes on after it.

        A whole message of one frame that begins with 0 or 1 is libzmq's own word; other messages of
        subscribers come as they were sent, and frames inside them may look the same.
        """
        whole = not self._cut and not more
        self._cut = more
        if not whole or len(frames) != 1:
            return
        kind, topic = frames[0][:1], frames[0][1:]
        if kind == _SUBSCRIBE and topic not in self._topics:
            if len(self._topics) >= TOPICS_WANTED_MAX:
                self._overflown = True  # for good: which of them end will not be known
                return
            self._topics.add(topic)
            self._lengths[len(topic)] += 1
        elif kind == _UNSUBSCRIBE and topic in self._topics:
            self._topics.remove(topic)
            self._lengths[len(topic)] -= 1
            if not self._lengths[len(topic)]:
                del self._lengths[len(topic)]

    def covers(self, topic: bytes) -> bool:
        """Whether a subscription is the topic, or a beginning of it."""
        longest = len(topic)
        return self._overflown or any(
            length <= longest and topic[:length] in self._topics for length in self._lengths
        )
