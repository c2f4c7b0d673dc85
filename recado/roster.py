"""The roster: who belongs to a secured cluster, by public key.  The same file on every node and client.

```toml
cluster = "recado"

[[server]]
name = "server-1"
keys = ["…"]                          # CURVE, Z85: the first is dialled first, any is accepted
signing = ["…"]                       # Ed25519, base64: what its log may be signed with
addresses = ["tcp://10.0.0.1:5555"]   # so that clients know whose key to expect there
```

`[[broker]]`, `[[reference]]` (without `signing`), `[[operator]]` (users who may act as operators, by
their user keys) and `[[former]]` (servers that left: what they signed stays verifiable, and nothing else).
A roster holds no secret, but whoever can write it decides who is a server: it is read by all and written
by the operator.
"""

import json
import os
import stat
import tomllib
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args

import msgspec
from msgspec import Meta

from recado.keepsake import write_durably
from recado.keys import PublicPart, from_base64, from_z85, z85
from recado.protocol.errors import Refused
from recado.protocol.limits import REGISTERED_SERVERS_MAX, ROSTER_BYTES_MAX, ROSTER_KEYS_MAX
from recado.protocol.names import user_name
from recado.setting_types import Address, NodeName
from recado.wire.ports import Principal

Role = Literal["server", "broker", "reference", "operator"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
_HEADING = (
    "# Who belongs to this cluster; the same file on every node and client. `recado roster` writes it.\n"
)


class RosterError(Exception):
    """A roster that can't be used or changed; the text says what is wrong with it."""

    exit_code = 78  # EX_CONFIG


class Entry(NamedTuple):
    """One node or operator: CURVE keys and signing keys of 32 raw bytes, addresses as clients dial them."""

    role: Role
    name: str
    keys: tuple[bytes, ...]
    signing: tuple[bytes, ...] = ()
    addresses: tuple[str, ...] = ()


_Keys = Annotated[list[str], Meta(max_length=ROSTER_KEYS_MAX)]
_Addresses = Annotated[list[Address], Meta(max_length=ROSTER_KEYS_MAX)]


class _Node(msgspec.Struct, forbid_unknown_fields=True):
    name: NodeName
    keys: _Keys
    addresses: _Addresses = []


class _Server(_Node, forbid_unknown_fields=True):
    signing: _Keys = []


class _Operator(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    keys: _Keys


class _Former(msgspec.Struct, forbid_unknown_fields=True):
    name: NodeName
    signing: _Keys


class _File(msgspec.Struct, forbid_unknown_fields=True):
    cluster: Annotated[str, Meta(min_length=1, max_length=64)]
    server: Annotated[list[_Server], Meta(max_length=REGISTERED_SERVERS_MAX)] = []
    broker: Annotated[list[_Node], Meta(max_length=REGISTERED_SERVERS_MAX)] = []
    reference: Annotated[list[_Node], Meta(max_length=REGISTERED_SERVERS_MAX)] = []
    operator: Annotated[list[_Operator], Meta(max_length=REGISTERED_SERVERS_MAX)] = []
    former: Annotated[list[_Former], Meta(max_length=REGISTERED_SERVERS_MAX)] = []


@dataclass(frozen=True, kw_only=True)
class Roster:
    """A roster that was checked: every key is of one entry, every name once in its role."""

    cluster: str
    entries: tuple[Entry, ...] = ()
    former: dict[str, tuple[bytes, ...]] = field(default_factory=dict)

    @staticmethod
    def parse(text: str) -> "Roster":
        """The roster in a file's text.  Raises `RosterError`."""
        try:
            file = msgspec.convert(tomllib.loads(text), _File)
        except tomllib.TOMLDecodeError as error:
            raise RosterError(f"not TOML: {error}") from None
        except msgspec.ValidationError as error:
            raise RosterError(str(error)) from None
        roster = Roster(
            cluster=file.cluster,
            entries=tuple(_entries(file)),
            former={one.name: _decoded(one.name, one.signing, from_base64) for one in file.former},
        )
        roster.check()
        return roster

    @staticmethod
    def read(path: Path) -> "Roster":
        """The roster in a file.  Raises `RosterError` that names it."""
        try:
            with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
                if os.fstat(file.fileno()).st_mode & stat.S_IWOTH:
                    raise RosterError(f"{path} can be written by everybody; chmod o-w {path}")
                raw = file.read(ROSTER_BYTES_MAX + 1)
        except OSError as error:
            raise RosterError(f"{path} can't be read: {error.strerror}") from None
        if len(raw) > ROSTER_BYTES_MAX:
            raise RosterError(f"{path} is larger than a roster can be ({ROSTER_BYTES_MAX} bytes)")
        try:
            return Roster.parse(raw.decode())
        except UnicodeDecodeError:
            raise RosterError(f"{path} is not UTF-8") from None
        except RosterError as error:
            raise RosterError(f"{path}: {error}") from None

    def dump(self) -> str:
        """The text of the file; `parse` gives this roster again."""
        parts = [_HEADING, f"cluster = {_toml(self.cluster)}\n"]
        parts += [_table(entry) for role in ROLES for entry in self.entries if entry.role == role]
        for name, signing in self.former.items():
            keys = [b64encode(key).decode() for key in signing]
            parts.append(f"\n[[former]]\nname = {_toml(name)}\nsigning = {_toml(keys)}\n")
        return "".join(parts)

    def write(self, path: Path) -> None:
        """Replace the file as a whole, durably, for all to read; of a link, the file that it leads to.

        Raises `RosterError`; then it is as before.
        """
        self.check()
        try:
            path = path.resolve()
            write_durably(path, self.dump().encode())
            os.chmod(path, 0o644)
        except OSError as error:
            raise RosterError(f"{path} can't be written: {error.strerror}") from None

    def check(self) -> None:
        """Raises `RosterError` for what no single entry shows: a key or a name used twice, no key at all."""
        owners: dict[bytes, str] = {}
        names: set[tuple[str, str]] = set()
        signers: dict[bytes, str] = {}
        for entry in self.entries:
            who = f"{entry.role} {entry.name}"
            if (entry.role, entry.name) in names:
                raise RosterError(f"{who} is there twice; several keys of one stand in one list")
            names.add((entry.role, entry.name))
            if not entry.keys:
                raise RosterError(f"{who} has no key")
            if entry.role == "server" and not entry.signing:
                raise RosterError(f"{who} has no signing key")
            for key in entry.keys:
                if key in owners:
                    raise RosterError(f"{who} has the key of {owners[key]}: {z85(key)}")
                owners[key] = who
        signing = [(entry.name, entry.signing) for entry in self.entries] + list(self.former.items())
        for name, keys in signing:
            for key in keys:
                if signers.setdefault(key, name) != name:
                    raise RosterError(f"{name} has the signing key of {signers[key]}")

    @cached_property
    def _by_key(self) -> dict[bytes, Principal]:
        return {
            key: Principal(role=entry.role, name=entry.name, key=key)
            for entry in self.entries
            for key in entry.keys
        }

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], Entry]:
        return {(entry.role, entry.name): entry for entry in self.entries}

    def role_of(self, key: bytes) -> Principal | None:
        """Who has this key (32 raw bytes); None: nobody here, perhaps a user."""
        return self._by_key.get(key)

    def of(self, role: Role) -> tuple[Entry, ...]:
        """The entries of one role, in the file's order."""
        return tuple(entry for entry in self.entries if entry.role == role)

    def entry(self, role: Role, name: str) -> Entry | None:
        return self._by_name.get((role, name))

    def keys_of(self, role: Role, name: str) -> tuple[bytes, ...]:
        """The CURVE keys to expect of a node, the first to be tried first; () if it is not here."""
        entry = self.entry(role, name)
        return entry.keys if entry else ()

    def signing_keys(self, node_name: str) -> tuple[bytes, ...]:
        """The Ed25519 keys that the log of a server, also of one that left, may be signed with."""
        entry = self.entry("server", node_name)
        return (*(entry.signing if entry else ()), *self.former.get(node_name, ()))

    def server_keys(self, address: str) -> tuple[bytes, ...]:
        """The keys to expect at an address that the roster names; () if it names none there."""
        return next((entry.keys for entry in self.entries if address in entry.addresses), ())

    def with_part(
        self, part: PublicPart, *, addresses: Sequence[str] = (), operator: bool = False, first: bool = False
    ) -> "Roster":
        """With one more key: of a new node, or a further one of a known node (`first`: dialled first).

        Raises `RosterError` for users and bots unless they become an `operator`: users are not listed.
        """
        if (part.kind == "user") != operator or part.kind == "bot":
            raise RosterError(
                f"{part.name} is a {part.kind}: users register themselves at their first login; "
                "the roster lists nodes, and users that are to be operators"
                if part.kind in ("user", "bot")
                else f"{part.name} is a {part.kind}: operators are users"
            )
        role: Role = "operator" if operator else part.kind  # type: ignore[assignment]  # no user or bot
        before = self.entry(role, part.name) or Entry(role, part.name, ())
        if part.public in before.keys:
            raise RosterError(f"{role} {part.name} has that key already")
        keys = (part.public, *before.keys) if first else (*before.keys, part.public)
        signing = tuple(one for one in dict.fromkeys([*before.signing, part.signing]) if one)
        places = tuple(dict.fromkeys([*before.addresses, *addresses]))
        return self._with(Entry(role, part.name, keys, signing, places), instead_of=before)

    def with_newest_key_only(self, role: Role, name: str) -> "Roster":
        """With the last key of an entry alone, the end of a rotation.  Signing keys all stay.

        Raises `RosterError` if there is only one.
        """
        before = self.entry(role, name)
        if before is None:
            raise RosterError(f"there is no {role} {name}")
        if len(before.keys) == 1:
            raise RosterError(f"{role} {name} has one key only; begin with the new one's public part")
        return self._with(before._replace(keys=before.keys[-1:]), instead_of=before)

    def at(self, role: Role, name: str, addresses: Sequence[str]) -> "Roster":
        """With an entry's addresses replaced.  Raises `RosterError` if it is not here."""
        before = self.entry(role, name)
        if before is None:
            raise RosterError(f"there is no {role} {name}")
        return self._with(before._replace(addresses=tuple(addresses)), instead_of=before)

    def without(self, role: Role, name: str, *, key: bytes | None = None, forget: bool = False) -> "Roster":
        """Without an entry, or without one `key` of it.

        Signing keys of a server that leaves stay under `former`, unless `forget`.  Raises `RosterError`.
        """
        before = self.entry(role, name)
        if before is None:
            raise RosterError(f"there is no {role} {name}")
        if key is not None:
            if key not in before.keys:
                raise RosterError(f"{role} {name} has no such key")
            if len(before.keys) == 1:
                raise RosterError(f"that is the only key of {role} {name}; add the new one first")
            return self._with(
                before._replace(keys=tuple(one for one in before.keys if one != key)), instead_of=before
            )
        former = dict(self.former)
        if before.signing and not forget:
            former[name] = tuple(dict.fromkeys([*former.get(name, ()), *before.signing]))
        changed = replace(self, entries=tuple(e for e in self.entries if e is not before), former=former)
        changed.check()
        return changed

    def _with(self, entry: Entry, *, instead_of: Entry) -> "Roster":
        if instead_of in self.entries:
            entries = tuple(entry if one is instead_of else one for one in self.entries)
        else:
            entries = tuple(sorted((*self.entries, entry), key=lambda one: ROLES.index(one.role)))
        changed = replace(self, entries=entries)
        changed.check()
        return changed


