"""A login over SSH: one command that is offered, or the chat, in the name of who has come."""

import io
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from clients.cli import cli
from clients.ending import FAILURE
from clients.output import put, words
from clients.ssh.allowed import HELP, arguments_of, tops, words_of
from clients.ssh.door import KEY_FILE, Door, Watch, directory_of, door_of, session_identity
from clients.words import speaker
from recado.keys import z85

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
)


def login(command: bytes, fingerprint: str, *, config: Path, state: Path) -> None:
    """Carry out the `command` as it came (none: the chat), and end with its exit code.

    `fingerprint`: of the SSH key that opened the door.  Raises `Ended`, `click.UsageError`, SystemExit.
    """
    given = words_of(command)
    _speak_utf8()
    if given and given[0] in HELP:
        put(speaker()("ssh.help", offered=", ".join(tops())))
        return
    arguments = arguments_of(given)
    door = door_of(config)
    os.umask(0o077)
    identity = session_identity(door, fingerprint, state=state)
    home = directory_of(state, fingerprint)
    if not door.is_open():
        door = door._replace(servers=(*door.servers[1:], *door.servers[:1]))  # the node's own last
    environment = environment_of(door, home, user=identity.name, env=os.environ)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir("/")

    def over() -> None:
        os.kill(os.getpid(), signal.SIGHUP)  # long commands end in order by it

    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever started sshd may have it ignored
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
