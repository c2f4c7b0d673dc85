"""What a listener on the network and a reader of logs learn of a cluster (groups 5, 12 and 19; judge K12).

Real processes: people write in public, in a private channel and to each other, servers replicate, one loses
its disk and takes a snapshot, the broker publishes, the reference lists.  Expected with keys: no frame has a
text or a name in clear; without keys they all do, which shows that the tap works.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trio
from looking import until_equal
from processes import until
from running_cluster import QUICK, Cluster, local_cluster

from recado.client import Chat, connect
from recado.keys import Identity, make_identity, read_cluster_key, read_identity
from tests.attacks.conduct import leaks
from tests.attacks.wiretap import Wiretap, wiretap

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("packet-capture")]

ANA, BIA = "ana-maria-dos-anjos", "bia-beatriz-bastos"
PUBLIC, PRIVATE = "praca-do-mercado", "sala-dos-fundos"
TEXTS = {
    "in public": "o bolo-de-cenoura esta pronto",
    "in private": "a chave-do-cofre fica no vaso",
    "directly": "o-encontro-secreto e as nove",
}
WORDS = (ANA, BIA, PUBLIC, *(next(w for w in text.split() if "-" in w) for text in TEXTS.values()))
SNAPSHOT = {"RECADO_DISK__SNAPSHOT_ENTRIES": "20"}
SAID = 30  # of each kind: more than a snapshot's threshold


@dataclass
class Night:
    """What was overheard and written down in one run."""

    secured: bool
    tap: Wiretap
    logs: dict[str, str] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    secrets: dict[str, bytes] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)

    def overheard(self, word: str) -> int:
        """In how many frames and streams a word stands in clear."""
        raw = word.encode()
        return sum(raw in frame for frame in self.tap.frames) + sum(raw in s for s in self.tap.streams())


def ports_of(cluster: Cluster) -> list[int]:
    """Everything that the cluster listens at."""
    endpoints = [address for node in cluster.summary["nodes"] for address in node["endpoints"].values()]
    return [port for address in endpoints if (port := urlsplit(address).port)]


async def talked(cluster: Cluster, people: Sequence[Identity]) -> list[str]:
    """Ana and Bia talk everywhere; what Bia hears."""
    heard: list[str] = []

    def keys(who: Identity) -> dict[str, Any]:
        roster = cluster.summary["roster"]
        return {"roster": roster, "key": who} if roster else {}

    reached = {"reference": cluster.summary["reference"]}
    async with (
        connect(ANA, **reached, **keys(people[0])) as ana,
        connect(BIA, **reached, **keys(people[1])) as bia,
    ):
        await ana.login()
        await bia.login()
        await ana.create_channel(PUBLIC)
        rooms = [PUBLIC, *(await _private_room(ana) if cluster.summary["roster"] else [])]
        async with bia.subscribe(*rooms, direct=True) as incoming:
            for number in range(SAID):
                await ana.publish(PUBLIC, f"{TEXTS['in public']} {number}", level="all")
                await ana.message(BIA, f"{TEXTS['directly']} {number}")
                for room in rooms[1:]:
                    await ana.publish(room, f"{TEXTS['in private']} {number}")
            with trio.fail_after(30):
                while len(heard) < SAID * (len(rooms) + 1):
                    heard.append((await anext(incoming)).text)
        assert len((await bia.history(PUBLIC, limit=100)).messages) == SAID
    return heard


async def _private_room(ana: Chat) -> list[str]:
    await ana.create_channel(PRIVATE, private=True)
    await ana.invite(PRIVATE, BIA)
    return [PRIVATE]


def without_disk(cluster: Cluster, name: str) -> None:
    """A server loses its replica and takes a copy of a peer's."""
    cluster.stop(name)
    replica = cluster.replica(name)
    until(lambda: not replica.with_name(replica.name + "-wal").exists(), seconds=20, what=f"{name} ended")
    for path in replica.parent.glob("replica.db*"):
        path.unlink()
    cluster.start(name)
    cluster.wait_for_log(name, "snapshot installed", seconds=60)


