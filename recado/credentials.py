"""What a client of a cluster with keys goes by, from what it was given: files, or what was read of them."""

from os import PathLike
from pathlib import Path

from recado.keys import Identity, read_identity
from recado.roster import Roster
from recado.secured import AddressBook, ClientSecurity
from recado.wire.security import Security

File = str | PathLike[str]


def credentials(roster: File | Roster | None, key: File | Identity | None) -> ClientSecurity:
    """Both together.  Raises `ValueError` for one alone, `RosterError`, `KeyFileError`."""
    if roster is None or key is None:
        raise ValueError("a cluster with keys needs both: the roster, and the key of who speaks")
    if not isinstance(roster, Roster):
        roster = Roster.read(Path(roster))
    if not isinstance(key, Identity):
        key = read_identity(Path(key))
    return ClientSecurity(identity=key, roster=roster, book=AddressBook(roster))


def wire_security(client: ClientSecurity) -> Security:
    """For a network that dials and never listens."""
    identity = client.identity
    return Security(public=identity.public, secret=identity.secret, keys_of=client.book.keys_of)
