"""The cluster on a page: a few lines about all of it, then a line for each server."""

import time
from collections.abc import Mapping
from typing import Any

from clients.watching.findings import told_hosts
from clients.watching.lines import age, columns, milliseconds, sized
from clients.watching.values import Answer, Survey
from recado.protocol.domains import losable, sparable
from recado.protocol.printable import printable
from recado.texts import Texts
from recado.values import optional, whole

HEADER = (
    "SERVER",
    "STATE",
    "LEADER",
    "EPOCH",
    "ENTRIES",
    "LAG",
    "CLOCK",
    "SKEW",
    "DISK",
    "ROOM",
    "UP",
    "VERSION",
)
_NUMBERS = frozenset({"EPOCH", "ENTRIES", "LAG", "CLOCK", "SKEW", "ROOM", "UP"})
_IN_SUMMARY = ("LEADER", "EPOCH", "VERSION")  # left out where all say the same


def summary(survey: Survey, say: Texts) -> list[str]:
    """Who leads, how clocks and security are; without anybody who answers only that."""
    answering = survey.answering
    lines = [say("status.answering", count=len(answering), of=len(survey.servers))]
    if not answering:
        return lines
    lines.append(_leader(survey, say))
    if hosts := survey.hosts():
        lost, away = losable(hosts.values()), sparable(hosts.values())
        lines.append(say("status.hosts", hosts=told_hosts(hosts), lost=lost, away=away))
    spread = (survey.leading.real("spread_ms") if survey.leading else None, _spread(survey.skews()))
    lines.append(say("status.clocks", shown=_plain_ms(spread[0]), system=_plain_ms(spread[1])))
    modes = sorted({optional(one.table("security"), "mode", str) or "?" for one in answering})
    clusters = sorted({one.text("cluster") or "?" for one in answering})
    versions = sorted({one.text("version") or "?" for one in answering})
    lines.append(
        say(
            "status.cluster",
            cluster=" ".join(clusters),
            security=" ".join(modes),
            version=" ".join(versions),
        )
    )
    return lines


def _leader(survey: Survey, say: Texts) -> str:
    leaders = survey.leaders
    if len(leaders) > 1:
        return say("status.leaders", names=" ".join(leaders))
    if not leaders:
        return say("status.no_leader")
    # The oldest knowledge of it: who has restarted since has heard of it later.
    told = [one for one in survey.answering if one.text("coordinator") == leaders[0]]
    since = min((n for one in told if (n := one.number("coordinator_since"))), default=None)
    epoch = max((one.number("epoch") or 0 for one in told), default=0)
    for_so_long = age(None if since is None else time.time() - since)
    mode = next((mode for one in told if (mode := one.text("mode"))), "-")
    return say("status.leader", name=leaders[0], age=for_so_long, epoch=epoch, mode=mode)


def _spread(skews: Mapping[str, float]) -> float | None:
    return (max(skews.values()) - min(skews.values())) * 1000 if len(skews) > 1 else None


def _plain_ms(value: float | None) -> str:
    return milliseconds(value).lstrip("+")


def rows(survey: Survey) -> list[tuple[str, ...]]:
    """A header and a row for each server."""
    lags, skews = survey.lags(), survey.skews()
    return [HEADER, *(_row(one, lags=lags, skews=skews) for one in survey.servers)]


def _row(one: Answer, *, lags: Mapping[str, int], skews: Mapping[str, float]) -> tuple[str, ...]:
    name = one.name or one.address
    if not one.answered:
        return (name, one.problem, *["-"] * (len(HEADER) - 2))
    skew = skews.get(one.name)
    return (
        name,
        state(one),
        one.text("coordinator") or "-",
        _shown(one.number("epoch")),
        _shown(one.number("entries")),
        _shown(lags.get(one.name)),
        milliseconds(one.real("offset_ms")),
        milliseconds(None if skew is None else skew * 1000),
        one.text("disk") or "-",
        sized(whole(one.table("room").get("free"))),
        age(one.real("uptime")),
        one.text("version") or "-",
    )


def state(one: Answer) -> str:
    """One word: what it is at, if anything."""
    if one.table("bootstrap"):
        return "copying"
    if one.number("damaged"):
        return "damaged"
    return "leads" if one.name and one.text("coordinator") == one.name else "ok"


def _shown(value: Any) -> str:
    return "-" if value is None else printable(str(value))


def page(survey: Survey, say: Texts) -> list[str]:
    """All of it."""
    found = rows(survey)
    agreed = {
        place
        for place, name in enumerate(HEADER)
        if name in _IN_SUMMARY and len({row[place] for row in found[1:]} - {"-"}) < 2
    }
    kept = [[cell for place, cell in enumerate(row) if place not in agreed] for row in found]
    right = frozenset(place for place, name in enumerate(kept[0]) if name in _NUMBERS)
    return [*summary(survey, say), "", *columns(kept, right=right), *_notes(survey)]


def _notes(survey: Survey) -> list[str]:
    """What a column has no room for: copying, damage, writes from outside, who hears nothing of whom."""
    lines = []
    for one in survey.answering:
        bootstrap = one.table("bootstrap")
        if bootstrap:
            how_far = " ".join(f"{_shown(key)}={_shown(value)}" for key, value in bootstrap.items())
            lines.append(f"{_shown(one.name)}: bootstrap {how_far}")
        for what in ("damaged", "outside_writes", "backlog", "waiting"):
            if one.number(what):
                lines.append(f"{_shown(one.name)}: {what} {one.number(what)}")
        silent = [_shown(peer.get("name")) for peer in one.rows("peers") if peer.get("silent") is True]
        if silent:
            lines.append(f"{_shown(one.name)}: silent {' '.join(silent)}")
    return ["", *lines] if lines else []
