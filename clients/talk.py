"""`recado login|publish|dm`: the commands that write."""

import click

from clients.keyring import is_program, who_speaks
from clients.options import (
    Where,
    id_option,
    json_option,
    level_option,
    outbox_option,
    text_argument,
    user_option,
    where_options,
)
from clients.render import tell_receipt
from clients.session import open_chat, run
from clients.words import speaker
from recado.client import Receipt

EPILOG_CODES = "Exit codes: 0 done, 1 refused, 65 unusable text, 69 nobody answers, 75 outcome unknown."


@click.command(
    "login",
    epilog="\b\nExamples:\n  recado login ana\n  RECADO_USER=ana recado login\n"
    f"  recado login ana --invite - < invitation\n\n{EPILOG_CODES}",
)
@click.argument("name", required=False)
@click.option(
    "--invite",
    envvar="RECADO_INVITE",
    metavar="TOKEN|-",
    help="The invitation, where a cluster asks for one; `-` reads it from standard input, so that no list of "
    "processes shows it.  [env: RECADO_INVITE]",
)
@click.option("--bot", is_flag=True, help="Register a program; an operator gives it bots' limits.")
@user_option
@where_options
@json_option
def login(
    *, name: str | None, invite: str | None, bot: bool, user: str | None, where: Where, as_json: bool
) -> None:
    """Register NAME, or come back as the one who registered it.

    In a cluster with keys the key proves who one is; in one without, what was kept here at the first login.
    """
    who = (
        who_speaks(where, user) if name is None else name
    )  # an empty one is no name, as any that can't be one

    token = text_argument(invite or "").strip() or None
    program = bot or is_program(where, who)

    async def do() -> Receipt:
        async with open_chat(where, who) as chat:
            return await chat.login(bot=program, invite=token, deadline_seconds=where.timeout_seconds)

    receipt = run(do, where=where)
    tell_receipt(receipt, speaker()("talk.login", user=who), as_json=as_json, user=who)


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
    who, said = who_speaks(where, user), text_argument(text)

    async def do() -> Receipt:
        async with open_chat(where, who, level=level) as chat:
            return await chat.publish(channel, said, id=ident, outbox=outbox)

    receipt = run(do, where=where, channel=channel)
    tell_receipt(receipt, speaker()("talk.sent"), as_json=as_json, channel=channel, user=who)


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
    who, said = who_speaks(where, user), text_argument(text)

    async def do() -> Receipt:
        async with open_chat(where, who, level=level) as chat:
            return await chat.message(peer, said, id=ident, outbox=outbox)

    receipt = run(do, where=where)
    tell_receipt(receipt, speaker()("talk.sent"), as_json=as_json, dst=peer, user=who)
