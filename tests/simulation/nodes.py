"""Processes of the simulated cluster, each with its host, its disk and its clock."""

from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import secured_world
import trio
from disks import Disk, DiskClock, Ending

from daemons.server.app import run_server
from daemons.server.node import Surroundings
from daemons.shared.logging import get_logger
from recado.protocol import codec
from recado.protocol.versions import WIRE_VERSION
from recado.settings import Member, Node, Server
from storage.registry import RegistryStore
from storage.replica import StorageFailed

if TYPE_CHECKING:
    from world import World

BIRTH = 1_750_000_000.0  # wall time, in seconds since 1970, at virtual time zero


class WallClock:
    """A host's clock: off by `offset_seconds`, and by `drift` seconds more each second."""

    def __init__(self, *, offset_seconds: float, drift: float) -> None:
        self.offset_seconds = offset_seconds
        self.drift = drift

    def __call__(self) -> float:
        """Seconds since 1970."""
        return BIRTH + self.offset_seconds + trio.current_time() * (1 + self.drift)


class LeaseClock:
    """A host's `CLOCK_BOOTTIME`: nobody sets it, but it runs a little too fast or too slow."""

    def __init__(self, *, rate: float) -> None:
        self.rate = rate

    def __call__(self) -> float:
        """Seconds since whenever."""
        return trio.current_time() * self.rate


