"""`recado search`: messages by their words."""

import click

from clients.chatting.telling import notes
from clients.keyring import who_speaks
from clients.look import CODES, place
from clients.options import Where, json_option, user_option, where_options
from clients.output import document, put, words
from clients.render import key_text, message_json, message_line
from clients.session import open_chat, run
from clients.words import speaker
from recado.client import Found, Key
from recado.protocol.limits import SEARCH_MESSAGES_MAX


@click.command(
    "search",
    epilog="\b\nExamples:\n  recado search café amanhã\n  recado search '\"bom dia\"' --channel geral\n"
    "  recado search 'recad*' --author ana -n 20\n  recado search senha --direct --with bob --user ana\n\n"
    + CODES,
)
@click.argument("text", nargs=-1, required=True, metavar="WORD...")
@click.option("--channel", metavar="NAME", help="Only in this channel.")
@click.option("--author", metavar="NAME", help="Only what this user said.")
@click.option("--direct", is_flag=True, help="In the user's direct messages.")
@click.option("--with", "peer", metavar="NAME", help="Only in those exchanged with this user.")
@click.option(
    "-n",
    "count",
    type=click.IntRange(1, SEARCH_MESSAGES_MAX),
    default=20,
    show_default=True,
    help="How many.",
)
@click.option("--before", callback=place, metavar="KEY", help="Only those before this key (`earlier`).")
@user_option
@where_options
@json_option
def search(
    *,
    text: tuple[str, ...],
    channel: str | None,
    author: str | None,
    direct: bool,
    peer: str | None,
    count: int,
    before: Key | None,
    user: str | None,
    where: Where,
    as_json: bool,
) -> None:
    """Find the last messages with all these words, accents and capitals aside, oldest first.

    "Words in quotes" follow each other, begin* is any word that begins so.  Without --channel and --direct:
    in all channels that the user may read.
    """
    private = direct or peer is not None
    if private and channel is not None:
        raise click.UsageError("--channel, or --direct")
    who = who_speaks(where, user) if private else user

    async def do() -> Found:
        async with open_chat(where, who, key_of=user) as chat:
            return await chat.search(
                " ".join(text),
                channel=channel,
                direct=private,
                peer=peer,
                author=author,
                limit=count,
                before=before,
            )

    found = run(do, where=where, channel=channel)
    earlier = None if found.earlier is None or not found.more else key_text(found.earlier)
    if as_json:
        told = {"partial": found.partial, "lag": found.lag, "server": found.server}
        document(messages=[message_json(m) for m in found], earlier=earlier, **told)
        return
    for message in found:
        put(message_line(message, channel=channel is None))
    say = speaker()
    for note in notes(found, say):
        words(note)
    if earlier is not None:
        words(say("search.more", earlier=earlier))
