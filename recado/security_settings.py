"""The sections [security] and [limits]."""

from typing import Annotated, Literal

from msgspec import Meta

from recado.protocol.limits import LOCAL_ACCOUNTS_MAX, SSH_ACCOUNTS_MAX
from recado.setting_types import Section

PerSecond = Annotated[float, Meta(ge=0, le=1_000_000)]
Burst = Annotated[int, Meta(ge=0, le=1_000_000)]
UnixAccount = Annotated[str, Meta(pattern=r"^([0-9]{1,10}|[a-z_][a-z0-9_-]{0,30}\$?)$")]
LocalAccount = Annotated[str, Meta(pattern=r"^[0-9]{1,10}=(\*|[^\s=*][^\x00-\x1f]{0,63})$")]


class Security(Section, frozen=True, kw_only=True):
    """Keys: who may do what. With a roster everybody proves who they are; without one nobody does."""

    roster: Annotated[
        str,
        Meta(description="The file that names who belongs to the cluster; empty: open mode, without keys."),
    ] = ""
    key: Annotated[
        str,
        Meta(
            description="This node's key file, mode 0600, or `credential:NAME`, a credential of the service; "
            "empty: the credential `node.key` if there is one, else that file in node.data."
        ),
    ] = ""
    cluster_key: Annotated[
        str,
        Meta(
            description="The servers' common key, mode 0600, the same on all of them; or `credential:NAME`; "
            "empty: the credential `cluster.key` if there is one, else that file in node.data."
        ),
    ] = ""
    insecure: Annotated[
        bool,
        Meta(
            description="Listen on other addresses than loopback although nobody proves who they are. "
            "Laboratories only: whoever reaches the ports can write in anybody's name."
        ),
    ] = False
    registration: Annotated[
        Literal["open", "invite", "operators"],
        Meta(
            description="Who may register a user: everybody, who has an operator's invitation, or operators."
        ),
    ] = "open"
    local_listen: Annotated[
        str,
        Meta(
            pattern=r"^(ipc://\S+)?$",
            description="A second address of a server, `ipc://PATH`, where Unix users of this host need "
            "no key; empty: none.",
        ),
    ] = ""
    local_accounts: Annotated[
        tuple[LocalAccount, ...],
        Meta(
            max_length=LOCAL_ACCOUNTS_MAX,
            description="Who they are there, `UID=NAME` each; `UID=*` is a gateway that may speak for any "
            "registered user.",
        ),
    ] = ()
    ssh_accounts: Annotated[
        tuple[UnixAccount, ...],
        Meta(
            max_length=SSH_ACCOUNTS_MAX,
            description="Unix users of this host, by name or UID, whose login over SSH is the messenger: "
            "they speak there for users whose SSH key has opened it.",
        ),
    ] = ()


class Limits(Section, frozen=True, kw_only=True):
    """How much one may send; beyond it `rate_limited` with `retry_after`. 0: no limit."""

    in_open_mode: Annotated[
        bool,
        Meta(description="Hold to the rates in open mode too, where they go by claimed names."),
    ] = False
    user_messages_per_second: Annotated[PerSecond, Meta(description="Messages of one user.")] = 20.0
    user_messages_burst: Annotated[Burst, Meta(description="At once, after a pause.")] = 200
    bot_messages_per_second: Annotated[
        PerSecond, Meta(description="Messages of one bot, by an operator's word.")
    ] = 100.0
    bot_messages_burst: Annotated[Burst, Meta(description="At once, after a pause.")] = 500
    channel_messages_per_second: Annotated[
        PerSecond, Meta(description="Messages on one channel at one server, of all together.")
    ] = 500.0
    channel_messages_burst: Annotated[Burst, Meta(description="At once, after a pause.")] = 2000
    server_requests_per_second: Annotated[PerSecond, Meta(description="Requests of one other server.")] = (
        2000.0
    )
    server_requests_burst: Annotated[Burst, Meta(description="At once, after a pause.")] = 10_000
    address_requests_per_second: Annotated[
        PerSecond, Meta(description="Requests from one network address, of all clients there.")
    ] = 5000.0
    address_requests_burst: Annotated[Burst, Meta(description="At once, after a pause.")] = 20_000
    handshakes_per_second: Annotated[
        PerSecond, Meta(description="New connections from one network address.")
    ] = 100.0
    handshakes_burst: Annotated[Burst, Meta(description="At once, after a pause.")] = 2000
    key_handshakes_per_second: Annotated[PerSecond, Meta(description="New connections with one key.")] = 5.0
    key_handshakes_burst: Annotated[Burst, Meta(description="At once, after a pause.")] = 100
    subscriptions_per_second: Annotated[
        PerSecond, Meta(description="Subscriptions, and their ends, of one connection to the broker.")
    ] = 64.0
    subscriptions_burst: Annotated[Burst, Meta(description="At once, after a pause.")] = 4096
    connections: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="Connections to one process; others are refused, except of nodes and operators.",
        ),
    ] = 10_000
