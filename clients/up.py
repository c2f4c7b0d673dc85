"""`recado up`: a whole cluster on this machine, each node a process of its own."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import click

from clients.cluster.cannot import CannotStart
from clients.cluster.detach import is_detached, start_detached, tell_parent
from clients.cluster.events import Event, Sink, json_sink, words_sink
from clients.cluster.ground import absolute
from clients.cluster.keys import operator_security
from clients.cluster.plan import (
    BASE_PORT_DEFAULT,
    BASE_PORT_MAX,
    BOTS_MAX,
    SERVERS_MAX,
    Plan,
    Wish,
    is_loopback,
    is_wildcard,
    make_plan,
)
from clients.cluster.supervisor import supervise
from clients.cluster.words import Teller, program_name, screen
from clients.ending import Ended
from clients.options import data_option, json_option
from clients.output import put_page, words
from clients.words import speaker
from recado.wire.ports import Network
from recado.wire.zeromq import ZeroMQNetwork

EPILOG = """\b
Examples:
  recado up                              reference, broker, three servers, two bots
  recado up --servers 5 --bots 0 --base-port 6555
  recado up --detach && recado ps        in the background
  recado up --secure                     everybody proves who they are
  recado up --json | jq -c 'select(.event == "coordinator")'

Exit codes: 0 stopped as asked, 2 wrong usage, 73 port taken, directory unwritable or in use.
"""


def _dialable(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if is_wildcard(value):
        raise click.BadParameter(f"{value!r} can't be dialled; give the address that clients will use")
    return value


@click.command("up", epilog=EPILOG)
@data_option
@click.option(
    "--host", default="127.0.0.1", show_default=True, callback=_dialable, help="Address to listen on."
)
@click.option(
    "--base-port",
    type=click.IntRange(1024, BASE_PORT_MAX),
    default=BASE_PORT_DEFAULT,
    show_default=True,
    help="P: servers at P, P+1, P+2 (more from P+10), XPUB P+3, reference P+4, XSUB P+5, requests P+6.",
)
@click.option(
    "--servers", type=click.IntRange(1, SERVERS_MAX), default=3, show_default=True, help="How many."
)
@click.option("--bots", type=click.IntRange(0, BOTS_MAX), default=2, show_default=True, help="How many.")
@click.option(
    "--bot-rate",
    type=click.FloatRange(0, min_open=True),
    default=0.5,
    show_default=True,
    help="Messages a second of each bot.",
)
@click.option("--bot-seed", type=int, help="Make the bots say the same each time.")
@click.option("--secure", is_flag=True, help="With keys: made in DIR/keys at the first time, then used.")
@click.option("--no-restart", is_flag=True, help="Leave a node down that died.")
@click.option("--detach", is_flag=True, help="Run in the background; see ps, logs, stop, start, down.")
@json_option
def up(
    *,
    data: Path,
    host: str,
    base_port: int,
    servers: int,
    bots: int,
    bot_rate: float,
    bot_seed: int | None,
    secure: bool,
    no_restart: bool,
    detach: bool,
    as_json: bool,
) -> None:
    """Run a cluster on this machine: reference, broker, servers and bots.

    The data stay in DIR (one SQLite file per node), and the next `recado up` continues with them.
    Ctrl-C stops everything within five seconds.
    """
    wish = Wish(
        data=absolute(data),
        host=host,
        base_port=base_port,
        servers=servers,
        bots=bots,
        bot_rate=bot_rate,
        bot_seed=bot_seed,
        restart=not no_restart,
        secure=secure,
    )
    if not is_loopback(host) and not secure:
        words(speaker()("up.exposed", host=host))
    try:
        if detach:
            _tell_detached(start_detached(wish.data, _arguments(wish)), as_json=as_json)
        else:
            _run(wish, as_json=as_json)
    except CannotStart as error:
        tell_parent({"error": str(error), "exit_code": error.exit_code})
        raise Ended(str(error), error.exit_code) from None


def _run(wish: Wish, *, as_json: bool) -> None:
    plan = make_plan(wish)
    say = speaker()
    sink = json_sink(sys.stdout) if as_json else words_sink(sys.stdout, Teller(say, program=program_name()))

    def starting() -> None:
        if not as_json:
            words(say("up.starting", nodes=len(plan.nodes), data=wish.data))

    run = partial(
        supervise,
        plan,
        sink=_also_to_parent(sink),
        network=_network(plan),
        environment=os.environ,
        checked=starting,
    )
    anyio.run(run, backend="trio")


@asynccontextmanager
async def _network(plan: Plan) -> AsyncIterator[Network]:
    """The supervisor's own network; of a secured cluster with the operator's key, made by then."""
    async with ZeroMQNetwork(security=operator_security(plan)) as network:
        yield network


def _also_to_parent(sink: Sink) -> Sink:
    """The sink; of a detached cluster one that tells its parent, and leaves what is said out of its log."""
    detached = is_detached()

    def tell(happened: Event) -> None:
        if not (detached and happened["event"] == "said"):
            sink(happened)
        if happened["event"] == "up":
            tell_parent(happened)

    return tell


def _tell_detached(summary: Event, *, as_json: bool) -> None:
    if as_json:
        json_sink(sys.stdout)(summary)
    else:
        put_page(screen(speaker(), summary, program=program_name(), detached=True))


def _arguments(wish: Wish) -> list[str]:
    """The same wish on a command line."""
    arguments = ["--data", str(wish.data), "--host", wish.host, "--base-port", str(wish.base_port)]
    arguments += ["--servers", str(wish.servers), "--bots", str(wish.bots), "--bot-rate", str(wish.bot_rate)]
    if wish.bot_seed is not None:
        arguments += ["--bot-seed", str(wish.bot_seed)]
    if wish.secure:
        arguments.append("--secure")
    return arguments if wish.restart else [*arguments, "--no-restart"]
