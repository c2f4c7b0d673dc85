"""`recado bot`, also ``python -m clients.bot``: an automatic client that makes traffic.

It logs in, makes sure that its channels exist, and says random sentences at a steady rate.  What is
not acknowledged is sent again with the same id until it is, so that nothing it counts is lost and
nothing appears twice.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, TextIO

import anyio
import anyio.abc
import click

from clients.options import Where, json_option, level_option, where_options
from clients.output import document, json_line, words
from clients.render import key_text
from clients.sentences import sentence
from clients.session import open_chat, run
from recado.client import (
    Busy,
    ChannelExists,
    Chat,
    Indeterminate,
    NoAnswer,
    Receipt,
    RefusedByServer,
    UserMissing,
)
from recado.protocol.printable import printable

CHANNELS = ("geral", "jogos", "música", "random", "help", "notícias", "linux", "café")
MESSAGES = frozenset({"publish", "dm"})  # operations, apart from the login and channels
DIRECT_SHARE = 0.15  # of the messages go to one user
USERS_SECONDS = 10.0  # how long a list of users is good for
PAUSE_SECONDS = 0.5
LAST_SECONDS = 0.4  # after SIGTERM the operation under way may still end
READY_FD_VARIABLE = "RECADO_READY_FD"


class Tally:
    """What became of what the bot did: `acknowledged` messages, and refusals and repetitions of anything."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self.refused = 0
        self.repeated = 0


class Bot:
    """One automatic client.  Tells each operation; `journal` takes each acknowledged message."""

    def __init__(
        self, chat: Chat, *, random: Random, channels: int, as_json: bool, journal: TextIO | None
    ) -> None:
        self.tally = Tally()
        self._chat = chat
        self._random = random
        self._channels = [channel_name(number) for number in range(channels)]
        self._as_json = as_json
        self._journal = journal
        self._users: list[str] = []
        self._users_at = -USERS_SECONDS

    async def prepare(self, *, program: bool) -> None:
        """Log in, with keys as a `program`, and see that the channels exist, for as long as that takes."""
        await self._insist("login", lambda _id: self._chat.login(bot=program))
        for name in self._channels:
            try:
                await self._insist("channel", partial(self._create, name), channel=name)
            except ChannelExists:
                continue

    async def _create(self, name: str, ident: bytes | None) -> Receipt:
        return await self._chat.create_channel(name, id=ident)

    async def chatter(self, *, rate: float, count: int | None) -> None:
        """`rate` messages a second, `count` of them or for ever.  Slow answers delay, nothing heaps up."""
        due = anyio.current_time()
        done = 0
        while count is None or done < count:
            await anyio.sleep_until(due)
            await self._say_something()
            done += 1
            due = max(due + 1 / rate, anyio.current_time())

    async def _say_something(self) -> None:
        text = sentence(self._random)
        peer = await self._somebody() if self._random.random() < DIRECT_SHARE else None
        try:
            if peer is not None:
                await self._insist("dm", lambda i: self._chat.message(peer, text, id=i), dst=peer, text=text)
            else:
                channel = self._random.choice(self._channels)
                await self._insist(
                    "publish", lambda i: self._chat.publish(channel, text, id=i), channel=channel, text=text
                )
        except UserMissing:
            self._users_at = -USERS_SECONDS

    async def _somebody(self) -> str | None:
        """Another user, if there is one."""
        if anyio.current_time() - self._users_at > USERS_SECONDS:
            try:
                self._users = [name for name in await self._chat.users() if name != self._chat.user]
            except (NoAnswer, RefusedByServer):
                return None
            self._users_at = anyio.current_time()
        return self._random.choice(self._users) if self._users else None

    async def _insist(
        self, what: str, write: Callable[[bytes | None], Awaitable[Receipt]], **fields: str
    ) -> Receipt:
        """Write, again with the same id, until it is acknowledged.  Raises `RefusedByServer`."""
        ident: bytes | None = None
        while True:
            begun = anyio.current_time()
            try:
                receipt = await write(ident)
            except Busy as busy:
                self._log(what, "busy", **fields)
                await anyio.sleep(max(busy.retry_after, PAUSE_SECONDS * self._random.random()))
            except Indeterminate as unsure:
                ident = unsure.id
                self.tally.repeated += 1
                self._log(what, "repeat", id=ident.hex(), **fields)
                await anyio.sleep(PAUSE_SECONDS * self._random.random())
            except RefusedByServer as refused:
                self.tally.refused += 1
                self._log(what, "refused", code=refused.code, **fields)
                raise
            else:
                self.tally.acknowledged += what in MESSAGES
                self._acknowledged(what, receipt, seconds=anyio.current_time() - begun, fields=fields)
                return receipt

    def _acknowledged(self, what: str, receipt: Receipt, *, seconds: float, fields: dict[str, str]) -> None:
        key = None if receipt.key is None else key_text(receipt.key)
        if self._journal is not None and what in MESSAGES:
            line = {"id": receipt.id.hex(), "user": self._chat.user, **fields, "key": key}
            self._journal.write(json_line(line) + "\n")
            self._journal.flush()
        self._log(
            what,
            "ok",
            **fields,
            id=receipt.id.hex(),
            key=key,
            acks=receipt.acks,
            of=receipt.of,
            server=receipt.server,
            ms=round(seconds * 1000, 2),
        )

    def _log(self, what: str, outcome: str, **fields: Any) -> None:
        clock = self._chat.clock
        if self._as_json:
            document(event=what, outcome=outcome, user=self._chat.user, clock=clock, **fields)
            return
        shown = " ".join(f"{k}={printable(str(v))}" for k, v in fields.items() if k not in {"id", "key"})
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        words(f"{when} {printable(self._chat.user)} clock={clock} {what} {outcome} {shown}".rstrip())


