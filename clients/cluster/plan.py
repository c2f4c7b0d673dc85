"""What a local cluster consists of: nodes, ports, files and command lines, as a pure function.

With base port P the servers listen on P, P+1, P+2, the broker's XPUB on P+3, the reference on P+4,
the broker's XSUB on P+5 and its round-robin request port on P+6; servers beyond three on P+10 and up.
With P = 5555 that is what the course's clients expect.  A secured cluster has no request port (it hides
who asks) and keeps its keys in ``DATA/keys``.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

SERVERS_MAX = 64
BOTS_MAX = 64
BASE_PORT_DEFAULT = 5555
KEYS = "keys"  # the directory in DATA
OPERATOR = "operator"  # the user that whoever runs the cluster can speak as
_CLOSE_SERVERS = 3  # these sit right at the base port; the others keep clear of the fixed ports
_FAR_SERVERS_AT = 10 - _CLOSE_SERVERS
PORTS_SPAN = _FAR_SERVERS_AT + SERVERS_MAX
BASE_PORT_MAX = 65_535 - PORTS_SPAN


class Role(StrEnum):
    """What a process is; the order is the order of starting, its reverse that of stopping."""

    REFERENCE = "reference"
    BROKER = "broker"
    SERVER = "server"
    BOT = "bot"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the person who types `recado up` may choose."""

    data: Path
    host: str = "127.0.0.1"
    base_port: int = BASE_PORT_DEFAULT
    servers: int = 3
    bots: int = 2
    bot_rate: float = 0.5
    bot_seed: int | None = None
    restart: bool = True
    secure: bool = False


@dataclass(frozen=True, kw_only=True)
class KeyFiles:
    """Where a secured cluster keeps its keys; of each node, bot and the operator `NAME.key`."""

    directory: Path

    @property
    def roster(self) -> Path:
        return self.directory / "roster.toml"

    @property
    def cluster_key(self) -> Path:
        return self.directory / "cluster.key"

    def key(self, name: str) -> Path:
        return self.directory / f"{name}.key"

    @property
    def operator(self) -> Path:
        """The key of whoever runs the cluster."""
        return self.key(OPERATOR)


