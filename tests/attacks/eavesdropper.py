"""Somebody on the way who writes down every frame that servers send each other, and sends them again."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from recado.protocol import codec
from recado.protocol.messages import Asked
from recado.wire.memory import MemoryHost, MemoryNetwork
from recado.wire.ports import Asker, Principal
from tests.daemons.server.people import People


class Heard(NamedTuple):
    """One request: who sent it where, and its bytes."""

    by: str
    to: str
    frame: bytes

    @property
    def asked(self) -> Asked:
        return codec.decode_request(self.frame)


class _Ear:
    """An asker whose requests are written down."""

    def __init__(self, asker: Asker, by: str, heard: list[Heard]) -> None:
        self._asker, self._by, self._heard = asker, by, heard

    @property
    def address(self) -> str:
        return self._asker.address

    async def ask(self, body: bytes) -> bytes:
        self._heard.append(Heard(self._by, self.address, body))
        return await self._asker.ask(body)


@dataclass(frozen=True)
class _Overheard(MemoryHost):
    """A host whose askers are overheard."""

    heard: list[Heard] = field(default_factory=list, compare=False)

    def asker(self, address: str) -> AbstractAsyncContextManager[Any]:
        return self._ear(address)

    @asynccontextmanager
    async def _ear(self, address: str) -> AsyncIterator[Asker]:
        async with MemoryHost.asker(self, address) as asker:
            yield _Ear(asker, self.name, self.heard)


class Overheard(People):
    """A secured cluster whose wires are tapped: `heard`, in order."""

    def __init__(self, *ends: Any, **options: Any) -> None:
        super().__init__(*ends, **options)
        self.heard: list[Heard] = []

    def host(self, name: str) -> MemoryHost:
        plain = super().host(name)
        return _Overheard(plain.network, plain.name, plain.principal, self.heard)

    async def again(self, heard: Heard, by: Principal) -> dict[str, Any]:
        """The reply's data to the same bytes, sent by anybody."""
        network: MemoryNetwork = self.network
        async with network.host("replayed", by).asker(heard.to) as asker:
            return dict(codec.decode_reply(await asker.ask(heard.frame)).data)
