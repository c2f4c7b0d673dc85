"""`recado user …`: who is registered, with which keys; devices added and revoked; invitations."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import click

from clients.ending import CONFIGURATION, DATA, Ended
from clients.keyring import who_speaks
from clients.options import Where, json_option, level_option, user_option, where_options
from clients.output import document, put, words
from clients.render import moment, receipt_json, tell_receipt
from clients.rules.facts import fields_of
from clients.rules.options import CODES, expires_option, reason_option
from clients.rules.ssh_keys import FINGERPRINT, add_ssh_key, name_of_file
from clients.session import open_chat, run
from clients.words import speaker
from recado.client import Chat, Receipt, UserInfo
from recado.protocol.entry import hash16
from recado.protocol.printable import printable

INVITATIONS_AT_ONCE_MAX = 100
KEY_BEGINNING_CHARACTERS = 4  # of a key, to name it by
TOKEN_DIGITS = 30  # of an invitation; the audit log shows a hash of 32
T = TypeVar("T")

_for_option = click.option(
    "--for", "whose", metavar="NAME", help="Whose key, if not that of who speaks: for operators."
)


@click.group("user", epilog="\b\nExamples:\n  recado user keys ana\n  recado user add-key phone/ana.pub")
def user() -> None:
    """Users and their keys.

    Everybody manages their own keys.  Suspending others, inviting and registering them is for operators
    (`recado roster add --operator`).
    """


@user.command("list", epilog=f"\b\nExample:\n  recado user list --json | jq -r '.users[]'\n\n{CODES}")
@user_option
@where_options
@json_option
def list_(*, user: str | None, where: Where, as_json: bool) -> None:
    """List all registered users, in the order of their registration."""

    async def do() -> list[str]:
        async with open_chat(where, None, key_of=user) as chat:
            return await chat.users()

    found = run(do, where=where)
    if as_json:
        document(users=found)
        return
    for name in found:
        put(name)


@user.command("show", epilog=f"\b\nExample:\n  recado user show bob\n\n{CODES}")
@click.argument("name", metavar="USER")
@user_option
@where_options
@json_option
def show(*, name: str, user: str | None, where: Where, as_json: bool) -> None:
    """Show who USER is: since when, a person or a bot, suspended or not, how many keys."""
    told = _info(name, user=user, where=where)
    if as_json:
        document(**fields_of(told))
        return
    own = [key for key in told.keys if key.via is None]
    held = sum(key.revoked is None for key in own)
    facts = {
        "user": told.user,
        "role": told.role,
        "suspended": "yes" if told.suspended else "no",
        "since": moment(told.since),
        "keys": held,
        "revoked": len(own) - held,
    }
    for field, value in facts.items():
        put(f"{field:<9}  {printable(str(value))}")


@user.command("keys", epilog=f"\b\nExample:\n  recado user keys ana --json | jq -r '.keys[].key'\n\n{CODES}")
@click.argument("name", metavar="[USER]", required=False)
@user_option
@where_options
@json_option
def keys(*, name: str | None, user: str | None, where: Where, as_json: bool) -> None:
    """Show the keys of USER, or one's own: since when, revoked when and why."""
    told = _info(name or who_speaks(where, user), user=user, where=where)
    if as_json:
        document(**fields_of(told))
        return
    for key in told.keys:
        kind = "" if key.ssh_key is None else f"  {printable(key.ssh_key.partition(' ')[0])}"
        via = "" if key.via is None else f"  for logins with {printable(key.via)}"
        state = "" if key.revoked is None else f"  revoked {moment(key.revoked)}"
        reason = printable(key.reason or "")
        put(f"{printable(key.key)}  {moment(key.since)}{kind}{via}{state}  {reason}".rstrip())


def _info(name: str, *, user: str | None, where: Where) -> UserInfo:
    async def do() -> UserInfo:
        async with open_chat(where, None, key_of=user) as chat:
            return await chat.user_info(name)

    return run(do, where=where)


