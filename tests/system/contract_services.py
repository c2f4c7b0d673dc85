"""Every service of the contract as a table: what to send, and what a reply must hold beside its stamps."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from time import time
from typing import Any, NamedTuple

from plain_client import MISSING
from processes import until

Data = dict[str, Any]


class Stamps(NamedTuple):
    """One way in which clients fill in `timestamp` and `clock`."""

    name: str
    timestamp: Callable[[], Any]
    clock: Any


TIMESTAMPS: dict[str, Callable[[], Any]] = {
    "int-seconds": lambda: int(time()),
    "float-seconds": time,
    "int-milliseconds": lambda: int(time() * 1000),
    "iso-8601": lambda: datetime.now(UTC).isoformat(),
    "iso-8601-z": lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    "missing": lambda: MISSING,
}
VARIANTS = [
    Stamps(f"{name}, {'a clock' if clock is None else 'no clock'}", timestamp, clock)
    for name, timestamp in TIMESTAMPS.items()
    for clock in (None, MISSING)
]


class Step(NamedTuple):
    """One request, what its reply's data must contain, and the types of what it must have besides."""

    service: str
    fields: Data
    expected: Data
    types: Data = {}  # noqa: RUF012  # never changed
    settled: bool = False  # true once the servers have told each other


ERRORS = {
    "user_empty": "Nome de usuário não pode ser vazio",
    "user_taken": "Usuário já existe",
    "user_missing": "Usuário de destino não existe",
    "channel_empty": "Nome do canal não pode ser vazio",
    "channel_taken": "Canal já existe",
    "channel_missing": "Canal não existe",
    "text_empty": "Mensagem não pode ser vazia",
}


def refused(text: str) -> Data:
    """An error reply: the text under both names that clients look at."""
    return {"status": "erro", "description": text, "message": text}


def client_steps(mark: str) -> Iterator[Step]:
    """A client's whole day, under names that nobody else uses."""
    ana, rui, channel = f"ana-{mark}", f"rui-{mark}", f"sala-{mark}"
    yield Step("login", {"user": f"  {ana} "}, {"status": "sucesso"})
    yield Step("login", {"user": rui}, {"status": "sucesso"})
    yield Step("login", {"user": f"\t{ana}"}, refused(ERRORS["user_taken"]), settled=True)
    yield Step("login", {"user": "  "}, refused(ERRORS["user_empty"]))
    yield Step("users", {}, {}, {"users": list})
    yield Step("channel", {"channel": channel}, {"status": "sucesso"})
    yield Step("channel", {"channel": f" {channel}"}, refused(ERRORS["channel_taken"]), settled=True)
    yield Step("channel", {"channel": ""}, refused(ERRORS["channel_empty"]))
    yield Step("channels", {}, {}, {"channels": list, "users": list})
    yield Step("publish", {"user": ana, "channel": channel, "message": "olá a todos"}, {"status": "OK"})
    missing = {"user": ana, "channel": f"{channel}-que-falta", "message": "olá"}
    yield Step("publish", missing, refused(ERRORS["channel_missing"]))
    yield Step("publish", {"user": ana, "channel": channel, "message": "  "}, refused(ERRORS["text_empty"]))
    yield Step("message", {"src": ana, "dst": rui, "message": "só para ti"}, {"status": "OK"})
    nobody = {"src": ana, "dst": f"{rui}-que-falta", "message": "olá"}
    yield Step("message", nobody, refused(ERRORS["user_missing"]))
    lists = dict.fromkeys(("logins", "channels", "channel_messages", "user_messages"), list)
    yield Step("sync", {"last_sync": 0}, {}, lists)
    for service, asked in (
        ("history", {"channel": channel}),
        ("get_publications", {"channel": channel}),
        ("history_channel", {"channel": channel}),
        ("get_messages", {"username": rui}),
        ("history_messages", {"user": rui}),
    ):
        yield Step(service, asked, {}, {"messages": list})
    yield Step("who_coordinator", {}, {}, {"coordinator": str})
    yield Step("clock", {}, {}, {"time": float})


def reference_steps(mark: str) -> Iterator[Step]:
    """What another project's server asks the reference."""
    yield Step("rank", {"user": f"servidor-{mark}"}, {}, {"rank": int})
    yield Step("heartbeat", {"user": f"servidor-{mark}"}, {"status": "OK"})
    yield Step("list", {}, {}, {"list": list})


def peer_steps(mark: str) -> Iterator[Step]:
    """What another project's server asks one of ours; the last is a repetition."""
    ana, rui, channel, now = f"ana-{mark}", f"rui-{mark}", f"sala-{mark}", int(time())
    yield Step("election", {}, {"election": "OK"})
    contents: dict[str, Any] = {
        "login": {"username": ana, "timestamp": now},
        "channel": channel,
        "channel_message": {"user": ana, "channel": channel, "message": "de longe", "timestamp": now},
        "user_message": {"src": rui, "dst": ana, "message": "de longe", "timestamp": now},
    }
    for kind, content in [*contents.items(), *contents.items()]:
        yield Step("replicate", {"type": kind, "content": content}, {"status": "OK"})


def fulfilled(step: Step, data: Data) -> bool:
    """Whether the reply's data holds what is expected."""
    found = {key: data.get(key) for key in step.expected}
    return found == step.expected and all(type(data.get(key)) is kind for key, kind in step.types.items())


def check(step: Step, ask: Callable[[], Data]) -> None:
    """Ask, and once more if it takes the servers a moment to agree (through a round-robin port)."""
    data = ask()
    if step.settled and not fulfilled(step, data):
        data = until(lambda: (d := ask()) and fulfilled(step, d) and d, seconds=5, what=f"{step}")
    assert fulfilled(step, data), (step, data)


def check_kept(ask: Callable[..., Data], mark: str) -> None:
    """What `client_steps` wrote is told by every reading service, once."""
    ana, rui, channel = f"ana-{mark}", f"rui-{mark}", f"sala-{mark}"
    assert {ana, rui} <= set(ask("users")["users"])
    assert channel in ask("channels")["channels"]
    (said,) = ask("history_channel", channel=channel)["messages"]
    assert (said["user"], said["channel"], said["message"]) == (ana, channel, "olá a todos")
    (direct,) = ask("get_messages", username=rui)["messages"]
    assert (direct["src"], direct["from"], direct["dst"]) == (ana, ana, rui)
    assert {type(one["timestamp"]) for one in (said, direct)} == {int}
    told = ask("sync", last_sync=0)
    assert [one["username"] for one in told["logins"]].count(ana) == 1
    assert told["channels"].count(channel) == 1
    assert [one["message"] for one in told["channel_messages"] if one["channel"] == channel] == [
        "olá a todos"
    ]
    assert [one["message"] for one in told["user_messages"] if one["dst"] == rui] == ["só para ti"]
