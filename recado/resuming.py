"""Cursors: how far a subscription was read, as plain maps, and kept in a file between two runs (E9).

A cursor holds for each target (``#channel`` or ``@user id``) the vector that was read, and under
``shown `` and the target the last messages read, by digest, so that a copy of one of them that was
sent to another server is not shown once more.
"""

import time
from collections.abc import Mapping

from recado import values
from recado.follower import Follower
from recado.keepsake import Keepsakes
from recado.protocol.limits import CURSOR_IDENTS_MAX, SUBSCRIPTIONS_PER_CLIENT_MAX
from recado.target import Resumed, Target

Cursor = Mapping[str, Mapping[str, int]]  # JSON-ready
SAVE_SECONDS = 1.0  # between two writes of the file, at least
SAVE_SHARE = 0.02  # of the time at most goes into writing

_SHOWN = "shown "


def cursor_of(follower: Follower) -> Cursor:
    """A follower's part of a cursor; nothing before its first page."""
    if follower.cursor is None:
        return {}
    key = follower.target.key
    return {key: dict(follower.cursor), _SHOWN + key: dict(follower.idents)}


def resumed(target: Target, cursor: Cursor | None) -> Resumed | None:
    """A target's part of a cursor; what is no cursor counts as none."""
    have = (cursor or {}).get(target.key)
    if not isinstance(have, Mapping):
        return None
    shown = values.vector((cursor or {}).get(_SHOWN + target.key))
    latest = list(shown.items())[-CURSOR_IDENTS_MAX:]
    return Resumed(values.vector(dict(have)), dict(latest))


class Saved:
    """The cursor kept under a name.  Written in place, as `recado.keepsake` explains.

    After a crash what was read within the last second or so may be shown again; never is anything
    left out, since a message counts as read once the reader came back for the next one.
    """

    def __init__(self, keepsakes: Keepsakes, name: str) -> None:
        self._keepsakes = keepsakes
        self._name = name
        kept = (keepsakes.recall("cursor", name) or {}).get("cursor")
        self.cursor: dict[str, Mapping[str, int]] = kept if isinstance(kept, dict) else {}
        self.pause_seconds = SAVE_SECONDS  # until the next write

    def save(self, cursor: Cursor) -> None:
        """Keep this; targets that it does not name stay as they were.  Raises `OSError`."""
        merged = {**self.cursor, **cursor}
        if merged == self.cursor:
            return
        for key in [key for key in merged if key not in cursor][: -2 * SUBSCRIPTIONS_PER_CLIENT_MAX]:
            del merged[key]
        began = time.monotonic()
        self._keepsakes.keep("cursor", self._name, {"cursor": merged})
        self.pause_seconds = max(SAVE_SECONDS, (time.monotonic() - began) / SAVE_SHARE)
        self.cursor = merged
