"""The keys of `recado up --secure`: made when they are missing, never made anew.

The roster in ``DATA/keys`` names every node of the plan, whom a person added besides, and the operator,
as whom the supervisor itself listens.
"""

from typing import TYPE_CHECKING

from clients.cluster.cannot import CannotStart
from clients.cluster.plan import OPERATOR, KeyFiles, Plan, Role, key_files

if TYPE_CHECKING:
    from recado.keys import Identity, Kind
    from recado.wire.security import Security

EX_CONFIG = 78
CLUSTER_ID = "recado"  # the default of cluster.id, which `up` leaves as it is


def prepare_keys(plan: Plan) -> None:
    """Make what is missing of a secured cluster's keys.  Raises `CannotStart`.

    Without `--secure` it refuses a cluster that has keys: nobody takes them off by leaving out a word.
    """
    files = key_files(plan.wish.data)
    if plan.keys is None:
        if files.roster.exists():
            raise CannotStart(
                f"the cluster in {plan.wish.data} has keys: start it with --secure, "
                "or choose another directory with --data",
                EX_CONFIG,
            )
        return
    from recado.keys import KeyFileError, make_cluster_key, read_cluster_key, write_cluster_key
    from recado.roster import RosterError

    try:
        if files.cluster_key.exists():
            read_cluster_key(files.cluster_key)
        else:
            write_cluster_key(files.cluster_key, make_cluster_key())
        _write_roster(plan, files)
    except (KeyFileError, RosterError) as error:
        raise CannotStart(str(error), EX_CONFIG) from None


def _write_roster(plan: Plan, files: KeyFiles) -> None:
    from recado.roster import Roster

    before = Roster.read(files.roster) if files.roster.exists() else Roster(cluster=CLUSTER_ID)
    roster = before
    for node in plan.nodes:
        identity = _identity(files, _kind(node.role), node.name)
        if node.role is Role.BOT:
            continue  # a bot registers itself, as people do
        if roster.role_of(identity.public) is None:
            roster = roster.with_part(identity.public_part)
        role = identity.kind
        assert role in ("server", "broker", "reference")
        roster = roster.at(role, node.name, tuple(node.endpoints.values()))
    operator = _identity(files, "user", OPERATOR)
    if roster.role_of(operator.public) is None:
        roster = roster.with_part(operator.public_part, operator=True)
    if roster != before:
        roster.write(files.roster)


def _identity(files: KeyFiles, kind: "Kind", name: str) -> "Identity":
    from recado.keys import make_identity, read_identity, write_identity

    path = files.key(name)
    if not path.exists():
        write_identity(path, make_identity(kind, name))
    return read_identity(path)


def _kind(role: Role) -> "Kind":
    kinds: dict[Role, Kind] = {
        Role.REFERENCE: "reference",
        Role.BROKER: "broker",
        Role.SERVER: "server",
        Role.BOT: "bot",
    }
    return kinds[role]


def operator_security(plan: Plan) -> "Security | None":
    """What the supervisor of a secured cluster connects with.  Raises `CannotStart`."""
    if plan.keys is None:
        return None
    from recado.keys import KeyFileError
    from recado.roster import RosterError
    from recado.secured import client_security
    from recado.wire.security import Security

    try:
        client = client_security(plan.keys.roster, plan.keys.operator)
    except (KeyFileError, RosterError) as error:
        raise CannotStart(str(error), EX_CONFIG) from None
    identity = client.identity
    return Security(public=identity.public, secret=identity.secret, keys_of=client.book.keys_of)
