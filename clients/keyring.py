"""A person's keys on disk: where they are, and which one a command speaks with."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from clients.ending import CONFIGURATION, USAGE, Ended
from clients.options import Where, config_directory, need_user
from clients.words import speaker

if TYPE_CHECKING:
    from recado.secured import ClientSecurity


def key_file(name: str) -> str:
    """The file of a user's key: the name as far as a file can be called so, the rest as `%2F`."""
    return re.sub(r"[/%]|^\.", lambda found: f"%{ord(found[0]):02X}", name) + ".key"


def user_key_path(name: str, env: Mapping[str, str]) -> Path:
    """Where `recado keygen --user NAME` puts the key, and commands look for it."""
    return config_directory(env) / key_file(name)


def security_of(where: Where, user: str | None = None) -> "ClientSecurity | None":
    """What to connect with: the roster and the key of `where`; None for a cluster without keys.

    Without `--key` it is the key of `user`, and without a user the only one there is.  Raises `Ended`.
    """
    if where.roster is None:
        if where.key is not None:
            raise Ended(speaker()("key.no_roster"), USAGE)
        return None
    # Cryptography is loaded for those who have keys.
    from recado.keys import KeyFileError
    from recado.roster import RosterError
    from recado.secured import client_security

    try:
        return client_security(where.roster, where.key or _key_of(user))
    except (KeyFileError, RosterError) as error:
        raise Ended(str(error), CONFIGURATION) from None


def who_speaks(where: Where, user: str | None) -> str:
    """The user who acts: as named, else whose key it is.  Raises `Ended`, `UsageError`."""
    if user or where.roster is None:
        return need_user(user)
    security = security_of(where, None)
    assert security is not None, "there is a roster"
    return security.identity.name


def is_program(where: Where, user: str) -> bool:
    """Whether the key was made for a program (`recado keygen --bot`).  Raises `Ended`."""
    security = security_of(where, user)
    return security is not None and security.identity.kind == "bot"


def _key_of(user: str | None) -> Path:
    if user:
        path = user_key_path(user, os.environ)
        if not path.exists():
            raise Ended(speaker()("key.none", path=path, user=user), CONFIGURATION)
        return path
    directory = config_directory(os.environ)
    found = sorted(directory.glob("*.key")) if directory.is_dir() else []
    if len(found) != 1:
        raise Ended(speaker()("key.which", directory=directory, count=len(found)), CONFIGURATION)
    return found[0]
