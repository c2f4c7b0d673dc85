"""What `recado config check` looks at besides single settings: keys, roster, rights, and whether all agree.

Reads, and changes nothing.  What the caller may not read is said to be unchecked, and is no problem.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from recado.config import Config, ConfigError, Problem, check
from recado.keys import Identity, KeyFileError, read_cluster_key, read_identity
from recado.roster import Roster, RosterError
from recado.secured import not_in_roster
from recado.service_credentials import SCHEME

_EVERYWHERE: Final = frozenset({"*", "0.0.0.0", "[::]"})


@dataclass(kw_only=True)
class Checked:
    """What was found: problems, files that were not ours to read, and the nodes whose keys are here."""

    problems: list[Problem] = field(default_factory=list)
    unchecked: list[Path] = field(default_factory=list)
    identities: dict[Path, Identity] = field(default_factory=dict)
    cluster_keys: list[Path] = field(default_factory=list)


def look(config: Config, path: Path | None) -> Checked:
    """Everything about a configuration that could be loaded; `path`: its main file."""
    checked = Checked()
    if path is not None:
        checked.problems += _files(path)
    if config.secured:
        _keys(checked, config, path)
        checked.problems += _roster(checked, config)
        checked.problems += _together(checked, config)
    else:
        checked.problems += _program(config)
    return checked


def _files(path: Path) -> Iterator[Problem]:
    """Whether anybody but its owner can change the configuration."""
    for file in (path, *sorted((path.parent / "conf.d").glob("*.toml")), path.parent):
        try:
            mode = file.stat().st_mode
        except OSError:
            continue
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            yield Problem(str(file), "", f"can be written by everybody; chmod o-w {file}")


def _program(config: Config) -> list[Problem]:
    """What the broker needs besides; without a list of members there is no broker to speak of."""
    if not (config.cluster.members or config.broker.servers):
        return []
    try:
        check(config, "broker")
    except ConfigError as error:
        return list(error.problems)
    return []


def key_files(config: Config, path: Path | None) -> tuple[list[Path], list[Path]]:
    """Files of nodes' keys and of the cluster's key that this configuration may lead to."""
    nodes: list[Path] = []
    clusters: list[Path] = []
    if path is not None:
        store = path.absolute().parent.parent / "credstore"
        for file in sorted(store.glob("recado.*.key")):
            (clusters if file.name == "recado.cluster.key" else nodes).append(file)
    for given, name, found in (
        (config.security.key, "node.key", nodes),
        (config.security.cluster_key, "cluster.key", clusters),
    ):
        if given and not given.startswith(SCHEME):
            found.append(Path(given))
        elif not given and (beside := Path(config.node.data) / name).exists():
            found.append(beside)
    return nodes, clusters


def _keys(checked: Checked, config: Config, path: Path | None) -> None:
    nodes, clusters = key_files(config, path)
    for file in (*nodes, *clusters):
        if not os.access(file, os.R_OK) and file.exists():
            checked.unchecked.append(file)
            continue
        try:
            if file in clusters:
                read_cluster_key(file)
                checked.cluster_keys.append(file)
            else:
                checked.identities[file] = read_identity(file)
        except KeyFileError as error:
            checked.problems.append(Problem("", "", str(error)))
    if not nodes and path is not None:
        store = path.absolute().parent.parent / "credstore"
        if store.exists() and not os.access(store, os.R_OK | os.X_OK):
            checked.unchecked.append(store)


def _roster(checked: Checked, config: Config) -> Iterator[Problem]:
    """Whether it can be read, and names everybody who is configured, and everybody whose key is here."""
    where = Path(config.security.roster)
    try:
        roster = Roster.read(where)
    except RosterError as error:
        yield Problem("", "security.roster", str(error))
        return
    for key, text in not_in_roster(config, roster, where=where):
        yield Problem("", key, text)
    for file, identity in checked.identities.items():
        found = roster.role_of(identity.public)
        if found is None or (found.role, found.name) != (identity.kind, identity.name):
            yield Problem(
                str(file), "", f"{where} does not name this key; recado roster add {file} --roster {where}"
            )
        elif identity.signing_public and identity.signing_public not in roster.signing_keys(identity.name):
            yield Problem(str(file), "", f"{where} does not name its signing key")


def _together(checked: Checked, config: Config) -> Iterator[Problem]:
    """Whether what runs here, as far as its keys tell, is what the cluster expects at these addresses."""
    servers = [one.name for one in checked.identities.values() if one.kind == "server"]
    for file, identity in checked.identities.items():
        if identity.kind == "server" and config.member(identity.name) is None:
            names = ", ".join(member.name for member in config.cluster.members)
            yield Problem(str(file), "", f"{identity.name} is none of cluster.members ({names})")
        if identity.kind == "broker" and not any(b.name == identity.name for b in config.cluster.brokers):
            yield Problem(str(file), "", f"{identity.name} is none of cluster.brokers")
    if servers and not checked.cluster_keys and not _hidden(checked, "cluster"):
        yield Problem(
            "",
            "security.cluster_key",
            f"{servers[0]} has none; copy recado.cluster.key from another server's host",
        )
    members = [member for member in map(config.member, servers) if member is not None]
    # Of several on one host this is where the first one listens; the others' units say where they do.
    fits = any(_fits(config.server.listen, member.address) for member in members)
    if members and not (config.node.advertise or fits):
        where = f"{members[0].address}, where cluster.members says that {members[0].name} is"
        yield Problem("", "server.listen", where)
    kinds = {one.kind: one.name for one in checked.identities.values()}
    if "reference" in kinds and not _fits(config.reference.listen, config.cluster.reference):
        yield Problem(
            "", "reference.listen", f"{config.cluster.reference}, where cluster.reference says it is"
        )
    yield from _broker(config, kinds.get("broker"))


def _broker(config: Config, name: str | None) -> Iterator[Problem]:
    for told in config.cluster.brokers:
        if told.name == name:
            for what in ("xsub", "xpub"):
                there = getattr(told, what)
                if not _fits(getattr(config.broker, what), there):
                    yield Problem("", f"broker.{what}", f"{there}, where cluster.brokers says that {name} is")


def _hidden(checked: Checked, name: str) -> bool:
    return any(name in file.name or file.name == "credstore" for file in checked.unchecked)


def _fits(listen: str, dialled: str) -> bool:
    """Whether who dials an address may reach what listens; names are believed."""
    if "ipc://" in listen + dialled:
        return listen == dialled
    (host, _, port), (to, _, to_port) = (
        address.removeprefix("tcp://").rpartition(":") for address in (listen, dialled)
    )
    named = any(character.isalpha() for character in to) and not to.startswith("[")
    return port == to_port and (host in _EVERYWHERE or host == to or named)
