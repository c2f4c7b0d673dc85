"""Where a client expects whose keys: what it was told of addresses goes into its address book.

An address that the roster itself names is expected to be what the roster says.  Of others a client knows what
it was told: by the caller what kind of node is there, by the reference which server.  A lie only makes
a handshake fail.  In open mode there is nothing to know.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from recado.secured import ClientSecurity


class Whereabouts:
    """Fills the address book of a client's security; without security each method does nothing."""

    def __init__(self, security: "ClientSecurity | None") -> None:
        self._book = None if security is None else security.book

    def servers(self, addresses: Iterable[str]) -> tuple[str, ...]:
        """Servers, whichever; gives the addresses back."""
        found = tuple(addresses)
        for address in found:
            self._learn("server", "", address)
        return found

    def listed(self, name: str, address: str) -> None:
        """A server of that name, as the reference lists it."""
        self._learn("server", name, address)

    def reference(self, address: str | None) -> str | None:
        """The reference, if there is one; gives its address back."""
        if address is not None:
            self._learn("reference", "", address)
        return address

    def broker(self, address: str) -> None:
        self._learn("broker", "", address)

    def _learn(self, role: Literal["server", "broker", "reference"], name: str, address: str) -> None:
        book = self._book
        if book is None:
            return
        entries = book.roster.of(role)
        if not any(address in entry.addresses for entry in entries):
            book.learn(role, name, address)
