"""Tells the service manager how a daemon is doing (sd_notify(3)), without a library."""

import os
import socket
from collections.abc import Mapping


def sd_notify(state: str, *, env: Mapping[str, str] = os.environ) -> bool:
    """Send one state such as ``READY=1`` or ``STOPPING=1``; False if nobody asked to be told.

    A manager that can't be reached is no reason to stop: the datagram is then lost (False).
    """
    address = env.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]  # the abstract namespace, as the manager writes it
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
        end.setblocking(False)
        try:
            end.sendto(state.encode(), address)
        except OSError:
            return False
    return True