def channel_name(number: int) -> str:
    """The bots' channel `number` (from 0): the same names for every bot."""
    name = CHANNELS[number % len(CHANNELS)]
    return name if number < len(CHANNELS) else f"{name}-{number // len(CHANNELS) + 1}"


async def _until_signal(
    stop: Callable[[], None], *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED
) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            stop()


def _tell_ready() -> None:
    """To whoever started us: the bot runs (it logs in as soon as somebody answers)."""
    number = os.environ.pop(READY_FD_VARIABLE, "")
    if number.isdigit():
        with open(int(number), "wb", buffering=0) as end:
            end.write(json.dumps({"ready": True, "listen": {}, "pid": os.getpid()}).encode() + b"\n")


@click.command(
    "bot",
    epilog="\b\nExamples:\n  recado bot --user marvin --rate 2\n"
    "  recado bot --count 1000 --rate 500 --seed 7 --journal sent.jsonl\n\n"
    "Exit codes: 0 done or stopped by SIGTERM, 1 refused, 73 journal can't be written.",
)
@click.option(
    "--user", envvar="RECADO_USER", default="bot", show_default=True, metavar="NAME", help="Its name."
)
@click.option(
    "--rate",
    type=click.FloatRange(0, 100_000, min_open=True),
    default=1.0,
    show_default=True,
    help="Messages/s.",
)
@click.option("--count", type=click.IntRange(0), help="Stop after that many.  [default: go on]")
@click.option("--seed", type=int, help="Say the same sentences each time.")
@click.option("--channels", type=click.IntRange(1, 64), default=2, show_default=True, help="On how many.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Append every acknowledged message, as JSON lines.",
)
@level_option
@where_options
@json_option
def bot(
    *,
    user: str,
    rate: float,
    count: int | None,
    seed: int | None,
    channels: int,
    journal: Path | None,
    level: str | None,
    where: Where,
    as_json: bool,
) -> None:
    """Log in as NAME and say random sentences, in Portuguese and English, until stopped."""

    async def live() -> Tally:
        tally = Tally()
        with _opened(journal) as file:
            async with anyio.create_task_group() as life:
                await life.start(_until_signal, lambda: _stop_soon(life.cancel_scope))
                async with open_chat(where, user, level=level) as chat:
                    worker = Bot(chat, random=Random(seed), channels=channels, as_json=as_json, journal=file)
                    tally = worker.tally
                    _tell_ready()
                    await worker.prepare(program=where.roster is not None)
                    await worker.chatter(rate=rate, count=count)
                life.cancel_scope.cancel()
        return tally

    tally = run(live, where=where, needs_cluster=False)
    if as_json:
        document(event="done", user=user, **vars(tally))
    else:
        words(f"{printable(user)} done " + " ".join(f"{k}={v}" for k, v in vars(tally).items()))


def _stop_soon(scope: anyio.CancelScope) -> None:
    """Let the operation under way end, briefly."""
    scope.deadline = min(scope.deadline, anyio.current_time() + LAST_SECONDS)


def _opened(journal: Path | None) -> AbstractContextManager[TextIO | None]:
    return nullcontext() if journal is None else journal.open("a", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(bot(prog_name="recado bot"))
