"""`recado login|channel|publish|dm`: the commands that write."""

import click

from clients.options import (
    Where,
    id_option,
    json_option,
    level_option,
    need_user,
    outbox_option,
    text_argument,
    user_option,
    where_options,
)
from clients.output import document, words
from clients.render import receipt_json
from clients.session import open_chat, run
from clients.words import speaker
from recado.client import Receipt
from recado.protocol.printable import printable

EPILOG_CODES = "Exit codes: 0 done, 1 refused, 65 unusable text, 69 nobody answers, 75 outcome unknown."


def _tell(receipt: Receipt, text: str, *, as_json: bool, **fields: str) -> None:
    """The receipt: `acks` durable copies of as many servers."""
    if as_json:
        document(**fields, **receipt_json(receipt))
        return
    copies = f"{receipt.acks}/{receipt.of}" if receipt.of else str(receipt.acks)
    words(speaker()("talk.receipt", what=text, copies=copies, clock=receipt.clock))


@click.command(
    "login", epilog=f"\b\nExamples:\n  recado login ana\n  RECADO_USER=ana recado login\n\n{EPILOG_CODES}"
)
@click.argument("name", required=False)
@user_option
@where_options
@json_option
def login(*, name: str | None, user: str | None, where: Where, as_json: bool) -> None:
    """Register NAME, or come back as the one who registered it from here."""
    who = need_user(user) if name is None else name  # an empty one is no name, as any that can't be one

    async def do() -> Receipt:
        async with open_chat(where, who) as chat:
            return await chat.login(deadline_seconds=where.timeout_seconds)

    receipt = run(do, where=where)
    _tell(receipt, speaker()("talk.login", user=printable(who)), as_json=as_json, user=who)


@click.command("channel", epilog=f"\b\nExample:\n  recado channel geral\n\n{EPILOG_CODES}")
@click.argument("name")
@user_option
@level_option
@id_option
@where_options
@json_option
def channel(
    *, name: str, user: str | None, level: str | None, ident: bytes | None, where: Where, as_json: bool
) -> None:
    """Create a channel."""

    async def do() -> Receipt:
        async with open_chat(where, user, level=level) as chat:
            return await chat.create_channel(name, id=ident)

    receipt = run(do, where=where)
    _tell(receipt, speaker()("talk.channel", channel=printable(name)), as_json=as_json, channel=name)


@click.command(
    "publish",
    epilog="\b\nExamples:\n  recado publish --user ana geral 'bom dia'\n"
    f"  uptime | recado publish --user host-1 geral -\n\n{EPILOG_CODES}",
)
@click.argument("channel")
@click.argument("text")
@user_option
@level_option
@id_option
@outbox_option
@where_options
@json_option
def publish(
    *,
    channel: str,
    text: str,
    user: str | None,
    level: str | None,
    ident: bytes | None,
    outbox: bool,
    where: Where,
    as_json: bool,
) -> None:
    """Say TEXT on CHANNEL; `-` takes the text from standard input."""
    who, said = need_user(user), text_argument(text)

    async def do() -> Receipt:
        async with open_chat(where, who, level=level) as chat:
            return await chat.publish(channel, said, id=ident, outbox=outbox)

    receipt = run(do, where=where)
    _tell(receipt, speaker()("talk.sent"), as_json=as_json, channel=channel, user=who)


@click.command(
    "dm",
    epilog="\b\nExamples:\n  recado dm --user ana bob psst\n"
    f"  recado dm --user ana bob - < letter.txt\n\n{EPILOG_CODES}",
)
@click.argument("peer", metavar="USER")
@click.argument("text")
@user_option
@level_option
@id_option
@outbox_option
@where_options
@json_option
def dm(
    *,
    peer: str,
    text: str,
    user: str | None,
    level: str | None,
    ident: bytes | None,
    outbox: bool,
    where: Where,
    as_json: bool,
) -> None:
    """Say TEXT to one USER; `-` takes the text from standard input."""
    who, said = need_user(user), text_argument(text)

    async def do() -> Receipt:
        async with open_chat(where, who, level=level) as chat:
            return await chat.message(peer, said, id=ident, outbox=outbox)

    receipt = run(do, where=where)
    _tell(receipt, speaker()("talk.sent"), as_json=as_json, dst=peer, user=who)
