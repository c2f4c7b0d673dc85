"""What other servers ask: replicate, sync, clock, adjust, and the questions of the election.

A member says `v: 2`, its cluster and its name; another cluster is refused.  The plain forms of other
projects' servers are served in open mode only, validated like a client's input.
"""

from collections.abc import Callable
from typing import Any, Protocol

from daemons.server.calls import Call
from daemons.server.node import Node
from daemons.server.pages import Pages
from daemons.server.signing import altered
from daemons.server.writes import Writes
from recado.protocol import names
from recado.protocol.adjustment import AdjustmentGate
from recado.protocol.election_values import Question
from recado.protocol.entry import run_fields
from recado.protocol.errors import Refused
from recado.protocol.limits import PLAIN_SYNC_BYTES_MAX
from recado.protocol.messages import (
    Adjust,
    ClockRequest,
    Coordinator,
    Election,
    Epoch,
    Peer,
    Release,
    Replicate,
    Run,
    Sync,
)
from recado.protocol.vector import ahead, digest
from storage.replica import Quarantined, StorageFull
from storage.scrub import check


class ElectionEnd(Protocol):
    """The election task as the request handlers see it."""

    def asked(self, call: Call, asked: Question) -> None: ...

    def fenced(self, epoch: Epoch, then: Callable[[str | None], None]) -> None: ...


class PeerServices:
    """Handlers of what servers ask each other."""

    def __init__(
        self, node: Node, writes: Writes, *, election: ElectionEnd, gate: AdjustmentGate, pages: Pages
    ) -> None:
        self._node = node
        self._writes = writes
        self._election = election
        self._gate = gate
        self._pages = pages

    # Replication ----------------------------------------------------------------------------------

    def replicate(self, call: Call, asked: Replicate) -> None:
        if asked.v is None:
            self._plain_only()
            self._node.log.info("replicated from a plain server", kind=asked.type)
            self._writes.replicate_plain(call, asked.type or "", asked.content)
            return
        sender = self._member(asked)
        if (refusal := self._node.commits.refusal) is not None:
            raise refusal
        believe_clock(self._node, call)
        runs = asked.runs or []
        take_runs(self._node, runs, sender)
        touched = [run.origin for run in runs]

        def confirm(full: StorageFull | None) -> None:
            if full is not None:
                call.refuse(Refused("storage_full", "Disco cheio; nada foi guardado"))
                return
            durable = self._node.entries.durable
            have = {origin: durable.get(origin, 0) for origin in touched}
            call.reply({"status": "OK", "have": have, "from": self._node.name, "boot": self._node.boot})

        self._node.commits.after(confirm)

    def sync(self, call: Call, asked: Sync) -> None:
        if asked.v is None:
            self._plain_only()
            self._plain_sync(call, asked)
            return
        node = self._node
        sender = self._member(asked)
        believe_clock(self._node, call)
        link = node.links[sender]
        node.met(sender, asked.boot)
        link.proof = asked.belief
        known = link.hear(asked.vector or {}, whole=asked.digest)
        node.confirmed(sender, link.theirs)
        node.take_confirmations(asked.confirmed)
        durable = node.entries.durable
        if asked.heads is not None and asked.digest == digest(durable):
            self._compare(sender, asked.heads)
        missing = ahead(durable, link.theirs) if known and asked.pull else {}
        lacked = {o: link.theirs.get(o, 0) for o in missing if o not in asked.stopped}
        runs, more = self._pages.page(sender, lacked)
        left_out = node.entries.stopped.keys() | node.put_off.of(sender, node.ceiling())
        if any(origin not in left_out for origin in ahead(link.theirs, durable)):
            node.nudge(sender)
        call.reply({"status": "OK", **vector_fields(node, sender), "runs": runs_fields(runs), "more": more})

    def _compare(self, sender: str, heads: bytes) -> None:
        if heads != self._node.entries.digest():
            self._node.log.error("replicas differ: equal vectors, unequal chain hashes", peer=sender)

    def _plain_sync(self, call: Call, asked: Sync) -> None:
        since = asked.last_sync
        cursor = since if isinstance(since, str) and names.wall_ms(since) is None else None
        content = self._node.store.sync_since(
            cursor if cursor is not None else names.wall_ms(since), bytes_max=PLAIN_SYNC_BYTES_MAX
        )
        call.reply({"status": "OK", **content})

    # Clocks ---------------------------------------------------------------------------------------

    def clock(self, call: Call, _asked: ClockRequest) -> None:
        call.reply({"status": "OK", "time": self._node.time.probe_time(), "from": self._node.name})

    def adjust(self, call: Call, asked: Adjust) -> None:
        if asked.v is None:
            self._plain_only()
            self._adjust(call, asked, None)
            return
        if asked.epoch is None or asked.epoch.name != self._member(asked):
            raise Refused("not_the_sender", "Só o coordenador ajusta relógios")
        self._election.fenced(asked.epoch, lambda refusal: self._adjust(call, asked, refusal))

    def _adjust(self, call: Call, asked: Adjust, refusal: str | None) -> None:
        """After the fence (B10): its epoch, if it had one and was let in, is now the one that counts."""
        if refusal is None and asked.v is not None and asked.epoch is not None:
            self._gate.observe(asked.epoch)
        refusal = refusal or adjust(
            self._node, self._gate, float(asked.adjustment), epoch=asked.epoch, round=asked.round
        )
        if refusal is None:
            call.reply({"status": "OK"})
        else:
            call.refuse(Refused("adjust_refused", f"Ajuste recusado: {refusal}"))
        call.replies.flush()

    # Election -------------------------------------------------------------------------------------

    def election(self, call: Call, asked: Question) -> None:
        plain = isinstance(asked, Election) and asked.epoch is None  # tells nothing
        if self._node.proofs is not None or not plain:
            sender = self._member(asked)
            self._own_epoch(asked, sender)
        self._election.asked(call, asked)

    # Who asks -------------------------------------------------------------------------------------

    def _member(self, asked: Peer) -> str:
        return member_of(self._node, asked)

    def _own_epoch(self, asked: Question, sender: str) -> None:
        """In a secured cluster nobody stands, leads or goes in another's name."""
        named = asked.epoch if isinstance(asked, Election | Coordinator | Release) else None
        if self._node.proofs is not None and named is not None and named.name != sender:
            raise Refused("not_a_member", "A época não é de quem pergunta")

    def _plain_only(self) -> None:
        if self._node.proofs is not None or not self._node.config.server.open:
            raise Refused("members_only", "Serviço só para servidores deste cluster")


