"""What a survey shows to be wrong: pure rules, each a generator of findings.

A finding has a stable code, a case of it, whom it is about, the facts, and the commands that mend it; the
words for evidence and cause are those of its case in `doctor_words`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from clients.watching.mending import Mending
from clients.watching.values import Answer, Survey
from recado.protocol.domains import losable
from recado.protocol.limits import MIB
from recado.values import optional, whole

SKEW_SECONDS: Final = 0.5  # between a server's system clock and the median one, beyond what asking took
SKEW_HERE_SECONDS: Final = 5.0  # between this host's clock and that of all servers
LAG_ENTRIES: Final = 10_000  # not confirmed by a server that answers
YOUNG_SECONDS: Final = 20  # servers that have just started need not know a coordinator
ROOM_BYTES: Final = 64 * MIB  # less is as good as full
ROOM_FRACTION: Final = 0.02  # and so is less than this part of a disk, up to
ROOM_BYTES_PLENTY: Final = 5 * 1024 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.  `facts` fill the words of ``doctor.CASE`` and ``doctor.CASE.cause``."""

    case: str
    subject: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    mend: tuple[str, ...] = ()

    @property
    def code(self) -> str:
        """What programs go by: the case without its variant."""
        return self.case.partition(".")[0]


def diagnose(survey: Survey, *, cluster: str | None = None) -> list[Finding]:
    """Everything that is wrong.  `cluster`: the id that is expected; None: that of most servers."""
    mending = Mending(survey)
    expected = cluster or _usual(one.text("cluster") for one in survey.answering)
    strange = [one for one in survey.answering if expected and one.text("cluster") not in ("", expected)]
    native = [one for one in survey.answering if one not in strange]
    found = [
        *_unreachable(survey, native, mending),
        *_foreign(native, strange, expected, mending),
        *_clocks(survey, mending),
        *_disks(native, mending),
        *_versions(native, mending),
        *_leaders(native, mending),
        *_members(native, mending),
        *_hosts(survey),
        *_logs(survey, native, mending),
        *_brokers(survey, mending),
        *_reference(survey, mending),
    ]
    return list({(one.case, one.subject): one for one in found}.values())


def is_full(free: int, total: int) -> bool:
    """Whether so little room is as good as none."""
    return free < ROOM_BYTES or (free < ROOM_FRACTION * total and free < ROOM_BYTES_PLENTY)


def _usual(values: Iterable[str]) -> str:
    """What most say; "" if nobody says anything."""
    counted = Counter(sorted(value for value in values if value))
    return counted.most_common(1)[0][0] if counted else ""


def _unreachable(survey: Survey, native: list[Answer], mending: Mending) -> Iterator[Finding]:
    silent_for: dict[str, list[str]] = {}
    for one in native:
        for peer in one.rows("peers"):
            if peer.get("silent") is True:
                silent_for.setdefault(optional(peer, "name", str) or "?", []).append(one.name)
    for one in survey.servers:
        if not one.answered:
            name = one.name or one.address
            say_so = ", ".join(sorted(silent_for.pop(name, ()))) or "-"
            yield Finding(
                case=f"unreachable.{one.problem or 'mute'}",
                subject=name,
                facts={"address": one.address, "others": say_so},
                mend=mending.start(name, one.address),
            )
    there = {one.name: one.address for one in native}
    for name, others in sorted(silent_for.items()):
        if name in there:
            yield Finding(
                case="unreachable.from_peer",
                subject=name,
                facts={"address": there[name], "others": ", ".join(sorted(others))},
                mend=mending.reach(there[name], [other for other in sorted(others) if other in there], there),
            )


def _foreign(
    native: list[Answer], strange: list[Answer], expected: str, mending: Mending
) -> Iterator[Finding]:
    for one in strange:
        yield Finding(
            case="foreign_cluster.answers",
            subject=one.name,
            facts={"address": one.address, "theirs": one.text("cluster"), "ours": expected},
            mend=mending.configure(one.name, one.address, f'cluster.id = "{expected}"'),
        )
    seen = {one.name for one in strange}
    for one in native:
        for stranger in one.rows("strangers"):
            name, theirs = optional(stranger, "name", str) or "?", optional(stranger, "cluster", str) or "?"
            if name not in seen:
                case = "foreign_cluster.asks" if theirs != expected else "foreign_cluster.no_member"
                facts = {"server": one.name, "theirs": theirs, "ours": expected}
                yield Finding(
                    case=case,
                    subject=name,
                    facts=facts,
                    mend=mending.configure(name, "", f'cluster.id = "{expected}"')
                    if theirs != expected
                    else ("recado member list",),
                )


def _clocks(survey: Survey, mending: Mending) -> Iterator[Finding]:
    skews = survey.skews()
    by_name = {one.name: one for one in survey.answering}
    for name, skew in sorted(skews.items()):
        allowed = SKEW_SECONDS + by_name[name].seconds / 2
        if abs(skew) > allowed and len(skews) > 1:
            yield Finding(
                case="clock.server" if len(skews) > 2 else "clock.either",
                subject=name,
                facts={
                    "skew": round(skew, 3),
                    "offset": by_name[name].real("offset_ms"),
                    "allowed": round(allowed, 3),
                },
                mend=mending.clock(by_name[name].address),
            )
    here = [one.skew_seconds for one in survey.answering if one.skew_seconds is not None]
    if len(here) > 1 and (min(here) > SKEW_HERE_SECONDS or max(here) < -SKEW_HERE_SECONDS):
        skew = -min(here, key=abs)
        yield Finding(
            case="clock.here",
            subject="-",
            facts={"skew": round(skew, 3)},
            mend=mending.clock(""),
        )


