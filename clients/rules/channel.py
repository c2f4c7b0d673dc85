"""`recado channel …`: create a channel, look at it, and say what is so in it and who may do what there."""

import click

from clients.keyring import who_speaks
from clients.options import Where, id_option, json_option, level_option, user_option, where_options
from clients.output import document, put
from clients.render import tell_receipt
from clients.rules import deeds
from clients.rules.facts import channel_lines, fields_of
from clients.rules.options import CODES, reason_option
from clients.session import open_chat, run
from clients.words import speaker
from recado.client import ChannelInfo, Receipt


@click.group(
    "channel",
    epilog="\b\nExamples:\n  recado channel create geral --user ana\n"
    "  recado channel op geral bob --user ana\n  recado channel info geral",
)
def channel() -> None:
    """Create a channel, and say who may do what in it.

    Who created it operates it, and whom they give that right to with `op`; a cluster's operators may
    do all of it everywhere.
    """


@channel.command("create", epilog=f"\b\nExample:\n  recado channel create conselho --private\n\n{CODES}")
@click.argument("name")
@click.option("--private", is_flag=True, help="Listed and readable only for those whom you invite.")
@user_option
@level_option
@id_option
@where_options
@json_option
def create(
    *,
    name: str,
    private: bool,
    user: str | None,
    level: str | None,
    ident: bytes | None,
    where: Where,
    as_json: bool,
) -> None:
    """Create a channel."""
    who = who_speaks(where, user) if private or where.roster else user

    async def do() -> Receipt:
        async with open_chat(where, who, level=level) as chat:
            return await chat.create_channel(name, private=private, id=ident)

    receipt = run(do, where=where)
    tell_receipt(receipt, speaker()("talk.channel", channel=name), as_json=as_json, channel=name)


@channel.command("info", epilog=f"\b\nExample:\n  recado channel info geral --json\n\n{CODES}")
@click.argument("name", metavar="CHANNEL")
@user_option
@where_options
@json_option
def info(*, name: str, user: str | None, where: Where, as_json: bool) -> None:
    """Show a channel's topic, modes, operators and members, and who is muted or banned."""
    who = who_speaks(where, user) if where.roster else user

    async def do() -> ChannelInfo:
        async with open_chat(where, who) as chat:
            return await chat.channel_info(name)

    told = run(do, where=where, channel=name)
    if as_json:
        document(**fields_of(told))
        return
    for line in channel_lines(told):
        put(line)


def _rule(
    do: str,
    channel_name: str,
    *,
    user: str | None,
    level: str | None,
    where: Where,
    as_json: bool,
    **said: str | None,
) -> None:
    who = who_speaks(where, user)

    async def carry_out() -> Receipt:
        async with open_chat(where, who, level=level) as chat:
            return await deeds.channel_rule(chat, do, channel_name, **said)

    receipt = run(carry_out, where=where, channel=channel_name)
    key = "rule.no_topic" if do == "topic" and not said.get("text") else f"rule.{do}"
    text = speaker()(key, channel=channel_name, who=said.get("who"))
    fields = {name: value for name, value in said.items() if value is not None}
    tell_receipt(receipt, text, as_json=as_json, channel=channel_name, do=do, **fields)


@channel.command(
    "topic",
    epilog="\b\nExamples:\n  recado channel topic geral 'café às três'\n"
    f"  recado channel topic geral ''      none any more\n\n{CODES}",
)
@click.argument("name", metavar="CHANNEL")
@click.argument("text")
@reason_option
@user_option
@level_option
@where_options
@json_option
def topic(
    *,
    name: str,
    text: str,
    reason: str | None,
    user: str | None,
    level: str | None,
    where: Where,
    as_json: bool,
) -> None:
    """Set a channel's topic; an empty TEXT takes it away."""
    _rule("topic", name, text=text, reason=reason, user=user, level=level, where=where, as_json=as_json)


def _whole(do: str, about: str) -> None:
    """A command about the channel as a whole."""

    @channel.command(
        do, help=about, epilog=f"\b\nExample:\n  recado channel {do} geral --user ana\n\n{CODES}"
    )
    @click.argument("name", metavar="CHANNEL")
    @reason_option
    @user_option
    @level_option
    @where_options
    @json_option
    def _(
        *, name: str, reason: str | None, user: str | None, level: str | None, where: Where, as_json: bool
    ) -> None:
        _rule(do, name, reason=reason, user=user, level=level, where=where, as_json=as_json)


def _about(do: str, about: str) -> None:
    """A command about one user in the channel."""

    @channel.command(
        do,
        help=about,
        epilog=f"\b\nExample:\n  recado channel {do} geral bob --user ana\n\n{CODES}",
    )
    @click.argument("name", metavar="CHANNEL")
    @click.argument("who", metavar="USER")
    @reason_option
    @user_option
    @level_option
    @where_options
    @json_option
    def _(
        *,
        name: str,
        who: str,
        reason: str | None,
        user: str | None,
        level: str | None,
        where: Where,
        as_json: bool,
    ) -> None:
        _rule(do, name, who=who, reason=reason, user=user, level=level, where=where, as_json=as_json)


for _word, _help in (
    ("private", "From now on the channel is listed and readable only for its members."),
    ("public", "From now on the channel is everybody's to read."),
    ("moderated", "From now on only operators, and who has a voice, speak there."),
    ("unmoderated", "From now on everybody speaks there."),
    ("leave", "Give up being a member, or operator, of CHANNEL."),
):
    _whole(_word, _help)
for _word, _help in (
    ("invite", "Let USER into a private channel."),
    ("uninvite", "USER is no longer a member of a private channel."),
    ("op", "USER operates the channel: may do all that stands here."),
    ("deop", "USER no longer operates the channel, and stays a member."),
    ("voice", "USER may speak while the channel is moderated."),
    ("devoice", "USER may no longer speak while the channel is moderated."),
    ("mute", "USER may read and not speak."),
    ("unmute", "USER may speak again."),
    ("ban", "USER may neither speak nor, if the channel is private, read; and can't be invited."),
    ("unban", "USER is no longer banned; a member only if invited again."),
    ("kick", "Put USER out of a private channel; of a public one USER loses rights and voice."),
):
    _about(_word, _help)
