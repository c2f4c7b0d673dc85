"""What no single setting shows: settings that don't go together.  Pairs of key and what was expected."""

import ipaddress
from collections import Counter
from collections.abc import Iterator

from recado.protocol.election_values import ElectionTimings
from recado.settings import Config

Found = tuple[str, str]


def contradictions(config: Config) -> Iterator[Found]:
    """Everything that contradicts something else, without looking at files."""
    for what in ("name", "rank", "address"):
        values = [getattr(member, what) for member in config.cluster.members]
        for twice in sorted({str(value) for value in values if values.count(value) > 1}):
            yield "cluster.members", f"two members with the {what} {twice}"
    yield from _timings(config)
    yield from _secured(config) if config.secured else _open(config)
    yield from _limits(config)


def _timings(config: Config) -> Iterator[Found]:
    timings = config.timings
    if timings.berkeley_min_seconds > timings.berkeley_max_seconds:
        yield "timings.berkeley_min_seconds", "at most timings.berkeley_max_seconds"
    if timings.election_renew_seconds + timings.election_rpc_seconds >= timings.election_lease_seconds:
        yield (
            "timings.election_lease_seconds",
            "more than timings.election_renew_seconds and timings.election_rpc_seconds together",
        )
    election = ElectionTimings()
    least = (timings.election_renew_seconds + timings.election_rpc_seconds) / (1 - 3 * election.drift)
    if config.server.mode == "quorum" and timings.election_lease_seconds <= least:
        yield (
            "timings.election_lease_seconds",
            f"more than {least:.2f} in mode quorum: a coordinator counts its lease 9 % shorter than "
            "its voters do, and needs a renewal and an answer in it",
        )
    if timings.heartbeat_seconds >= config.reference.expiry_seconds:
        yield "timings.heartbeat_seconds", "less than reference.expiry_seconds"


def _open(config: Config) -> Iterator[Found]:
    if not config.security.insecure:
        for key, address in _beyond_loopback(config):
            yield (
                key,
                f"a loopback address, not {address}: nobody proves who they are here. Give the cluster keys "
                "(`recado keygen`, `recado roster`; then security.roster = FILE), or in a laboratory "
                "set security.insecure = true",
            )
    if config.security.local_listen:
        yield "security.local_listen", "empty without security.roster: in open mode nobody is identified"
    if config.security.ssh_accounts:
        yield "security.ssh_accounts", "empty without security.roster: in open mode nobody is identified"


def _secured(config: Config) -> Iterator[Found]:
    if config.security.insecure:
        yield "security.insecure", "false with security.roster: everybody proves who they are"
    hides = "empty with security.roster: a round-robin port hides who asks"
    if config.broker.request:
        yield "broker.request", hides
    if any(broker.request for broker in config.cluster.brokers):
        yield "cluster.brokers", f"request {hides}"
    names = Counter(broker.name for broker in config.cluster.brokers)
    for twice in (name for name, count in names.items() if count > 1):
        yield "cluster.brokers", f"two brokers with the name {twice}"
    accounts = config.security.local_accounts
    if accounts and not config.security.local_listen:
        yield "security.local_listen", "an ipc:// address for security.local_accounts"
    if config.security.ssh_accounts and not config.security.local_listen:
        yield "security.local_listen", "an ipc:// address for security.ssh_accounts"
    for twice, count in Counter(account.partition("=")[0] for account in accounts).items():
        if count > 1:
            yield "security.local_accounts", f"one name for the user id {twice}"


def _limits(config: Config) -> Iterator[Found]:
    for what in ("user_messages", "bot_messages", "channel_messages", "server_requests", "address_requests"):
        yield from _burst(config, what)
    for what in ("handshakes", "key_handshakes", "subscriptions"):
        yield from _burst(config, what)


def _burst(config: Config, what: str) -> Iterator[Found]:
    if getattr(config.limits, f"{what}_per_second") and not getattr(config.limits, f"{what}_burst"):
        yield f"limits.{what}_burst", f"at least 1, or limits.{what}_per_second = 0"


def exposed(config: Config) -> tuple[str, ...]:
    """Addresses beyond loopback where nobody proves who they are: to be warned of at start and in status."""
    return () if config.secured else tuple(address for _, address in _beyond_loopback(config))


def _beyond_loopback(config: Config) -> Iterator[tuple[str, str]]:
    for key, address in (
        ("server.listen", config.server.listen),
        ("reference.listen", config.reference.listen),
        ("broker.xsub", config.broker.xsub),
        ("broker.xpub", config.broker.xpub),
        ("broker.request", config.broker.request),
    ):
        if not is_loopback(address):
            yield key, address


def is_loopback(address: str) -> bool:
    """Whether only this host reaches the address: ipc, or tcp on 127.0.0.0/8, ::1 or localhost."""
    if not address or address.startswith("ipc://"):
        return True
    host = address.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
