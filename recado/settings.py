"""Every setting of every program: its type, limits, default, unit and purpose, stated once.

`recado.config` fills these from files, environment and flags; `describe` gives the same facts to
the tests that keep the example file and docs/configuration.md complete.  A duration is a number of
seconds, an address is ``tcp://host:port`` or ``ipc://path``.
"""

from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

import msgspec
from msgspec import Meta

from recado.protocol.limits import MIB, NODE_NAME_CHARACTERS_MAX, RANK_MAX, REGISTERED_SERVERS_MAX
from recado.security_settings import Limits, Security
from recado.setting_types import Address, ByteCount, Count, Duration, NodeName, OptionalAddress, Section


class Node(Section, frozen=True, kw_only=True):
    """Who this process is and where it keeps its files."""

    name: Annotated[
        str,
        Meta(
            pattern=rf"^$|^[A-Za-z0-9][A-Za-z0-9_-]{{0,{NODE_NAME_CHARACTERS_MAX - 1}}}$",
            description="This node's name, unique in the cluster. A server must have one; "
            "the reference and the broker call themselves after their program if it is empty.",
        ),
    ] = ""
    data: Annotated[
        str, Meta(min_length=1, description="Directory of this node alone: replica.db or registry.db.")
    ] = "var"
    advertise: Annotated[
        OptionalAddress,
        Meta(description="Address told to others through the reference; empty: the member's address."),
    ] = ""


class Member(Section, frozen=True, kw_only=True):
    """One server of the cluster; all nodes list the same members."""

    name: Annotated[NodeName, Meta(description="The member's node.name.")]
    rank: Annotated[int, Meta(ge=1, le=RANK_MAX, description="Its rank; the highest alive leads.")]
    address: Annotated[Address, Meta(description="Where clients and the other servers reach it.")]


class BrokerAddresses(Section, frozen=True, kw_only=True):
    """One broker as its clients and servers reach it."""

    name: Annotated[NodeName, Meta(description="The broker's node.name, as the roster names it.")] = "broker"
    xsub: Annotated[Address, Meta(description="Where servers publish.")]
    xpub: Annotated[Address, Meta(description="Where clients subscribe.")]
    request: Annotated[
        OptionalAddress, Meta(description="Its round-robin request port; empty: it has none.")
    ] = ""


class Cluster(Section, frozen=True, kw_only=True):
    """What all nodes of one cluster agree on."""

    id: Annotated[
        str,
        Meta(min_length=1, max_length=64, description="Servers of another cluster id are not listened to."),
    ] = "recado"
    members: Annotated[
        tuple[Member, ...],
        Meta(max_length=REGISTERED_SERVERS_MAX, description="All servers. Elections count these."),
    ] = ()
    reference: Annotated[
        OptionalAddress, Meta(description="Where the reference is reached; empty: none.")
    ] = "tcp://127.0.0.1:5559"
    brokers: Annotated[
        tuple[BrokerAddresses, ...],
        Meta(max_length=16, description="Brokers that the servers publish through."),
    ] = (
        BrokerAddresses(
            xsub="tcp://127.0.0.1:5560", xpub="tcp://127.0.0.1:5558", request="tcp://127.0.0.1:5561"
        ),
    )


class Server(Section, frozen=True, kw_only=True):
    """A server: requests, replication, election, clock."""

    listen: Annotated[Address, Meta(description="Where clients and peers are served.")] = (
        "tcp://127.0.0.1:5555"
    )
    rank: Annotated[
        int,
        Meta(
            ge=0, le=RANK_MAX, description="Rank to ask the reference for; 0: the member's, or what it gives."
        ),
    ] = 0
    mode: Annotated[
        Literal["available", "quorum"],
        Meta(
            description="Who may coordinate. `available`: one on every side of a partition. `quorum`: at "
            "most one, which holds a lease from a majority of the members; a minority has none."
        ),
    ] = "available"
    default_level: Annotated[
        Literal["local", "quorum", "all"],
        Meta(description="How many durable copies answer a write whose client asks for no level."),
    ] = "local"
    open: Annotated[
        bool,
        Meta(
            description="Without a roster: serve the plain contract, the plain `replicate`, `sync` and "
            "`adjust` of other projects included."
        ),
    ] = True


class Reference(Section, frozen=True, kw_only=True):
    """The reference: ranks and the list of active servers."""

    listen: Annotated[Address, Meta(description="Where servers and clients ask it.")] = "tcp://127.0.0.1:5559"
    expiry_seconds: Annotated[
        Duration, Meta(description="A server silent for this long leaves the list; its rank stays its own.")
    ] = 60.0


