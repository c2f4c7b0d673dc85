"""What is wrong on this host: configurations, key files, disks.  Reads, and changes nothing."""

import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final

from clients.watching.findings import Finding, is_full
from clients.watching.host import STORE, nodes_of
from recado.config import Config, ConfigError, load

if TYPE_CHECKING:
    from recado.secured import ClientSecurity

_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_CREDENTIALS: Final = ("credential:", "/run/credentials/")


@dataclass(kw_only=True)
class Local:
    """What was looked at.  `configs`: those that could be read, by file; `unchecked`: (case, values)."""

    findings: list[Finding] = field(default_factory=list)
    configs: dict[Path, Config] = field(default_factory=dict)
    files: int = 0
    unchecked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


def look(configurations: Sequence[Path], *, key: Path | None) -> Local:
    """All configuration files, the keys and directories that they name, and a key of the caller's."""
    local = Local()
    for path in configurations:
        local.files += 1
        try:
            local.configs[path] = load(path)
        except ConfigError as error:
            local.findings += [
                Finding(
                    case="configuration",
                    subject=problem.key or str(path),
                    facts={"why": str(problem)},
                    mend=(f"$EDITOR {quote(problem.source or str(path))}",),
                )
                for problem in error.problems
            ]
    for config in local.configs.values():
        nodes = nodes_of(config)
        if config.secured:
            if not nodes:
                local.unchecked.append(("doctor.not_ours", {"path": str(STORE), "why": os.strerror(13)}))
            _keys(local, nodes)
        # Nodes that share a file system share its room.
        local.findings += {str(one.facts): one for node in nodes for one in _disk(node)}.values()
    if key is not None:
        _key(local, key, data=None, needed=True)
    return local


def _keys(local: Local, nodes: Sequence[Config]) -> None:
    from recado.secured import cluster_key_path, key_path

    for node in nodes:
        _key(local, key_path(node), data=_owner_of(key_path(node), node), needed=True)
    for path, node in {cluster_key_path(node): node for node in nodes}.items():
        _key(local, path, data=_owner_of(path, node), needed=False)


def _owner_of(key: Path, node: Config) -> Path:
    """The directory whose owner is to have the key: the daemon, or root, who hands it over."""
    return key.parent if key.parent == STORE else Path(node.node.data)


def _key(local: Local, path: Path, *, data: Path | None, needed: bool) -> None:
    if str(path).startswith(_CREDENTIALS):
        local.unchecked.append(("doctor.credential", {"path": str(path)}))
        return
    try:
        found = path.stat()
    except FileNotFoundError:
        if needed:
            local.findings.append(_unusable(path, f"{path}: {os.strerror(2)}"))
        return
    except OSError as error:
        local.unchecked.append(("doctor.not_ours", {"path": str(path), "why": str(error.strerror)}))
        return
    local.files += 1
    wrong = list(_permissions(path, found, data))
    local.findings += wrong
    if not wrong:
        _read(local, path)


def _permissions(path: Path, found: os.stat_result, data: Path | None) -> Iterator[Finding]:
    mode = stat.S_IMODE(found.st_mode)
    if mode & _OTHERS:
        facts: dict[str, object] = {"mode": f"{mode:04o}"}
        yield _permission("mode", path, facts, f"chmod 600 {quote(str(path))}")
    if data is not None and data.is_dir() and (owner := data.stat().st_uid) != found.st_uid:
        facts = {"owner": _user(found.st_uid), "expected": _user(owner), "data": str(data)}
        yield _permission("owner", path, facts, f"chown {quote(_user(owner))} {quote(str(path))}")
    directory = path.parent
    around = stat.S_IMODE(directory.stat().st_mode)
    if around & _OTHERS_WRITE and not around & stat.S_ISVTX:
        facts = {"directory": str(directory), "mode": f"{around:04o}"}
        yield _permission("directory", path, facts, f"chmod go-w {quote(str(directory))}")


def _permission(case: str, path: Path, facts: dict[str, object], mend: str) -> Finding:
    return Finding(case=f"key_permissions.{case}", subject=str(path), facts=facts, mend=(mend,))


def _read(local: Local, path: Path) -> None:
    """Whether it is a key at all.  One that only its owner may read is not ours to judge."""
    from recado.keys import KeyFileError, read_cluster_key, read_identity

    if not os.access(path, os.R_OK):
        local.unchecked.append(("doctor.not_ours", {"path": str(path), "why": os.strerror(13)}))
        return
    try:
        if path.name.endswith("cluster.key"):
            read_cluster_key(path)
        else:
            read_identity(path)
    except KeyFileError as error:
        local.findings.append(_unusable(path, str(error)))


def _unusable(path: Path, why: str) -> Finding:
    return Finding(case="key", subject=str(path), facts={"why": why}, mend=("recado keygen --help",))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _disk(config: Config) -> Iterator[Finding]:
    data = Path(config.node.data)
    try:
        found = os.statvfs(data)
    except OSError:
        return  # not made yet, or not ours to see
    free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    if is_full(free, total):
        yield Finding(
            case="disk_full.soon",
            subject=str(data),
            facts={"free": free, "total": total},
            mend=(f"df -h {quote(str(data))}", f"du -xhd1 {quote(str(data))} | sort -h | tail"),
        )


def node_security(config: Config) -> "ClientSecurity | None":
    """To ask as this node itself, where nobody gave a key of a user.

    None in open mode.  Raises `KeyFileError`, `RosterError`.
    """
    if not config.secured:
        return None
    from recado.keys import read_identity
    from recado.roster import Roster
    from recado.secured import AddressBook, ClientSecurity, key_path

    roster = Roster.read(Path(config.security.roster))
    node = next(iter(nodes_of(config)), config)
    return ClientSecurity(identity=read_identity(key_path(node)), roster=roster, book=AddressBook(roster))
