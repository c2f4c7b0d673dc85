"""`recado top`: the cluster, again and again, on a terminal; without one a single snapshot."""

import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import click

from clients.ending import UNAVAILABLE, Ended
from clients.options import Where, user_option, where_options
from clients.output import put
from clients.session import run
from clients.watching.board import History, board
from clients.watching.survey import Surveyor
from clients.watching.table import page
from clients.watching.where import known_to, on_this_node, surveyor_for
from clients.watching.words import speaker

PLAIN: Final = (80, 1000)  # columns and lines of a snapshot


@click.command(
    "top",
    epilog="\b\nExamples:\n  recado top\n  recado top --interval 5\n  recado top | cat       one snapshot\n"
    "  ssh -t node-1 recado top\n\nKeys: q or Ctrl-C leaves.\n\n"
    "Exit codes: 0 left, 69 nobody answers (only without a terminal).",
)
@click.option(
    "--interval",
    "interval_seconds",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks.",
)
@user_option
@where_options
def top(*, interval_seconds: float, user: str | None, where: Where) -> None:
    """Show live how fast each server's log grows, who lags, whose clock drifts, whose disk fills.

    Without a terminal on both ends: one snapshot.
    """
    where, security = on_this_node(where, user)
    live = sys.stdin.isatty() and sys.stdout.isatty()

    async def do() -> None:
        async with surveyor_for(where, user=user, security=security) as surveyor:
            if live:
                await _live(surveyor, where, interval_seconds=interval_seconds)
            else:
                await _snapshot(surveyor, where)

    run(do, where=where, needs_cluster=not live)


async def _snapshot(surveyor: Surveyor, where: Where) -> None:
    survey = await surveyor.survey(known_to(where))
    for line in page(survey, speaker()):
        put(line)
    if not survey.answering:
        raise Ended(speaker()("top.nobody"), UNAVAILABLE)


async def _live(surveyor: Surveyor, where: Where, *, interval_seconds: float) -> None:
    """Survey and draw until somebody leaves.  The screen answers keys also while a survey waits."""
    history = History()
    application, redraw = _screen(history)
    async with anyio.create_task_group() as tasks:

        async def shown() -> None:
            await application()
            tasks.cancel_scope.cancel()

        tasks.start_soon(shown)
        while True:
            began = time.monotonic()
            history.add(await surveyor.survey(known_to(where)), at=began)
            redraw()
            await anyio.sleep(max(0.0, began + interval_seconds - time.monotonic()))


def _screen(history: History) -> tuple[Callable[[], Awaitable[object]], Callable[[], None]]:
    """A full screen of prompt_toolkit's: what runs it until a key leaves, and what draws it anew."""
    from prompt_toolkit.application import Application
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.layout import FormattedTextControl, Layout, Window

    say, keys = speaker(), KeyBindings()

    @keys.add("q")
    @keys.add("Q")
    @keys.add("c-c")
    @keys.add("c-d")
    def _leave(event: KeyPressEvent) -> None:
        event.app.exit()

    def text() -> str:
        size = application.output.get_size()
        now = time.strftime("%H:%M:%S")
        return "\n".join(board(history, say, size=(size.columns, size.rows), clock=now))

    application: Application[None] = Application(
        layout=Layout(Window(FormattedTextControl(text))), key_bindings=keys, full_screen=True
    )
    return application.run_async, application.invalidate
