"""Members that share a host: `recado doctor` names a quorum of one host, `recado status` what can be lost."""

from collections.abc import Mapping, Sequence

import pytest

from clients.watching.findings import diagnose
from clients.watching.table import summary
from clients.watching.values import Answer, Survey
from clients.watching.words import speaker


def survey(hosts: Sequence[str], *, silent: int = 0) -> Survey:
    """One server for each host in the list; the last ones don't answer, and are known from the others."""
    where = {f"n{n}": f"tcp://{host}:{5555 + n}" for n, host in enumerate(hosts)}
    return Survey(
        servers=tuple(
            Answer(name=name, address=address, fields=told(name, where) if n < len(hosts) - silent else None)
            for n, (name, address) in enumerate(where.items())
        )
    )


def told(name: str, where: Mapping[str, str]) -> dict[str, object]:
    peers = [{"name": other, "address": address} for other, address in where.items() if other != name]
    return {"cluster": "casa", "coordinator": "n0", "members": list(where), "peers": peers}


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        (("a", "b", "c"), None),
        (("a", "a", "b", "b", "c", "c"), None),
        (("a", "a", "b", "b"), None),
        (("a", "a", "b"), "a"),
        (("a", "b", "b", "b", "c"), "b"),
        (("a", "a", "a"), "a"),
        (("127.0.0.1", "127.0.0.1", "127.0.0.1"), None),
    ],
)
def test_a_quorum_of_one_host_is_found(hosts: tuple[str, ...], found: str | None) -> None:
    """Exactly where one host has a majority of the members, and not in a laboratory on loopback."""
    named = [one for one in diagnose(survey(hosts)) if one.code == "shared_host"]
    assert [one.subject for one in named] == ([found] if found else [])


def test_who_does_not_answer_counts() -> None:
    """The list of members is what counts: one that is down is on its host all the same."""
    (one,) = [one for one in diagnose(survey(("a", "b", "b"), silent=1)) if one.code == "shared_host"]
    assert (one.subject, one.facts["most"], one.facts["quorum"]) == ("b", 2, 2)


def test_the_status_tells_what_can_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line where members share hosts, with their numbers; none where they don't."""
    monkeypatch.setenv("RECADO_LANG", "en")
    (line,) = [line for line in summary(survey(("a", "a", "b", "b")), speaker()) if "by host" in line]
    assert "a=2 b=2; at quorum any 1 may be lost, and writes go on without any 0" in line
    assert not any("by host" in line for line in summary(survey(("a", "b", "c")), speaker()))
