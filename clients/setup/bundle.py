"""The bundle that `recado init` makes for another node: its keys, the roster and the plan, in one file.

JSON, mode 0600: whoever has it is that node.  It names no path and holds no text of a configuration: the node
that takes it makes its files from the plan, so that nothing in it can write anywhere else.
"""

import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from clients.setup.plan import Plan, PlanError, broker_on, check
from recado.keys import KEY_BYTES, Identity, KeyFileError, identity_of
from recado.protocol.limits import KIB, MIB
from recado.roster import Roster, RosterError

FORMAT: Final = 1
BUNDLE_BYTES_MAX: Final = 8 * MIB


class BundleError(Exception):
    """No bundle, or one that can't be used."""


class Bundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one node is given.  `node` "": an update for all, without keys.

    `keys`: the text of a key file by the name in its file's name (`n2`, `broker`, `reference`, `cluster`).
    `made`: seconds since 1970, by the clock of where it was made.
    """

    recado_bundle: Literal[1] = FORMAT
    made: int
    node: str
    plan: Plan
    roster: str = ""
    keys: dict[str, Annotated[str, Meta(max_length=4 * KIB)]] = {}


def bundle_text(bundle: Bundle) -> str:
    """The file."""
    return msgspec.json.format(msgspec.json.encode(bundle), indent=1).decode() + "\n"


def read_bundle(path: Path | None) -> Bundle:
    """The bundle in a file, or for None on standard input.  Raises `BundleError`."""
    try:
        if path is None:
            raw = sys.stdin.buffer.read(BUNDLE_BYTES_MAX + 1)
        else:
            with path.open("rb") as file:
                raw = file.read(BUNDLE_BYTES_MAX + 1)
    except OSError as error:
        raise BundleError(f"{path} can't be read: {error.strerror}") from None
    name = path or "standard input"
    if len(raw) > BUNDLE_BYTES_MAX:
        raise BundleError(f"{name} is too large for a bundle")
    return parse(raw, name=str(name))


def parse(raw: bytes, *, name: str) -> Bundle:
    """The checked bundle in a file's bytes; `name` is for the words.  Raises `BundleError`."""
    try:
        bundle = msgspec.json.decode(raw, type=Bundle)
        check(bundle.plan)
        _check(bundle)
    except msgspec.DecodeError:  # its words may quote the file, and the file is secret
        raise BundleError(f"{name} is no bundle that `recado init` made, or is not whole") from None
    except (PlanError, KeyFileError, RosterError) as error:
        raise BundleError(f"{name} can't be used: {error}") from None
    return bundle


def kinds(plan: Plan, node: str) -> dict[str, tuple[str, str]]:
    """Which key files of nodes come with a node: kind and name of each, by the name in its file's name.

    With a lead those of its whole host; with another node its own.
    """
    if plan.lead(node) != node:
        return {node: ("server", node)}
    found = {one.name: ("server", one.name) for one in plan.together(node)}
    broker = broker_on(plan, node)
    if broker is not None:
        found["broker"] = ("broker", broker.name)
    if plan.reference == node:
        found["reference"] = ("reference", "reference")
    return found


def identities(bundle: Bundle) -> dict[str, Identity]:
    """The nodes' keys in it.  Raises `KeyFileError`."""
    return {
        name: identity_of(bundle.keys.get(name, ""), Path(f"recado.{name}.key"))
        for name in kinds(bundle.plan, bundle.node)
    }


def _check(bundle: Bundle) -> None:
    if bundle.plan.open_lab:
        if bundle.keys or bundle.roster:
            raise RosterError("keys in a bundle of a cluster without keys")
    else:
        roster = Roster.parse(bundle.roster)
        if roster.cluster != bundle.plan.cluster:
            raise RosterError(f"its roster is of cluster {roster.cluster}")
    if not bundle.node:
        if bundle.keys:
            raise KeyFileError("keys in a bundle that is for all")
        return
    if bundle.plan.node(bundle.node) is None:
        raise PlanError(f"{bundle.node} is none of its nodes")
    if not bundle.plan.open_lab:
        _check_keys(bundle, roster)


def _check_keys(bundle: Bundle, roster: Roster) -> None:
    expected = kinds(bundle.plan, bundle.node)
    if set(bundle.keys) != {*expected, "cluster"}:
        raise KeyFileError(f"its keys are not those of {bundle.node}")
    for name, identity in identities(bundle).items():
        found = roster.role_of(identity.public)
        if (identity.kind, identity.name) != expected[name] or found is None or found.name != identity.name:
            raise KeyFileError(f"its roster does not name its key of {name}")
    try:
        whole = len(bytes.fromhex(bundle.keys["cluster"])) == KEY_BYTES
    except ValueError:
        whole = False
    if not whole:
        raise KeyFileError("its cluster key is none")