@dataclass(frozen=True, kw_only=True)
class Node:
    """One process: its directory holds configuration, log and data.

    `endpoints` maps what it binds to ``tcp://`` addresses; `config` is the content of `config_path`,
    empty for bots, which are told everything on their command line.
    """

    name: str
    role: Role
    directory: Path
    command: tuple[str, ...]
    endpoints: dict[str, str] = field(default_factory=dict)
    config: str = ""
    rank: int | None = None

    @property
    def log_path(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def config_path(self) -> Path:
        return self.directory / f"{self.name}.toml"

    @property
    def store_path(self) -> Path | None:
        """The SQLite file of this node, if it keeps one."""
        files = {Role.SERVER: "replica.db", Role.REFERENCE: "registry.db"}
        return self.directory / files[self.role] if self.role in files else None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All nodes in the order of starting, and the addresses that clients need.

    `request` is "" in a secured cluster.
    """

    wish: Wish
    nodes: tuple[Node, ...]
    servers: tuple[str, ...]
    xpub: str
    xsub: str
    request: str
    reference: str

    @property
    def keys(self) -> KeyFiles | None:
        """The keys of a secured cluster."""
        return key_files(self.wish.data) if self.wish.secure else None

    @property
    def control_path(self) -> Path:
        return self.wish.data / "up.sock"

    def node(self, name: str) -> Node | None:
        return next((node for node in self.nodes if node.name == name), None)

    def addresses(self) -> list[tuple[str, str, str]]:
        """Everything that will be bound: (node, what, address)."""
        return [(node.name, what, address) for node in self.nodes for what, address in node.endpoints.items()]


def key_files(data: Path) -> KeyFiles:
    """Where a cluster on this directory has its keys, if it has any."""
    return KeyFiles(directory=data / KEYS)


def server_port(base_port: int, number: int) -> int:
    """The port of server `number` (from 1)."""
    index = number - 1
    return base_port + index if index < _CLOSE_SERVERS else base_port + _FAR_SERVERS_AT + index


def make_plan(wish: Wish) -> Plan:
    """The plan that fulfils a wish; touches nothing."""
    host = f"[{wish.host}]" if ":" in wish.host else wish.host

    def at(port: int) -> str:
        return f"tcp://{host}:{port}"

    base = wish.base_port
    servers = tuple(at(server_port(base, n)) for n in range(1, wish.servers + 1))
    xpub, reference, xsub, request = (at(base + offset) for offset in (3, 4, 5, 6))
    ends = {"xsub": xsub, "xpub": xpub, "request": request}
    if wish.secure:
        request = ends["request"] = ""
    shared = _shared_config(wish, servers=servers, reference=reference, xsub=xsub, xpub=xpub, request=request)
    nodes = [
        _daemon(
            wish,
            name="reference",
            role=Role.REFERENCE,
            shared=shared,
            own={"reference": {"listen": reference}},
            endpoints={"listen": reference},
        ),
        _daemon(
            wish,
            name="broker",
            role=Role.BROKER,
            shared=shared,
            own={"broker": dict(ends)},
            endpoints={what: address for what, address in ends.items() if address},
        ),
    ]
    for number, address in enumerate(servers, start=1):
        own: dict[str, dict[str, str | int]] = {"server": {"listen": address, "rank": number}}
        nodes.append(
            _daemon(
                wish,
                name=f"server-{number}",
                role=Role.SERVER,
                shared=shared,
                own=own,
                endpoints={"listen": address},
                rank=number,
            )
        )
    nodes += [_bot(wish, number, servers=servers, broker=xpub) for number in range(1, wish.bots + 1)]
    return Plan(
        wish=wish,
        nodes=tuple(nodes),
        servers=servers,
        xpub=xpub,
        xsub=xsub,
        request=request,
        reference=reference,
    )


def _shared_config(
    wish: Wish, *, servers: tuple[str, ...], reference: str, xsub: str, xpub: str, request: str
) -> str:
    """The [cluster] table, the same in every file."""
    lines = [] if wish.secure or is_loopback(wish.host) else ["[security]", "insecure = true", ""]
    lines += ["[cluster]", f"reference = {_toml(reference)}"]
    lines.append(f"brokers = [{{ xsub = {_toml(xsub)}, xpub = {_toml(xpub)}, request = {_toml(request)} }}]")
    lines.append("members = [")
    for number, address in enumerate(servers, start=1):
        lines.append(f'    {{ name = "server-{number}", rank = {number}, address = {_toml(address)} }},')
    return "\n".join([*lines, "]"])


def _security(wish: Wish, *, name: str, role: Role) -> Mapping[str, Mapping[str, str]]:
    """The [security] table of one node of a secured cluster."""
    if not wish.secure:
        return {}
    keys = key_files(wish.data)
    table = {"roster": str(keys.roster), "key": str(keys.key(name))}
    if role is Role.SERVER:
        table["cluster_key"] = str(keys.cluster_key)
    return {"security": table}


def _daemon(
    wish: Wish,
    *,
    name: str,
    role: Role,
    shared: str,
    own: Mapping[str, Mapping[str, str | int]],
    endpoints: dict[str, str],
    rank: int | None = None,
) -> Node:
    directory = wish.data / name
    tables = [
        "# Written anew by every `recado up`; lasting changes belong into conf.d/*.toml beside this file.",
        "",
    ]
    tables += ["[node]", f"name = {_toml(name)}", f"data = {_toml(str(directory))}", ""]
    own = {**own, **_security(wish, name=name, role=role)}
    for section, settings in own.items():
        tables += [f"[{section}]", *(f"{key} = {_toml(value)}" for key, value in settings.items()), ""]
    command = (sys.executable, "-m", f"daemons.{role}", "--config", str(directory / f"{name}.toml"))
    return Node(
        name=name,
        role=role,
        directory=directory,
        command=command,
        endpoints=endpoints,
        config="\n".join([*tables, shared, ""]),
        rank=rank,
    )


def _bot(wish: Wish, number: int, *, servers: tuple[str, ...], broker: str) -> Node:
    name = f"bot-{number}"
    directory = wish.data / name
    # Each bot begins with another server, so that every server has some of the load.
    first = (number - 1) % len(servers)
    command = [sys.executable, "-m", "clients.bot", "--user", name, "--rate", f"{wish.bot_rate:g}"]
    for address in servers[first:] + servers[:first]:
        command += ["--server", address]
    command += ["--broker", broker, "--state", str(directory)]
    if wish.secure:
        keys = key_files(wish.data)
        command += ["--roster", str(keys.roster), "--key", str(keys.key(name))]
    if wish.bot_seed is not None:
        command += ["--seed", str(wish.bot_seed + number - 1)]
    return Node(name=name, role=Role.BOT, directory=directory, command=tuple(command))


def _toml(value: str | int) -> str:
    """A TOML value: JSON's strings and numbers are TOML's too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host."""
    return host in {"localhost", "::1"} or host.startswith("127.")


def is_wildcard(host: str) -> bool:
    """Whether the host can be bound but not dialled."""
    return host in {"", "*", "::", "0.0.0.0"}
