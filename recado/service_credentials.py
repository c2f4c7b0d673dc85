"""Where a daemon finds its secrets: in a file, or where the service manager puts what it was to load.

systemd copies what ``LoadCredential=NAME:FILE`` names into a directory of memory that only this service's
user can read, and says in CREDENTIALS_DIRECTORY where that is (systemd.exec(5)).  So a key can belong to
root, be readable by nobody else, and never lie in the data directory.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SCHEME: Final = "credential:"
VARIABLE: Final = "CREDENTIALS_DIRECTORY"


def credential_path(given: str, name: str, *, data: Path, env: Mapping[str, str] = os.environ) -> Path:
    """The file that the setting `given` means; empty: the credential `name`, or else that file in `data`.

    A credential that is asked for by name and was not loaded is a path that does not exist.
    """
    directory = env.get(VARIABLE, "")
    if given.startswith(SCHEME):
        return Path(directory or f"${VARIABLE}") / given.removeprefix(SCHEME)
    if given:
        return Path(given)
    if directory and (loaded := Path(directory) / name).exists():
        return loaded
    return data / name
