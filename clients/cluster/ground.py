"""What must hold before a cluster starts: a writable directory, one owner of it, free ports.

Everything is checked before anything is started, so that a refusal leaves nothing half-started.
"""

import errno
import fcntl
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from clients.cluster.cannot import CannotStart
from clients.cluster.keys import prepare_keys
from clients.cluster.plan import KEYS, Node, Plan

LOCK = "up.lock"
_NODE_DIRECTORY = re.compile(rf"reference|broker|server-[0-9]+|bot-[0-9]+|{KEYS}")
LOG_BYTES_MAX = 16 * 2**20  # a larger log is set aside; with the one before it, twice this is kept


def absolute(path: Path) -> Path:
    """The directory as every process will see it."""
    return Path(os.path.abspath(path.expanduser()))


def owned(plan: Plan) -> AbstractContextManager[None]:
    """Hold the data directory: created if missing, locked against a second cluster.

    Raises `CannotStart` on entering.  If that, or the block, does, what was made here is removed again
    as far as nothing else lies in it.
    """
    return _traceless(plan.wish.data)


@contextmanager
def _traceless(data: Path) -> Iterator[None]:
    made = [path for path in (data, *data.parents) if not path.exists()]
    fresh = not (data / LOCK).exists()
    try:
        with _locked(data):
            try:
                yield
            except CannotStart:
                if fresh:  # while it is ours: nobody else can hold it
                    (data / LOCK).unlink(missing_ok=True)
                raise
    except CannotStart:
        with suppress(OSError):  # something else lies there by now
            for path in made:
                path.rmdir()
        raise


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    """The lock is the kernel's (flock), so that a killed supervisor leaves none behind."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(data / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise CannotStart(
            f"can't write to {data}: {error.strerror}; choose another directory with --data"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip()
            who = f" (process {holder})" if holder else ""
            raise CannotStart(
                f"a cluster already runs on {data}{who}; stop it with `recado down --data {data}` "
                "or choose another directory with --data"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def check_ports(plan: Plan) -> None:
    """Raises `CannotStart` that names every port which can't be bound, and for whom it was meant."""
    _check_host(plan.wish.host)
    taken = []
    for node, what, address in plan.addresses():
        reason = _unbindable(address)
        if reason is not None:
            taken.append(f"{address} ({node}{'' if what == 'listen' else ' ' + what}): {reason}")
    if taken:
        raise CannotStart(
            "can't listen on\n  "
            + "\n  ".join(taken)
            + "\nstop what listens there, or choose other ports with --base-port"
        )


def _check_host(host: str) -> None:
    """Raises `CannotStart` for a name or an address that no other port would make right."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((host.strip("[]"), 0))
    except (socket.gaierror, UnicodeError):  # the latter: no name at all, a label of it is too long
        raise CannotStart(f"--host {host}: no address is known for that name") from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise CannotStart(f"--host {host} is no address of this machine") from None


def _unbindable(address: str) -> str | None:
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As libzmq binds: what lingers in TIME_WAIT from the cluster before is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "already in use"
            return error.strerror or str(error)
    return None


def prepare(plan: Plan) -> None:
    """Directories, configuration files and (of a secured cluster) keys of all nodes.

    Raises `CannotStart`.
    """
    prepare_keys(plan)
    for node in plan.nodes:
        try:
            node.directory.mkdir(exist_ok=True)
            if node.config:
                _write(node.config_path, node.config)
            set_aside(node)
        except OSError as error:
            where = error.filename or node.directory
            raise CannotStart(f"can't write {where}: {error.strerror}; choose another --data") from None


def _write(path: Path, content: str) -> None:
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(content, "utf-8")
    temporary.replace(path)


def set_aside(node: Node, *, bytes_max: int = LOG_BYTES_MAX) -> None:
    """Keep a log that has grown too large as ``NODE.log.1`` and let the node go on with an empty one.

    Copied and cut, for the node holds the file open (for appending, so that it goes on at the new
    end); what it writes in between is lost.  Raises `OSError`.
    """
    with suppress(FileNotFoundError):
        if node.log_path.stat().st_size > bytes_max:
            shutil.copyfile(node.log_path, node.log_path.with_name(node.log_path.name + ".1"))
            os.truncate(node.log_path, 0)


def leftovers(data: Path) -> list[Path]:
    """What clusters leave in a directory, and nothing else that may lie there.

    Raises `CannotStart` if a cluster runs on it.
    """
    if not data.is_dir():
        return []
    with _locked(data):
        nodes = [
            path for path in sorted(data.iterdir()) if path.is_dir() and _NODE_DIRECTORY.fullmatch(path.name)
        ]
        files = [data / name for name in ("up.sock", "up.log", LOCK) if (data / name).exists()]
    return [*nodes, *files]
