"""The tortured cluster on paper: nodes, addresses, files and configurations, as pure functions.

Every node has an address of its own where there are network namespaces, and ports of its own where
there are none.  Configurations and logs lie in the run's directory, which no fault touches; `data` is
on the node's own disk.
"""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

NETWORK = "10.77.0"
HERE = f"{NETWORK}.1"  # whoever injects the faults
SERVER_PORT = 5555
PROBE_SECONDS = 2.0  # of a full disk; people get 10 s, which would only make fewer faults an hour

SCRUB_SECONDS = 20.0  # people get a day


class Role(StrEnum):
    """What a process is."""

    REFERENCE = "reference"
    BROKER = "broker"
    SERVER = "server"


@dataclass(frozen=True, kw_only=True)
class Member:
    """One node.  `endpoints` maps what it binds to an address; `rank` is 0 for what is no server."""

    name: str
    role: Role
    host: str
    directory: Path
    data: Path
    endpoints: dict[str, str]
    rank: int = 0
    config: str = field(default="", repr=False)

    @property
    def config_path(self) -> Path:
        return self.directory / f"{self.name}.toml"

    @property
    def log_path(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def replica(self) -> Path:
        return self.data / "replica.db"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All nodes in the order of starting."""

    directory: Path
    members: tuple[Member, ...]
    clients_host: str

    def of(self, role: Role) -> tuple[Member, ...]:
        return tuple(member for member in self.members if member.role is role)

    @property
    def servers(self) -> tuple[Member, ...]:
        return self.of(Role.SERVER)

    @property
    def addresses(self) -> list[str]:
        return [member.endpoints["listen"] for member in self.servers]

    @property
    def xpubs(self) -> list[str]:
        return [member.endpoints["xpub"] for member in self.of(Role.BROKER)]

    @property
    def requests(self) -> list[str]:
        return [member.endpoints["request"] for member in self.of(Role.BROKER)]


def make_plan(
    directory: Path, *, servers: int, brokers: int, base_port: int | None, disks: dict[str, Path]
) -> Plan:
    """The plan of a cluster.  `base_port` None: each node has an address; else all are on loopback.

    `disks`: the mount point of each node that has a disk of its own.
    """
    hosts = [("reference", Role.REFERENCE, 2)]
    hosts += [(f"broker-{n}", Role.BROKER, 2 + n) for n in range(1, brokers + 1)]
    hosts += [(f"server-{n}", Role.SERVER, 10 + n) for n in range(1, servers + 1)]
    bare = []
    for name, role, number in hosts:
        host = "127.0.0.1" if base_port is not None else f"{NETWORK}.{number}"
        port = SERVER_PORT if base_port is None else base_port + 4 * number
        keys = {Role.BROKER: ("xsub", "xpub", "request")}.get(role, ("listen",))
        folder = directory / name
        bare.append(
            Member(
                name=name,
                role=role,
                host=host,
                directory=folder,
                data=disks.get(name, folder) / "data",
                endpoints={key: f"tcp://{host}:{port + at}" for at, key in enumerate(keys)},
                rank=number - 10 if role is Role.SERVER else 0,
            )
        )
    shared = _cluster_table(bare)
    members = tuple(_with_config(member, shared) for member in bare)
    return Plan(
        directory=directory,
        members=members,
        clients_host="127.0.0.1" if base_port is not None else f"{NETWORK}.9",
    )


def _cluster_table(members: list[Member]) -> str:
    reference = next(member for member in members if member.role is Role.REFERENCE)
    brokers = ", ".join(
        "{ " + ", ".join(f"{key} = {_toml(at)}" for key, at in member.endpoints.items()) + " }"
        for member in members
        if member.role is Role.BROKER
    )
    lines = ["[security]", "insecure = true", "[cluster]", 'id = "torture"']
    lines += [f"reference = {_toml(reference.endpoints['listen'])}", f"brokers = [{brokers}]", "members = ["]
    lines += [
        f"    {{ name = {_toml(m.name)}, rank = {m.rank}, address = {_toml(m.endpoints['listen'])} }},"
        for m in members
        if m.role is Role.SERVER
    ]
    return "\n".join([*lines, "]"])


def _with_config(member: Member, shared: str) -> Member:
    own: dict[str, str | int] = dict(member.endpoints)
    if member.rank:
        own["rank"] = member.rank
    lines = ["[node]", f"name = {_toml(member.name)}", f"data = {_toml(str(member.data))}", ""]
    lines += [f"[{member.role}]", *(f"{key} = {_toml(value)}" for key, value in own.items()), ""]
    if member.role is Role.SERVER:
        lines += ["[disk]", f"probe_seconds = {PROBE_SECONDS}", f"scrub_seconds = {SCRUB_SECONDS}", ""]
    lines += ["[log]", 'format = "json"', "", shared, ""]
    return Member(
        name=member.name,
        role=member.role,
        host=member.host,
        directory=member.directory,
        data=member.data,
        endpoints=member.endpoints,
        rank=member.rank,
        config="\n".join(lines),
    )


def _toml(value: str | int) -> str:
    """A TOML value: JSON's strings and numbers are TOML's too."""
    return json.dumps(value, ensure_ascii=False)