class Broker(Section, frozen=True, kw_only=True):
    """The broker: XSUB/XPUB proxy and the round-robin request port."""

    xsub: Annotated[Address, Meta(description="Bound for the servers' publications.")] = (
        "tcp://127.0.0.1:5560"
    )
    xpub: Annotated[Address, Meta(description="Bound for subscribers.")] = "tcp://127.0.0.1:5558"
    request: Annotated[
        OptionalAddress, Meta(description="Bound for requests spread over the servers; empty: not offered.")
    ] = "tcp://127.0.0.1:5561"
    servers: Annotated[
        tuple[Address, ...],
        Meta(
            max_length=REGISTERED_SERVERS_MAX,
            description="Servers behind the request port; empty: the cluster's members.",
        ),
    ] = ()
    deadline_seconds: Annotated[
        Duration, Meta(description="A server that has not answered by then has missed the request.")
    ] = 2.0
    skip_seconds: Annotated[
        Duration, Meta(description="How long such a server gets no requests before it is tried again.")
    ] = 5.0


class Disk(Section, frozen=True, kw_only=True):
    """A server's disk: what happens when it is full, slow, forgetful or new."""

    reserve_bytes: Annotated[
        ByteCount,
        Meta(
            description="Room kept in the file `reserve`, given up when the disk is full, so that the last "
            "facts can still be written; 0: none."
        ),
    ] = 32 * MIB
    probe_seconds: Annotated[
        Duration, Meta(description="How often a server with a full disk looks whether there is room again.")
    ] = 10.0
    slow_seconds: Annotated[
        Duration,
        Meta(description="A commit that lasts longer is logged, and writes are refused until it ends."),
    ] = 5.0
    hung_seconds: Annotated[
        Duration,
        Meta(
            description="A commit that lasts longer than this is given up for lost: the service manager's "
            "watchdog is not fed any more, and starts the server anew."
        ),
    ] = 60.0
    scrub_seconds: Annotated[
        Duration,
        Meta(description="Between two checks of every hash of the log; damage is repaired from peers."),
    ] = 86_400.0
    snapshot_entries: Annotated[
        int,
        Meta(
            ge=1,
            le=2**53,
            description="A server that lacks more entries than this fetches a peer's whole file first.",
        ),
    ] = 100_000
    upgrade_copies: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="How many files of older versions are kept as `replica.before-upgrade-N.db` when a "
            "new version brings the schema forward; 0: none.",
        ),
    ] = 2
    wal_bytes: Annotated[
        ByteCount,
        Meta(
            description="A write-ahead log that is larger than this is logged, with the processes whose "
            "long reading keeps it from beginning anew; 0: never."
        ),
    ] = 128 * MIB
    look_seconds: Annotated[
        Duration,
        Meta(description="Between two looks for writes to the file by somebody else, and at that log."),
    ] = 5.0


class Search(Section, frozen=True, kw_only=True):
    """Searching the messages of a server for words."""

    enabled: Annotated[
        bool,
        Meta(
            description="Keep the index `search.db` beside the replica, a third of its size. Without it "
            "the server refuses searches; what there is of an index is removed."
        ),
    ] = True


