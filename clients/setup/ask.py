"""The questions of `recado init` on a terminal, each with an answer that is taken by Enter."""

import socket
import sys

import click

from clients.output import words
from clients.setup.checks import own_addresses
from clients.setup.plan import PlanError, place
from clients.setup.words import speaker
from recado.protocol.names import is_node_name

NODES_MAX = 64


def can_ask() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask_cluster() -> str:
    """The cluster's name."""
    return str(click.prompt(speaker()("init.cluster"), default="recado", err=True)).strip()


def ask_nodes() -> list[str]:
    """Nodes as NAME=HOST[:PORT], until an empty line; what can't be is asked for again."""
    say, found = speaker(), list[str]()
    words(say("init.nodes"))
    while len(found) < NODES_MAX:
        default = "" if found else _this_host()
        line = str(
            click.prompt(
                say("init.node", number=len(found) + 1), default=default, show_default=bool(default), err=True
            )
        ).strip()
        if not line:
            if found:
                return found
            continue
        for spec in line.split():
            try:
                place(spec, rank=1)
            except PlanError as error:
                words(str(error))
                break
            found.append(spec)
    return found


def _this_host() -> str:
    name, addresses = socket.gethostname().partition(".")[0], own_addresses()
    return f"{name}={addresses[0]}" if addresses and is_node_name(name) else ""


def confirm(question: str) -> bool:
    """Yes or no, yes by Enter."""
    return bool(click.confirm(question, default=True, err=True))
