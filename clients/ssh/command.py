"""`recado ssh`: the two things that OpenSSH calls on a node.  docs/ssh.md has the configuration."""

import os
import re
import syslog
from pathlib import Path

import click

from clients.ending import CONFIGURATION, Ended
from clients.output import put
from recado.protocol.ssh_keys import ident_of, parse_key

CONFIGURATION_FILE = Path("/etc/recado/recado.toml")
DATA = Path("/var/lib/recado")
STATE = Path("/var/lib/recado-ssh")
PROGRAM = "/opt/recado/bin/recado"
_PROGRAM = re.compile(r"/[A-Za-z0-9/._-]+")


@click.group("ssh", epilog="\b\nExample:\n  ssh bbs@node publish geral < letter.txt")
def ssh() -> None:
    """Logins over SSH: what OpenSSH calls on a node, from /etc/ssh/sshd_config.d/recado.conf.

    Keys are added with `recado user add-ssh-key`.
    """


@ssh.command("authorized-keys", epilog="\b\nExample:\n  recado ssh authorized-keys ssh-ed25519 AAAAC3Nz…")
@click.argument("kind", metavar="TYPE")
@click.argument("key", metavar="BASE64")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=DATA,
    show_default=True,
    metavar="DIR",
    help="Where the node's servers keep their replicas.",
)
@click.option(
    "--program", default=PROGRAM, show_default=True, metavar="PATH", help="What is to be run for the login."
)
def authorized_keys(*, kind: str, key: str, data: Path, program: str) -> None:
    """For sshd's AuthorizedKeysCommand: the line that lets the user of this key in, or nothing.

    It reads the replicas of this node, whether their servers run or not.
    """
    from recado.protocol.identities import Identities
    from storage.database import StorageError
    from storage.inspection import find_replicas
    from storage.ssh_lookup import entries_about_key

    asked = parse_key(f"{kind} {key}")
    if _PROGRAM.fullmatch(program) is None:
        raise Ended(f"--program: {program!r}", CONFIGURATION)
    if asked is None:
        return
    identities, read = Identities(), 0
    for path in find_replicas(data):
        # Of all of them together, as everything is a function of the set of entries.  One that was put aside
        # here because it is damaged keeps nobody out.
        try:
            entries = entries_about_key(path, asked.text)
        except (StorageError, OSError) as error:
            syslog.syslog(syslog.LOG_AUTH | syslog.LOG_ERR, f"recado: {error}")
            continue
        read += 1
        for entry in entries:
            identities.take(entry)
    if not read:
        raise Ended(f"no replica can be read below {data}", CONFIGURATION)
    user = identities.owner(asked.ident)
    if user is not None and not user.suspended:
        put(f'restrict,pty,command="{program} ssh session {asked.fingerprint}" {asked.text}')


@ssh.command("session", epilog="\b\nExample:\n  SSH_ORIGINAL_COMMAND='tail -n 5' recado ssh session SHA256:…")
@click.argument("fingerprint")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=CONFIGURATION_FILE,
    show_default=True,
    metavar="FILE",
    help="The node's configuration.",
)
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=STATE,
    show_default=True,
    metavar="DIR",
    help="Where the account keeps its keys and cursors.",
)
def session(*, fingerprint: str, config: Path, state: Path) -> None:
    """The messenger as a login: the command in SSH_ORIGINAL_COMMAND, or the chat, for the SSH key's user.

    There is no shell, and none but the commands that `ssh bbs@node help` names; they read and write no
    file of the node.
    """
    if ident_of(fingerprint) is None:
        raise Ended(f"{fingerprint!r} is no fingerprint", CONFIGURATION)
    from clients.ssh.login import login

    login(os.environb.get(b"SSH_ORIGINAL_COMMAND", b""), fingerprint, config=config, state=state)
