"""`recado init --add`, and what the other nodes take of it: one more member, and a roster that names it.

Who has made a configuration by hand goes on by hand (docs/keys.md): only a plan that says the same as the
configuration is handed on.
"""

import time
from pathlib import Path
from shlex import quote
from typing import NoReturn

from clients.ending import CANNOT_CREATE, CONFIGURATION, FAILURE, TEMPORARY, Ended
from clients.member import file_content
from clients.output import document, words
from clients.setup.bundle import Bundle, BundleError, identities, parse
from clients.setup.checks import port_of
from clients.setup.files import SECRET, Conflict, Done, Places, Wanted, as_wanted, write_all
from clients.setup.making import bundle_path, text_at, with_node
from clients.setup.plan import Place, Plan, PlanError, brokers_of, check, place, reference_address
from clients.setup.running import Setup, put_away
from clients.setup.service import NotDone, enable_further, restart_what_runs, server_file, socket_files
from clients.setup.shape import warnings
from clients.setup.words import speaker
from recado.config import Config, ConfigError, load
from recado.keys import Identity, KeyFileError, identity_text, make_identity, read_cluster_key
from recado.roster import Roster, RosterError
from recado.settings import Member


def add(setup: Setup, spec: str) -> None:
    """One more node: into this host's list and roster, its bundle, and what the others need.

    Raises `Ended`.
    """
    config = _configuration(setup.places)
    before = _plan_of(config)
    try:
        new = place(spec, rank=max(node.rank for node in before.nodes) + 1)
        known = before.node(new.name)
        if known is not None and (known.host, known.port) != (new.host, new.port):
            raise PlanError(f"{new.name} is at {known.address}; recado member remove {new.name} comes first")
        plan = before if known else _with(before, new)
        check(plan)
        _check_host(plan, new.name)
        files = _files(setup, plan, new.name, config)
    except (PlanError, KeyFileError, RosterError) as error:
        raise Ended(str(error)) from None
    done = _write(setup, files)
    bundle, update = files[0].path, files[1].path
    lead = plan.lead(new.name)
    others = [n for n in before.leads if n.name != lead]
    setup.notes.append(speaker()("init.added", name=new.name, bundle=bundle, update=update))
    take = "recado init --start --from - <"
    setup.next += [
        f"ssh root@{other.host.strip('[]')} {take} {quote(str(update))}"
        for other in others
        if not _runs_here(setup.places, other.name)
    ]
    here = lead != new.name and _runs_here(setup.places, lead)
    there = (
        f"recado init --start --from {bundle}" if here else f"ssh root@{new.host.strip('[]')} {take} {bundle}"
    )
    setup.next += [
        *([] if here else ["systemctl try-restart recado-reference recado-broker 'recado-server@*'"]),
        there,
        f"rm {quote(str(update))}" if here else f"rm {quote(str(bundle))} {quote(str(update))}",
        "recado status",
    ]
    setup.notes += warnings(plan)
    _tell(setup, plan, done)


def _check_host(plan: Plan, name: str) -> None:
    """What keeps a node from being added where others are.  Raises `PlanError`."""
    lead, *further = plan.together(name)
    if further and lead.name == name:
        raise PlanError(
            f"{name} can't come before {further[0].name} on {lead.host}: a port above {further[0].port}"
        )


def take_further(setup: Setup, bundle: Bundle, source: Path | None, *, keep: bool) -> None:
    """One more server on this host, which is a node already: its key, where it listens, list and roster.

    Raises `Ended`.
    """
    config, say, plan = _configuration(setup.places), speaker(), bundle.plan
    place, lead = plan.node(bundle.node), plan.node(plan.lead(bundle.node))
    assert place is not None, bundle.node
    assert lead is not None, bundle.node
    if config.cluster.id != plan.cluster:
        raise Ended(say("init.other_cluster", here=config.cluster.id, there=plan.cluster))
    if config.server.listen != lead.listen:
        raise Ended(say("init.other_host", name=place.name, lead=lead.name, host=lead.host))
    if not setup.force and (lost := _undone(setup.places, bundle)):
        raise Ended(say("init.older", path=setup.places.roster, names=", ".join(lost)), CANNOT_CREATE)
    own = [
        Wanted(path=setup.places.key(n), text=text, mode=SECRET) for n, text in sorted(bundle.keys.items())
    ]
    own.append(server_file(place, setup.places, open_lab=plan.open_lab))
    if not all(map(as_wanted, own)) and setup.places.root == Path("/"):
        for wrong in port_of(place.listen):
            raise Ended(say(wrong.key, **wrong.values))
    if setup.with_socket:
        own += socket_files(plan, place.name, setup.places)
    done = _write(setup, [*own, *_shared(setup.places, plan, bundle.roster, config)])
    put_away(setup, bundle, source, keep=keep)
    try:
        names = enable_further(
            place.name, setup.places, start=setup.start and bool(done.written), with_socket=setup.with_socket
        )
    except NotDone as error:
        raise Ended(say("init.failed", command=error.command, why=error.why), TEMPORARY) from None
    if names:
        setup.notes.append(say("init.started" if setup.start else "init.enabled", units=" ".join(names)))
    if not (setup.start and names) and setup.places.root == Path("/"):
        setup.next.append(f"systemctl restart 'recado-*'; systemctl enable --now recado-server@{place.name}")
    _tell(setup, plan, done)


