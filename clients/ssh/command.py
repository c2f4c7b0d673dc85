"""`recado ssh`: the two things that OpenSSH calls on a node.  docs/ssh.md has the configuration."""

import io
import os
import re
import signal
import sys
import syslog
from collections.abc import Mapping
from pathlib import Path

import click

from clients.cli import cli
from clients.ending import CONFIGURATION, FAILURE, Ended
from clients.output import put, words
from clients.ssh.allowed import HELP, arguments_of, tops, words_of
from clients.ssh.door import KEY_FILE, Door, Watch, directory_of, door_of, session_identity
from clients.words import speaker
from recado.protocol.ssh_keys import ident_of, parse_key

CONFIGURATION_FILE = Path("/etc/recado/recado.toml")
DATA = Path("/var/lib/recado")
STATE = Path("/var/lib/recado-ssh")
PROGRAM = "/opt/recado/bin/recado"
_PROGRAM = re.compile(r"/[A-Za-z0-9/._-]+")
# What a command may hear of who has come; everything else of the environment is ours.
_KEPT = (
    "TERM",
    "LANG",
    "LC_ALL",
    "LC_MESSAGES",
    "RECADO_LANG",
    "NO_COLOR",
    "TZ",
    "PATH",
    "HOME",
    "LD_LIBRARY_PATH",
)


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
    identities = Identities()
    try:
        replicas = find_replicas(data)
        for path in replicas:  # of all of them together, as everything is a function of the set of entries
            for entry in entries_about_key(path, asked.text):
                identities.take(entry)
    except (StorageError, OSError) as error:
        replicas = []
        syslog.syslog(syslog.LOG_AUTH | syslog.LOG_ERR, f"recado: {error}")
    if not replicas:
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
    given = words_of(os.environb.get(b"SSH_ORIGINAL_COMMAND", b""))
    _speak_utf8()
    if ident_of(fingerprint) is None:
        raise Ended(f"{fingerprint!r} is no fingerprint", CONFIGURATION)
    if given and given[0] in HELP:
        put(speaker()("ssh.help", offered=", ".join(tops())))
        return
    arguments = arguments_of(given)
    door = door_of(config)
    os.umask(0o077)
    identity = session_identity(door, fingerprint, state=state)
    home = directory_of(state, fingerprint)
    environment = environment_of(door, home, user=identity.name, env=os.environ)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir("/")
    from recado.keys import z85

    def over() -> None:
        os.kill(os.getpid(), signal.SIGHUP)  # long commands end in order by it

    with Watch(door, fingerprint, key=z85(identity.public), over=over) as watch:
        try:
            cli(args=arguments, prog_name="recado")
        finally:
            if watch.ended:
                words(speaker()("ssh.ended"))
                sys.exit(FAILURE)


def environment_of(door: Door, home: Path, *, user: str, env: Mapping[str, str]) -> dict[str, str]:
    """The environment in which a command finds the cluster, and who speaks; nothing of it is the user's."""
    found = {name: env[name] for name in _KEPT if name in env}
    found |= {
        "PYTHONUTF8": "1",
        "RECADO_ROSTER": door.roster,
        "RECADO_KEY": str(home / KEY_FILE),
        "RECADO_USER": user,
        "RECADO_STATE": str(home),
    }
    if door.servers:
        found["RECADO_SERVER"] = " ".join(door.servers)
    if door.reference:
        found["RECADO_REFERENCE"] = door.reference
    return found


def _speak_utf8() -> None:
    """Whatever the client's locale is called, and whether this host has it."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
