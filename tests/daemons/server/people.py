"""People of a secured cluster for tests: users, bots, an operator, nodes, strangers, each with a key."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
import trio

from daemons.server.in_force import Given, InForce
from recado.config import Config
from recado.keys import z85
from recado.protocol import codec
from recado.roster import Entry as InRoster
from recado.roster import Roster
from recado.settings import Limits, Security
from recado.wire.memory import Transit
from recado.wire.ports import Principal
from tests.daemons.server.secured_bench import SecuredBench, identity, roster, security
from tests.daemons.server.server_bench import DEFAULT_DISK, DEFAULT_TIMINGS, Running, enveloped

OPERATOR = "olga"
NODES = {"broker-1": "broker", "reference-1": "reference"}
REFUSALS_OF_POLICY = frozenset(
    {"key_unknown", "key_revoked", "suspended", "operators_only", "not_for_you", "members_only", "not_you"}
)
NO_LIMITS = Limits()
Cluster = TypeVar("Cluster", bound="People")


def key(name: str) -> bytes:
    """The public key that somebody has in every test."""
    return f"{name}'s key".encode().ljust(32, b".")


def key_text(name: str) -> str:
    return z85(key(name))


def principal(name: str, *, address: str = "") -> Principal:
    """Somebody as the transport proves them: a server, a node, the operator, or merely a key."""
    if name.startswith("server-"):
        return Principal("server", name, identity(name).public, address)
    if name in NODES:
        return Principal(NODES[name], name, key(name), address)  # type: ignore[arg-type]
    if name == OPERATOR:
        return Principal("operator", name, key(name), address)
    return Principal("key", "", key(name), address)


def whole_roster(of: int) -> Roster:
    """The members, a broker, a reference and an operator."""
    more = [InRoster(role, name, (key(name),)) for name, role in NODES.items()]  # type: ignore[arg-type]
    entries = (*roster(of).entries, *more, InRoster("operator", OPERATOR, (key(OPERATOR),)))
    return replace(roster(of), entries=entries)


class People(SecuredBench):
    """A secured cluster and everybody in it."""

    settings = Security(roster="roster.toml")
    limits = NO_LIMITS

    def in_force(self, config: Config) -> InForce:
        config = msgspec.structs.replace(config, security=self.settings, limits=self.limits)
        given = replace(security(config.node.name, self.of), roster=whole_roster(self.of))
        self.given[config.node.name] = Given(config=config, security=given)
        return self.given[config.node.name]

    @property
    def first(self) -> Running:
        return self.running["server-1"]

    async def ask(self, name: str, service: str, *, at: str = "server-1", **fields: Any) -> dict[str, Any]:
        """The data of the reply that somebody gets."""
        return await self.ask_as(principal(name), self.running[at], service, **fields)

    async def done(self, name: str, service: str, *, at: str = "server-1", **fields: Any) -> dict[str, Any]:
        """The same, with success."""
        data = await self.ask(name, service, at=at, **fields)
        assert data.get("status") != "erro", data
        return data

    async def refused(self, name: str, service: str, *, at: str = "server-1", **fields: Any) -> str:
        """The code with which somebody is refused."""
        data = await self.ask(name, service, at=at, **fields)
        assert data.get("status") == "erro", data
        code: str = data["code"]
        return code

    async def login(self, *names: str, at: str = "server-1", **fields: Any) -> None:
        for name in names:
            assert (await self.done(name, "login", at=at, user=name, **fields))["status"] == "sucesso"

    async def rule(self, name: str, channel: str, do: str, **fields: Any) -> dict[str, Any]:
        return await self.done(name, "channel_rule", user=name, channel=channel, do=do, **fields)

    async def say(self, name: str, channel: str, *, at: str = "server-1") -> dict[str, Any]:
        return await self.ask(name, "publish", at=at, user=name, channel=channel, message=f"de {name}")

    async def raw(self, who: Principal, service: str, **fields: Any) -> dict[str, Any]:
        """A request of any principal."""
        async with self.network.host("any", who).asker(self.first.asker.address) as asker:
            return enveloped(await asker.ask(codec.encode(service, fields)))[1]

    def change(self, **settings: Any) -> None:
        """SIGHUP at every server with other settings of [security]."""
        for given in self.given.values():
            changed = msgspec.structs.replace(given.config.security, **settings)
            given.change(msgspec.structs.replace(given.config, security=changed))


@asynccontextmanager
async def people(
    *running: str,
    of: int = 1,
    settings: dict[str, Any] | None = None,
    limits: Limits = NO_LIMITS,
    transit: Transit | None = None,
    kind: type[Cluster] = People,  # type: ignore[assignment]
) -> AsyncIterator[Cluster]:
    """A secured cluster of `of` members with those named (or the first) serving."""
    async with AsyncExitStack() as ends, trio.open_nursery() as nursery:
        made = kind(
            nursery, ends, of=of, server={}, timings=DEFAULT_TIMINGS, transit=transit, disk=DEFAULT_DISK
        )
        made.settings = msgspec.structs.replace(People.settings, **(settings or {}))
        made.limits = limits
        for name in running or ("server-1",):
            await made.start(name)
        yield made
        assert not [fault for one in made.running.values() for fault in one.faults()]
        nursery.cancel_scope.cancel()