def take_update(setup: Setup, bundle: Bundle) -> None:
    """List of members and roster as the bundle has them; with ``--start`` the daemons here are restarted.

    Raises `Ended`.
    """
    config, say = _configuration(setup.places), speaker()
    if config.cluster.id != bundle.plan.cluster:
        raise Ended(say("init.other_cluster", here=config.cluster.id, there=bundle.plan.cluster))
    if not setup.force and (lost := _undone(setup.places, bundle)):
        raise Ended(say("init.older", path=setup.places.roster, names=", ".join(lost)), CANNOT_CREATE)
    done = _write(setup, _shared(setup.places, bundle.plan, bundle.roster, config))
    if setup.start and done.written and setup.places.root == Path("/"):
        try:
            restart_what_runs()
        except NotDone as error:
            raise Ended(say("init.failed", command=error.command, why=error.why), TEMPORARY) from None
    elif done.written:
        setup.notes.append(say("init.updated"))
        setup.next.append("systemctl try-restart recado-reference recado-broker 'recado-server@*'")
    _tell(setup, bundle.plan, done)


def _undone(places: Places, update: Bundle) -> list[str]:
    """What an update of earlier would take back of this host's roster: who came since, who left since."""
    if update.plan.open_lab:
        return []
    try:
        here, there = Roster.read(places.roster), Roster.parse(update.roster)
    except RosterError as error:
        raise Ended(str(error), CONFIGURATION) from None
    came = [f"+{one.name}" for one in here.entries if there.entry(one.role, one.name) is None]
    left = [f"-{one.name}" for one in there.entries if set(one.signing) & set(here.former.get(one.name, ()))]
    return [*came, *left]


def _with(plan: Plan, new: Place) -> Plan:
    return Plan(
        cluster=plan.cluster,
        nodes=(*plan.nodes, new),
        reference=plan.reference,
        brokers=plan.brokers,
        open_lab=plan.open_lab,
    )


def _configuration(places: Places) -> Config:
    if not places.config.exists():
        raise Ended(speaker()("init.not_installed", path=places.config), CONFIGURATION)
    try:
        return load(places.config, env={})
    except ConfigError as error:
        raise Ended(str(error), CONFIGURATION) from None


def _plan_of(config: Config) -> Plan:
    """The plan that this configuration was made of.  Raises `Ended` if it was made otherwise."""
    try:
        nodes = tuple(_place_of(member) for member in config.cluster.members)
        first_broker = config.cluster.brokers[0].xsub if config.cluster.brokers else ""
        plan = Plan(
            cluster=config.cluster.id,
            nodes=nodes,
            reference=_on(nodes, config.cluster.reference),
            brokers=(
                _on(nodes, first_broker),
                *(b.name.removeprefix("broker-") for b in config.cluster.brokers[1:]),
            ),
            open_lab=not config.secured,
        )
        check(plan)
        ends = {broker.name: (broker.xsub, broker.xpub) for broker in brokers_of(plan)}
        told = {broker.name: (broker.xsub, broker.xpub) for broker in config.cluster.brokers}
        if reference_address(plan) != config.cluster.reference or ends != told:
            raise PlanError(config.cluster.reference)
    except (PlanError, ValueError, IndexError):
        text = speaker()("init.by_hand")
        raise Ended(text, CONFIGURATION) from None
    return plan


