"""Writes: an id that makes a repetition harmless, a level that says when to answer, a receipt."""

import contextlib
import secrets
from collections.abc import Mapping
from typing import Any, TypedDict

import anyio

from recado import values
from recado.connection import Connection
from recado.failures import NameRefused, NoAnswer, RefusedByServer, checked_id
from recado.protocol import names
from recado.protocol.messages import Level
from recado.values import Receipt

QUORUM_MEMBERS = 3  # from this many members on, writes ask for a majority if not told otherwise


class How(TypedDict, total=False):
    """How a write is made: its level, the id of an earlier try, and its time in seconds."""

    level: str | None
    id: bytes | None
    deadline_seconds: float | None


class Writing:
    """Who speaks, and how what they write is asked for."""

    def __init__(self, user: str | None, connection: Connection, level: Level | None) -> None:
        self._user = user
        self._connection = connection
        self._level = level
        self._asked_members = False

    @property
    def user(self) -> str:
        """Who speaks here, trimmed.  Raises `NameRefused` on a connection without a user."""
        if self._user is None:
            raise NameRefused("user_empty", "this connection has no user: connect(name, …)")
        return self._user

    async def _write(
        self,
        service: str,
        fields: Mapping[str, Any],
        *,
        id: bytes | None,
        level: str | None,
        deadline_seconds: float | None,
    ) -> Receipt:
        receipt, _ = await self._write_and_hear(
            service, fields, id=id, level=level, deadline_seconds=deadline_seconds
        )
        return receipt

    async def _write_and_hear(
        self,
        service: str,
        fields: Mapping[str, Any],
        *,
        id: bytes | None = None,
        level: str | None = None,
        deadline_seconds: float | None = None,
    ) -> tuple[Receipt, Mapping[str, Any]]:
        """The receipt, and all that the reply says."""
        ident = self._mint() if id is None else checked_id(id)
        waited_seconds = 0.0
        asked = Level(level) if level is not None else self._level
        if asked is None:
            began = anyio.current_time()
            asked = await self._usual_level(deadline_seconds)
            waited_seconds = anyio.current_time() - began
        answer = await self._connection.write(
            service,
            {**fields, "id": ident, "level": str(asked)},
            deadline_seconds=deadline_seconds,
            waited_seconds=waited_seconds,
        )
        receipt = values.receipt(
            answer.data,
            id=ident,
            server=answer.address,
            asked_level=asked,
            members=self._connection.members,
        )
        if receipt.key is not None:
            self._connection.session.saw(receipt.key.origin, receipt.key.seq)
        return receipt, answer.data

    async def _usual_level(self, deadline_seconds: float | None) -> Level:
        """Quorum if there are enough members for one to be lost.  Asks once if nobody has said so yet.

        The question takes at most half of the write's time: the other half is for the write.
        """
        connection = self._connection
        if connection.members is None and not self._asked_members:
            self._asked_members = True
            with contextlib.suppress(NoAnswer, RefusedByServer):
                patience = connection.patience
                span = patience.deadline_seconds if deadline_seconds is None else deadline_seconds
                await connection.read("status", {}, deadline_seconds=min(patience.attempt_seconds, span / 2))
        known = max(connection.members or 0, len(connection.servers.addresses))
        return Level.QUORUM if known >= QUORUM_MEMBERS else Level.LOCAL

    def _mint(self) -> bytes:
        """Sixteen bytes that nobody else makes: six of time, ten random."""
        return names.minted_id(self._connection.now_seconds() * 1000, secrets.token_bytes(10))
