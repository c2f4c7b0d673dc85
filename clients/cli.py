"""``recado``: one command with subcommands, each loaded only when it is used.

`recado --version`, help and completion import none of them, so they answer at once.
"""

import importlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from recado import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

INTERRUPTED = 130
COMPLETING = "_RECADO_COMPLETE"  # set by the shells' completion scripts

# Name, module, attribute, one line of help.  The order is that of `recado --help`.
COMMANDS: tuple[tuple[str, str, str, str], ...] = (
    ("init", "clients.init", "init", "Make this host a node of a cluster."),
    ("up", "clients.up", "up", "Run a cluster on this machine."),
    ("ps", "clients.local", "ps", "The nodes of the cluster that `up` runs."),
    ("logs", "clients.local", "logs", "What the nodes log."),
    ("stop", "clients.local", "stop", "Stop one node."),
    ("start", "clients.local", "start", "Start a stopped node."),
    ("down", "clients.local", "down", "Stop the cluster."),
    ("chat", "clients.chat", "chat", "Talk, interactively or through a pipe."),
    ("login", "clients.talk", "login", "Register a user, or come back as one."),
    ("users", "clients.look", "users", "List the users."),
    ("channels", "clients.look", "channels", "List the channels."),
    (
        "channel",
        "clients.rules.channel",
        "channel",
        "A channel: create, info, topic, invite, op, mute, ban, ….",
    ),
    ("user", "clients.rules.user", "user", "Users and their keys: show, add-key, revoke, invite, …."),
    ("audit", "clients.rules.audit", "audit", "Who changed what about users and channels."),
    ("publish", "clients.talk", "publish", "Say something on a channel."),
    ("dm", "clients.talk", "dm", "Say something to one user."),
    ("outbox", "clients.outbox", "outbox", "Messages that wait to be confirmed: list, send, drop."),
    ("tail", "clients.look", "tail", "Show the last messages, and those that arrive."),
    ("history", "clients.look", "history", "Show a page of earlier messages."),
    ("search", "clients.search", "search", "Find messages by their words."),
    ("sync", "clients.look", "sync", "Ask a server for all it has."),
    ("status", "clients.watching.status", "status", "Show who leads, and how every server is."),
    ("top", "clients.watching.top", "top", "Show that live."),
    ("doctor", "clients.watching.doctor", "doctor", "Find what is wrong, and what mends it."),
    ("bot", "clients.bot", "bot", "Make traffic."),
    ("verify", "clients.replica", "verify", "Compare replicas."),
    ("replica", "clients.replica", "replica", "Look into a replica: dump, diff, quarantine."),
    ("backup", "clients.backup", "backup", "A node's data as one checked file: make, verify, show."),
    ("restore", "clients.backup", "restore", "Put a backup where a stopped node will find it."),
    ("config", "clients.config", "config", "The settings in effect: check, show."),
    ("systemd", "clients.systemd", "systemd", "The units of an installation by pip: install, remove."),
    ("keygen", "clients.keygen", "keygen", "Make keys for a node, a user or the cluster."),
    (
        "roster",
        "clients.roster",
        "roster",
        "Who belongs to a cluster with keys: init, add, rotate, show, ….",
    ),
    ("ssh", "clients.ssh.command", "ssh", "Logins over SSH: what OpenSSH calls on a node."),
    ("member", "clients.member", "member", "The list of servers: list, add, remove."),
)


@contextmanager
def _printable_errors() -> Iterator[None]:
    """Click repeats what it was given, which may be somebody else's words in a script's variable."""
    try:
        yield
    except click.ClickException as error:
        from recado.protocol.printable import printable

        error.message = printable(error.message, keep="\n")  # type: ignore[misc]  # final for subclasses
        raise


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    # ruff: noqa: ARG002 - the signatures are click's
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, *_ in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for name, module, attribute, _ in COMMANDS:
            if name == cmd_name:
                command: click.Command = getattr(importlib.import_module(module), attribute)
                if COMPLETING in os.environ:
                    from clients.completion import knowing_names

                    return knowing_names(command)
                return command
        return None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        from clients.completion import commands

        own = commands(((name, text) for name, _, _, text in COMMANDS), incomplete)
        return [*own, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a terminal that has no ✓ is no error
        try:
            with _printable_errors():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _printable_errors():
            return super().make_context(*args, **kwargs)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, _, _, text in COMMANDS])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="recado")
def cli() -> None:
    """Recado: a messenger that a few Linux hosts run for themselves."""


def main(arguments: list[str] | None = None) -> Any:
    """The console script."""
    try:
        return cli(args=arguments, prog_name="recado")
    except Exception:  # noqa: BLE001 - the outermost boundary: a fault becomes words and an exit code
        import traceback

        from clients.ending import SOFTWARE
        from clients.output import words

        words(traceback.format_exc())  # it may repeat what somebody sent
        sys.exit(SOFTWARE)


if __name__ == "__main__":
    main()
