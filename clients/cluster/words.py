"""A cluster's events in words, one line each (the summary: a screen)."""

import os
import shlex
import shutil
import sys

from clients.cluster.events import Event
from clients.cluster.plan import OPERATOR
from recado.protocol.printable import printable
from recado.texts import Texts


class Teller:
    """Turns events into lines for people; those without words are None."""

    def __init__(self, say: Texts, *, program: str) -> None:
        self._say = say
        self._program = program

    def __call__(self, happened: Event) -> str | None:
        kind = happened["event"]
        if kind == "up":
            return screen(self._say, happened, program=self._program)
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


def screen(say: Texts, up: Event, *, program: str, detached: bool = False) -> str:
    """Where everything listens and what to type next; `program`: how `recado` is called from here."""
    rows = [
        (say("up.servers"), "  ".join(up["servers"])),
        (say("up.subscriptions"), up["broker"]),
        (say("up.publishers"), up["xsub"]),
        (say("up.spread"), up["request"]),
        (say("up.reference"), up["reference"]),
        (say("up.data"), up["data"]),
        (say("up.roster"), up["roster"]),
    ]
    rows = [(name, value) for name, value in rows if value]
    width = max(len(name) for name, _ in rows)
    where = "" if up["reference"] == "tcp://127.0.0.1:5559" else f" --reference {up['reference']}"
    if up["roster"]:
        where += f" --roster {_word(up['roster'])} --key {_word(up['key'])}"
    data = "" if up["data"] == os.path.abspath("var") else f" --data {up['data']}"
    user = f" --user {OPERATOR}" if up["roster"] else ""
    store = next((node["store"] for node in up["nodes"] if node["role"] == "server"), "")
    hints = [
        (f"{program} chat{where}{user}", "up.next.chat"),
        (f"{program} tail -f{where}", "up.next.tail"),
        (f"sqlite3 {_short(store)} 'select * from channel_messages'", "up.next.look"),
        (f"{program} verify{data}", "up.next.verify"),
    ]
    column = min(60, max(len(command) for command, _ in hints))
    stop = say("up.next.down", command=f"{program} down{data}") if detached else say("up.next.stop")
    return "\n".join(
        [
            "",
            say("up.running"),
            *(f"  {name:<{width}}  {value}" for name, value in rows),
            "",
            say("up.next"),
            *(f"  {command:<{column}}  # {say(purpose)}" for command, purpose in hints),
            stop,
            "",
        ]
    )


def program_name() -> str:
    """How one calls this program from the present directory."""
    called = sys.argv[0]
    if os.path.basename(called) != "recado":
        return "recado"
    found = shutil.which("recado")
    if found is not None and os.path.realpath(found) == os.path.realpath(called):
        return "recado"
    return _short(called)


def _word(path: str) -> str:
    """The path as the shell takes it."""
    return shlex.quote(_short(path))


def _short(path: str) -> str:
    """The path from here or from the root, whichever is shorter."""
    return min(os.path.relpath(path), os.path.abspath(path), key=len)
