"""What `recado init` is to make of hosts and names: members, addresses, who runs what, and the files' texts.

Pure: touches no file and no network.  Every node gets the same `recado.toml`; what only one host has is in
`conf.d/here.toml`, and a list of members that has changed since in `conf.d/members.toml`.  Nodes with the
same host run there together: the one with the lowest port is the *lead*, by whose name the host's files go,
and what the others have for themselves is in a drop-in of their units (`clients.setup.service`).
"""

import json
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from recado.contradictions import is_loopback
from recado.protocol.limits import NODE_NAME_CHARACTERS_MAX, RANK_MAX, REGISTERED_SERVERS_MAX
from recado.protocol.names import is_node_name
from recado.setting_types import NodeName

PORT: Final = 5555
# As of `recado up`: from the first server's port of a host on; a fourth server comes behind these.
XPUB, REFERENCE, XSUB, REQUEST = 3, 4, 5, 6
FAR = 7
EACH_MAX: Final = 8  # servers of one host
_PORT_MAX: Final = 65_535


class PlanError(Exception):
    """What was asked for can't be; the text says what to say instead."""


class Place(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node: its host as others dial it, and the port of its server."""

    name: NodeName
    host: Annotated[str, Meta(pattern=r"^[^\s/]{1,255}$")]
    port: Annotated[int, Meta(ge=1, le=_PORT_MAX)]
    rank: Annotated[int, Meta(ge=1, le=RANK_MAX)]

    @property
    def address(self) -> str:
        return at(self.host, self.port)

    @property
    def listen(self) -> str:
        """Where its server binds: a name may mean something else on the host itself, so not by a name."""
        return at(bound(self.host), self.port)


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A cluster: nodes in the order of their ranks, which of them run the reference and brokers."""

    cluster: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
    nodes: Annotated[tuple[Place, ...], Meta(min_length=1, max_length=REGISTERED_SERVERS_MAX)]
    reference: str
    brokers: Annotated[tuple[str, ...], Meta(min_length=1, max_length=16)]
    open_lab: bool = False

    def node(self, name: str) -> Place | None:
        return next((place for place in self.nodes if place.name == name), None)

    def together(self, name: str) -> tuple[Place, ...]:
        """The nodes on the host of that one, the lead first."""
        node = self.node(name)
        assert node is not None, name
        return tuple(sorted((one for one in self.nodes if one.host == node.host), key=lambda one: one.port))

    def lead(self, name: str) -> str:
        """The node by whose name that node's host goes."""
        return self.together(name)[0].name

    @property
    def leads(self) -> tuple[Place, ...]:
        """One node of each host."""
        return tuple(node for node in self.nodes if self.lead(node.name) == node.name)


class Broker(NamedTuple):
    """One broker: its node.name, the node on whose host it runs, its addresses and where it binds."""

    name: str
    on: str
    xsub: str
    xpub: str
    request: str
    bind: dict[str, str]


def at(host: str, port: int) -> str:
    return f"tcp://{host}:{port}"


def bound(host: str) -> str:
    """The host to bind for one that is dialled: an address as it is, for a name all addresses."""
    import ipaddress

    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return host if host == "localhost" else "*"
    return host


def place(spec: str, *, rank: int) -> Place:
    """What ``NAME=HOST[:PORT]`` says.  Raises `PlanError`."""
    name, separator, where = spec.partition("=")
    host, port = where, str(PORT)
    if where.startswith("["):
        inside, bracket, rest = where.partition("]")
        host, port = inside + bracket, rest.removeprefix(":") or port
    elif where.count(":") == 1:
        host, _, port = where.partition(":")
    elif ":" in where:
        host = f"[{where}]"
    good = separator and host and port.isascii() and port.isdecimal() and 0 < int(port) <= _PORT_MAX
    if not (good and is_node_name(name)) or any(c.isspace() or c in "/,*" for c in host):
        raise PlanError(
            f"{spec!r} is no node: NAME=HOST or NAME=HOST:PORT, as in n1=10.77.0.11; a name is letters, "
            f"digits, `_` and `-`, at most {NODE_NAME_CHARACTERS_MAX}"
        )
    return Place(name=name, host=host, port=int(port), rank=rank)


def spread(specs: Iterable[str], each: int) -> list[str]:
    """So many nodes for each ``NAME=HOST[:PORT]``: NAME, NAME-2, …, with the ports that follow.

    Raises `PlanError`.
    """
    first = [place(spec, rank=1) for spec in specs]
    return [
        f"{one.name if not k else f'{one.name}-{k + 1}'}={one.host}:{one.port + (k if k < XPUB else k + FAR)}"
        for one in first
        for k in range(each)
    ]


def make_plan(
    cluster: str,
    specs: Iterable[str],
    *,
    reference: str | None = None,
    brokers: Iterable[str] = (),
    open_lab: bool = False,
) -> Plan:
    """The plan for these nodes, ranks in their order; the first runs reference and broker unless others are
    named.  Raises `PlanError`."""
    nodes = tuple(place(spec, rank=rank) for rank, spec in enumerate(specs, start=1))
    if not nodes:
        raise PlanError("no node was named: NAME=HOST for each, as in n1=10.77.0.11 n2=10.77.0.12")
    reference = reference or nodes[0].name
    run_broker = tuple(dict.fromkeys(brokers)) or (nodes[0].name,)
    bare = Plan(cluster=cluster, nodes=nodes, reference=reference, brokers=run_broker)
    if all(bare.node(name) for name in (reference, *run_broker)):
        reference = bare.lead(reference)
        run_broker = tuple(dict.fromkeys(map(bare.lead, run_broker)))
    # The reference of a host is called after its program, and so must the broker beside it be.
    run_broker = tuple(sorted(run_broker, key=lambda name: name != reference))
    plan = Plan(cluster=cluster, nodes=nodes, reference=reference, brokers=run_broker, open_lab=open_lab)
    check(plan)
    return plan


def check(plan: Plan) -> None:
    """Raises `PlanError` for what no single node shows."""
    try:
        msgspec.convert(msgspec.to_builtins(plan), Plan)
    except msgspec.ValidationError as error:
        raise PlanError(f"{error}") from None
    for name in (plan.reference, *plan.brokers):
        if plan.node(name) is None:
            raise PlanError(f"{name} is none of the nodes ({', '.join(node.name for node in plan.nodes)})")
    names = [node.name for node in plan.nodes]
    if taken := {"reference", "broker", "cluster"} & set(names):
        raise PlanError(f"{taken.pop()} is the name of a program's key; call the node something else")
    ends = [node.address for node in plan.nodes] + [reference_address(plan)]
    ends += [end for broker in brokers_of(plan) for end in (broker.xsub, broker.xpub, broker.request) if end]
    for what, values in (("name", names), ("address", ends)):
        for value, count in Counter(values).items():
            if count > 1:
                raise PlanError(f"two have the {what} {value}; give NAME=HOST:PORT with ports of their own")
    for end in ends:
        if int(end.rpartition(":")[2]) > _PORT_MAX:
            raise PlanError(f"{end} has no possible port: the ports of a node are PORT to PORT + {REQUEST}")


def _base(plan: Plan, host: str) -> int:
    return min(node.port for node in plan.nodes if node.host == host)


def _end(plan: Plan, on: str, offset: int) -> tuple[str, str]:
    """Where something on that node's host is dialled, and where it binds."""
    node = plan.node(on)
    assert node is not None, on
    port = _base(plan, node.host) + offset
    return at(node.host, port), at(bound(node.host), port)


def reference_address(plan: Plan) -> str:
    return _end(plan, plan.reference, REFERENCE)[0]


def brokers_of(plan: Plan) -> list[Broker]:
    """The first is called `broker`, others after their node."""
    found: list[Broker] = []
    for on in plan.brokers:
        (xsub, bind_xsub), (xpub, bind_xpub) = (_end(plan, on, offset) for offset in (XSUB, XPUB))
        request, bind_request = _end(plan, on, REQUEST) if plan.open_lab else ("", "")
        name = f"broker-{on}"[:NODE_NAME_CHARACTERS_MAX] if found else "broker"
        bind = {"xsub": bind_xsub, "xpub": bind_xpub, "request": bind_request}
        found.append(Broker(name, on, xsub, xpub, request, bind))
    return found


def broker_on(plan: Plan, name: str) -> Broker | None:
    return next((broker for broker in brokers_of(plan) if broker.on == name), None)


def units(plan: Plan, name: str) -> list[str]:
    """What the host of this lead runs, in the order of starting."""
    found = ["recado-reference.service"] if plan.reference == name else []
    found += ["recado-broker.service"] if name in plan.brokers else []
    return [*found, *(f"recado-server@{one.name}.service" for one in plan.together(name))]


def cluster_toml(plan: Plan, *, roster: str) -> str:
    """The configuration that all nodes have; `roster`: where it will be on them."""
    members = [
        f"    {{ name = {_toml(n.name)}, rank = {n.rank}, address = {_toml(n.address)} }},"
        for n in plan.nodes
    ]
    brokers = [
        f"    {{ name = {_toml(b.name)}, xsub = {_toml(b.xsub)}, xpub = {_toml(b.xpub)}"
        + (f", request = {_toml(b.request)}" if b.request else "")
        + " },"
        for b in brokers_of(plan)
    ]
    lines = [
        "# Written by `recado init`, the same on every node; what only this host has is in conf.d/here.toml.",
        "# `recado config show` lists every setting there is, `recado config check` says what is wrong.",
        "",
        "[cluster]",
        f"id = {_toml(plan.cluster)}",
        f"reference = {_toml(reference_address(plan))}",
        *("members = [", *members, "]"),
        *("brokers = [", *brokers, "]"),
        "",
        "[security]",
    ]
    if plan.open_lab:
        exposed = not all(is_loopback(node.address) for node in plan.nodes)
        lines += ["# Nobody proves who they are: a laboratory.", f"insecure = {_toml(exposed)}"]
    else:
        lines.append(f"roster = {_toml(roster)}")
    return "\n".join([*lines, ""])


def here_toml(plan: Plan, name: str) -> str:
    """What only the host of this lead has: where its daemons bind, of servers the lead's."""
    node = plan.node(name)
    assert node is not None, name
    lines = [f"# Written by `recado init`: what only the host of {name} has."]
    broker = broker_on(plan, name)
    lines += ["", "[server]", f"listen = {_toml(node.listen)}"]
    if plan.reference == name:
        lines += ["", "[reference]", f"listen = {_toml(_end(plan, name, REFERENCE)[1])}"]
    if broker is not None:
        ends = {what: end for what, end in broker.bind.items() if end}
        lines += ["", "[broker]", *(f"{what} = {_toml(end)}" for what, end in ends.items())]
    if not plan.open_lab:
        lines += [
            "",
            "[security]",
            "# Unix users of this host reach the server here; security.local_accounts says who is who.",
            f"local_listen = {_toml(local_socket(name))}",
        ]
    return "\n".join([*lines, ""])


def local_socket(name: str) -> str:
    """Where Unix users of the host reach the server of that name."""
    return f"ipc:///run/recado/{name}/local.sock"


def binds(plan: Plan, name: str) -> list[str]:
    """Every address that the host of this lead listens at."""
    broker = broker_on(plan, name)
    found = [one.listen for one in plan.together(name)]
    found += [_end(plan, name, REFERENCE)[1]] if plan.reference == name else []
    return found + ([end for end in broker.bind.values() if end] if broker else [])


def _toml(value: str | bool) -> str:
    """A TOML value: JSON's strings and truths are TOML's too."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