def member_of(node: Node, asked: Peer) -> str:
    """The name of the member that asks.  Raises `Refused` if it is none of this cluster.

    In a secured cluster `Admission` has held the name to the key already.
    """
    if asked.cluster != node.config.cluster.id:
        node.complain_of_stranger(asked.sender, asked.cluster)
        raise Refused("cluster_unknown", "Servidor de outro cluster")
    if asked.sender not in node.links:
        node.complain_of_stranger(asked.sender, asked.cluster)
        raise Refused("member_unknown", "Servidor que não é membro deste cluster")
    node.versions.check(asked.sender, asked.v)
    return asked.sender


def believe_clock(node: Node, call: Call) -> None:
    """A member's clock counts in full, up to the ceiling; in a secured cluster its tag has seen to that."""
    if node.proofs is None and call.asked.clock <= node.ceiling():
        node.clock.receive(call.asked.clock)


def adjust(
    node: Node, gate: AdjustmentGate, delta_seconds: float, *, epoch: Epoch | None, round: int | None
) -> str | None:
    """C4: move the disciplined clock if the gate lets the adjustment in; else why not."""
    accepted = gate.accept(delta_seconds, epoch=epoch, round=round, now=node.surroundings.now())
    if accepted is None:
        node.log.warning("clock adjustment refused", reason=gate.refusal, delta_seconds=delta_seconds)
        return gate.refusal or "refused"
    node.time.adjust(accepted)
    node.log.info("clock adjusted", delta_seconds=accepted, offset_seconds=node.time.offset)
    return None


def take_runs(node: Node, runs: list[Run], sender: str) -> dict[int, int]:
    """R5: keep what is new of a peer's runs; returns how many entries of each kind.

    A gap asks for a pull at once; a fork or an invalid entry stops that origin, not the others.  What is
    stamped above the ceiling waits until time has come so far (A13).
    """
    counts: dict[int, int] = {}
    if node.commits.paused:
        return counts
    proofs, ceiling = node.proofs, node.ceiling()
    for run in runs:
        if proofs is not None and (problem := proofs.problem(run, node.entries.heads)) is not None:
            refuse_run(node, run, sender, problem)
            continue
        offered = node.entries.offer(run, whole=proofs is not None, ceiling=ceiling)
        node.commits.keep_run(offered.new, run.signature if proofs is not None else None)
        for entry in offered.new:
            counts[entry.kind] = counts.get(entry.kind, 0) + 1
        if offered.new:
            node.clock.receive(offered.new[-1].lamport)
            node.put_off.took(run.origin)
        if offered.beyond is not None:
            node.put_off.note(run.origin, offered.beyond, peer=sender)
        if offered.gap:
            node.nudge(sender)
        if offered.forked and not head_is_sound(node, run.origin):
            node.damaged(run.origin, node.entries.durable[run.origin])  # it is ours that is wrong
        elif offered.forked:
            node.entries.stop(run.origin, "forked")
            raw = run.entries[0][0] if run.entries else b""
            node.commits.quarantine(Quarantined(run.origin, run.first, "forked", raw, sender), state="forked")
            node.log.error("origin forked, nothing more of it is taken", origin=run.origin, peer=sender)
        if offered.invalid and proofs is not None and altered(run):
            refuse_run(node, run, sender, "a body was changed on the way")
        elif offered.invalid:
            node.entries.stop(run.origin, offered.invalid)
            node.log.error(
                "invalid entry, nothing more of its origin is taken", origin=run.origin, peer=sender
            )
            node.log.error("invalid because", reason=offered.invalid)
    return counts


def refuse_run(node: Node, run: Run, sender: str, problem: str) -> None:
    """Somebody else than its node wrote this: say who sent it, keep it to be looked at, take the next.

    Its origin goes on, since what is refused says nothing of the one it names.
    """
    node.refused_runs += 1
    node.run_refused.add(peer=sender, origin=run.origin, reason=problem, runs=1)
    raw = run.entries[-1][0] if run.entries else b""
    last = run.first + max(0, len(run.entries) - 1)
    node.commits.note_refused(Quarantined(run.origin, last, problem, raw, sender))


def head_is_sound(node: Node, origin: str) -> bool:
    """Whether the last durable entry of an origin still gives its hash: else nobody forked."""
    last = node.entries.durable.get(origin, 0)
    return not check(node.store, origin, max(0, last - 1), upto=last).damaged


def vector_fields(node: Node, peer: str) -> dict[str, Any]:
    """What both sides of a vector exchange say: who they are, what they have, what they believe."""
    link = node.links[peer]
    vector, _ = link.tell(node.entries.durable)
    return {
        **node.introduction(),
        "vector": vector,
        "digest": digest(node.entries.durable),
        "belief": link.belief,
        "heads": node.entries.digest(),
        "confirmed": node.confirmations(besides=peer),
    }


def runs_fields(runs: list[Run]) -> list[list[Any]]:
    """Runs as they go on the wire."""
    return [run_fields(run) for run in runs]
