"""`recado audit`: who changed what about users and channels, when and why."""

from typing import NamedTuple

import anyio
import click

from clients.keyring import who_speaks
from clients.options import Where, json_option, user_option, where_options
from clients.output import document, put
from clients.rules.facts import deed_json, deed_line
from clients.rules.options import CODES, since_option
from clients.session import open_chat, run
from recado.client import Chat, Deed, Key, NoAnswer

LOOK_SECONDS = 2.0
PAGE = 200
KNOWN_MAX = 200_000  # changes remembered as shown while following


class Wanted(NamedTuple):
    """Which changes; `since` in UNIX seconds."""

    channel: str | None
    about: str | None
    since: float | None


@click.command(
    "audit",
    epilog="\b\nExamples:\n  recado audit --user operator --since 7d\n  recado audit --channel geral -f\n"
    "  recado audit --about bob --json | jq -r .reason\n\n"
    f"With --json: one line per change.\n\n{CODES} 130 after Ctrl-C.",
)
@click.option("--channel", metavar="CHANNEL", help="Only of this channel.")
@click.option("--about", metavar="USER", help="Only what USER did, or was done about USER.")
@since_option
@click.option(
    "-n", "count", type=click.IntRange(1, 100_000), default=50, show_default=True, help="The last so many."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is changed from now on.")
@user_option
@where_options
@json_option
def audit(
    *,
    channel: str | None,
    about: str | None,
    since: float | None,
    count: int,
    follow: bool,
    user: str | None,
    where: Where,
    as_json: bool,
) -> None:
    """Show changes about users and channels, oldest first: who, what, whom, why.

    In a cluster with keys it is for its operators.
    """
    who = who_speaks(where, user) if where.roster else user
    wanted = Wanted(channel, about, since)

    async def do() -> None:
        async with open_chat(where, who) as chat:
            known: dict[Key, None] = {}
            most: int | None = count
            while True:
                for deed in await _fresh(chat, wanted, known, most=most):
                    if as_json:
                        document(**deed_json(deed))
                    else:
                        put(deed_line(deed))
                if not follow:
                    return
                most = None
                await anyio.sleep(LOOK_SECONDS)

    run(do, where=where, channel=channel)


async def _fresh(chat: Chat, wanted: Wanted, known: dict[Key, None], *, most: int | None) -> list[Deed]:
    """The last `most` changes that are not `known` yet, oldest first; None: all, until a page of known ones.

    One that comes late, from a server that was cut off, is told when it comes.
    """
    found: list[Deed] = []
    before: Key | None = None
    while most is None or len(found) < most:
        limit = PAGE if most is None else min(PAGE, most - len(found))
        try:
            page = await chat.audit_log(channel=wanted.channel, who=wanted.about, before=before, limit=limit)
        except NoAnswer:
            if most is not None:
                raise
            return []  # nobody answers at the moment: the next look tells
        fresh = [deed for deed in page if deed.key is not None and deed.key not in known]
        chosen = [deed for deed in fresh if wanted.since is None or deed.timestamp >= wanted.since]
        found = chosen + found
        known |= {deed.key: None for deed in fresh if deed.key is not None}
        before = page.earlier
        if not page.more or not fresh or len(chosen) < len(fresh) or before is None:
            break
    if len(known) > KNOWN_MAX:
        for key in sorted(known)[: KNOWN_MAX // 2]:
            del known[key]
    return found
