"""The operator's key of whoever runs `recado init`, and the roster among that person's own files.

So `recado status` and `recado user` work at once.  The roster there is a link to the node's: `recado roster`
changes the one that counts.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from clients.keyring import key_file
from clients.options import ROSTER_FILE, config_directory
from clients.setup.files import SECRET, Places, Wanted
from recado.keys import Identity, identity_text, make_identity, read_identity

DEFAULT_NAME = "operator"


class Keyring(NamedTuple):
    """A person's directory, the operator's key and the file that it is or will be in."""

    directory: Path
    identity: Identity
    path: Path

    @property
    def wanted(self) -> Wanted:
        return Wanted(path=self.path, text=identity_text(self.identity), mode=SECRET, replace=False)


def open_keyring(name: str, places: Places, env: Mapping[str, str]) -> Keyring:
    """The key of that name if there is one, else a new one, not written yet.  Raises `KeyFileError`."""
    directory = config_directory(env) if places.root == Path("/") else places.root / "root/.config/recado"
    path = directory / key_file(name)
    identity = read_identity(path) if path.exists() else make_identity("user", name)
    return Keyring(directory, identity, path)


def link_roster(keyring: Keyring, places: Places) -> bool:
    """Put a link to the node's roster there; False if another roster is there.  Raises `OSError`."""
    keyring.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    link = keyring.directory / ROSTER_FILE
    if os.path.lexists(link):
        return link.exists() and places.roster.exists() and link.samefile(places.roster)
    link.symlink_to(os.path.relpath(places.roster.resolve(), keyring.directory.resolve()))
    return True


def default_operator(env: Mapping[str, str]) -> str:
    """The person who called sudo, else `operator`."""
    return env.get("SUDO_USER") or DEFAULT_NAME
