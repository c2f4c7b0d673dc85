"""One run: a cluster, its load, the storm, the healing, the verdict."""

import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import trio

from tests.torture.control import careless_losses
from tests.torture.digests import states
from tests.torture.faults import Record
from tests.torture.fleet import Fleet, Node, build
from tests.torture.judgement import Complaints, Evidence, judge, summary
from tests.torture.load import Wishes
from tests.torture.machine import Means
from tests.torture.neighbours import judges
from tests.torture.processes import CommandFailed, run
from tests.torture.storm import Storm
from tests.torture.talkers import Talkers
from tests.torture.watching import covers, heads, statuses, union

LEVELS = ("local", "quorum", "all")
AFTER_STORM_SECONDS = 3.0  # people go on talking in a healed cluster
EQUAL_SECONDS = 60.0
CHECKED_SECONDS = 120.0
HEARD_SECONDS = 30.0
LEAD_SECONDS = 200.0  # a server that started many times in two minutes holds down for 160 s
LOOK_SECONDS = 0.2
COMPLAINTS_MAX = 100  # of a kind, in the JSON document


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the person who types it may choose."""

    seed: str
    storm_seconds: float
    servers: int
    rate: float
    control: bool
    directory: Path
    again: str
    keep: bool = False  # the replicas too, beside the logs
    only: Mapping[str, int] | None = None  # these faults alone, with how often each comes in a round


class Ended(NamedTuple):
    """How a storm ended: what to judge, what went wrong on the way, how long it took to be well again."""

    evidence: Evidence
    complaints: Complaints
    equal_seconds: float | None
    verify: str


async def torture(options: Options, means: Means, *, say: Callable[[str], None]) -> dict[str, Any]:
    """The whole run; the result as `report` shows it."""
    record = Record()
    ended = await _through_the_storm(options, means, record, say=say)
    say("judging")
    complaints = {**judge(ended.evidence), **ended.complaints}
    control = await _control(options, means, say=say) if options.control and means.disks else None
    if control == 0:
        complaints["control"] = ["the control lost nothing: these power cuts prove nothing"]
    return {
        "seed": options.seed,
        "servers": options.servers,
        "storm_seconds": options.storm_seconds,
        "faults": record.counts(),
        "losses": len(record.losses),
        "not_run": means.missing,
        "summary": summary(ended.evidence),
        "counts": {kind: len(found) for kind, found in complaints.items()},
        "complaints": {kind: found[:COMPLAINTS_MAX] for kind, found in complaints.items() if found},
        "equal_seconds": ended.equal_seconds,
        "verify": ended.verify,
        "control": control,
        "passed": not any(complaints.values()),
        "again": options.again,
        "record": record.faults,
    }


async def _through_the_storm(
    options: Options, means: Means, record: Record, *, say: Callable[[str], None]
) -> Ended:
    hours, folder = options.storm_seconds / 3600, options.directory / "cluster"
    fleet = build(folder, means, servers=options.servers, brokers=2, seed=options.seed, hours=hours)
    storm = Storm(fleet, record, seed=options.seed, only=options.only)
    try:
        async with trio.open_nursery() as nursery:
            await fleet.begin(nursery)
            talkers = Talkers(fleet, "load", wishes(fleet, options))
            await talkers.talking()
            say(f"{len(fleet.nodes)} nodes up, people talk; the storm takes {options.storm_seconds:.0f} s")
            await storm.rage(options.storm_seconds)
            say("healed; people come to an end")
            await trio.sleep(AFTER_STORM_SECONDS)
            rotten = any("flipped" in kind for kind in record.counts())
            quiet = await _quiet(fleet, talkers, rotten=rotten, say=say)
            nursery.cancel_scope.cancel()
        if options.keep:
            _keep_replicas(fleet)
        return Ended(
            gather(fleet, talkers, record, said=quiet["statuses"], complaints=storm.complaints),
            {
                "recovery": [*storm.complaints, *quiet["complaints"]],
                "processes": list(_processes(fleet, record)),
            },
            quiet["equal_seconds"],
            quiet["verify"],
        )
    finally:
        with trio.CancelScope(shield=True):
            await fleet.close()


def wishes(fleet: Fleet, options: Options) -> Wishes:
    """Two writers of each level, plain people at every door."""
    return Wishes(
        seed=options.seed,
        servers=fleet.plan.addresses,
        brokers=fleet.plan.xpubs,
        requests=fleet.plan.requests,
        rate=options.rate,
        levels=list(LEVELS),
        writers_of_each=2,
    )


async def _quiet(
    fleet: Fleet, talkers: Talkers, *, rotten: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    """Silence, equal replicas, all heard, one leader; then everything is stopped."""
    complaints: list[str] = []
    began = trio.current_time()
    if not await talkers.silence():
        complaints.append("people did not come to an end")
    equal = await _equal(fleet)
    if equal is None:
        complaints.append(f"replicas not equal within {EQUAL_SECONDS:g} s of the last message")
    if rotten and not await _checked(fleet):
        complaints.append(f"not every log was checked and found sound within {CHECKED_SECONDS:g} s")
    verify = _verify(fleet)
    if verify != "equal":
        complaints.append(f"recado verify: {verify}")
    await _all_heard(fleet, talkers)
    say("waiting for one coordinator")
    said = await _one_leader(fleet)
    if await talkers.end() != 0:
        complaints.append("the load ended with an error, see load.log")
    codes = await fleet.stop(*fleet.nodes.values())
    if any(codes):
        complaints.append(f"exit codes of the last stop: {dict(zip(fleet.nodes, codes, strict=True))}")
    seconds = None if equal is None else AFTER_STORM_SECONDS + equal - began
    return {"complaints": complaints, "statuses": said, "equal_seconds": seconds, "verify": verify}


async def _equal(fleet: Fleet) -> float | None:
    """When all replicas were equal, by trio's clock."""
    replicas = [node.member.replica for node in fleet.servers]
    with trio.move_on_after(EQUAL_SECONDS):
        while True:
            found = [heads(replica) for replica in replicas]
            if all(covers(vector, union(found)) for vector in found):
                return trio.current_time()
            await trio.sleep(LOOK_SECONDS)
    return None


