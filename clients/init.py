"""`recado init`: from hosts and names to configuration, keys and roster of a node; and of all others."""

import os
from pathlib import Path

import click

from clients.ending import Ended
from clients.options import json_option
from clients.setup.ask import ask_cluster, ask_nodes, can_ask, confirm
from clients.setup.files import Places
from clients.setup.operator import default_operator
from clients.setup.plan import EACH_MAX, Plan, PlanError, make_plan, spread
from clients.setup.words import speaker

EPILOG = """\b
Examples. Three hosts, from the first one, as root:
  recado init --start --cluster casa n1=10.77.0.11 n2=10.77.0.12 n3=10.77.0.13
  ssh root@10.77.0.12 recado init --start --from - < n2.recado
  ssh root@10.77.0.13 recado init --start --from - < n3.recado
  recado status

\b
A fourth one later, on the first:
  recado init --add n4=10.77.0.14

\b
Exit codes: 0 done, or so already, 1 refused, 2 wrong usage, 73 other files are there or can't be written,
75 written but not started, 78 a file that is there can't be used.
"""


@click.command("init", epilog=EPILOG)
@click.argument("nodes", nargs=-1, metavar="[NAME=HOST[:PORT]...]")
@click.option(
    "--servers-per-host",
    "each",
    type=click.IntRange(1, EACH_MAX),
    help="Members on each host: NAME, NAME-2, …; for hosts with cores to spare.  [default: 1]",
)
@click.option("--cluster", metavar="ID", help="The cluster's name.  [default: recado]")
@click.option("--node", metavar="NAME", help="Which of them this host is.  [default: the first]")
@click.option("--reference", metavar="NAME", help="Where the reference runs.  [default: the first]")
@click.option(
    "--broker",
    "brokers",
    multiple=True,
    metavar="NAME",
    help="Where one runs; repeatable.  [default: the first]",
)
@click.option(
    "--operator",
    metavar="NAME",
    help="Who gets an operator's key here.  [default: who called sudo, else operator]",
)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="What the first node made for this one; - for standard input.",
)
@click.option("--keep", is_flag=True, help="With --from: leave the file, which holds keys, where it is.")
@click.option(
    "--add", "added", metavar="NAME=HOST[:PORT]", help="One more node, for a cluster that is there."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    metavar="DIR",
    help="Where the files for the other nodes go.  [default: here]",
)
@click.option("--start", is_flag=True, help="Start the daemons, now and at each boot.")
@click.option("--socket", "with_socket", is_flag=True, help="Have systemd hold the server's port.")
@click.option("--open-lab", is_flag=True, help="Without keys: for laboratories only.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/"),
    metavar="DIR",
    help="Write below DIR, an image: this host's addresses and ports are not looked at.",
)
@click.option(
    "--force", is_flag=True, help="Replace what is there and says something else; it stays as .old."
)
@click.option("--yes", is_flag=True, help="Ask nothing.")
@json_option
def init(
    *,
    nodes: tuple[str, ...],
    each: int | None,
    cluster: str | None,
    node: str | None,
    reference: str | None,
    brokers: tuple[str, ...],
    operator: str | None,
    source: Path | None,
    keep: bool,
    added: str | None,
    output: Path,
    start: bool,
    with_socket: bool,
    open_lab: bool,
    root: Path,
    force: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Make this host a node: checked configuration, keys and roster, and a file for each other node.

    Without arguments it asks.  What is there already and right stays; nothing is written over.
    """
    from clients.setup.running import Setup, add_node, create, take

    if sum((bool(nodes), source is not None, added is not None)) > 1:
        raise click.UsageError("one of NAME=HOST..., --from and --add")
    if each is not None and (source is not None or added is not None):
        raise click.UsageError(speaker()("init.each_is_new"))
    setup = Setup(
        places=Places(root=root.absolute()),
        output=output,
        start=start,
        with_socket=with_socket,
        force=force,
        as_json=as_json,
    )
    if source is not None:
        take(setup, None if source == Path("-") else source, keep=keep)
        return
    if added is not None:
        add_node(setup, added)
        return
    asking = not yes and not as_json and can_ask()
    if not nodes:
        if not asking:
            raise click.UsageError(speaker()("init.need_nodes"))
        cluster = cluster or ask_cluster()
        nodes = tuple(ask_nodes())
    try:
        nodes = tuple(spread(nodes, each or 1))
        plan = make_plan(cluster or "recado", nodes, reference=reference, brokers=brokers, open_lab=open_lab)
    except PlanError as error:
        raise click.UsageError(str(error)) from None
    here = _here(plan, node)
    if asking:
        setup.start = _agreed(plan, here) and (start or _start_now(setup.places))
    create(setup, plan, here, operator=operator or default_operator(os.environ))


def _here(plan: Plan, node: str | None) -> str:
    """The node by whose name this host goes.  Raises `click.UsageError`."""
    here = node or plan.nodes[0].name
    if plan.node(here) is None:
        names = ", ".join(place.name for place in plan.nodes)
        raise click.UsageError(speaker()("init.no_node", node=here, nodes=names))
    return plan.lead(here)


def _agreed(plan: Plan, node: str) -> bool:
    """Show what will be, and ask.  Raises `Ended` at a no."""
    say = speaker()
    names = " ".join(f"{place.name}={place.host}:{place.port}" for place in plan.nodes)
    told = say(
        "init.summary",
        cluster=plan.cluster,
        nodes=names,
        node=node,
        reference=plan.reference,
        brokers=", ".join(plan.brokers),
    )
    if not confirm(f"{told}\n{say('init.go')}"):
        raise Ended(say("init.not_written"))
    return True


def _start_now(places: Places) -> bool:
    from clients.setup.checks import manager_runs, units_there

    if places.root != Path("/") or not (manager_runs() and units_there()):
        return False
    return confirm(speaker()("init.start_now"))
