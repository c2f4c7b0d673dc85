"""What `recado init` looks at on this host before it writes anything: addresses, ports, clock, disk, rights.

Each thing found wrong is the key of a text and its values; what is merely odd is a warning.
"""

import errno
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from clients.setup.files import Places
from clients.setup.plan import Plan, binds
from recado.protocol.limits import MIB

ROOM_BYTES_MIN: Final = 256 * MIB  # a replica's reserve, its write-ahead log, and room to grow
EARLIEST: Final = 1_700_000_000  # no clock that is right is before this
BEHIND_SECONDS_MAX: Final = 300  # what a bundle may be ahead of the clock of the node that takes it


class Wrong(NamedTuple):
    """`key`: of the text; `fatal`: nothing is written."""

    key: str
    values: dict[str, object]
    fatal: bool = True


def look(plan: Plan, node: str, places: Places, *, made: int | None = None) -> list[Wrong]:
    """Everything that is wrong with this host for this node.  `made`: when a bundle was made.

    Under another root than ``/`` only what concerns files: the image runs elsewhere.
    """
    found = [*writable(places)]
    if places.root == Path("/"):
        found += [*addresses(plan, node), *ports(plan, node), *clock(time.time(), made=made), *programs()]
        found += _names(plan)
    return [*found, *room(places.root)]


def writable(places: Places) -> Iterator[Wrong]:
    """Whether the directories can be written, or made."""
    for directory in (places.config.parent, places.key("x").parent):
        nearest = directory
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        if not os.access(nearest, os.W_OK | os.X_OK):
            yield Wrong("init.unwritable", {"path": directory})
            return


def addresses(plan: Plan, node: str) -> Iterator[Wrong]:
    """Whether the node's address is of this host."""
    place = plan.node(node)
    assert place is not None, node
    try:
        resolved = resolve(place.host)
    except OSError as error:
        yield Wrong("init.unresolved", {"host": place.host, "why": error.strerror or error})
        return
    if any(_is_ours(address) for address in resolved):
        return
    others = [other.name for other in plan.nodes if other.name != node and _ours(other.host)]
    if others:
        yield Wrong("init.other_node", {"host": place.host, "node": node, "other": others[0]})
    else:
        yield Wrong("init.not_ours", {"host": place.host, "node": node, "ours": " ".join(own_addresses())})


def _names(plan: Plan) -> Iterator[Wrong]:
    """Hosts given by names that this host can't look up, or that lead back to itself."""
    for place in plan.nodes:
        try:
            found = resolve(place.host)
        except OSError as error:
            yield Wrong("init.unresolved", {"host": place.host, "why": error.strerror or error}, fatal=False)
            continue
        if place.host != "localhost" and place.host not in found and all(a.startswith("127.") for a in found):
            # Debian gives a host's own name an address that means somebody else everywhere else.
            yield Wrong("init.loopback_name", {"host": place.host, "address": found[0]})


def resolve(host: str) -> list[str]:
    """The addresses of a host.  Raises `OSError`."""
    found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _ours(host: str) -> bool:
    try:
        return any(_is_ours(address) for address in resolve(host))
    except OSError:
        return False


def _is_ours(address: str) -> bool:
    """Whether this host has the address: then it can be bound."""
    return _bind(address, 0) != errno.EADDRNOTAVAIL


def own_addresses() -> list[str]:
    """The addresses by which others may reach this host, the one that leads outwards first; none: []."""
    found = []
    # Nothing is sent: a datagram socket that is connected only looks up its way.
    for family, somewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((somewhere, 9))
                found.append(str(probe.getsockname()[0]))
        except OSError:
            continue
    return found


def ports(plan: Plan, node: str) -> Iterator[Wrong]:
    """Whether everything that is to listen here can."""
    for address in binds(plan, node):
        yield from port_of(address)


def port_of(address: str) -> Iterator[Wrong]:
    """Whether something can listen at this address of this host."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    if _bind("" if host == "*" else host.strip("[]"), int(port)) == errno.EADDRINUSE:
        yield Wrong("init.port", {"address": address, "port": port})


def _bind(host: str, port: int) -> int:
    """Bind and let go; the error's number, or 0."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error.errno or errno.EINVAL
    return 0


def clock(now: float, *, made: int | None) -> Iterator[Wrong]:
    """Whether the clock can be right, and whether anything keeps it so."""
    if now < EARLIEST:
        yield Wrong("init.clock", {"now": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))})
    elif made is not None and now + BEHIND_SECONDS_MAX < made:
        yield Wrong("init.clock_behind", {"seconds": int(made - now)})
    elif said("timedatectl", "show", "-P", "NTPSynchronized").strip() == "no":
        yield Wrong("init.clock_alone", {}, fatal=False)


def programs() -> Iterator[Wrong]:
    """Whether there are units to start."""
    if not units_there():
        yield Wrong("init.no_units", {}, fatal=False)


def units_there(root: Path = Path("/"), *, packaged: bool = False) -> bool:
    """Whether there are units; `packaged`: such as a package brings."""
    directories = ["usr/lib/systemd/system", "lib/systemd/system"]
    directories += [] if packaged else ["etc/systemd/system"]
    return any((root / directory / "recado-server@.service").exists() for directory in directories)


def manager_runs() -> bool:
    """Whether systemd is this host's service manager (sd_booted(3))."""
    return Path("/run/systemd/system").is_dir()


def room(root: Path) -> Iterator[Wrong]:
    """Whether the disk of the data has room."""
    nearest = root / "var/lib/recado"
    while not nearest.exists():
        nearest = nearest.parent
    free = shutil.disk_usage(nearest).free
    if free < ROOM_BYTES_MIN:
        yield Wrong("init.room", {"path": nearest, "free": free // MIB, "least": ROOM_BYTES_MIN // MIB})


def said(*command: str) -> str:
    """What a program says; "" if it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def worst(found: Iterable[Wrong]) -> list[Wrong]:
    """What keeps everything from being written."""
    return [one for one in found if one.fatal]