async def _checked(fleet: Fleet) -> bool:
    """Wait until every server has read its whole log once more and has nothing left to repair."""

    def checks(node: Node) -> list[int]:
        return [line["damaged"] for line in fleet.log_lines(node) if line["event"] == "log checked"]

    before = {node.name: len(checks(node)) for node in fleet.servers}
    with trio.move_on_after(CHECKED_SECONDS):
        # One more, since what was found by the last one before may be repaired by now.
        while not all(checks(node)[before[node.name] :][-1:] == [0] for node in fleet.servers):  # noqa: ASYNC110
            await trio.sleep(1.0)
        return True
    return False


def _verify(fleet: Fleet) -> str:
    replicas = [str(node.member.replica) for node in fleet.servers]
    try:
        run(sys.executable, "-m", "clients.cli", "verify", *replicas, "--settled", "--wait", "10")
    except CommandFailed as failed:
        return str(failed)
    return "equal"


async def _all_heard(fleet: Fleet, talkers: Talkers) -> None:
    """Give subscribers time to fetch the last; whether they did is judged later."""
    lines, quiet = -1, 0
    with trio.move_on_after(HEARD_SECONDS):
        while quiet < 20:
            now = sum(1 for _ in talkers.lines())
            quiet = quiet + 1 if now == lines else 0
            lines = now
            await trio.sleep(LOOK_SECONDS)


async def _one_leader(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """What the servers say once they agree, or at the end of the patience."""
    said: dict[str, dict[str, Any]] = {}
    with trio.move_on_after(LEAD_SECONDS):
        while True:
            said = await statuses(fleet)
            if len(said) == len(fleet.servers) and not judges.one_coordinator(said):
                break
            await trio.sleep(LOOK_SECONDS)
    return said


def _keep_replicas(fleet: Fleet) -> None:
    for node in fleet.servers:
        if node.member.replica.parent != node.member.directory:
            shutil.copy(node.member.replica, node.member.directory)


def gather(
    fleet: Fleet,
    talkers: Talkers,
    record: Record,
    *,
    said: dict[str, dict[str, Any]],
    complaints: list[str],
) -> Evidence:
    """The journals, the logs, and what the stopped servers' files hold; what can't be read is a complaint."""
    replicas = [(node.name, node.member.replica) for node in fleet.servers]
    logs = [(float(at), line) for node in fleet.servers for at, line in enumerate(fleet.log_lines(node))]
    return Evidence(
        history=talkers.history(),
        journal=talkers,
        states=list(states(replicas, complaints)),
        losses=record.losses,
        barriers=record.barriers,
        logs=logs,
        statuses=said,
    )


def _processes(fleet: Fleet, record: Record) -> Any:
    """Ends that nobody caused, and tracebacks."""
    for at, name, code in fleet.unexpected:
        yield f"{name} ended by itself with {code} after {at - record.began:.1f} s"
    for node in fleet.nodes.values():
        for line in fleet.log_lines(node):
            if "Traceback" in str(line.get("text", "")) or line.get("exception"):
                yield f"{node.name} logged a traceback: {line}"


async def _control(options: Options, means: Means, *, say: Callable[[str], None]) -> int:
    say("control: the same power cut without synced commits")
    return await careless_losses(options.directory / "control", means, seed=options.seed)
