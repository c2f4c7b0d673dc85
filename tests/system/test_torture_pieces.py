"""The torture's own parts: a wrong judge or a switch that drops nothing would make it pass for nothing."""

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from recado import config
from recado.protocol.messages import Entry, Kind, Level
from recado.protocol.views import Shown, Views
from tests.torture import machine, report
from tests.torture.control import SITECUSTOMIZE
from tests.torture.faults import Faults, Record
from tests.torture.judgement import Evidence, held_back, judge, relevant_losses
from tests.torture.neighbours import History, Operation, final_state
from tests.torture.plan import Role, make_plan
from tests.torture.switch import Switch
from tests.torture.watching import covers, union


def _plan(tmp_path: Path, base_port: int | None) -> Any:
    return make_plan(tmp_path, servers=3, brokers=2, base_port=base_port, disks={})


@pytest.mark.parametrize("base_port", [None, 21_000])
def test_every_configuration_is_accepted(tmp_path: Path, base_port: int | None) -> None:
    """What the plan writes for each node is a valid configuration of that program."""
    for member in _plan(tmp_path, base_port).members:
        path = tmp_path / f"{member.name}.toml"
        path.write_text(member.config)
        loaded = config.load(path)
        config.check(loaded, member.role.value)
        assert len(loaded.cluster.members) == 3
        assert len(loaded.cluster.brokers) == 2
        assert tomllib.loads(member.config)["node"]["data"] == str(member.data)


@pytest.mark.parametrize("base_port", [None, 21_000])
def test_no_two_nodes_listen_at_one_address(tmp_path: Path, base_port: int | None) -> None:
    """All endpoints of a plan differ."""
    endpoints = [at for member in _plan(tmp_path, base_port).members for at in member.endpoints.values()]
    assert len(set(endpoints)) == len(endpoints) == 3 + 2 * 3 + 1
    assert len(_plan(tmp_path, base_port).of(Role.SERVER)) == 3


def _operation(**fields: Any) -> Operation:
    common: dict[str, Any] = {"service": "publish", "user": "ana", "target": "geral", "id": b"1" * 16}
    return Operation(**{**common, "outcome": "acknowledged", "text": "oi", **fields})


def test_a_loss_after_a_barrier_excuses_nothing() -> None:
    """Only disks lost between an operation's begin and the next barrier after its end count."""
    op = _operation(begun=10.0, ended=11.0)
    assert relevant_losses(op, [9.0, 10.5, 20.0, 40.0], [10.8, 30.0]) == (10.5, 20.0)
    assert relevant_losses(op, [40.0], [30.0]) == ()
    assert relevant_losses(op, [40.0], []) == (40.0,)


def _evidence(op: Operation, **more: Any) -> Evidence:
    history = History()
    history.operations.append(op)
    empty = final_state.read("server-1", _empty_image())
    return Evidence(history=history, journal=[], states=[empty] * 3, **more)


def _empty_image() -> bytes:
    from storage.replica import Replica

    replica = Replica.in_memory("server-1")
    try:
        return replica.image()
    finally:
        replica.close()


def test_what_is_in_no_replica_is_lost() -> None:
    """An acknowledged message that no disk has is a complaint, by id or, of a plain client, by its text."""
    assert judge(_evidence(_operation(begun=1.0, ended=2.0)))["lost"]
    assert judge(_evidence(_operation(begun=1.0, ended=2.0, id=b"")))["lost"]


def test_a_level_survives_fewer_losses_than_copies() -> None:
    """One lost disk excuses what one disk had acknowledged, and nothing of two copies."""
    local = _operation(begun=1.0, ended=2.0)
    quorum = _operation(begun=1.0, ended=2.0, level=Level.QUORUM)
    assert not judge(_evidence(local, losses=[1.5]))["lost"]
    assert judge(_evidence(quorum, losses=[1.5]))["lost"]
    assert judge(_evidence(local, losses=[5.0], barriers=[3.0]))["lost"]


def _state(*stamps: tuple[str, int, int, str]) -> Any:
    """A replica as (origin, seq, lamport, text) of messages of ana to geral."""
    bare: dict[str, Any] = {
        "wall_ms": 1,
        "kind": Kind.CHANNEL_MESSAGE,
        "author": b"",
        "target": "geral",
        "prev": 0,
    }
    bare |= {"body": b"", "extra": None, "header": b"", "hash": b""}
    entries = tuple(Entry(origin=o, seq=s, lamport=at, id=b"%d" % at, **bare) for o, s, at, _ in stamps)
    rows = [Shown("ana", "geral", text, 1, at, o, s) for o, s, at, text in stamps]
    views = Views([], [], rows, [])
    return final_state.FinalState(server="server-1", entries=entries, views=views)


def test_only_the_clocks_budget_excuses_a_wrong_place() -> None:
    """Shown before what its author had been told: excused if that server's clock jumped by all it may."""
    history = History()
    history.operations += [
        _operation(text="first", begun=1.0, ended=2.0, key=(5000, "a", 1)),
        _operation(text="second", begun=3.0, ended=4.0, key=(1800, "b", 2)),
    ]
    for before, excused in ((700, 1), (1700, 0)):
        state = _state(("a", 1, 5000, "first"), ("b", 1, before, "other"), ("b", 2, 1800, "second"))
        evidence = Evidence(history=history, journal=[], states=[state])
        assert len(list(held_back(evidence))) == excused
        assert bool(judge(evidence)["disordered"]) is not bool(excused)


