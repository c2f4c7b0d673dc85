"""What a secured process goes by: its identity, the roster, whose key to expect at which address.

`load_security` reads the files once and says everything that is wrong with them; a `Current` keeps what
is in force and takes new files and settings on SIGHUP, all or nothing.
"""

import pwd
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from recado.keys import Identity, KeyFileError, read_cluster_key, read_identity
from recado.protocol.limits import REGISTERED_SERVERS_MAX, SSH_ACCOUNTS_MAX
from recado.protocol.policy import SSH_ACCOUNT
from recado.roster import Roster, RosterError
from recado.service_credentials import credential_path
from recado.settings import Config

Program = Literal["server", "reference", "broker"]
KEY_FILE = "node.key"
CLUSTER_KEY_FILE = "cluster.key"
ANY_USER = "*"
NO_LIMIT = 1e9  # a second: more than any machine does


class SecurityProblems(Exception):
    """The keys can't be used; `problems`: pairs of setting and what to do about it."""

    exit_code = 78  # EX_CONFIG

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{key}: {text}" for key, text in self.problems))


class AddressBook:
    """Whose keys to expect at an address: as configured, as learned, as the roster says.

    What was learned need not be true: a wrong name only makes the handshake fail.
    """

    def __init__(self, roster: Roster) -> None:
        self.roster = roster
        self._known: dict[str, tuple[str, str]] = {}

    def learn(self, role: Literal["server", "broker", "reference"], name: str, address: str) -> None:
        """An address of a node; beyond a thousand further ones are not remembered."""
        if address in self._known or len(self._known) < REGISTERED_SERVERS_MAX:
            self._known[address] = (role, name)

    def keys_of(self, address: str) -> tuple[bytes, ...]:
        """The CURVE keys (32 raw bytes) to try there, in order.

        At an address that nobody has told of only servers may be: else a lying list of servers could make
        another node one of them.
        """
        role, name = self._known.get(address, ("", ""))
        entries = self.roster.entries
        found = tuple(
            key for entry in entries if entry.role == role and name in ("", entry.name) for key in entry.keys
        )
        if found or role:
            return found
        return self.roster.server_keys(address) or tuple(
            key for entry in self.roster.of("server") for key in entry.keys
        )


@dataclass(frozen=True, kw_only=True)
class NodeSecurity:
    """What a daemon of a secured cluster was given; `cluster_key` is b"" unless it is a server."""

    identity: Identity
    roster: Roster
    book: AddressBook
    cluster_key: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, kw_only=True)
class ClientSecurity:
    """What a client of a secured cluster needs."""

    identity: Identity
    roster: Roster
    book: AddressBook


def client_security(roster_path: Path, key_path: Path) -> ClientSecurity:
    """The files of a client.  Raises `RosterError`, `KeyFileError`."""
    roster = Roster.read(roster_path)
    identity = read_identity(key_path)
    if identity.kind not in ("user", "bot"):
        raise KeyFileError(f"{key_path} is the key of a {identity.kind}, not of a user or bot")
    return ClientSecurity(identity=identity, roster=roster, book=AddressBook(roster))


def load_security(config: Config, program: Program, *, starting: bool = True) -> NodeSecurity | None:
    """The files that the settings name, read and checked; None in open mode.

    `starting`: and nobody is configured whom the roster does not name.  Raises `SecurityProblems` with
    everything that is wrong.
    """
    if not config.secured:
        return None
    problems: list[tuple[str, str]] = []
    roster = identity = None
    cluster_key = b""
    try:
        roster = Roster.read(Path(config.security.roster))
    except RosterError as error:
        problems.append(("security.roster", str(error)))
    try:
        identity = _identity(config, program)
    except KeyFileError as error:
        problems.append(("security.key", str(error)))
    if program == "server":
        try:
            cluster_key = _cluster_key(config)
        except KeyFileError as error:
            problems.append(("security.cluster_key", str(error)))
    if roster is not None:
        strangers = not_in_roster(config, roster, where=Path(config.security.roster))
        problems += [problem for problem in strangers if starting or problem[0] == "cluster.id"]
        if identity is not None:
            problems += _not_named(config, roster, identity)
    if problems or roster is None or identity is None:
        raise SecurityProblems(problems)
    return NodeSecurity(identity=identity, roster=roster, book=_book(config, roster), cluster_key=cluster_key)