def _place_of(member: Member) -> Place:
    host, _, port = member.address.removeprefix("tcp://").rpartition(":")
    return Place(name=member.name, host=host, port=int(port), rank=member.rank)


def _on(nodes: tuple[Place, ...], address: str) -> str:
    """The node on whose host something listens: of several the one whose ports come before it."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return min((n for n in nodes if n.host == host and n.port <= int(port)), key=lambda n: n.port).name


def _files(setup: Setup, plan: Plan, name: str, config: Config) -> list[Wanted]:
    """The new node's bundle, the update for the others, and what changes here."""
    places, made = setup.places, int(time.time())
    path = bundle_path(setup.output, name)
    keys, roster = _keys(setup, plan, name, path) if not plan.open_lab else ({}, "")
    bundle = Bundle(made=made, node=name, plan=plan, roster=roster, keys=keys)
    others = setup.output / f"{name}-for-others.recado"
    update = Bundle(made=made, node="", plan=plan, roster=roster)
    return [
        Wanted(path=path, text=text_at(path, bundle), mode=SECRET, replace=True),
        Wanted(path=others, text=text_at(others, update), replace=True),
        *_shared(places, plan, roster, config),
    ]


def _shared(places: Places, plan: Plan, roster: str, config: Config) -> list[Wanted]:
    """What changes on a node that is there already."""
    members = [Member(name=node.name, rank=node.rank, address=node.address) for node in plan.nodes]
    files = []
    if tuple(members) != config.cluster.members:
        files.append(Wanted(path=places.members, text=file_content(members), replace=True))
    if not plan.open_lab:
        files.append(Wanted(path=places.roster, text=roster, replace=True))
    return files


def _keys(setup: Setup, plan: Plan, name: str, path: Path) -> tuple[dict[str, str], str]:
    """The new node's keys and the roster with it.  Those of a bundle that still lies there stay.

    Raises `KeyFileError`, `RosterError`, `Ended`.
    """
    places = setup.places
    if not places.key("cluster").exists():
        raise Ended(speaker()("init.no_cluster_key", path=places.key("cluster")), CONFIGURATION)
    cluster_key = read_cluster_key(places.key("cluster"))
    roster = Roster.read(places.roster)
    found = _waiting(path, name, cluster_key)
    named = roster.entry("server", name)
    if named is not None and (found is None or found.public not in named.keys):
        raise RosterError(
            f"{name} is in {places.roster} already, and its key is not here; if it was never set up: "
            f"recado roster remove {name} --forget --roster {places.roster}"
        )
    identity = found or make_identity("server", name)
    if named is None:
        roster = with_node(roster, plan, name, {name: identity})
    return {name: identity_text(identity), "cluster": cluster_key.hex() + "\n"}, roster.dump()


def _waiting(path: Path, name: str, cluster_key: bytes) -> Identity | None:
    """The node's key in a bundle of ours: without the cluster's key it may be anybody's who writes there."""
    try:
        bundle = parse(path.read_bytes(), name=str(path))
    except (OSError, BundleError):
        return None
    ours = bundle.node == name and bundle.keys.get("cluster", "").strip() == cluster_key.hex()
    return identities(bundle).get(name) if ours else None


def _runs_here(places: Places, name: str) -> bool:
    return places.key(name).exists()


def _write(setup: Setup, files: list[Wanted]) -> Done:
    try:
        return write_all(files, force=setup.force)
    except Conflict as conflict:
        raise Ended(speaker()("init.exists", paths=conflict), CANNOT_CREATE) from None
    except OSError as error:
        _cannot_write(error)


def _cannot_write(error: OSError) -> NoReturn:
    code = FAILURE if error.filename is None else CANNOT_CREATE
    text = speaker()("init.refused", path=error.filename or "", why=error.strerror or error)
    raise Ended(text, code) from None


def _tell(setup: Setup, plan: Plan, done: Done) -> None:
    say = speaker()
    if setup.as_json:
        document(
            cluster=plan.cluster,
            members=[node.name for node in plan.nodes],
            written=[str(path) for path in done.written],
            kept=[str(path) for path in done.kept],
            notes=setup.notes,
            next=setup.next,
        )
        return
    if not done.written:
        words(say("init.nothing_new"))
    for note in setup.notes:
        words(note)
    if setup.next:
        words("\n".join([say("init.next"), *(f"  {command}" for command in setup.next)]))
