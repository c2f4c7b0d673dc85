"""A server's metrics: their families, and their values as they are when somebody asks."""

from collections.abc import Iterator
from typing import Final

from daemons.server.node import Node
from daemons.server.status import lag_of
from daemons.shared.observe_metrics import Family, Sample

DISK_STATES: Final = ("ok", "slow", "full")
_PEER: Final = ("peer",)

FAMILIES: Final = (
    Family("recado_requests_total", "counter", "Requests answered.", ("service", "code")),
    Family("recado_write_seconds", "histogram", "From a write's arrival to its answer, copies included."),
    Family("recado_commits_total", "counter", "Commits of the replica."),
    Family("recado_commit_seconds", "histogram", "One commit, from its first row to the end of fsync."),
    Family("recado_committed_entries_total", "counter", "Log entries in those commits."),
    Family("recado_backlog_entries", "gauge", "Entries appended and not yet durable."),
    Family("recado_waiting_writes", "gauge", "Writes that wait for copies at other servers."),
    Family("recado_log_entries", "gauge", "Log entries that are durable here."),
    Family("recado_log_origins", "gauge", "Origins that they are of."),
    Family("recado_lamport_clock", "gauge", "The Lamport clock."),
    Family("recado_members", "gauge", "Servers in cluster.members."),
    Family("recado_peer_lag_entries", "gauge", "Entries here that the peer has not confirmed.", _PEER),
    Family("recado_peer_silent", "gauge", "1 if the peer did not answer the last time.", _PEER),
    Family("recado_coordinator_known", "gauge", "1 if this server knows a coordinator."),
    Family("recado_coordinating", "gauge", "1 if this server is it."),
    Family("recado_coordinator_changes_total", "counter", "How often another one was told here."),
    Family("recado_epoch", "gauge", "The number of the coordinator's epoch."),
    Family("recado_clock_offset_seconds", "gauge", "What the shown time adds to the system's clock."),
    Family("recado_peer_clock_offset_seconds", "gauge", "Only at the coordinator: from its own.", _PEER),
    Family("recado_clock_spread_seconds", "gauge", "Only at the coordinator: between any two clocks."),
    Family("recado_disk_state", "gauge", "1 at the state that is.", ("state",)),
    Family("recado_disk_free_bytes", "gauge", "Room left on the file system of node.data."),
    Family("recado_disk_size_bytes", "gauge", "Size of that file system."),
    Family("recado_replica_bytes", "gauge", "Size of replica.db."),
    Family("recado_wal_bytes", "gauge", "Size of its write-ahead log."),
    Family(
        "recado_last_backup_timestamp_seconds",
        "gauge",
        "When the last backup was made of this one; 0: never.",
    ),
    Family("recado_search_lag_entries", "gauge", "Log entries that the search index lacks."),
    Family("recado_damaged_entries", "gauge", "Entries that wait for their repair from a peer."),
    Family("recado_refused_runs_total", "counter", "Runs of entries refused for their signature."),
    Family("recado_runs_put_off_total", "counter", "Runs of entries stamped too far ahead to be taken yet."),
    Family("recado_rate_limited_total", "counter", "Requests refused for their rate."),
    Family("recado_connections", "gauge", "Only with keys: connections of clients and peers."),
    Family("recado_handshakes_refused_total", "counter", "Only with keys: who was not let in.", ("why",)),
    Family("recado_secured", "gauge", "1 if everybody proves who they are."),
    Family("recado_unreachable_replies_total", "counter", "Replies whose client had gone."),
)


def samples(node: Node) -> Iterator[Sample]:
    """All of them."""
    yield from _work(node)
    yield from _log(node)
    yield from _cluster(node)
    yield from _clocks(node)
    yield from _disk(node)
    yield from _doors(node)


def _work(node: Node) -> Iterator[Sample]:
    meters = node.meters
    for (service, code), count in sorted(meters.answers.items()):
        yield Sample("recado_requests_total", count, (service, code))
    yield Sample("recado_write_seconds", meters.write_seconds)
    yield Sample("recado_commits_total", node.commits.commits)
    yield Sample("recado_commit_seconds", meters.commit_seconds)
    yield Sample("recado_committed_entries_total", meters.committed_entries)
    yield Sample("recado_backlog_entries", node.commits.backlog)
    yield Sample("recado_waiting_writes", node.acks.waiting)
    yield Sample("recado_unreachable_replies_total", node.replies.unreachable)


def _log(node: Node) -> Iterator[Sample]:
    durable = node.entries.durable
    yield Sample("recado_log_entries", sum(durable.values()))
    yield Sample("recado_log_origins", len(durable))
    yield Sample("recado_lamport_clock", node.clock.value)
    search = node.search_state()
    if search is not None and isinstance(search["lag"], int):
        yield Sample("recado_search_lag_entries", search["lag"])
    yield Sample("recado_damaged_entries", node.damage())
    yield Sample("recado_refused_runs_total", node.refused_runs)
    yield Sample("recado_runs_put_off_total", node.put_off.runs)


def _cluster(node: Node) -> Iterator[Sample]:
    yield Sample("recado_members", len(node.members))
    for peer in node.peers:
        yield Sample("recado_peer_lag_entries", lag_of(node, peer.name), (peer.name,))
        yield Sample("recado_peer_silent", peer.name in node.silent, (peer.name,))
    yield Sample("recado_coordinator_known", node.coordinator is not None)
    yield Sample("recado_coordinating", node.acting())
    yield Sample("recado_coordinator_changes_total", node.meters.coordinator_changes)
    yield Sample("recado_epoch", node.epoch_number)


def _clocks(node: Node) -> Iterator[Sample]:
    yield Sample("recado_clock_offset_seconds", round(node.time.offset, 6))
    if node.acting():
        for peer, offset_ms in sorted(node.meters.offsets_ms.items()):
            yield Sample("recado_peer_clock_offset_seconds", offset_ms / 1000, (peer,))
        spread_ms = node.spread_ms()
        if spread_ms is not None:
            yield Sample("recado_clock_spread_seconds", spread_ms / 1000)


def _disk(node: Node) -> Iterator[Sample]:
    for state in DISK_STATES:
        yield Sample("recado_disk_state", state == node.disk_state, (state,))
    room = node.meters.room
    if room is not None:
        yield Sample("recado_disk_free_bytes", room.free)
        yield Sample("recado_disk_size_bytes", room.total)
        yield Sample("recado_replica_bytes", room.replica)
        yield Sample("recado_wal_bytes", room.wal)
    yield Sample("recado_last_backup_timestamp_seconds", round(node.meters.backup_at or 0))


def _doors(node: Node) -> Iterator[Sample]:
    yield Sample("recado_secured", node.security is not None)
    yield Sample("recado_rate_limited_total", node.rationing.refused)
    doors = node.doors()
    if "connections" in doors:
        yield Sample("recado_connections", doors["connections"])
    for why, count in sorted(doors.get("refused", {}).items()):
        if isinstance(count, int):
            yield Sample("recado_handshakes_refused_total", count, (why,))
