"""The servers of `server_bench` as a secured cluster: every host has a key, and the roster names them.

Members are known to each other by name, the client is the user ana, and who is none of them asks
through `hostile`.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import msgspec
import trio

from daemons.server.in_force import Given, InForce
from recado.config import Config
from recado.keys import Identity, make_identity
from recado.protocol import codec, proof
from recado.protocol.entry import EMPTY, run_fields, run_of
from recado.protocol.messages import Entry
from recado.roster import Entry as InRoster
from recado.roster import Roster
from recado.secured import AddressBook, NodeSecurity
from recado.settings import Disk, Security, Timings
from recado.wire.memory import MemoryHost, Transit
from recado.wire.ports import Principal
from tests.daemons.server.server_bench import (
    DEFAULT_DISK,
    DEFAULT_TIMINGS,
    Bench,
    Running,
    enveloped,
    members,
)

CLUSTER = "recado"
CLUSTER_KEY = bytes(range(32))
LEFT = "server-8"  # was a member: its log stays verifiable, its key says nothing any more
FOREIGN = "server-9"  # never was one


def identity(name: str) -> Identity:
    """The key pair of a server of that name, the same in every test."""
    return make_identity("server", name, Random(f"key of {name}").randbytes)


def roster(of: int) -> Roster:
    """The members server-1 … server-N, and `LEFT` among the former ones."""
    known = [identity(member.name) for member in members(of)]
    return Roster(
        cluster=CLUSTER,
        entries=tuple(InRoster("server", one.name, (one.public,), (one.signing_public,)) for one in known),
        former={LEFT: (identity(LEFT).signing_public,)},
    )


def security(name: str, of: int) -> NodeSecurity:
    """What a member is given."""
    known = roster(of)
    return NodeSecurity(
        identity=identity(name), roster=known, book=AddressBook(known), cluster_key=CLUSTER_KEY
    )


def signature(entry: Entry, *, by: str, cluster: str = CLUSTER) -> bytes:
    """Over an entry, with the signing key of the server `by`."""
    return proof.sign(identity(by).signing_secret, cluster, entry.origin, entry.seq, entry.hash)


def signed_run(
    entries: Sequence[Entry], first: int = 1, last: int | None = None, *, by: str = "server-2"
) -> list[Any]:
    """Entries `first` to `last` of a log as they go on the wire, signed by a server."""
    piece = list(entries[first - 1 : last])
    made = run_of(piece, entries[first - 2].hash if first > 1 else EMPTY.hash)
    return run_fields(msgspec.structs.replace(made, signature=signature(piece[-1], by=by)))


class SecuredBench(Bench):
    """A `Bench` with security on."""

    def __init__(self, *ends: Any, of: int, **options: Any) -> None:
        super().__init__(*ends, of=of, **options)
        self.of = of
        self.given: dict[str, Given] = {}  # what is in force at each server

    def host(self, name: str) -> MemoryHost:
        """With the key of that server; the client with a user's."""
        if name == "client":
            return self.network.host(name, Principal("key", "", b"ana's key".ljust(32)))
        return self.network.host(name, Principal("server", name, identity(name).public))

    def in_force(self, config: Config) -> InForce:
        config = msgspec.structs.replace(config, security=Security(roster="roster.toml"))
        self.given[config.node.name] = Given(config=config, security=security(config.node.name, self.of))
        return self.given[config.node.name]

    async def ask_as(self, principal: Principal, to: Running, service: str, **fields: Any) -> dict[str, Any]:
        """The data of a reply to whoever `principal` is."""
        async with self.network.host("hostile", principal).asker(to.asker.address) as asker:
            return enveloped(await asker.ask(codec.encode(service, fields)))[1]

    async def push(self, to: Running, *runs: Any, by: str = "server-2", **changed: Any) -> dict[str, Any]:
        """`replicate`, asked by the member `by` in its own name."""
        who = {"v": 2, "cluster": CLUSTER, "from": by, "boot": "b", **changed}
        return await self.ask_as(self.host(by).principal, to, "replicate", **who, runs=list(runs))


@asynccontextmanager
async def secured(
    *running: str,
    of: int = 1,
    timings: Timings = DEFAULT_TIMINGS,
    transit: Transit | None = None,
    disk: Disk = DEFAULT_DISK,
) -> AsyncIterator[SecuredBench]:
    """A secured cluster of `of` members with those named serving; at the end everything is cancelled."""
    async with AsyncExitStack() as ends, trio.open_nursery() as nursery:
        made = SecuredBench(nursery, ends, of=of, server={}, timings=timings, transit=transit, disk=disk)
        for name in running:
            await made.start(name)
        yield made
        nursery.cancel_scope.cancel()


async def furnish(server: Running) -> None:
    """User ana, channel geral."""
    assert (await server.ask("login", user="ana"))["status"] == "sucesso"
    assert (await server.ask("channel", channel="geral", user="ana"))["status"] == "sucesso"


def vouched(
    entries: Iterable[Entry], *, by: str = "server-2", every: int = 16
) -> dict[tuple[str, int], bytes]:
    """Signatures over every so many entries of a log, and over its end, as a batch keeps them."""
    log = list(entries)
    return {
        (entry.origin, entry.seq): signature(entry, by=by)
        for entry in log
        if entry.seq % every == 0 or entry is log[-1]
    }
