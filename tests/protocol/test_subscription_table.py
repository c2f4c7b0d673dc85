"""Gap-free subscriptions: every phase with every input."""

from collections.abc import Callable, Iterable

import goldens
from test_subscription import live, message

from recado.protocol.subscription import Audit, Effect, Fetch, Lost, Moved, Show, Subscription


def _opening() -> Subscription:
    machine = Subscription()
    machine.tick(0.0)
    return machine


def _seen_one() -> Subscription:
    machine = live()
    machine.published(message(1), now=0.0)
    return machine


def _gap() -> Subscription:
    machine = _seen_one()
    machine.published(message(3), now=0.0)
    return machine


def _waiting() -> Subscription:
    machine = _gap()
    machine.failed(2, now=0.0)
    return machine


def _page(
    machine: Subscription, *seqs: int, upto: int, more: bool = False, user: str = "ana"
) -> list[Effect]:
    entries = [message(seq, user=user) for seq in seqs]
    request_no = machine._request or 99
    return machine.page(entries, upto={"a": upto}, more=more, request_no=request_no, now=1.0)


def _doubted() -> Subscription:
    machine = _seen_one()
    machine.published(message(2), now=0.0)
    machine.beacon({}, now=0.0, server="z", boot="1", vector={"a": 1})
    return machine


def _audited() -> Subscription:
    machine = _doubted()
    machine.tick(10.0)
    return machine


FOREIGN = {"user": "eva", "message": "oi", "channel": "geral", "timestamp": 1, "clock": 2}
PHASES: dict[str, Callable[[], Subscription]] = {
    "opening, nothing asked": Subscription,
    "opening, page 1 out": _opening,
    "opening from cursor a=1, page 1 out": lambda: (m := Subscription({"a": 1}), m.tick(0.0))[0],
    "live, seen a1": _seen_one,
    "fetching, seen a1, a3 held": _gap,
    "waiting, seen a1, a3 held": _waiting,
    "live, seen a2, a suspected": _doubted,
    "live, seen a2, a audited": _audited,
}
INPUTS: dict[str, Callable[[Subscription], Iterable[Effect]]] = {
    "published a1 (prev 0)": lambda m: m.published(message(1), now=1.0),
    "published a2 (prev 1)": lambda m: m.published(message(2), now=1.0),
    "published a5 (prev 4)": lambda m: m.published(message(5), now=1.0),
    "published a2 by ?": lambda m: m.published(message(2, user="?"), now=1.0),
    "published b1 (prev 0)": lambda m: m.published(message(1, origin="b"), now=1.0),
    "published without origin": lambda m: m.published(FOREIGN, now=1.0),
    "published junk seq": lambda m: m.published(message(1) | {"seq": "x"}, now=1.0),
    "beacon a=1": lambda m: m.beacon({"a": 1}, now=1.0),
    "beacon a=4": lambda m: m.beacon({"a": 4}, now=1.0),
    "beacon of a's server: a=0": lambda m: m.beacon({}, now=1.0, server="", boot="1", vector={"a": 0}),
    "beacon of another server: a=0": lambda m: m.beacon({}, now=1.0, server="z", boot="1", vector={"a": 0}),
    "beacon of another server: a=9": lambda m: m.beacon({}, now=1.0, server="z", boot="1", vector={"a": 9}),
    "all members: at most a=1": lambda m: m.audited({"a": 1}, now=1.0),
    "all members: none has a": lambda m: m.audited({}, now=1.0),
    "not all members answered": lambda m: m.audited(None, now=1.0),
    "page a1 a2 upto 2": lambda m: _page(m, 1, 2, upto=2),
    "page a1 upto 1": lambda m: _page(m, 1, upto=1),
    "page a2 upto 2, more": lambda m: _page(m, 2, upto=2, more=True),
    "page a1 a2 by ? upto 2": lambda m: _page(m, 1, 2, upto=2, user="?"),
    "page of another request": lambda m: m.page([], upto={"a": 9}, more=False, request_no=77, now=1.0),
    "failed": lambda m: m.failed(m._request or 99, now=1.0),
    "failed of another request": lambda m: m.failed(77, now=1.0),
    "tick at 0.1 s": lambda m: m.tick(0.1),
    "tick at 1 s": lambda m: m.tick(1.0),
    "tick at 10 s": lambda m: m.tick(10.0),
}


def _state(m: Subscription) -> str:
    have = " ".join(f"{o}={n}" for o, n in sorted((m.cursor or {}).items())) or "-"
    return f"{m.phase}, have {have}, held {m._held.messages}, deadline {m.deadline}"


def _effect(effect: Effect) -> str:
    match effect:
        case Show(body, late):
            return f"show {body['message']}" + (" (late)" if late else "")
        case Fetch(since, number, limit, elsewhere):
            what = f"the last {limit}" if since is None else f"since {since}"
            return f"fetch {number}: {what}" + (", elsewhere" if elsewhere else "")
        case Moved(id_, was, place):
            return f"move {id_!r} from {was} to {place}"
        case Lost(id_, was):
            return f"lost {id_!r} at {was}"
        case Audit(doubted):
            return f"audit {doubted}"
    return f"log: {effect.event} {dict(effect.fields)}"


def test_table() -> None:
    """Every phase with every input does what the table says."""
    goldens.check("subscription", goldens.table(PHASES, INPUTS, state=_state, effect=_effect))
