"""`recado ps|logs|stop|start|down`: what one does with the cluster that `recado up` runs."""

import os
import select
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from clients.cluster import control
from clients.cluster.cannot import CannotStart
from clients.cluster.follow import follow, last_lines, log_files
from clients.cluster.ground import absolute, leftovers
from clients.ending import UNAVAILABLE, Ended
from clients.options import data_option, json_option
from clients.output import document, put, words
from clients.words import speaker

DOWN_SECONDS = 10.0


def _ask(data: Path, **request: Any) -> dict[str, Any]:
    try:
        return control.ask(absolute(data), request)
    except (control.NotRunning, control.Refused) as error:
        raise Ended(str(error), error.exit_code) from None


@click.command(
    "ps", epilog="\b\nExample:\n  recado ps --json | jq '.nodes[].pid'\n\nExit codes: 69 no cluster runs."
)
@data_option
@json_option
def ps(data: Path, as_json: bool) -> None:
    """List the nodes of the running cluster: state, process, age, restarts, addresses."""
    told = _ask(data, do="ps")
    told.pop("ok")
    if as_json:
        document(**told)
        return
    say = speaker()
    put(f"{'NODE':<12} {'STATE':<9} {'PID':>7} {'AGE':>7} {'RESTARTS':>8}  LISTENS")
    for row in told["nodes"]:
        age = "-" if row["since"] is None else _age(time.time() - row["since"])
        listens = " ".join(row["endpoints"].values())
        pid = "-" if row["pid"] is None else row["pid"]
        put(f"{row['node']:<12} {row['state']:<9} {pid:>7} {age:>7} {row['restarts']:>8}  {listens}".rstrip())
    words(say("ps.coordinator", name=told["coordinator"] or say("ps.unknown")))


def _age(seconds: float) -> str:
    whole = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


@click.command(
    "stop", epilog="\b\nExample:\n  recado stop server-3\n\nExit codes: 1 no such node, 69 no cluster runs."
)
@click.argument("node")
@data_option
@json_option
def stop(node: str, data: Path, as_json: bool) -> None:
    """Stop one node; it stays down until `recado start NODE`."""
    _ask(data, do="stop", node=node)
    _done("stop", node, as_json=as_json)


@click.command(
    "start", epilog="\b\nExample:\n  recado start server-3\n\nExit codes: 1 no such node, 69 no cluster runs."
)
@click.argument("node")
@data_option
@json_option
def start(node: str, data: Path, as_json: bool) -> None:
    """Start a node that was stopped, or that died and was left down."""
    _ask(data, do="start", node=node)
    _done("start", node, as_json=as_json)


def _done(what: str, node: str, *, as_json: bool) -> None:
    if as_json:
        document(event={"stop": "stopped", "start": "started"}[what], node=node)
    else:
        words(speaker()(f"{what}.done", node=node))


@click.command(
    "down", epilog="\b\nExamples:\n  recado down\n  recado down --wipe      begin from nothing next time"
)
@data_option
@click.option("--wipe", is_flag=True, help="Delete the nodes' data as well.")
@json_option
def down(data: Path, wipe: bool, as_json: bool) -> None:
    """Stop the cluster in order and wait until it is gone.  Without one running, nothing is to do."""
    data = absolute(data)
    try:
        pid = int(control.ask(data, {"do": "down"})["pid"])
    except control.NotRunning:
        pid = None
    if pid is not None and not _gone(pid):
        raise Ended(f"process {pid} still runs after {DOWN_SECONDS:g} s", 75)
    wiped = _wipe(data) if wipe else []
    if as_json:
        document(event="stopped", was_running=pid is not None, wiped=wiped)
        return
    say = speaker()
    words(say("down.none", data=data) if pid is None else say("down.done"))
    if wiped:
        words(say("down.wiped", paths=" ".join(wiped)))


def _gone(pid: int) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], DOWN_SECONDS)[0])
    finally:
        os.close(descriptor)


def _wipe(data: Path) -> list[str]:
    try:
        found = leftovers(data)
        for path in found:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except CannotStart as error:
        raise Ended(str(error), error.exit_code) from None
    except OSError as error:
        raise Ended(f"can't delete {error.filename}: {error.strerror}") from None
    return [str(path) for path in found]


@click.command("logs", epilog="\b\nExamples:\n  recado logs -f\n  recado logs -n 100 server-1")
@click.argument("node", required=False)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with what is written from now on.")
@click.option(
    "-n", "--lines", type=click.IntRange(0), default=20, show_default=True, help="Last lines of each node."
)
@data_option
@json_option
def logs(node: str | None, following: bool, lines: int, data: Path, as_json: bool) -> None:
    """Show what the nodes log, also when the cluster is down.  Each line begins with its node."""
    data = absolute(data)
    files = log_files(data, node)
    if not files:
        raise Ended(speaker()("logs.none", data=data / (node or "")), UNAVAILABLE)

    def show(name: str, line: str) -> None:
        if as_json:
            document(node=name, line=line)
        else:
            put(f"{name:<10} | {line}", keep="\t")
        sys.stdout.flush()

    def newest() -> Iterator[tuple[str, str]]:
        for name, path in files:
            for line in last_lines(path, lines):
                yield name, line

    for name, line in newest():
        show(name, line)
    if following:
        try:
            for name, line in follow(data, node, files):
                show(name, line)
        except KeyboardInterrupt:
            return
