"""`recado outbox list|send|drop`: messages that no server has confirmed yet."""

import time
from typing import Any

import click

from clients.ending import DATA, FAILURE, TEMPORARY, Ended
from clients.keyring import who_speaks
from clients.options import Where, json_option, user_option, where_options
from clients.output import document, put, words
from clients.refusals import refusal_text
from clients.render import moment, receipt_json
from clients.session import open_chat, run
from clients.words import speaker
from recado.client import Sent, Unsent
from recado.protocol.printable import printable


@click.group(
    "outbox", epilog="\b\nExamples:\n  recado outbox list --user ana\n  recado outbox send --user ana"
)
def outbox() -> None:
    """Messages that wait for a server's confirmation.

    `publish --outbox`, `dm --outbox` and `chat` write each message down before they send it.
    """


@outbox.command("list", epilog="\b\nExample:\n  recado outbox list --user ana")
@user_option
@where_options
@json_option
def list_(*, user: str | None, where: Where, as_json: bool) -> None:
    """What waits, oldest first; ! marks what a server has refused."""
    who = who_speaks(where, user)

    async def do() -> tuple[Unsent, ...]:
        async with open_chat(where, who) as chat:
            return chat.outbox.unsent

    found = run(do, where=where, needs_cluster=False)
    if as_json:
        document(user=who, unsent=[_json(message) for message in found])
        return
    for message in found:
        to = f"#{message.channel}" if message.channel is not None else message.dst or ""
        mark = f"! {message.refused}" if message.refused else ""
        when = moment(message.written, now=time.time())
        put(f"{message.id.hex()}  {when}  {printable(to)}: {printable(message.text)} {mark}".rstrip())


@outbox.command(
    "send",
    epilog="\b\nExample:\n  recado outbox send --user ana\n\n"
    "Exit codes: 0 nothing waits any more, 1 something was refused or given up, 75 something still waits.",
)
@click.option("--refused", is_flag=True, help="Also what a server has refused before.")
@user_option
@where_options
@json_option
def send(*, refused: bool, user: str | None, where: Where, as_json: bool) -> None:
    """Send what waits, in its order, each with its id: it appears once however often it is sent."""
    who = who_speaks(where, user)

    async def do() -> tuple[list[Sent], int]:
        async with open_chat(where, who) as chat:
            if not chat.outbox.unsent:
                return [], 0
            sent = await chat.outbox.send(refused=refused)
            return sent, sum(not message.refused for message in chat.outbox.unsent)

    sent, waiting = run(do, where=where, needs_cluster=False)
    failed = [one for one in sent if one.receipt is None]
    if as_json:
        document(user=who, sent=[_sent_json(one) for one in sent], waiting=waiting)
    say = speaker()
    for one in failed:
        key = "outbox.given_up" if one.given_up else "outbox.refused"
        why = "" if one.refused is None else refusal_text(one.refused, say, channel=one.message.channel)
        words(say(key, id=one.message.id.hex(), text=one.message.text, why=why))
    words(say("outbox.sent", count=len(sent) - len(failed), waiting=waiting))
    if waiting or failed:
        raise click.exceptions.Exit(TEMPORARY if waiting else FAILURE)


@outbox.command(
    "drop", epilog="\b\nExample:\n  recado outbox drop --user ana 01a2b3c4d5e6f708090a0b0c0d0e0f10"
)
@click.argument("idents", nargs=-1, metavar="ID...")
@click.option("--all", "everything", is_flag=True, help="Everything that waits.")
@user_option
@where_options
@json_option
def drop(*, idents: tuple[str, ...], everything: bool, user: str | None, where: Where, as_json: bool) -> None:
    """Give messages up.  A server may have kept one nevertheless."""
    who = who_speaks(where, user)
    if not idents and not everything:
        raise click.UsageError("name an ID, as `outbox list` shows it, or give --all")
    try:
        chosen = [bytes.fromhex(text) for text in idents]
    except ValueError:
        raise click.BadParameter("hexadecimal digits, as `outbox list` shows them") from None

    async def do() -> tuple[list[bytes], list[bytes]]:
        async with open_chat(where, who) as chat:
            ids = [message.id for message in chat.outbox.unsent] if everything else chosen
            dropped = [ident for ident in ids if chat.outbox.drop(ident)]
            return dropped, [ident for ident in ids if ident not in dropped]

    dropped, unknown = run(do, where=where, needs_cluster=False)
    if unknown:
        raise Ended(speaker()("outbox.unknown", ids=" ".join(i.hex() for i in unknown)), DATA)
    if as_json:
        document(user=who, dropped=[ident.hex() for ident in dropped])


def _json(message: Unsent) -> dict[str, Any]:
    where = {"channel": message.channel} if message.channel is not None else {"dst": message.dst}
    return {
        "id": message.id.hex(),
        **where,
        "text": message.text,
        "level": message.level,
        "written": message.written,
        "refused": message.refused or None,
    }


def _sent_json(one: Sent) -> dict[str, Any]:
    receipt = None if one.receipt is None else receipt_json(one.receipt)
    return {**_json(one.message), "receipt": receipt, "given_up": one.given_up}
