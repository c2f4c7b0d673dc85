"""The keys of a simulated cluster: each host has one by its name, and the roster names the nodes.

``server-2`` is that server, ``host-of-ana`` the user ana, `OBSERVER` an operator; ``server-0`` was a
member once and is not any more.  Hosts of other names prove nothing.
"""

from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Any

import msgspec
from transit import OBSERVER

from daemons.broker.doorkeeper import Doorkeeper
from daemons.server.in_force import Given
from daemons.server.signing import chained_hash
from daemons.shared.logging import Sink, get_logger
from recado.config import Config
from recado.keys import Identity, Kind, make_identity
from recado.protocol import proof
from recado.protocol.entry import EMPTY, run_fields, run_of
from recado.protocol.lamport import LamportClock
from recado.protocol.messages import Entry as LogEntry
from recado.protocol.messages import Run
from recado.roster import Entry, Roster
from recado.secured import AddressBook, ClientSecurity, NodeSecurity
from recado.settings import Security
from recado.wire.memory import MemoryHost, MemoryNetwork, Transit
from recado.wire.ports import OPEN, Principal

CLUSTER = "recado"
CLUSTER_KEY = bytes(range(32))
FORMER = "server-0"
OPERATOR = "operador"
PEOPLE = "host-of-"
SECURITY = Security(roster="roster.toml")  # never read: `given` is in its place


@lru_cache(4096)
def identity(kind: Kind, name: str) -> Identity:
    """The keys of a node or user, the same in every history."""
    return make_identity(kind, name, Random(f"key of {kind} {name}").randbytes)


def roster(servers: int) -> Roster:
    """So many servers, broker, reference, one operator; `FORMER` among those that left."""
    signing = [identity("server", f"server-{n}") for n in range(1, servers + 1)]
    return Roster(
        cluster=CLUSTER,
        entries=(
            *(Entry("server", one.name, (one.public,), (one.signing_public,)) for one in signing),
            Entry("broker", "broker", (identity("broker", "broker").public,)),
            Entry("reference", "reference", (identity("reference", "reference").public,)),
            Entry("operator", OPERATOR, (identity("user", OPERATOR).public,)),
        ),
        former={FORMER: (identity("server", FORMER).signing_public,)},
    )


def given(config: Config, known: Roster) -> Given:
    """What is in force at a server."""
    security = NodeSecurity(
        identity=identity("server", config.node.name),
        roster=known,
        book=AddressBook(known),
        cluster_key=CLUSTER_KEY,
    )
    return Given(config=config, security=security)


def configured(config: Config) -> Config:
    """The same cluster secured: without the broker's request port, which would hide who asks."""
    replace = msgspec.structs.replace
    brokers = tuple(replace(broker, request="") for broker in config.cluster.brokers)
    return replace(
        config,
        security=SECURITY,
        broker=replace(config.broker, request=""),
        cluster=replace(config.cluster, brokers=brokers),
    )


def user(name: str) -> Principal:
    """Whoever has the key of that user."""
    return Principal("key", "", identity("user", name).public)


def of_client(known: Roster | None, name: str) -> ClientSecurity | None:
    """What a user's library is given; None in open mode."""
    if known is None:
        return None
    return ClientSecurity(identity=identity("user", name), roster=known, book=AddressBook(known))


def at_the_broker(known: Roster | None, sink: Sink) -> dict[str, Any]:
    """Who gets in there, as `run_broker` is told; nothing in open mode."""
    if known is None:
        return {}
    lamport = LamportClock()
    log = get_logger("broker", lambda: lamport.value, sink=sink)
    return {"doorkeeper": Doorkeeper(lambda: known, lamport=lamport, log=log)}


def over(run: Run, *, by: str) -> bytes:
    """The signature of a server over the last entry of a run."""
    secret = identity("server", by).signing_secret
    last = run.first + len(run.entries) - 1
    return proof.sign(secret, CLUSTER, run.origin, last, chained_hash(run))


def signed(entries: Sequence[LogEntry], *, by: str) -> list[object]:
    """Entries from the first of their log on as a run on the wire, signed by a server."""
    run = run_of(list(entries), EMPTY.hash)
    return run_fields(msgspec.structs.replace(run, signature=over(run, by=by)))


class SecuredNetwork(MemoryNetwork):
    """The network in memory, where hosts have the keys that their names say."""

    def __init__(self, transit: Transit, known: Roster) -> None:
        super().__init__(transit)
        self.roster = known

    def host(self, name: str, principal: Principal = OPEN) -> MemoryHost:
        return super().host(name, self.principal(name) if principal is OPEN else principal)

    def principal(self, host: str) -> Principal:
        """Who the ends of a host are for others."""
        if host == OBSERVER:
            return self.of_key(identity("user", OPERATOR).public)
        if host.startswith(PEOPLE):
            return self.of_key(identity("user", host.removeprefix(PEOPLE)).public)
        kind: Kind = "server" if host.startswith("server-") else "broker" if host == "broker" else "reference"
        return self.of_key(identity(kind, host).public)

    def of_key(self, key: bytes) -> Principal:
        """Who proves to have this key, as the roster says."""
        return self.roster.role_of(key) or Principal("key", "", key)
