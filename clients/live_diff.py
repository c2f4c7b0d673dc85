"""`recado replica diff` where one side, or both, is a server somewhere: chain hashes are asked for."""

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, Protocol

import anyio

from clients.ending import DATA, UNAVAILABLE, Ended
from clients.keyring import security_of
from clients.options import Where
from clients.words import speaker
from recado.protocol import codec
from recado.protocol.errors import ProtocolError
from recado.wire.ports import Asker, WireError
from storage.bisection import Bisection, Hashes
from storage.database import StorageError
from storage.difference import Diff, Part, Side


class End(Protocol):
    """One side: whose logs it has, and the chain hashes of their entries."""

    side: Side
    logs: dict[str, int]

    async def hashes(self, places: Mapping[str, int]) -> Hashes: ...


class FileEnd:
    """A replica's file on this host, in one transaction."""

    def __init__(self, path: Path, db: Any) -> None:
        from storage.difference import side_of
        from storage.loading import read_heads

        db.execute("begin")
        self._db = db
        self.side = side_of(path, db)
        self.logs = {origin: head.seq for origin, head in read_heads(db).items()}

    async def hashes(self, places: Mapping[str, int]) -> Hashes:
        from storage.difference import hash_at

        return {origin: hash_at(self._db, origin, seq) for origin, seq in places.items()}


class ServerEnd:
    """A server that is asked.  `meet` first."""

    def __init__(self, address: str, asker: Asker, *, timeout_seconds: float) -> None:
        self._address = address
        self._asker = asker
        self._timeout_seconds = timeout_seconds
        self.side: Side
        self.logs: dict[str, int] = {}

    async def meet(self) -> None:
        """Ask who it is and which logs it has.  Raises `Ended`."""
        status = await self._ask("status")
        told = await self._ask("audit", have={}, origins=True)
        self.logs = _checked(told.get("origins"), int)
        self.side = Side(
            self._address,
            str(status.get("server", "")),
            str(status.get("version", "")),
            int(status.get("schema", 0)),
            sum(self.logs.values()),
            {},
        )

    async def hashes(self, places: Mapping[str, int]) -> Hashes:
        told = await self._ask("audit", have={}, hashes=dict(places))
        found: dict[str, bytes] = _checked(told.get("hashes"), bytes)
        return found

    async def _ask(self, service: str, **fields: Any) -> dict[str, Any]:
        frame = codec.encode(service, {**fields, "timestamp": int(time.time()), "clock": 0})
        try:
            with anyio.fail_after(self._timeout_seconds):
                reply = codec.decode_reply(await self._asker.ask(frame))
        except (TimeoutError, WireError, ProtocolError) as error:
            why = str(error) or speaker()("diff.silent")
            raise Ended(f"{self._address}: {why}", UNAVAILABLE) from None
        if reply.failed:
            raise Ended(f"{self._address}: {reply.data.get('description', '')}")
        return reply.data


def _checked(told: object, kind: type) -> dict[str, Any]:
    """A map of names to values of one kind, as a server of this version tells it.  Raises `Ended`."""
    if not isinstance(told, dict) or any(type(value) is not kind for value in told.values()):
        raise Ended(speaker()("diff.older"), DATA)
    return told


def is_address(given: str) -> bool:
    """Whether it is a server's address and no path."""
    return given.startswith(("tcp://", "ipc://"))


async def differ_live(a: str, b: str, *, where: Where, user: str | None) -> Diff:
    """Compare the logs of two sides, of which at least one is a server.  Raises `Ended`."""
    from recado.whereabouts import Whereabouts
    from recado.wire.zeromq import WireOptions, ZeroMQNetwork

    security = security_of(where, user)
    wire = None
    if security is not None:
        from recado.credentials import wire_security

        wire = wire_security(security)
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(ZeroMQNetwork(WireOptions(linger_seconds=0.0), wire))
        ends: list[End] = []
        for given in (a, b):
            if is_address(given):
                Whereabouts(security).servers([given])
                asker = await stack.enter_async_context(network.asker(given))
                server = ServerEnd(given, asker, timeout_seconds=where.timeout_seconds)
                await server.meet()
                ends.append(server)
            else:
                ends.append(_file(stack, Path(given)))
        return await compare(*ends)


def _file(stack: AsyncExitStack, path: Path) -> FileEnd:
    from storage.inspection import open_for_inspection

    try:
        return FileEnd(path, stack.enter_context(closing(open_for_inspection(path))))
    except StorageError as error:
        raise Ended(str(error), DATA) from None


async def compare(a: End, b: End) -> Diff:
    """Where the logs of two sides part."""
    search = Bisection(a.logs, b.logs)
    while places := search.questions:
        search.answered(await a.hashes(places), await b.hashes(places))
    parts = []
    for origin, found in sorted(search.found.items()):
        a_last, b_last = a.logs.get(origin, 0), b.logs.get(origin, 0)
        if found.parted or a_last != b_last:
            what = "parted" if found.parted else "behind"
            parts.append(Part(origin, what, a_last, b_last, found.common, found.common + 1, None, None))
    return Diff(a.side, b.side, len(search.found), len(search.found) - len(parts), parts)