def key_path(config: Config) -> Path:
    """Where this node's key is."""
    return credential_path(config.security.key, KEY_FILE, data=Path(config.node.data))


def cluster_key_path(config: Config) -> Path:
    """Where the servers' common key is."""
    return credential_path(config.security.cluster_key, CLUSTER_KEY_FILE, data=Path(config.node.data))


def _identity(config: Config, program: Program) -> Identity:
    path, name = key_path(config), config.node.name or program
    if not path.exists():
        raise KeyFileError(f"there is no {path}; make it with `recado keygen --{program} {name} -o {path}`")
    identity = read_identity(path)
    if (identity.kind, identity.name) != (program, name):
        raise KeyFileError(f"{path} is of {identity.kind} {identity.name}, and this is {program} {name}")
    return identity


def _cluster_key(config: Config) -> bytes:
    path = cluster_key_path(config)
    if not path.exists():
        raise KeyFileError(
            f"there is no {path}; copy it from another server, or for the first one make it with "
            f"`recado keygen --cluster -o {path}`"
        )
    return read_cluster_key(path)


def not_in_roster(config: Config, roster: Roster, *, where: Path) -> Iterator[tuple[str, str]]:
    """Whom the configuration names and the roster (of the file `where`) does not: setting, and what to do."""
    if roster.cluster != config.cluster.id:
        yield "cluster.id", f"{config.cluster.id}, but {where} is of cluster {roster.cluster}"
    for member in config.cluster.members:
        if not roster.keys_of("server", member.name):
            yield (
                "cluster.members",
                f"{member.name} has no key in {where}; `recado roster add` its public part",
            )
    for broker in config.cluster.brokers:
        if not roster.keys_of("broker", broker.name):
            yield (
                "cluster.brokers",
                f"{broker.name} has no key in {where}; `recado roster add` its public part",
            )
    if config.cluster.reference and not roster.of("reference"):
        yield "cluster.reference", f"no reference has a key in {where}; `recado roster add` its public part"


def _not_named(config: Config, roster: Roster, identity: Identity) -> Iterator[tuple[str, str]]:
    found = roster.role_of(identity.public)
    where = f"{config.security.roster} does not name"
    if found is None or (found.role, found.name) != (identity.kind, identity.name):
        yield "security.key", f"{where} {key_path(config)}; `recado roster add {key_path(config)}`"
    elif identity.signing_public and identity.signing_public not in roster.signing_keys(identity.name):
        yield "security.key", f"{where} the signing key of {key_path(config)}"


def _book(config: Config, roster: Roster) -> AddressBook:
    book = AddressBook(roster)
    for member in config.cluster.members:
        book.learn("server", member.name, member.address)
    for broker in config.cluster.brokers:
        book.learn("broker", broker.name, broker.xsub)
        book.learn("broker", broker.name, broker.xpub)
    if config.cluster.reference:
        book.learn("reference", "", config.cluster.reference)
    return book


def local_account(config: Config, uid: int) -> str | None:
    """The user that a Unix user is at `security.local_listen`; None: nobody.

    `ANY_USER` for a gateway, `policy.SSH_ACCOUNT` for one whose login over SSH is the messenger.
    """
    if any(_unix_uid(account) == uid for account in config.security.ssh_accounts):
        return SSH_ACCOUNT
    accounts = (account.partition("=") for account in config.security.local_accounts)
    return next((name for number, _, name in accounts if int(number) == uid), None)


def _unix_uid(account: str) -> int | None:
    """The user id of a Unix user told by it or by name; None if this host has no such name."""
    try:
        return int(account) if account.isdecimal() else _uid_of_name(account)
    except KeyError:
        return None