def test_whoever_never_ends_is_stuck() -> None:
    """A repeating writer whose operation stays open is a complaint; a plain one, who asks once, is not."""
    assert judge(_evidence(_operation(outcome="open")))["stuck"]
    assert not judge(_evidence(_operation(outcome="open", user="plain-1")))["stuck"]


def test_a_read_without_the_own_message_is_seen() -> None:
    """Whoever does not read what it wrote, and is not told that the page is behind, complains."""
    op = _operation(begun=1.0, ended=2.0)
    read = {"what": "read", "user": "ana", "text": "oi", "found": False, "behind": False}
    evidence = _evidence(op)
    assert judge(Evidence(history=evidence.history, states=evidence.states, journal=[read]))["reads"]
    told = {**read, "behind": True}
    assert not judge(Evidence(history=evidence.history, states=evidence.states, journal=[told]))["reads"]


def test_union_and_covers_are_of_vectors() -> None:
    """A vector covers another if it has as much of every log."""
    whole = union([{"a": 1, "b": 5}, {"a": 3}])
    assert whole == {"a": 3, "b": 5}
    assert covers(whole, {"a": 3})
    assert not covers({"a": 3}, whole)


class _Ports:
    """A switch between pipes: `send` puts a frame in at one end, `received` reads at the other."""

    def __init__(self, count: int) -> None:
        self.switch = Switch("seed")
        self._ends = [os.pipe() for _ in range(count)]
        for number, (_, write_end) in enumerate(self._ends):
            self.switch.attach(f"n{number}", bytes([2, 0, 10, 77, 0, number]), write_end)

    def send(self, source: int, destination: int, payload: bytes) -> None:
        frame = bytes([2, 0, 10, 77, 0, destination]) + payload
        self.switch.arrived(self._ends[source][1], frame)

    def received(self, number: int) -> bytes:
        os.set_blocking(self._ends[number][0], False)
        try:
            return os.read(self._ends[number][0], 65_536)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        for end in self._ends:
            os.close(end[0])
            os.close(end[1])


def test_the_switch_cuts_one_direction() -> None:
    """A cut drops the frames of its direction and no others."""
    ports = _Ports(3)
    ports.switch.told({"cuts": [["n0", "n1"]], "weather": {}})
    ports.send(0, 1, b"dropped")
    ports.send(1, 0, b"passed")
    ports.send(0, 2, b"passed")
    assert [bool(ports.received(number)) for number in range(3)] == [True, False, True]
    ports.close()


def test_the_switch_loses_doubles_and_delays() -> None:
    """Weather at its worst: all lost; all doubled; nothing before its delay is over."""
    fair = {"delay": 0.0, "jitter": 0.0, "loss": 0.0, "dup": 0.0, "reorder": 0.0}
    ports = _Ports(2)
    ports.switch.told({"cuts": [], "weather": {**fair, "loss": 1.0}})
    ports.send(0, 1, b"lost")
    assert ports.switch.deliver() is None
    ports.switch.told({"cuts": [], "weather": {**fair, "dup": 1.0}})
    ports.send(0, 1, b"twice")
    ports.switch.deliver()
    assert ports.received(1).count(b"twice") == 2
    ports.switch.told({"cuts": [], "weather": {**fair, "delay": 3600.0}})
    ports.send(0, 1, b"late")
    wait = ports.switch.deliver()
    assert wait is not None
    assert wait > 3000
    assert ports.received(1) == b""
    ports.close()


def test_the_control_rewrites_what_the_store_says() -> None:
    """The pragma that the control looks for is the one with which the store opens its file."""
    store = (Path(__file__).parents[2] / "storage" / "database.py").read_text("utf-8")
    assert 'execute("pragma synchronous=full")' in store
    assert '"pragma synchronous=full"' in SITECUSTOMIZE


def test_every_fault_says_what_it_does() -> None:
    """Faults have docstrings: they are the table of what was tested."""
    acts = [getattr(Faults, name) for name in vars(Faults) if not name.startswith("_")]
    assert len(acts) >= 15
    assert all(act.__doc__ for act in acts)


def test_the_page_says_failed_and_how_to_repeat() -> None:
    """A report with a complaint shows its kind, an example, FAILED, and the command that does it again."""
    record = Record()
    record.note("kill -9 server", node="server-1")
    result = {
        "seed": "s",
        "servers": 3,
        "storm_seconds": 10.0,
        "faults": record.counts(),
        "losses": 0,
        "not_run": {"clock jumps": "needs cc"},
        "summary": {
            "acknowledged": {"local": 3},
            "outcomes": {"acknowledged": 3},
            "latency_seconds": {"local": {"p50": 0.001, "p99": 0.002, "max": 0.003}},
            "repeated": 0,
            "entries": 3,
            "heard": 3,
            "reads": 0,
            "reads_behind": 0,
            "held_back": 0,
            "excused_by_lost_disks": 0,
        },
        "counts": {"lost": 1},
        "complaints": {"lost": ["server-1 lacks a message"]},
        "equal_seconds": 1.0,
        "verify": "equal",
        "control": 12,
        "passed": False,
        "again": "--seed s",
    }
    page = report.page(result)
    for words in (
        "1  lost",
        "server-1 lacks a message",
        "FAILED",
        "--seed s",
        "not run: clock jumps",
        "kill -9",
    ):
        assert words in page


def test_the_survey_gives_a_reason_for_everything_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of namespaces of our own nothing that needs them is offered, and it says why."""
    monkeypatch.delenv(machine.INSIDE_VARIABLE, raising=False)
    means = machine.survey()
    assert not means.isolated
    assert not means.network
    assert not means.disks
    assert all(means.missing.values())
    assert len(means.missing) >= 2