def _disks(native: list[Answer], mending: Mending) -> Iterator[Finding]:
    for one in native:
        room, state = one.table("room"), one.text("disk")
        free, total = whole(room.get("free")), whole(room.get("total"))
        facts = {"free": free, "total": total, "address": one.address}
        mend = mending.disk(one.address)
        if state == "full":
            yield Finding(case="disk_full.full", subject=one.name, facts=facts, mend=mend)
        elif free is not None and total is not None and is_full(free, total):
            yield Finding(case="disk_full.soon", subject=one.name, facts=facts, mend=mend)
        if state == "slow":
            yield Finding(case="disk_slow", subject=one.name, facts=facts, mend=mend)


def _versions(native: list[Answer], mending: Mending) -> Iterator[Finding]:
    usual = _usual(one.text("version") for one in native)
    wire = max((one.number("wire") or 0 for one in native), default=0)
    for one in native:
        theirs = one.number("wire")
        facts = {"theirs": one.text("version"), "usual": usual, "wire": theirs, "newest": wire}
        mend = mending.upgrade(one.name, one.address)
        if theirs is not None and wire - theirs > 1:
            yield Finding(case="version.wire", subject=one.name, facts=facts, mend=mend)
        elif one.text("version") not in ("", usual):
            yield Finding(case="version.differs", subject=one.name, facts=facts, mend=mend)


def _leaders(native: list[Answer], mending: Mending) -> Iterator[Finding]:
    told = {one.name: one.text("coordinator") for one in native}
    leaders = sorted({leader for leader in told.values() if leader})
    if len(leaders) > 1:
        views = "; ".join(
            f"{leader}: {', '.join(sorted(n for n, said in told.items() if said == leader))}"
            for leader in leaders
        )
        yield Finding(
            case="split_view.leaders",
            subject=" ".join(leaders),
            facts={"views": views},
            mend=mending.between([one for one in native if one.name in leaders]),
        )
    old = [one for one in native if (one.number("uptime") or 0) >= YOUNG_SECONDS]
    if old and not leaders:
        names = ", ".join(one.name for one in old)
        members = max(len(one.names("members")) for one in old)
        yield Finding(
            case="no_coordinator",
            subject="-",
            facts={"names": names, "count": len(native), "members": members},
            mend=("recado status",),
        )


def _members(native: list[Answer], mending: Mending) -> Iterator[Finding]:
    lists = {one.name: " ".join(sorted(one.names("members"))) for one in native if one.names("members")}
    usual = _usual(lists.values())
    for one in native:
        if lists.get(one.name, usual) != usual:
            yield Finding(
                case="split_view.members",
                subject=one.name,
                facts={"theirs": lists[one.name], "usual": usual},
                mend=mending.configure(one.name, one.address, "cluster.members"),
            )
    twice = Counter(one.name for one in native)
    for name, count in sorted(twice.items()):
        if count > 1:
            where = ", ".join(one.address for one in native if one.name == name)
            facts = {"addresses": where, "count": count}
            yield Finding(case="split_view.twice", subject=name, facts=facts)


def _hosts(survey: Survey) -> Iterator[Finding]:
    """A quorum that one host can be alone: then it is no promise for the day on which that host dies."""
    hosts = survey.hosts()
    if hosts and losable(hosts.values()) == 0:
        members = sum(hosts.values())
        yield Finding(
            case="shared_host",
            subject=max(sorted(hosts), key=lambda host: hosts[host]),
            facts={
                "most": max(hosts.values()),
                "members": members,
                "quorum": members // 2 + 1,
                "hosts": told_hosts(hosts),
            },
            mend=("recado member list",),
        )


def told_hosts(hosts: Mapping[str, int]) -> str:
    """Hosts with their numbers of members."""
    return " ".join(f"{host}={count}" for host, count in sorted(hosts.items()))


def _logs(survey: Survey, native: list[Answer], mending: Mending) -> Iterator[Finding]:
    lags = survey.lags()
    for one in native:
        damaged = one.number("damaged")
        if damaged:
            yield Finding(
                case="damaged",
                subject=one.name,
                facts={"count": damaged},
                mend=mending.logs(one.name, one.address),
            )
        if lags.get(one.name, 0) > LAG_ENTRIES and not one.table("bootstrap"):
            yield Finding(
                case="lag",
                subject=one.name,
                facts={"entries": lags[one.name]},
                mend=mending.logs(one.name, one.address),
            )


def _brokers(survey: Survey, mending: Mending) -> Iterator[Finding]:
    for heard in survey.brokers:
        if not heard.servers and survey.answering:
            yield Finding(
                case="broker.deaf" if heard.problem in ("", "mute") else "broker.dead",
                subject=heard.address,
                facts={"problem": heard.problem or "mute"},
                mend=mending.broker(heard.address),
            )


def _reference(survey: Survey, mending: Mending) -> Iterator[Finding]:
    if survey.reference is not None and not survey.reference.answered:
        yield Finding(
            case="reference",
            subject=survey.reference.address,
            facts={"problem": survey.reference.problem},
            mend=mending.reference(survey.reference.address),
        )
