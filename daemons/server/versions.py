"""Members of another version: the neighbours are served, others refused with a line that says so.

While a cluster is upgraded, servers of two versions work together (`recado.protocol.versions`).  One that
is too far off can't be understood, so nothing of it is believed: it is refused as a stranger is, and the
cluster goes on without it.
"""

from daemons.shared.logging import Logger
from recado.protocol.errors import Refused
from recado.protocol.limits import MEMBER_COMPLAINTS_MAX
from recado.protocol.versions import understood
from recado.texts import wire_text


class Versions:
    """The version that this server speaks, and those that the members were last heard to speak."""

    def __init__(self, ours: int, log: Logger) -> None:
        self.ours = ours
        self.heard: dict[str, int] = {}
        self._log = log
        self._complained: set[tuple[str, int]] = set()

    def check(self, member: str, theirs: int | None) -> None:
        """A member asks.  Raises `Refused` if its version is not understood; one log line for each such."""
        if theirs is None:
            return
        self.heard[member] = theirs
        if understood(theirs, ours=self.ours):
            return
        if (member, theirs) not in self._complained and len(self._complained) < MEMBER_COMPLAINTS_MAX:
            self._complained.add((member, theirs))
            self._log.error(
                "a server of another wire version is refused",
                server=member,
                its_version=theirs,
                our_version=self.ours,
                upgrade="this server" if theirs > self.ours else member,
            )
        raise Refused("version_unsupported", wire_text("version_unsupported"))