def spent(home: Path, *arguments: str) -> Night:
    """One cluster's night."""
    with ExitStack() as ends:
        cluster = ends.enter_context(local_cluster(home, *arguments, bots=1, env={**QUICK, **SNAPSHOT}))
        cluster.wait_for("coordinator", seconds=30)
        people = [make_identity("user", name) for name in (ANA, BIA)]
        tap = ends.enter_context(wiretap(ports_of(cluster)))
        night = Night(bool(arguments), tap)
        night.heard = trio.run(talked, cluster, people)
        without_disk(cluster, "server-3")
        until_equal(cluster.replicas(), seconds=30)
        for node in cluster.summary["nodes"]:
            night.logs[node["node"]] = cluster.log(node["node"])
        for path in sorted(home.rglob("*")):
            if path.is_file() and not path.is_socket():
                night.modes[str(path.relative_to(home))] = stat.S_IMODE(path.stat().st_mode)
        night.secrets = secrets_of(home) if night.secured else {}
        night.secrets |= {f"{one.name}'s key": one.secret for one in people}
    return night


def secrets_of(home: Path) -> dict[str, bytes]:
    """Every secret that `recado up --secure` has made."""
    found = {"the cluster key": read_cluster_key(home / "keys" / "cluster.key")}
    for path in (home / "keys").glob("*.key"):
        if path.name != "cluster.key":
            identity = read_identity(path)
            found[f"{path.name}'s secret"] = identity.secret
            if identity.signing_secret:
                found[f"{path.name}'s signing secret"] = identity.signing_secret
    return found


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Night]]:
    """The same night in two clusters, one with keys and one without."""
    home = tmp_path_factory.mktemp("nights")
    os.umask(os.umask(0o022) & 0o022)
    found = {"secured": spent(home / "secured", "--secure"), "open": spent(home / "open")}
    yield found
    shutil.rmtree(home, ignore_errors=True)


def test_the_nights_were_the_same(nights: dict[str, Night]) -> None:
    """Both clusters have carried the same words, and the tap has missed no frame."""
    for night in nights.values():
        assert {text.rsplit(" ", 1)[0] for text in night.heard} >= {TEXTS["in public"], TEXTS["directly"]}
        assert night.tap.dropped == 0
        assert len(night.tap.frames) > 500


@pytest.mark.parametrize("word", WORDS)
def test_with_keys_no_word_is_overheard(nights: dict[str, Night], word: str) -> None:
    """Not one frame has it in clear; without keys it stands in many."""
    assert nights["secured"].overheard(word) == 0
    if word != next(w for w in TEXTS["in private"].split() if "-" in w):
        assert nights["open"].overheard(word) > 10


def test_not_even_what_servers_say(nights: dict[str, Night]) -> None:
    """Services, members and origins are no more to be read than people's words."""
    for word in ("replicate", "heartbeat", "history", "lamport", "server-1.", PRIVATE, "coordinator"):
        assert nights["secured"].overheard(word) == 0, word
    assert nights["open"].overheard("replicate") > 10


def test_no_secret_is_told_or_logged(nights: dict[str, Night]) -> None:
    """K12: no log line, and no frame on the wire, has a secret key in it, however it might be written."""
    for night in nights.values():
        texts = [*night.logs.values(), *(stream.decode("latin-1") for stream in night.tap.streams())]
        assert leaks(texts, night.secrets) == []
    assert len(nights["secured"].secrets) >= 12


def test_logs_keep_to_themselves(nights: dict[str, Night]) -> None:
    """K12: no message's text and no traceback stands in a log; every line is one event."""
    for night in nights.values():
        for name, log in night.logs.items():
            assert "Traceback" not in log, name
            assert "fault" not in log, name
            for text in TEXTS.values():
                assert text not in log, (name, text)
            for line in log.splitlines():
                assert re.match(
                    rf"\d{{4}}-\d\d-\d\dT[\d:.]+Z ((debug|info|warning|error) )?{name} clock=", line
                ), (name, line)


def test_secrets_are_their_owner_s(nights: dict[str, Night]) -> None:
    """Key files and databases can be read by nobody else; the roster may be read by all."""
    modes = nights["secured"].modes
    keys = {path: mode for path, mode in modes.items() if path.endswith(".key")}
    assert len(keys) >= 7
    assert set(keys.values()) == {0o600}
    for night in nights.values():
        for path, mode in night.modes.items():
            if ".db" in path:
                assert mode & 0o007 == 0, (path, oct(mode))