@lru_cache(SSH_ACCOUNTS_MAX)  # asked at each request; a name that is missing may yet be made
def _uid_of_name(account: str) -> int:
    return pwd.getpwnam(account).pw_uid


class Rate(NamedTuple):
    """A token bucket: `per_second` tokens come back, up to `burst`.  0 a second: no limit."""

    per_second: float
    burst: int


class Rates(NamedTuple):
    """The rates in force."""

    user: Rate
    bot: Rate
    channel: Rate
    server: Rate
    address: Rate


UNLIMITED = Rates(*[Rate(0.0, 0)] * 5)


def rates_of(config: Config) -> Rates:
    """What the settings allow; nothing is limited in open mode unless `limits.in_open_mode`."""
    limits = config.limits
    if not (config.secured or limits.in_open_mode):
        return UNLIMITED
    return Rates(
        user=Rate(limits.user_messages_per_second, limits.user_messages_burst),
        bot=Rate(limits.bot_messages_per_second, limits.bot_messages_burst),
        channel=Rate(limits.channel_messages_per_second, limits.channel_messages_burst),
        server=Rate(limits.server_requests_per_second, limits.server_requests_burst),
        address=Rate(limits.address_requests_per_second, limits.address_requests_burst),
    )


class Caps(NamedTuple):
    """What the wire holds clients to in secured mode; the fields are those of its `HandshakeLimits`."""

    address_per_second: float
    address_burst: float
    key_per_second: float
    key_burst: float
    connections_max: int
    subscriptions_per_second: float
    subscriptions_burst: float


def caps_of(config: Config) -> Caps:
    """The caps of the wire that the settings ask for."""
    limits = config.limits
    handshakes = _or_none(limits.handshakes_per_second, limits.handshakes_burst)
    key_handshakes = _or_none(limits.key_handshakes_per_second, limits.key_handshakes_burst)
    subscriptions = _or_none(limits.subscriptions_per_second, limits.subscriptions_burst)
    return Caps(*handshakes, *key_handshakes, limits.connections, *subscriptions)


def _or_none(per_second: float, burst: int) -> tuple[float, float]:
    return (per_second, float(burst)) if per_second else (NO_LIMIT, NO_LIMIT)


class Current:
    """What is in force now; `reload` takes [security] and [limits] of another configuration.

    Other settings stay as they were at the start, and so do the keys that sockets are bound with.
    """

    def __init__(self, config: Config, program: Program) -> None:
        self.config = config
        self.program: Program = program
        self.security = load_security(config, program)
        self.rates = rates_of(config)
        self.on_change: list[Callable[[], None]] = []

    @property
    def registration(self) -> Literal["open", "invite", "operators"]:
        """Who may register a user."""
        return self.config.security.registration

    def reload(self, again: Config) -> None:
        """Put `again` in force.  Raises `SecurityProblems`; then everything is as it was."""
        _uid_of_name.cache_clear()  # an account may have been made anew
        config = msgspec.structs.replace(self.config, security=again.security, limits=again.limits)
        self.security = reload_security(self.security, config, program=self.program)
        self.config, self.rates = config, rates_of(config)
        for tell in self.on_change:
            tell()


def reload_security(before: NodeSecurity | None, config: Config, *, program: Program) -> NodeSecurity | None:
    """The files read again.  Raises `SecurityProblems`, also for what only a restart can change.

    A roster without a configured member counts: that is how one is shut out at once.
    """
    after = load_security(config, program, starting=False)
    if (before is None) != (after is None):
        raise SecurityProblems([("security.roster", "open and secured mode change at a restart")])
    if before is None or after is None:
        return None
    if before.identity != after.identity:
        raise SecurityProblems([("security.key", "another key is used from a restart on")])
    if before.cluster_key != after.cluster_key:
        raise SecurityProblems([("security.cluster_key", "another cluster key is used from a restart on")])
    before.book.roster = after.roster
    return NodeSecurity(
        identity=before.identity, roster=after.roster, book=before.book, cluster_key=before.cluster_key
    )
