"""Room for connections: a daemon takes all the descriptors that the system lets it have.

The usual soft limit is 1024 for the sake of ``select``, which nothing here uses; beyond it a crowd of
connections would leave no descriptor for the next one, or for a file.
"""

import resource
from contextlib import suppress


def take_descriptors() -> int:
    """Raise the soft limit of open files to the hard one; gives the limit that holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):  # a system that allows less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
