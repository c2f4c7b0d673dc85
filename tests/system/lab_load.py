"""People who talk while the laboratory's nodes suffer, and the judgement of what became of their words.

They are the torture's: users of the library in a process of their own, beyond the cuts, who repeat with the
same id until the outcome is known.  Its judges look at their journal and at the nodes' replicas afterwards.
"""

import copy
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
from lab_network import NETWORK
from lab_node import Node
from laboratory import Laboratory
from machine import ROOT
from processes import until
from running_cluster import _die_with_the_test

from recado.keys import make_identity, write_identity
from tests.torture import watching
from tests.torture.digests import states
from tests.torture.judgement import Evidence, judge, summary
from tests.torture.load import Wishes
from tests.torture.neighbours import History
from tests.torture.talkers import history_of

LEVELS = ("local", "quorum")
RATE = 40.0  # operations a second of all of them together
LISTENERS = 1
TALK_SECONDS = 30.0
SILENCE_SECONDS = 60.0
EQUAL_SECONDS = 60.0
COMPLAINTS_MAX = 5
PEOPLE = "author='person"  # others may speak by commands
_count = iter(range(1_000_000))


class Load:
    """One process of people.  `figures` once it has been judged."""

    def __init__(self, lab: Laboratory, levels: Sequence[str] = LEVELS) -> None:
        self._lab = lab
        self.figures: dict[str, Any] = {}
        number = next(_count)
        self._journal = lab.home / f"load-{number}.jsonl"
        self._log = lab.home / f"load-{number}.log"
        # Everybody is somebody else in each load: names are for ever.
        wishes = Wishes(
            seed=f"lab {number}",
            servers=[f"tcp://{node.address}:5555" for node in lab],
            brokers=[f"tcp://{NETWORK}.11:5558"],
            requests=[],
            rate=RATE,
            levels=list(levels),
            writers_of_each=2,
            listeners=LISTENERS,
            plain=False,
            called=f"person{number}-",
            keys=str(lab.desk),
        )
        for level in levels:
            for person in range(1, wishes.writers_of_each + 1):
                self._key(f"{wishes.called}{level}-{person}")
        for person in range(1, LISTENERS + 1):
            self._key(f"{wishes.called}listener-{person}")
        orders = lab.home / f"load-{number}.json"
        orders.write_bytes(msgspec.json.encode(wishes))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*lab.network.beside(), sys.executable, "-m", "tests.torture.load", orders, self._journal],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
                preexec_fn=_die_with_the_test,  # noqa: PLW1509  # one call, looked up before the fork
            )
        lab.journals.append(self)
        self.goes_on(1)

    def _key(self, name: str) -> None:
        path = self._lab.desk / f"{name}.key"
        if not path.exists():
            write_identity(path, make_identity("user", name))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The journal; a last line that is being written is left out."""
        if self._journal.exists():
            with self._journal.open("rb") as journal:
                for line in journal:
                    if line.endswith(b"\n"):
                        yield msgspec.json.decode(line)

    def history(self) -> History:
        return history_of(iter(self))

    def acknowledged(self) -> int:
        return sum(1 for op in self.history().acknowledged if op.text)

    def goes_on(self, more: int = 40) -> None:
        """Wait until so many further messages were acknowledged."""
        wanted = self.acknowledged() + more

        def enough() -> bool:
            assert self._process.poll() is None, self._log.read_text()
            return self.acknowledged() >= wanted

        until(enough, seconds=TALK_SECONDS, what=f"{more} more messages are acknowledged")

    def settle(self) -> None:
        """Nobody begins anything new, everybody comes to an end, the replicas become equal."""
        self._process.send_signal(signal.SIGUSR1)
        until(
            lambda: any(line["what"] == "silent" for line in self),
            seconds=SILENCE_SECONDS,
            what="everybody came to an end",
        )
        equal(self._lab)
        self._all_heard()

    def _all_heard(self) -> None:
        """The listener hears what was said, also what it missed, and nothing twice."""
        said = {op.text for op in self.history().acknowledged if op.service == "publish"}

        def heard() -> Counter[str]:
            return Counter(line["text"] for line in self if line["what"] == "heard")

        until(lambda: said <= set(heard()), seconds=SILENCE_SECONDS, what="the listener heard everything")
        assert not [text for text, times in heard().items() if times > 1]

    def judge(self) -> None:
        """Any complaint of a judge fails; they look at all that was ever said in this laboratory."""
        unreadable: list[str] = []
        replicas = list(states([(node.server, self._copy(node)) for node in self._lab], unreadable))
        # Who listened in an earlier load has gone: those who listen now are looked at in `_all_heard`.
        journal = [line for line in chain(*self._lab.journals) if line["what"] != "heard"]
        history = history_of(copy.copy(line) for line in journal)
        complaints = {
            kind: [one for one in found if kind != "invented" or PEOPLE in one][:COMPLAINTS_MAX]
            for kind, found in judge(Evidence(history=history, journal=journal, states=replicas)).items()
        }
        assert not unreadable, unreadable
        complaints["stuck"] = []  # of those who talk now, which is looked at below
        assert not any(complaints.values()), complaints
        # Nobody gave up, nobody was told no; that a channel is there already is no failure.
        other = [op for op in self.history().operations if op.outcome != "acknowledged"]
        assert not [op for op in other if op.service != "channel"], other
        told = summary(Evidence(history=self.history(), journal=self, states=replicas))
        self.figures = {name: told[name] for name in ("acknowledged", "repeated", "heard", "latency_seconds")}

    def _copy(self, node: Node) -> Path:
        """A replica as it is now, without its log of changes."""
        path = self._lab.home / f"{node.server}.db"
        image = bytearray(node.look(_image))
        image[18:20] = b"\1\1"
        path.write_bytes(image)
        return path

    def end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


def _image(replica: Path) -> bytes:
    uri = f"file:{replica}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as source, closing(sqlite3.connect(":memory:")) as memory:
        source.backup(memory)
        return memory.serialize()


def equal(lab: Laboratory, *, seconds: float = EQUAL_SECONDS) -> None:
    """Wait until every server has what any has."""

    def are_equal() -> bool:
        found = [node.look(watching.heads) for node in lab]
        return all(watching.covers(vector, watching.union(found)) for vector in found)

    until(are_equal, seconds=seconds, what="replicas are equal")


@contextmanager
def under_load(lab: Laboratory, what: str, levels: Sequence[str] = LEVELS) -> Iterator[Load]:
    """Talk as long as the block lasts; then nothing is missing, twice, out of order or unheard."""
    load = Load(lab, levels)
    try:
        yield load
        load.goes_on()
        load.settle()
        load.judge()
    finally:
        load.end()
    print(f"\n{what}: {load.figures}")
