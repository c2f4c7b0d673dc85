"""An ordinary Unix account of a node: the node's server knows it by its uid, and its first key comes by that.

At the server's own socket the kernel says which Unix user asks, and `security.local_accounts` says who that
is.  Brokers and other servers ask for a key.  So an account without one makes one at its first command, and
adds it to its user at the socket; from then on it is a device like any other.
"""

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import anyio

from clients.ending import UNAVAILABLE, Ended
from clients.output import words
from clients.words import speaker
from recado.client import ChatError, Indeterminate, NoAnswer, Patience, connect

ASK_SECONDS = 5.0


class Account(NamedTuple):
    """Who this account is, its node's server's socket, and where the cluster is."""

    name: str
    socket: str
    roster: Path
    servers: tuple[str, ...]
    reference: str | None


def account_here(path: Path, *, uid: int | None = None) -> Account | None:
    """This account, if the node's configuration at `path` names it; of one that can't be read, None."""
    from recado.config import ConfigError, load
    from recado.secured import ANY_USER, local_account

    try:
        config = load(path)
    except ConfigError:
        return None
    number = os.getuid() if uid is None else uid
    listed = any(int(entry.partition("=")[0]) == number for entry in config.security.local_accounts)
    name = local_account(config, number) if config.secured and listed else None
    if name is None or name.startswith(ANY_USER):
        return None
    servers = [member.address for member in config.cluster.members]
    servers.sort(key=lambda address: address != config.server.listen)  # the node's own first
    return Account(
        name,
        config.security.local_listen,
        Path(config.security.roster),
        tuple(servers),
        config.cluster.reference or None,
    )


def make_first_key(account: Account, path: Path) -> None:
    """Make the account's key at `path`, and add it to its user, who is registered if there is none yet.

    Raises `Ended`.
    """
    from recado.keys import KeyFileError, make_identity, write_identity, z85

    # Kept before anybody is told of it: of keys that are added and then lost a user has only so many.
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        identity = make_identity("user", account.name)
        write_identity(fresh, identity)
        failed = _in_a_thread(account, z85(identity.public))
        if failed is None:
            fresh.rename(path)
    except (KeyFileError, OSError) as error:
        raise Ended(str(error)) from None
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
    if isinstance(failed, NoAnswer | Indeterminate):
        raise Ended(speaker()("local.no_server", user=account.name), UNAVAILABLE)
    if failed is not None:
        from clients.session import ended

        raise ended(failed)
    words(speaker()("local.key", user=account.name, path=path))


def _in_a_thread(account: Account, key: str) -> ChatError | None:
    """Do it beside whatever loop runs here; what went wrong."""
    failed: list[ChatError] = []

    async def add() -> None:
        patience = Patience(deadline_seconds=ASK_SECONDS)
        async with connect(account.name, servers=[account.socket], level="local", patience=patience) as chat:
            await chat.login()
            await chat.add_key(key, reason=f"{os.getuid()}@{socket.gethostname()}")

    def run() -> None:
        try:
            anyio.run(add)
        except ChatError as error:
            failed.append(error)
        except ExceptionGroup as group:
            known, others = group.split(ChatError)
            if known is None or others is not None:
                raise
            failed.extend(error for error in known.exceptions if isinstance(error, ChatError))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return failed[0] if failed else None
