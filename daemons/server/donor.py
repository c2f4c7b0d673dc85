"""What a server gives to peers that lost something: single entries (`fetch`), or all at once (`snapshot`).

A snapshot is one file for all who ask within a minute of each other, made beside the running server.
"""

import trio

from daemons.server.calls import Call
from daemons.server.node import Node
from daemons.server.pages import Pages
from daemons.server.peer_services import believe_clock, member_of, runs_fields
from recado.protocol.errors import Refused
from recado.protocol.limits import (
    PAGE_BYTES_MAX,
    PAGE_ENTRIES_MAX,
    REQUEST_FRAME_BYTES_MAX,
    SNAPSHOT_FRAME_BYTES_MAX,
    SNAPSHOT_IDLE_SECONDS,
)
from recado.protocol.messages import Fetch, Run, Snapshot
from storage.replica import Damaged, StorageError, StorageFailed
from storage.snapshot import Source, make

REFUSED_SECONDS = 5.0  # so long a failed attempt answers for those who ask again


class Donor:
    """Handlers of the two services, and the task `run`, which makes and removes the file."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.pages = Pages(node)
        self._source: Source | None = None
        self._token = ""
        self._asked = trio.Event()
        self._used = 0.0  # when somebody last asked for the file
        self._failed: tuple[float, str] = (float("-inf"), "")

    # Single entries ---------------------------------------------------------------------------------

    def fetch(self, call: Call, asked: Fetch) -> None:
        """Entries to put in the place of damaged ones (A34); as many as fit into a page."""
        node = self._node
        member_of(node, asked)
        believe_clock(node, call)
        last = min(asked.last, node.entries.durable.get(asked.origin, 0))
        most = min(last - asked.first + 1, PAGE_ENTRIES_MAX)
        run = None
        if asked.first >= 1 and most >= 1:
            try:
                run = self._run(asked.origin, asked.first - 1, most)
            except Damaged as damaged:
                node.damaged(damaged.origin, damaged.seq)
        call.reply({"status": "OK", "runs": runs_fields([] if run is None else [run])})

    def _run(self, origin: str, after: int, most: int) -> Run | None:
        """In a secured cluster up to a signature, which vouches for it, if need be beyond what was asked."""
        read = self._node.store.run_after
        found = None
        if self._node.proofs is not None:
            found = read(origin, after, entries_max=most, bytes_max=PAGE_BYTES_MAX, signed=True)
        return found or read(origin, after, entries_max=most, bytes_max=PAGE_BYTES_MAX)

    # Everything -------------------------------------------------------------------------------------

    def snapshot(self, call: Call, asked: Snapshot) -> None:
        """The next part of a file, or, without a token, which file there is; it may have to be made first."""
        member_of(self._node, asked)
        believe_clock(self._node, call)
        self._used = trio.current_time()
        if asked.token is not None:
            self._part(call, asked.token, asked.offset)
        elif self._source is not None:
            told = {"token": self._token, "size": self._source.size, "hash": self._source.hash}
            call.reply({"status": "OK", "ready": True, **told})
        else:
            failed_at, why = self._failed
            if self._used - failed_at < REFUSED_SECONDS:
                raise Refused("storage_full", why)
            self._asked.set()
            call.reply({"status": "OK", "ready": False})

    def _part(self, call: Call, token: str, offset: int) -> None:
        if self._source is None or token != self._token:
            raise Refused("snapshot_gone", "Cópia não existe mais; peça outra")
        part = self._source.read(offset, SNAPSHOT_FRAME_BYTES_MAX)
        size = REQUEST_FRAME_BYTES_MAX  # of one value in a frame
        pieces = [part[start : start + size] for start in range(0, len(part), size)]
        call.reply({"status": "OK", "offset": offset, "pieces": pieces})

    async def run(self) -> None:
        """The task."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.pages.run)
            nursery.start_soon(self._make_files)

    async def _make_files(self) -> None:
        """Make a file when it is asked for, and remove it when nobody asks any more."""
        try:
            while True:
                await self._asked.wait()
                if await self._make():
                    await self._unused()
                self._remove()
                self._asked = trio.Event()
        finally:
            self._remove()

    async def _unused(self) -> None:
        """Wait until nobody has asked for the file for a while."""
        end = self._used + SNAPSHOT_IDLE_SECONDS
        while trio.current_time() < end:
            await trio.sleep_until(end)
            end = self._used + SNAPSHOT_IDLE_SECONDS

    async def _make(self) -> bool:
        node = self._node
        made: list[Source] = []
        node.log.info("making a snapshot for peers", entries=node.store.counts().entries)
        try:
            with trio.CancelScope(shield=True):
                await node.surroundings.aside(lambda: made.append(make(node.store)))
        except StorageFailed:
            raise
        except (StorageError, OSError) as error:
            node.log.error("no snapshot for peers", reason=str(error))
            self._failed = (trio.current_time(), "Sem espaço para a cópia")
            return False
        self._source, self._token = made[0], node.surroundings.entropy(8).hex()
        self._used = trio.current_time()
        node.log.info("snapshot made", bytes=self._source.size)
        return True

    def _remove(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None
