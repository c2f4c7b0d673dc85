"""`recado keygen`: the keys of one node, one person or the cluster, each in a file of its own."""

import os
import shlex
from base64 import b64encode
from pathlib import Path

import click

from clients.ending import CANNOT_CREATE, Ended
from clients.keyring import user_key_path
from clients.options import ROSTER_FILE, config_directory, json_option
from clients.output import document, put_page, words
from clients.words import speaker
from recado.keys import (
    Identity,
    KeyFileError,
    Kind,
    make_cluster_key,
    make_identity,
    public_text,
    write_cluster_key,
    write_identity,
    write_new,
    z85,
)

EPILOG = """\b
Examples:
  recado keygen --server server-1 -o server-1.key && recado roster add server-1.pub
  recado keygen --cluster -o cluster.key
  recado keygen --user ana               into ~/.config/recado/ana.key

Exit codes: 1 the name can't be one, 2 wrong usage, 73 the file exists or can't be written.
"""


@click.command("keygen", epilog=EPILOG)
@click.option("--server", metavar="NAME", help="For the server of that node.name.")
@click.option("--broker", metavar="NAME", is_flag=False, flag_value="broker", help="For a broker.")
@click.option("--reference", metavar="NAME", is_flag=False, flag_value="reference", help="For the reference.")
@click.option("--user", metavar="NAME", help="For a person; the same name again on another device.")
@click.option("--bot", metavar="NAME", help="For a bot.")
@click.option("--cluster", is_flag=True, help="What all servers share.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The secret's file; beside it the public part, FILE.pub.  "
    "[default: ./NAME.key; of users and bots ~/.config/recado/NAME.key]",
)
@json_option
def keygen(*, output: Path | None, cluster: bool, as_json: bool, **names: str | None) -> None:
    """Make a key.  The secret goes into a file that only you can read, the public part is shown.

    No file is written over.
    """
    chosen = [(kind, name) for kind, name in names.items() if name is not None]
    if len(chosen) + cluster != 1:
        raise click.UsageError("one of --server, --broker, --reference, --user, --bot and --cluster")
    if cluster:
        _cluster_key(output or Path("cluster.key"), as_json=as_json)
        return
    kind, name = chosen[0]
    try:
        identity = make_identity(kind, name)  # type: ignore[arg-type]  # the options are the kinds
    except KeyFileError as error:
        raise Ended(str(error)) from None
    path = output or default_path(identity.kind, identity.name)
    _write(path, identity)
    _tell(path, identity, as_json=as_json)


def default_path(kind: Kind, name: str) -> Path:
    """Where a key goes if nothing else is said: a person's to the person, a node's here."""
    return user_key_path(name, os.environ) if kind in ("user", "bot") else Path(f"{name}.key")


def public_path(path: Path) -> Path:
    """The file of the public part."""
    return path.with_suffix(".pub") if path.suffix == ".key" else path.with_name(path.name + ".pub")


def _cluster_key(path: Path, *, as_json: bool) -> None:
    try:
        write_cluster_key(path, make_cluster_key())
    except KeyFileError as error:
        raise Ended(str(error), CANNOT_CREATE) from None
    if as_json:
        document(kind="cluster", key=str(path))
    else:
        words(speaker()("keygen.cluster", file=path))


def _write(path: Path, identity: Identity) -> None:
    pub = public_path(path)
    try:
        if pub.exists():
            raise KeyFileError(f"{pub} exists, the public part of another key; choose another file")
        write_identity(path, identity)
        write_new(pub, public_text(identity.public_part), mode=0o644)
    except KeyFileError as error:
        raise Ended(str(error), CANNOT_CREATE) from None


def _tell(path: Path, identity: Identity, *, as_json: bool) -> None:
    pub, say = public_path(path), speaker()
    if as_json:
        fields = {"kind": identity.kind, "name": identity.name, "key": str(path), "public_part": str(pub)}
        signing = b64encode(identity.signing_public).decode() or None
        document(**fields, public=z85(identity.public), signing_public=signing)
        return
    put_page(public_text(identity.public_part).removesuffix("\n"))
    if identity.kind in ("user", "bot"):
        roster = config_directory(os.environ) / ROSTER_FILE
        login = shlex.quote(identity.name)
        if path != default_path(identity.kind, identity.name):
            login += f" --key {shlex.quote(str(path))}"
        words(say("keygen.user", file=path, name=identity.name, pub=pub, roster=roster, login=login))
    else:
        words(say("keygen.node", file=path, name=identity.name, pub=pub))
