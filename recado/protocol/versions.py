"""The versions of what servers say to each other, and which of them understand each other.

A server tells `WIRE_VERSION` in everything that it asks another one.  It serves its own version, the one
before, and the one after, which by the same rule serves this one: so a cluster is upgraded one server at a
time.  Within one version fields are only added, and whoever does not know one ignores it; what a version
changes beyond that, it uses with those members only of which it has heard that version.
"""

from typing import Final

WIRE_VERSION: Final = 2
NEIGHBOUR_VERSIONS: Final = 1  # how many versions apart two servers may be


def understood(theirs: int, *, ours: int = WIRE_VERSION) -> bool:
    """Whether servers of these two versions serve each other."""
    return abs(theirs - ours) <= NEIGHBOUR_VERSIONS
