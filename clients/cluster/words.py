"""A cluster's events in words, one line each (the summary: a screen)."""

from clients.cluster.events import Event
from recado.protocol.printable import printable
from recado.texts import Texts


class Teller:
    """Turns events into lines for people; those without words are None."""

    def __init__(self, say: Texts) -> None:
        self._say = say

    def __call__(self, happened: Event) -> str | None:
        kind = happened["event"]
        if kind == "up":
            return screen(self._say, happened)
        if kind == "said":
            return self._said(happened)
        if kind == "died":
            return self._died(happened)
        if kind == "stopped" and "node" in happened:
            return self._say("up.node_stopped", node=happened["node"])
        if kind in {"ready", "started", "restarted", "coordinator", "stopping", "stopped"}:
            fields = {key: happened[key] for key in ("node", "pid") if key in happened}
            return self._say(f"up.{kind}", **fields)
        return None

    def _said(self, happened: Event) -> str:
        user, text = printable(happened["user"]), printable(happened["text"])
        if "channel" in happened:
            line = f"#{printable(happened['channel'])} <{user}> {text}"
        else:
            line = f"{user} -> {printable(happened.get('dst', '?'))}: {text}"
        if happened.get("left_out"):
            line = self._say("up.left_out", count=happened["left_out"]) + "\n" + line
        return line

    def _died(self, happened: Event) -> str:
        how = happened["signal"] or self._say("up.exit", code=happened["exit_code"])
        seconds = happened["restart_seconds"]
        then = self._say("up.left") if seconds is None else self._say("up.again", seconds=seconds)
        return self._say("up.died", node=happened["node"], how=how) + then


def screen(say: Texts, up: Event, *, detached: bool = False) -> str:
    """Where everything listens and what to type next."""
    rows = [
        (say("up.servers"), "  ".join(up["servers"])),
        (say("up.subscriptions"), up["broker"]),
        (say("up.publishers"), up["xsub"]),
        (say("up.spread"), up["request"]),
        (say("up.reference"), up["reference"]),
        (say("up.data"), up["data"]),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [
        "",
        say("up.running"),
        *(f"  {name:<{width}}  {value}" for name, value in rows),
        "",
        say("up.next"),
    ]
    where = "" if up["reference"] == "tcp://127.0.0.1:5559" else f" --reference {up['reference']}"
    store = next((node["store"] for node in up["nodes"] if node["role"] == "server"), "")
    hints = [
        (f"recado chat{where}", say("up.next.chat")),
        (f"recado tail -f{where}", say("up.next.tail")),
        (f"sqlite3 {store} 'select * from channel_messages limit 5'", say("up.next.look")),
        (f"recado verify --data {up['data']}", say("up.next.verify")),
    ]
    lines += [f"  {command:<28}  # {purpose}" for command, purpose in hints]
    stop = (
        say("up.next.down", command=f"recado down --data {up['data']}") if detached else say("up.next.stop")
    )
    return "\n".join([*lines, stop, ""])