def _entries(file: _File) -> Iterator[Entry]:
    for server in file.server:
        signing = _decoded(server.name, server.signing, from_base64)
        keys = _decoded(server.name, server.keys, from_z85)
        yield Entry("server", server.name, keys, signing, tuple(server.addresses))
    for role, nodes in (("broker", file.broker), ("reference", file.reference)):
        for node in nodes:
            keys = _decoded(node.name, node.keys, from_z85)
            yield Entry(role, node.name, keys, (), tuple(node.addresses))  # type: ignore[arg-type]
    for operator in file.operator:
        try:
            name = user_name(operator.name)
        except Refused as refused:
            raise RosterError(f"operator {operator.name!r}: {refused.text}") from None
        yield Entry("operator", name, _decoded(name, operator.keys, from_z85))


def _decoded(name: str, texts: list[str], read: Any) -> tuple[bytes, ...]:
    try:
        return tuple(dict.fromkeys(read(text) for text in texts))
    except ValueError as error:
        raise RosterError(f"{name}: {error}") from None


def _table(entry: Entry) -> str:
    lines = ["", f"[[{entry.role}]]", f"name = {_toml(entry.name)}"]
    lines.append(f"keys = {_toml([z85(key) for key in entry.keys])}")
    if entry.signing:
        lines.append(f"signing = {_toml([b64encode(key).decode() for key in entry.signing])}")
    if entry.addresses:
        lines.append(f"addresses = {_toml(entry.addresses)}")
    return "\n".join([*lines, ""])


def _toml(value: Any) -> str:
    """A TOML value: JSON's strings and lists of strings are TOML's too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