class Timings(Section, frozen=True, kw_only=True):
    """Every interval of a server. The same on all servers of a cluster."""

    heartbeat_seconds: Annotated[Duration, Meta(description="Between two heartbeats to the reference.")] = (
        10.0
    )
    sync_seconds: Annotated[
        Duration, Meta(description="Between two complete synchronisations with the coordinator.")
    ] = 60.0
    vector_exchange_seconds: Annotated[
        Duration, Meta(description="Between two comparisons of version vectors with a peer.")
    ] = 2.0
    peer_deadline_seconds: Annotated[
        Duration, Meta(description="A request to a peer that has not answered by then counts as lost.")
    ] = 2.0
    peer_record_seconds: Annotated[
        Duration, Meta(description="Between two updates of the `peers` view in the replica.")
    ] = 5.0
    ack_wait_seconds: Annotated[
        Duration,
        Meta(
            description="How long a write waits for the copies its level asks; then its outcome is open. "
            "Shorter than the 3 s a client gives one server, so that the answer tells the copies."
        ),
    ] = 2.5
    absence_check_seconds: Annotated[
        Duration,
        Meta(description="How long peers are asked before a channel or user is said not to exist."),
    ] = 1.0
    beacon_seconds: Annotated[
        Duration, Meta(description="Between two beacons that tell subscribers what they may have missed.")
    ] = 2.0
    election_lease_seconds: Annotated[
        Duration, Meta(description="A coordinator silent for this long counts as gone, and is replaced.")
    ] = 6.0
    election_renew_seconds: Annotated[
        Duration, Meta(description="Between two renewals by the coordinator.")
    ] = 1.5
    election_rpc_seconds: Annotated[
        Duration, Meta(description="How long an `election` message waits for its `OK`.")
    ] = 1.0
    election_hold_seconds: Annotated[
        Duration, Meta(description="How long a returning server is up before it takes the lead back.")
    ] = 5.0
    berkeley_min_seconds: Annotated[Duration, Meta(description="Least time between two clock rounds.")] = 10.0
    berkeley_max_seconds: Annotated[Duration, Meta(description="Most time between two clock rounds.")] = 60.0
    berkeley_operations: Annotated[
        Count, Meta(description="Client operations at the coordinator that call for a clock round.")
    ] = 10
    drain_seconds: Annotated[
        Duration, Meta(description="On stop: how long the rest of the log may take to reach the peers.")
    ] = 3.0
    linger_seconds: Annotated[
        Duration, Meta(description="On stop: how long closing sockets may still send.")
    ] = 0.5


class Log(Section, frozen=True, kw_only=True):
    """Log lines, each with the node's name and its Lamport clock."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least that is written.")
    ] = "info"
    format: Annotated[
        Literal["auto", "text", "json"],
        Meta(
            description="`text`: key=value; `json`: one object a line; `auto`: text, and under systemd "
            "fields of the journal."
        ),
    ] = "auto"
    file: Annotated[
        str, Meta(description="Append to this file, reopened on SIGHUP; empty: standard error.")
    ] = ""


class Observe(Section, frozen=True, kw_only=True):
    """Metrics, health and status over HTTP, for programs on the same host (docs/observability.md)."""

    listen: Annotated[
        str,
        Meta(
            pattern=r"^$|^(127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|\[::1\]|localhost):[0-9]{1,5}$",
            description="Loopback address and port, as in `127.0.0.1:9555`, of `/metrics`, `/livez`, "
            "`/readyz` and `/status`; port 0: any that is free; empty: none of them.",
        ),
    ] = ""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration of one process."""

    node: Node = Node()
    cluster: Cluster = Cluster()
    server: Server = Server()
    reference: Reference = Reference()
    broker: Broker = Broker()
    security: Security = Security()
    limits: Limits = Limits()
    disk: Disk = Disk()
    search: Search = Search()
    timings: Timings = Timings()
    log: Log = Log()
    observe: Observe = Observe()

    @property
    def secured(self) -> bool:
        """Whether everybody proves who they are."""
        return bool(self.security.roster)

    def member(self, name: str) -> Member | None:
        """The cluster member of that name, if there is one."""
        return next((member for member in self.cluster.members if member.name == name), None)


class Setting(NamedTuple):
    """What is to be said of one setting: ``section.name``, Python type, default, unit ("" if none)."""

    key: str
    type: Any
    default: Any
    unit: str
    description: str


SECTIONS: dict[str, type[Section]] = {field.name: field.type for field in msgspec.structs.fields(Config)}


def settings_of(section: type[Section], *, prefix: str) -> list[Setting]:
    """The settings of one section, in their order in the file."""
    hints = get_type_hints(section, include_extras=True)
    found = []
    for field in msgspec.structs.fields(section):
        metas = [meta for meta in getattr(hints[field.name], "__metadata__", ()) if isinstance(meta, Meta)]
        unit = next((meta.extra["unit"] for meta in metas if meta.extra and "unit" in meta.extra), "")
        text = next((meta.description for meta in metas if meta.description), "")
        default = None if field.required else field.default
        found.append(Setting(f"{prefix}.{field.name}", hints[field.name], default, unit, text or ""))
    return found


def describe() -> list[Setting]:
    """Every setting of every section, in the order of the file; members and brokers with ``[]``."""
    found = [setting for name, section in SECTIONS.items() for setting in settings_of(section, prefix=name)]
    return [
        *found,
        *settings_of(Member, prefix="cluster.members[]"),
        *settings_of(BrokerAddresses, prefix="cluster.brokers[]"),
    ]