@user.command(
    "add-key",
    epilog="\b\nExamples:\n  recado user add-key phone/ana.pub --label phone    a second device of ana's\n"
    f"  recado user add-key bob.pub --user operator       an operator registers bob\n\n{CODES}",
)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--label", metavar="TEXT", help="What the key is for; it stands in the audit log.")
@_for_option
@user_option
@level_option
@where_options
@json_option
def add_key(
    *,
    file: Path,
    label: str | None,
    whose: str | None,
    user: str | None,
    level: str | None,
    where: Where,
    as_json: bool,
) -> None:
    """Add the key in FILE, a public part (NAME.pub), to the user it was made for.

    From then on it is as good as the first.  If an operator adds a key to a name that nobody has, it
    registers that user.
    """
    from recado.keys import KeyFileError, read_public, z85

    who, say = who_speaks(where, user), speaker()
    try:
        part = read_public(file)
    except KeyFileError as error:
        raise Ended(str(error), CONFIGURATION) from None
    if part.kind not in ("user", "bot"):
        raise Ended(say("user.node_key", file=file), DATA)
    key, name = z85(part.public), whose or part.name

    async def do() -> Receipt:
        async with open_chat(where, who, level=level) as chat:
            return await chat.add_key(key, user=name, reason=label)

    receipt = run(do, where=where)
    tell_receipt(
        receipt, say("user.key_added", user=name, public=key), as_json=as_json, user=name, public_key=key
    )


@user.command(
    "revoke",
    epilog="\b\nExamples:\n  recado user revoke 'rq:rM' --reason lost       by its beginning\n"
    "  recado user revoke phone/ana.pub\n"
    f"  recado user revoke SHA256:Wk6mVL --reason lost  a key of SSH\n\n{CODES}",
)
@click.argument("which", metavar="KEY|FILE")  # `key` is the one that the command speaks with
@reason_option
@_for_option
@user_option
@level_option
@where_options
@json_option
def revoke(
    *,
    which: str,
    reason: str | None,
    whose: str | None,
    user: str | None,
    level: str | None,
    where: Where,
    as_json: bool,
) -> None:
    """Revoke a key for ever: nobody can speak or listen with it any more, from this moment.

    KEY is what `keys` shows or the beginning of it, FILE its public part.  One's last key can't be revoked
    by oneself.  With an SSH key ends also what nodes do for who has come with it.
    """
    who, say = who_speaks(where, user), speaker()
    name = whose or who
    if which.endswith((".pub", ".key")) and Path(which).exists():
        which = name_of_file(Path(which))

    async def do() -> tuple[Receipt, str]:
        async with open_chat(where, who, level=level) as chat:
            chosen = await _chosen(chat, name, which)
            of_ssh = chosen.startswith(FINGERPRINT)
            return await (chat.revoke_ssh_key if of_ssh else chat.revoke_key)(
                chosen, user=name, reason=reason
            ), chosen

    receipt, chosen = run(do, where=where)
    text = say("user.key_revoked", user=name, public=chosen)
    tell_receipt(receipt, text, as_json=as_json, user=name, public_key=chosen)


async def _chosen(chat: Chat, name: str, beginning: str) -> str:
    """The whole key that begins so.  Raises `Ended`."""
    held = [key.key for key in await chat.keys(name) if key.revoked is None]
    found = [key for key in held if key.startswith(beginning)]
    if len(found) > 1:
        raise Ended(speaker()("user.which_key", user=name, public=beginning))
    if not found or len(beginning) < KEY_BEGINNING_CHARACTERS:
        raise Ended(speaker()("user.no_key", user=name, public=beginning))
    return found[0]


def _standing(do: str, about: str) -> None:
    """A command of operators about one user."""

    @user.command(
        do,
        help=about,
        epilog=f"\b\nExample:\n  recado user {do} bob --user operator --reason 'pedido dele'\n\n{CODES}",
    )
    @click.argument("name", metavar="USER")
    @reason_option
    @user_option
    @level_option
    @where_options
    @json_option
    def _(
        *, name: str, reason: str | None, user: str | None, level: str | None, where: Where, as_json: bool
    ) -> None:
        async def carry_out(chat: Chat) -> Receipt:
            return await (chat.suspend if do == "suspend" else chat.restore)(name, reason=reason)

        receipt = _carried_out(carry_out, user=user, level=level, where=where)
        tell_receipt(receipt, speaker()(f"user.{do}", user=name), as_json=as_json, user=name, do=do)