class Process:
    """A node that runs, or does not.  `serve` is the program; it ends by being stopped or killed."""

    def __init__(self, world: "World", name: str) -> None:
        self.world = world
        self.name = name
        self.starts = 0
        self._scope: trio.CancelScope | None = None
        self._stopping = trio.Event()
        self._stopped = trio.Event()

    @property
    def alive(self) -> bool:
        return self._scope is not None

    def start(self) -> None:
        """Start the program, which must not run.  It serves as soon as other tasks had a turn."""
        assert not self.alive, f"{self.name} runs already"
        self.starts += 1
        self._scope, self._stopping, self._stopped = trio.CancelScope(), trio.Event(), trio.Event()
        self.world.transit.note(f"start {self.name}")
        self.open()
        self.world.nursery.start_soon(self._live, self._scope, self._stopping, self._stopped)

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop and has not ended yet."""
        return self.alive and self._stopping.is_set()

    async def ended(self) -> None:
        """Wait until it has ended by itself."""
        await self._stopped.wait()

    def kill(self, ending: Ending = "killed", *, kept: bool = False) -> None:
        """As by SIGKILL, or by a power cut; harmless if it does not run."""
        if self._scope is None:
            return
        self.world.transit.note(f"kill {self.name} ({ending})")
        self.close(ending, kept=kept)
        self._scope.cancel()
        self._scope = None
        self.world.network.crash(self.name)

    async def stop(self) -> None:
        """As by SIGTERM: returns when the program has ended."""
        self.world.transit.note(f"stop {self.name}")
        self._stopping.set()
        await self._stopped.wait()

    async def _live(self, scope: trio.CancelScope, stopping: trio.Event, stopped: trio.Event) -> None:
        with scope:
            try:
                await self.serve(stopping)
            except* StorageFailed:
                if self._scope is scope:
                    self.world.transit.note(f"{self.name} stops: its disk failed")
                    self.world.network.crash(self.name)
        if self._scope is scope:  # it ended by itself; after a kill another may run already
            self.close()
            self._scope = None
        stopped.set()

    def open(self) -> None:
        """Before the program starts."""

    def close(self, ending: Ending = "killed", *, kept: bool = False) -> None:
        """At the moment of its end."""

    async def serve(self, stopping: trio.Event) -> None:
        raise NotImplementedError


class ServerNode(Process):
    """A server.  `image` is its disk while it does not run; None is an empty one."""

    store: Disk

    def __init__(
        self, world: "World", member: Member, *, offset_seconds: float, drift: float, lease_rate: float
    ) -> None:
        super().__init__(world, member.name)
        self.member = member
        self.boottime = LeaseClock(rate=lease_rate)
        self.wall = WallClock(offset_seconds=offset_seconds, drift=drift)
        self.image: bytes | None = None
        self.wire_version = WIRE_VERSION
        self.disk_random = Random(f"{world.seed} {member.name} disk")
        self.disk = DiskClock(self.disk_random)

    def restore(self, image: bytes | None) -> None:
        """The disk becomes an older one, or empty; to be done while the server does not run."""
        assert not self.alive
        self.world.transit.note(f"{self.name} {'loses its disk' if image is None else 'gets a backup'}")
        self.world.losses.append(trio.current_time())
        self.image = image

    def stamped(self, _lamport: int, origin: str, seq: int) -> float:
        """The shown time, in seconds, that a durable entry here was stamped with."""
        run = self.store.run_after(origin, seq - 1, entries_max=1, bytes_max=1)
        assert run is not None, f"{self.name} does not have what it acknowledged: {origin} {seq}"
        wall_ms: int = codec.unpack(run.entries[0][0], frame_bytes_max=8192)[4]
        return wall_ms / 1000

    def open(self) -> None:
        self.store = Disk.in_memory(self.name, self.image)  # type: ignore[assignment]
        self.disk = DiskClock(self.disk_random)

    def close(self, ending: Ending = "killed", *, kept: bool = False) -> None:
        self.disk.end(ending, kept=kept)
        self.image = self.store.image()

    def pause(self, seconds: float) -> None:
        """As by SIGSTOP, as far as others can see: nothing is sent, heard or committed for so long."""
        self.disk.frozen_until = trio.current_time() + seconds
        self.world.transit.freeze(self.name, until=self.disk.frozen_until)

    async def serve(self, stopping: trio.Event) -> None:
        world, member = self.world, self.member
        random = Random(f"{world.seed} {self.name} {self.starts}")

        config = msgspec.structs.replace(
            world.config,
            node=Node(name=self.name),
            server=Server(listen=member.address, rank=member.rank, mode=world.election),
        )
        await run_server(
            config,
            world.network.host(self.name),
            store=self.store,
            surroundings=Surroundings(
                now=trio.current_time,
                wall=self.wall,
                entropy=random.randbytes,
                random=random,
                committer=self.disk.commit,
                aside=self.disk.aside,
                boottime=self.boottime,
                wire_version=self.wire_version,
            ),
            log=lambda name, clock: get_logger(name, clock, sink=world.journal),
            stopping=stopping,
            ready=lambda _listen: None,
            in_force=None if world.roster is None else secured_world.given(config, world.roster),
        )


class ServiceNode(Process):
    """The broker: nothing of it is kept."""

    def __init__(self, world: "World", name: str, program: Callable[..., Awaitable[None]]) -> None:
        super().__init__(world, name)
        self._program = program

    async def serve(self, stopping: trio.Event) -> None:
        world = self.world
        config = msgspec.structs.replace(world.config, node=Node(name=self.name))
        await self._program(
            config, world.network.host(self.name), sink=world.journal, stopping=stopping, **self.more()
        )

    def more(self) -> dict[str, Any]:
        """What the program needs besides."""
        return secured_world.at_the_broker(self.world.roster, self.world.journal)


class ReferenceNode(ServiceNode):
    """The reference.  Each of its writes is a commit, so its store outlives a kill as it is."""

    def __init__(self, world: "World", name: str, program: Callable[..., Awaitable[None]]) -> None:
        super().__init__(world, name, program)
        self.store = RegistryStore.in_memory()

    def wipe(self) -> None:
        """Its disk is lost; to be done while it does not run."""
        assert not self.alive
        self.store = RegistryStore.in_memory()

    def more(self) -> dict[str, Any]:
        return {"store": self.store, "wall": WallClock(offset_seconds=0.0, drift=0.0)}
