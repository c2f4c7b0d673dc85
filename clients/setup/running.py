"""The three things that `recado init` does: make a cluster, take what was made for this node, add a node."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import NoReturn

from clients.ending import CANNOT_CREATE, CONFIGURATION, FAILURE, TEMPORARY, Ended
from clients.output import document, words
from clients.setup import checks
from clients.setup.bundle import Bundle, BundleError, read_bundle
from clients.setup.files import Conflict, Done, Places, Wanted, make_directories, write_all
from clients.setup.making import bundle_files, bundle_for, make_keys, node_files
from clients.setup.operator import link_roster, open_keyring
from clients.setup.plan import Plan
from clients.setup.service import NotDone, enable, server_files, socket_files
from clients.setup.shape import warnings
from clients.setup.words import speaker
from recado.keys import KeyFileError
from recado.roster import RosterError


@dataclass(kw_only=True)
class Setup:
    """How it is to be done, and what has been done so far; `next`: what to type then."""

    places: Places
    output: Path = Path()
    start: bool = False
    with_socket: bool = False
    force: bool = False
    as_json: bool = False
    notes: list[str] = field(default_factory=list)
    next: list[str] = field(default_factory=list)


def create(setup: Setup, plan: Plan, node: str, *, operator: str) -> None:
    """Keys for all nodes, this node's files, a bundle for each other node.  Raises `Ended`."""
    places, say = setup.places, speaker()
    if not setup.force and _is_so_already(setup, plan, node):
        return
    _look(setup, plan, node)
    bundles: list[Wanted] = []
    try:
        made, keyring = None, None
        if not plan.open_lab:
            keyring = open_keyring(operator, places, os.environ)
            made = make_keys(
                plan,
                node=node,
                places=places,
                bundles=setup.output,
                operator=keyring.identity,
                fresh=setup.force,
            )
        bundles = bundle_files(plan, node, made, directory=setup.output)
        own = node_files(bundle_for(plan, node, made), places)
        more = [keyring.wanted] if keyring and not keyring.path.exists() else []
        done = _write(setup, [*bundles, *more, *_socket(setup, plan, node), *own])
        if keyring is not None:
            setup.notes.append(say("init.operator", path=keyring.path, name=keyring.identity.name))
            if not link_roster(keyring, places):
                path = keyring.directory / "roster.toml"
                setup.notes.append(say("init.roster_of_other", path=path, roster=places.roster))
    except (KeyFileError, RosterError) as error:
        raise Ended(str(error), CONFIGURATION) from None
    except OSError as error:
        _cannot_write(error)
    setup.notes += warnings(plan)
    paths = [file.path for file in bundles]
    if paths and not plan.open_lab:
        setup.notes.append(say("init.bundles", paths=" ".join(map(str, paths))))
    _run(setup, plan, node, paths)
    _tell(setup, plan, node, done, bundles=paths)


def take(setup: Setup, source: Path | None, *, keep: bool) -> None:
    """This node's files from its bundle; from an update, list and roster.  Raises `Ended`."""
    try:
        bundle = read_bundle(source)
    except BundleError as error:
        raise Ended(str(error), CONFIGURATION) from None
    if not bundle.node:
        from clients.setup.changing import take_update

        take_update(setup, bundle)
        return
    if bundle.plan.lead(bundle.node) != bundle.node:
        from clients.setup.changing import take_further

        take_further(setup, bundle, source, keep=keep)
        return
    plan, node = bundle.plan, bundle.node
    files = node_files(bundle, setup.places)
    if not setup.force and all(map(_as_wanted, files)):
        done = Done(kept=[file.path for file in files])
    else:
        _look(setup, plan, node, made=bundle.made)
        try:
            done = _write(setup, [*_socket(setup, plan, node), *files])
        except OSError as error:
            _cannot_write(error)
    put_away(setup, bundle, source, keep=keep)
    _run(setup, plan, node, [])
    _tell(setup, plan, node, done, bundles=[])


def put_away(setup: Setup, bundle: Bundle, source: Path | None, *, keep: bool) -> None:
    """Delete a bundle that was taken, for it holds keys; say so if others could read it."""
    if source is None or not bundle.keys:
        return
    say, mode = speaker(), source.stat().st_mode & 0o777
    if mode & 0o077:
        setup.notes.append(say("init.bundle_open", path=source, mode=f"{mode:04o}"))
    if not keep:
        source.unlink()
        setup.notes.append(say("init.deleted", path=source))


def add_node(setup: Setup, spec: str) -> None:
    """One more node for the cluster of this host: its bundle, and an update for the others."""
    from clients.setup.changing import add

    add(setup, spec)


def _as_wanted(file: Wanted) -> bool:
    from clients.setup.files import as_wanted

    try:
        return as_wanted(file)
    except OSError:
        return False


