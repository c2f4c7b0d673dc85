"""`recado user add-ssh-key`: with which keys of SSH somebody comes to the nodes."""

from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import click

from clients.ending import CONFIGURATION, DATA, Ended
from clients.keyring import who_speaks
from clients.options import Where, json_option, level_option, user_option, where_options
from clients.render import tell_receipt
from clients.rules.options import CODES
from clients.session import open_chat, run
from clients.words import speaker
from recado.client import NameTaken, Receipt
from recado.protocol.ssh_keys import LINE_CHARACTERS_MAX, SshKey, parse_key

FINGERPRINT = "SHA256:"  # how one begins
_FILE_BYTES_MAX = 4 * LINE_CHARACTERS_MAX


@click.command(
    "add-ssh-key",
    epilog="\b\nExamples:\n  recado user add-ssh-key ana < ~/.ssh/id_ed25519.pub\n"
    "  recado user add-ssh-key ana laptop.pub --label laptop\n"
    f"  recado user add-ssh-key rita rita.pub --user olga --create    an operator registers rita\n\n{CODES}",
)
@click.argument("name", metavar="USER")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--label", metavar="TEXT", help="What the key is for; it stands in the audit log.")
@click.option("--create", is_flag=True, help="Register USER if nobody has that name: for operators.")
@user_option
@level_option
@where_options
@json_option
def add_ssh_key(
    *,
    name: str,
    file: BinaryIO,
    label: str | None,
    create: bool,
    user: str | None,
    level: str | None,
    where: Where,
    as_json: bool,
) -> None:
    """Add the public SSH key in FILE, or on standard input: with it USER comes to every node by `ssh`.

    One's own, or as an operator anybody's.  The nodes need an account for it: see docs/ssh.md.
    """
    who, say = who_speaks(where, user), speaker()
    key = _key_in(file.read(_FILE_BYTES_MAX))

    async def do() -> Receipt:
        async with open_chat(where, who, level=level) as chat:
            if create:
                with suppress(NameTaken):  # there already, perhaps since the last try
                    await chat.register(name, reason=label)
            return await chat.add_ssh_key(key.text, user=name, reason=label)

    receipt = run(do, where=where)
    text = say("user.ssh_key_added", user=name, public=key.fingerprint)
    tell_receipt(receipt, text, as_json=as_json, user=name, public_key=key.fingerprint)


def name_of_file(path: Path) -> str:
    """How the log names the public key in a file, of ours or of SSH.  Raises `Ended`."""
    from recado.keys import KeyFileError, read_public, z85

    try:
        with path.open("rb") as file:
            found = _parsed(file.read(_FILE_BYTES_MAX))
        return z85(read_public(path).public) if found is None else found.fingerprint
    except (OSError, KeyFileError) as error:
        raise Ended(str(error), CONFIGURATION) from None


def _key_in(raw: bytes) -> SshKey:
    if b"PRIVATE KEY" in raw:
        raise Ended(speaker()("user.private_key"), DATA)
    key = _parsed(raw)
    if key is None:
        raise Ended(speaker()("user.no_ssh_key"), DATA)
    return key


def _parsed(raw: bytes) -> SshKey | None:
    """The one key in a file of lines as OpenSSH writes them."""
    lines = raw.decode("utf-8", "replace").splitlines()
    lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return parse_key(lines[0]) if len(lines) == 1 else None