_standing("suspend", "USER can do nothing any more, until restored.")
_standing("restore", "USER may use the cluster again.")


@user.command("role", epilog=f"\b\nExample:\n  recado user role marvin bot --user operator\n\n{CODES}")
@click.argument("name", metavar="USER")
@click.argument("role_name", metavar="ROLE", type=click.Choice(["user", "bot"]))
@reason_option
@user_option
@level_option
@where_options
@json_option
def role(
    *,
    name: str,
    role_name: Literal["user", "bot"],
    reason: str | None,
    user: str | None,
    level: str | None,
    where: Where,
    as_json: bool,
) -> None:
    """Say that USER is a person (`user`) or a program (`bot`), for which other limits hold."""

    async def carry_out(chat: Chat) -> Receipt:
        return await chat.set_role(name, role_name, reason=reason)

    receipt = _carried_out(carry_out, user=user, level=level, where=where)
    text = speaker()("user.role", user=name, role=role_name)
    tell_receipt(receipt, text, as_json=as_json, user=name, role=role_name)


def _carried_out(
    do: Callable[[Chat], Awaitable[T]], *, user: str | None, level: str | None, where: Where
) -> T:
    who = who_speaks(where, user)

    async def connected() -> T:
        async with open_chat(where, who, level=level) as chat:
            return await do(chat)

    return run(connected, where=where)


@user.command(
    "invite",
    epilog="\b\nExamples:\n  recado user invite --user operator --expires 7d\n"
    f"  recado user invite --uses 20 --json | jq -r '.tokens[]'\n\n{CODES}",
)
@click.option(
    "--uses",
    type=click.IntRange(1, INVITATIONS_AT_ONCE_MAX),
    default=1,
    show_default=True,
    metavar="N",
    help="How many may register: so many invitations, each good once.",
)
@expires_option
@reason_option
@user_option
@level_option
@where_options
@json_option
def invite(
    *,
    uses: int,
    expires: float | None,
    reason: str | None,
    user: str | None,
    level: str | None,
    where: Where,
    as_json: bool,
) -> None:
    """Invite people to register: one token a line, each for `recado login NAME --invite TOKEN`."""
    who, until = who_speaks(where, user), None if expires is None else int(expires)

    async def do() -> list[str]:
        async with open_chat(where, who, level=level) as chat:
            return [await chat.invitation(expires=until, reason=reason) for _ in range(uses)]

    tokens = run(do, where=where)
    if as_json:
        document(tokens=tokens, expires=until)
        return
    for token in tokens:
        put(token)
    words(speaker()("user.invited"))


@user.command("uninvite", epilog=f"\b\nExample:\n  recado user uninvite 3f9c… --user operator\n\n{CODES}")
@click.argument("tokens", nargs=-1, required=True, metavar="TOKEN...")
@reason_option
@user_option
@level_option
@where_options
@json_option
def uninvite(
    *,
    tokens: Sequence[str],
    reason: str | None,
    user: str | None,
    level: str | None,
    where: Where,
    as_json: bool,
) -> None:
    """Take invitations back, by their tokens or by what `recado audit` shows of them."""
    who = who_speaks(where, user)

    async def do() -> list[Receipt]:
        async with open_chat(where, who, level=level) as chat:
            return [await chat.revoke_invitation(_hash_of(token), reason=reason) for token in tokens]

    receipts = run(do, where=where)
    if as_json:
        document(tokens=list(tokens), receipts=[receipt_json(receipt) for receipt in receipts])
        return
    for receipt in receipts:
        tell_receipt(receipt, speaker()("user.uninvited"), as_json=False)


user.add_command(add_ssh_key)


def _hash_of(token: str) -> str:
    """What the log knows of an invitation; that itself is taken too."""
    return hash16(b"invite" + token.encode()).hex() if len(token) == TOKEN_DIGITS else token