def _is_so_already(setup: Setup, plan: Plan, node: str) -> bool:
    """Whether this node has been made of this very plan; then that is told, and nothing else is done."""
    from clients.setup.bundle import kinds
    from clients.setup.plan import cluster_toml, here_toml

    places = setup.places
    texts = {
        places.config: cluster_toml(plan, roster=places.inside(places.roster)),
        places.here: here_toml(plan, node),
        **{file.path: file.text for file in server_files(plan, node, places)},
    }
    if not all(_as_wanted(Wanted(path=path, text=text)) for path, text in texts.items()):
        return False
    there = list(texts)
    if not plan.open_lab:
        there += [places.roster, *(places.key(name) for name in (*kinds(plan, node), "cluster"))]
    if not all(path.exists() for path in there):
        return False
    try:
        done = _write(setup, _socket(setup, plan, node))
    except OSError as error:
        _cannot_write(error)
    done.kept += there
    _run(setup, plan, node, [path for path in _bundles(setup, plan, node) if path.exists()])
    _tell(setup, plan, node, done, bundles=[])
    return True


def _bundles(setup: Setup, plan: Plan, node: str) -> list[Path]:
    from clients.setup.making import bundle_path

    return [bundle_path(setup.output, place.name) for place in plan.leads if place.name != node]


def _socket(setup: Setup, plan: Plan, node: str) -> list[Wanted]:
    return socket_files(plan, node, setup.places) if setup.with_socket else []


def _look(setup: Setup, plan: Plan, node: str, *, made: int | None = None) -> None:
    say = speaker()
    found = checks.look(plan, node, setup.places, made=made)
    if wrong := checks.worst(found):
        code = CANNOT_CREATE if any(one.key == "init.unwritable" for one in wrong) else FAILURE
        problems = [one.key.removeprefix("init.") for one in wrong]
        raise Ended("\n".join(say(one.key, **one.values) for one in wrong), code, problems=problems)
    setup.notes += [say(one.key, **one.values) for one in found]


def _write(setup: Setup, files: list[Wanted]) -> Done:
    """Raises `Ended` if other files are in the way, `OSError`."""
    try:
        make_directories(setup.places)
        return write_all(files, force=setup.force)
    except Conflict as conflict:
        paths = [str(path) for path in conflict.paths]
        raise Ended(speaker()("init.exists", paths=" ".join(paths)), CANNOT_CREATE, paths=paths) from None


def _cannot_write(error: OSError) -> NoReturn:
    text = speaker()("init.refused", path=error.filename or "", why=error.strerror or error)
    raise Ended(text, CANNOT_CREATE) from None


def _run(setup: Setup, plan: Plan, node: str, bundles: list[Path]) -> None:
    """Check all that is there, enable, perhaps start, and say what is left to type.  Raises `Ended`."""
    say = speaker()
    _check(setup.places, secured=not plan.open_lab)
    try:
        names = enable(plan, node, setup.places, start=setup.start, with_socket=setup.with_socket)
    except NotDone as error:
        raise Ended(say("init.failed", command=error.command, why=error.why), TEMPORARY) from None
    started = setup.start and bool(names) and checks.manager_runs() and setup.places.root == Path("/")
    if names:
        setup.notes.append(say("init.started" if started else "init.enabled", units=" ".join(names)))
    if not started and setup.places.root == Path("/"):
        setup.next.append("systemctl enable --now recado.target")
    for path in bundles:
        place = plan.node(path.stem)
        assert place is not None, path
        host = place.host.strip("[]")
        setup.next.append(f"ssh root@{host} recado init --start --from - < {quote(str(path))}")
    if bundles and not plan.open_lab:
        setup.next.append(f"rm {' '.join(quote(str(path)) for path in bundles)}")
    if setup.places.root == Path("/") and (bundles or node == plan.lead(plan.nodes[0].name)):
        setup.next.append("recado status")


def _check(places: Places, *, secured: bool) -> None:
    """The whole configuration as it now is, other files in conf.d included.  Raises `Ended`."""
    from clients.setup.checking import look
    from recado.config import ConfigError, load

    roster = {"security.roster": str(places.roster)} if secured else {}
    try:
        problems = look(load(places.config, overrides=roster, env={}), places.config).problems
    except ConfigError as error:
        problems = list(error.problems)
    if problems:
        raise Ended("\n".join(map(str, problems)), CONFIGURATION)


def _tell(setup: Setup, plan: Plan, node: str, done: Done, *, bundles: list[Path]) -> None:
    say = speaker()
    if setup.as_json:
        document(
            cluster=plan.cluster,
            node=node,
            written=[str(path) for path in done.written],
            kept=[str(path) for path in done.kept],
            old=[str(path) for path in done.old],
            bundles=[str(path) for path in bundles],
            notes=setup.notes,
            next=setup.next,
        )
        return
    if done.written:
        words(say("init.done", node=node, cluster=plan.cluster, count=len(done.written), kept=len(done.kept)))
    else:
        words(say("init.nothing", node=node, cluster=plan.cluster))
    if done.old:
        words(say("init.old", paths=" ".join(map(str, done.old))))
    if plan.open_lab:
        words(say("init.open"))
    for note in setup.notes:
        words(note)
    if setup.next:
        words("\n".join([say("init.next"), *(f"  {command}" for command in setup.next)]))
