"""Keys, roster and bundles of a whole cluster, as the first node makes them; what a node gets of it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from clients.setup.bundle import Bundle, BundleError, bundle_text, identities, kinds, parse
from clients.setup.files import SECRET, Places, Wanted, says_nothing
from clients.setup.plan import Plan, broker_on, cluster_toml, here_toml, reference_address
from clients.setup.service import broker_files, server_files
from recado.keys import (
    Identity,
    KeyFileError,
    identity_text,
    make_cluster_key,
    make_identity,
    read_cluster_key,
    read_identity,
)
from recado.roster import Roster


class Made(NamedTuple):
    """The keys of each node by node and file name, the cluster's, and the roster that names them."""

    keys: dict[str, dict[str, Identity]]
    cluster_key: bytes
    roster: Roster


def make_keys(
    plan: Plan, *, node: str, places: Places, bundles: Path, operator: Identity, fresh: bool
) -> Made:
    """The keys of every node: what is there already of a run that was cut short, the rest new.

    `fresh`: all of them new.  Raises `KeyFileError`, `RosterError`.
    """
    own = {} if fresh else _own_keys(plan, node, places)
    waiting = {} if fresh else _waiting(plan, bundles)
    cluster_path = places.key("cluster")
    if cluster_path.exists() and not fresh:
        cluster_key = read_cluster_key(cluster_path)
    else:
        cluster_key = make_cluster_key()
        waiting = {}
    keys: dict[str, dict[str, Identity]] = {}
    roster = Roster(cluster=plan.cluster)
    for place in plan.leads:
        bundle = waiting.get(place.name)
        same = bundle is not None and bundle.keys["cluster"].strip() == cluster_key.hex()
        known = own if place.name == node else identities(bundle) if bundle is not None and same else {}
        keys[place.name] = {
            name: known.get(name) or make_identity(kind, called)  # type: ignore[arg-type]  # they are kinds
            for name, (kind, called) in kinds(plan, place.name).items()
        }
        roster = with_node(roster, plan, place.name, keys[place.name])
    return Made(keys, cluster_key, roster.with_part(operator.public_part, operator=True))


def with_node(roster: Roster, plan: Plan, name: str, keys: Mapping[str, Identity]) -> Roster:
    """The roster with what runs on one host, each with its addresses.  Raises `RosterError`."""
    broker = broker_on(plan, name)
    for called, identity in keys.items():
        place = plan.node(called)
        if called == "reference":
            addresses = [reference_address(plan)]
        elif called == "broker":
            assert broker is not None, name
            addresses = [broker.xpub, broker.xsub]
        else:
            assert place is not None, called
            addresses = [place.address]
        roster = roster.with_part(identity.public_part, addresses=addresses)
    return roster


def _own_keys(plan: Plan, node: str, places: Places) -> dict[str, Identity]:
    found = {}
    for name, (kind, called) in kinds(plan, node).items():
        path = places.key(name)
        if path.exists():
            identity = read_identity(path)
            if (identity.kind, identity.name) != (kind, called):
                raise KeyFileError(
                    f"{path} is the key of {identity.kind} {identity.name}, not of {kind} {called}"
                )
            found[name] = identity
    return found


def _waiting(plan: Plan, bundles: Path) -> dict[str, Bundle]:
    """Bundles that an earlier run of the same plan has left."""
    found = {}
    for place in plan.leads:
        path = bundle_path(bundles, place.name)
        try:
            bundle = parse(path.read_bytes(), name=str(path))
        except (OSError, BundleError):
            continue
        if bundle.plan == plan and bundle.node == place.name:
            found[place.name] = bundle
    return found


def bundle_path(directory: Path, node: str) -> Path:
    return directory / f"{node}.recado"


def bundle_for(plan: Plan, node: str, made: Made | None) -> Bundle:
    """What a host is given, by its lead."""
    keys, roster = {}, ""
    if made is not None:
        keys = {name: identity_text(identity) for name, identity in made.keys[node].items()}
        keys["cluster"] = made.cluster_key.hex() + "\n"
        roster = made.roster.dump()
    return Bundle(made=int(time.time()), node=node, plan=plan, roster=roster, keys=keys)


def bundle_files(plan: Plan, node: str, made: Made | None, *, directory: Path) -> list[Wanted]:
    """The bundles of all other hosts; one that is there already with the same keys is not made anew."""
    files = []
    for place in plan.leads:
        if place.name == node:
            continue
        path = bundle_path(directory, place.name)
        text = text_at(path, bundle_for(plan, place.name, made))
        files.append(Wanted(path=path, text=text, mode=SECRET))
    return files


def text_at(path: Path, bundle: Bundle) -> str:
    """The bundle's text; what lies at `path` already if nothing but its time differs."""
    try:
        before = parse(path.read_bytes(), name=str(path))
    except (OSError, BundleError):
        return bundle_text(bundle)
    kept = msgspec.structs.replace(bundle, made=before.made)
    return bundle_text(kept if kept == before else bundle)


def node_files(bundle: Bundle, places: Places) -> list[Wanted]:
    """A host's own files, made of its bundle; the configuration last, as it says that all is there."""
    files = [
        Wanted(path=places.key(name), text=text, mode=SECRET) for name, text in sorted(bundle.keys.items())
    ]
    if not bundle.plan.open_lab:
        files.append(Wanted(path=places.roster, text=bundle.roster))
    files += [
        *broker_files(bundle.plan, bundle.node, places),
        *server_files(bundle.plan, bundle.node, places),
    ]
    files.append(Wanted(path=places.here, text=here_toml(bundle.plan, bundle.node)))
    config = cluster_toml(bundle.plan, roster=places.inside(places.roster))
    files.append(Wanted(path=places.config, text=config, replace=says_nothing(places.config)))
    return files
