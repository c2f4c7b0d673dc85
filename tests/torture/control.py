"""The negative control: servers that do not wait for the disk must lose acknowledged messages in a power cut.

If the same cluster with ``synchronous=NORMAL`` lost nothing, a power cut here would prove nothing.  The
product has no such setting: the servers of the control are started with a `sitecustomize` that rewrites
the pragma on its way to SQLite.
"""

from pathlib import Path
from random import Random

import trio

from tests.torture.digests import states
from tests.torture.faults import Faults, Record
from tests.torture.fleet import Fleet, build
from tests.torture.judgement import Evidence, judge
from tests.torture.load import Wishes
from tests.torture.machine import Means
from tests.torture.talkers import Talkers

LOAD_SECONDS = 4.0
RATE = 150.0
SITECUSTOMIZE = """
import sqlite3

_connect = sqlite3.connect


class Careless(sqlite3.Connection):
    def execute(self, sql, *parameters):
        sql = sql.replace("pragma synchronous=full", "pragma synchronous=normal")
        return super().execute(sql, *parameters)


def connect(*arguments, **options):
    return _connect(*arguments, **{"factory": Careless, **options})


sqlite3.connect = connect
"""


async def careless_losses(directory: Path, means: Means, *, seed: str) -> int:
    """Cut the power of all servers under load; how many acknowledged messages are gone afterwards."""
    fleet = build(directory, means, servers=3, brokers=1, seed=seed)
    _make_careless(fleet)
    record = Record()
    try:
        async with trio.open_nursery() as nursery:
            await fleet.begin(nursery)
            talkers = Talkers(fleet, "load", wishes(fleet, seed=seed))
            await talkers.talking()
            await trio.sleep(LOAD_SECONDS)
            await Faults(fleet, record, random=Random(seed)).power_all()
            await talkers.end()
            await fleet.stop(*fleet.nodes.values())
            nursery.cancel_scope.cancel()
        found = list(states([(node.name, node.member.replica) for node in fleet.servers], []))
        complaints = judge(Evidence(history=talkers.history(), journal=talkers, states=found))
        return len({complaint.partition(" lacks ")[2] for complaint in complaints["lost"]})
    finally:
        with trio.CancelScope(shield=True):
            await fleet.close()


def _make_careless(fleet: Fleet) -> None:
    folder = fleet.plan.directory / "careless"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE, "utf-8")
    fleet.environment["PYTHONPATH"] = str(folder)


def wishes(fleet: Fleet, *, seed: str) -> Wishes:
    """Plain people who ask for nothing but `local`, and one writer of each level."""
    return Wishes(
        seed=seed,
        servers=fleet.plan.addresses,
        brokers=fleet.plan.xpubs,
        requests=[],
        rate=RATE,
        levels=["local", "quorum", "all"],
        listeners=0,
    )
