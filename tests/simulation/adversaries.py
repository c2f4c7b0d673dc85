"""Hostile keys in a secured cluster: a stranger, a user, one who was a member, one who is.

Each does at random what its key lets it try, against any server, all through a storm.  `taken` is what
was answered as if it were in order; it must stay empty.  What a present member may do is not hostile:
its own log, its own votes.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec
import secured_world
import trio
from secured_world import FORMER

from recado.protocol import codec, names
from recado.protocol.entry import EMPTY, Head, origin_name, run_fields, seal
from recado.protocol.limits import LAMPORT_LIMIT
from recado.protocol.messages import Entry, Kind
from recado.wire.ports import Principal, WireError

if TYPE_CHECKING:
    from world import World

PAUSE_SECONDS = 0.5
TRY_SECONDS = 3.0
FORGED = "forjada"  # in the body of every entry that nobody said
BROKER = "tcp://broker:5558"
PEER_SERVICES = ("sync", "snapshot", "fetch", "coordinator", "election", "adjust", "release", "prevote")


def forged_log(origin: str, count: int = 3) -> list[Entry]:
    """The first entries of an origin, as its node would never have written them."""
    entries, head = [], EMPTY
    for n in range(count):
        entry = seal(
            head, origin=origin, lamport=n + 1, wall_ms=1, kind=Kind.CHANNEL_MESSAGE, author=names.uid("ana"),
            id=None, target="geral", prev=0, body=FORGED.encode(),
        )  # fmt: skip
        head = Head(entry.seq, entry.lamport, entry.hash)
        entries.append(entry)
    return entries


class Hostile:
    """One key and what is tried with it.  `victim`: the user whose name and words are wanted."""

    def __init__(self, world: "World", host: str, *, principal: Principal, victim: str) -> None:
        self.world = world
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.tries = 0
        self.heard: list[bytes] = []
        self._principal = principal
        self._host = host
        self._victim = victim
        self._random = Random(f"{world.seed} {host} {principal.name}")

    async def run(self) -> None:
        """The task: for ever."""
        deeds = self.deeds()
        while True:
            await trio.sleep(self._random.expovariate(1 / PAUSE_SECONDS))
            await self._random.choice(deeds)()

    def deeds(self) -> list[Callable[[], Awaitable[None]]]:
        """What this one tries."""
        return [self.speak_for_another, self.read_another, self.speak_for_a_member, self.poison_clocks]

    async def speak_for_another(self) -> None:
        """Words, and rights, in the victim's name."""
        service, fields = self._random.choice(
            (
                ("publish", {"user": self._victim, "channel": "geral", "message": FORGED}),
                ("message", {"src": self._victim, "dst": "mallory", "message": FORGED}),
                ("login", {"user": self._victim}),
                ("channel_rule", {"user": self._victim, "channel": "geral", "do": "private"}),
                ("user_rule", {"user": self._victim, "do": "suspend", "who": self._victim}),
            )
        )
        await self.refused(service, **fields)

    async def read_another(self) -> None:
        """The victim's direct messages."""
        await self.refused("history", user=self._victim)

    async def speak_for_a_member(self) -> None:
        """What servers ask each other, in a server's name."""
        name = self._random.choice(list(self.world.servers))
        epoch = [self._random.choice((1, 2**40)), 9, name, "b"]
        more = {"origin": f"{name}.{'0' * 16}", "first": 1, "last": 1, "adjustment": 9.0, "round": 1}
        who = {"v": 2, "cluster": secured_world.CLUSTER, "from": name, "boot": "b"}
        await self.refused(self._random.choice(PEER_SERVICES), **who, epoch=epoch, **more)

    async def poison_clocks(self) -> None:
        """A clock from the end of time, and what the answer says of it, somewhere else."""
        told = await self.ask("users", clock=LAMPORT_LIMIT - 10, ctag=self._random.randbytes(8))
        if told is not None:
            await self.ask("users", **{key: told[key] for key in ("clock", "ctag") if key in told})

    async def push(self, run: list[Any], *, name: str) -> None:
        """A run to any server, as from `name`; what becomes of it the stores show."""
        who = {"v": 2, "cluster": secured_world.CLUSTER, "from": name, "boot": "b"}
        await self.ask("replicate", **who, runs=[run])

    async def refused(self, service: str, **fields: Any) -> None:
        """Ask; anything but a refusal is `taken`."""
        reply = await self.ask(service, **fields)
        if reply is not None and reply.get("status") != "erro":
            self.taken.append((service, fields))

    async def ask(self, service: str, **fields: Any) -> dict[str, Any] | None:
        """The reply's data of any server, if it answers."""
        self.tries += 1
        network = self.world.network.host(self._host, self._principal)
        frame = codec.encode(service, {"timestamp": 0, "clock": 0, **fields})
        with trio.move_on_after(TRY_SECONDS):
            async with network.asker(self._random.choice(self.world.addresses)) as asker:
                try:
                    return codec.decode_reply(await asker.ask(frame)).data
                except WireError:
                    pass
        return None

    async def listen(self) -> None:
        """The task: subscribe to everything and to whatever might be somebody's; `heard` must stay empty."""
        async with self.world.network.host(self._host, self._principal).subscriber([BROKER]) as end:
            for topic in (b"", b"c", b"p", b"u", b"u" + self._victim.encode() + b"\0", b"geral"):
                end.subscribe(topic)
            while True:
                self.heard += [publication.topic for publication in await end.receive_batch()]


class ExMember(Hostile):
    """One with the key of a server that left: a stranger's rights, and signatures that were good once."""

    def deeds(self) -> list[Callable[[], Awaitable[None]]]:
        return [*super().deeds(), self.write_in_its_old_log]

    async def write_in_its_old_log(self) -> None:
        """Entries that its old key signs, told by itself."""
        log = forged_log(origin_name(FORMER, self._random.randbytes(8)))
        await self.push(secured_world.signed(log, by=FORMER), name=FORMER)


class Member(Hostile):
    """One with a present member's key: all peer services are open to it, but no log except its own."""

    def deeds(self) -> list[Callable[[], Awaitable[None]]]:
        return [
            self.forge_another_s_log,
            self.change_a_body,
            self.cut_off_a_signature,
            self.claim_another_s_epoch,
        ]

    async def forge_another_s_log(self) -> None:
        """A log that another member never wrote, signed with the key at hand or not at all."""
        log = forged_log(origin_name(self._other(), self._random.randbytes(8)))
        run = secured_world.signed(log, by=self._principal.name)
        await self.push(run[: self._random.choice((4, 5))], name=self._principal.name)

    async def change_a_body(self) -> None:
        """A true page with its true signature, and other words in it."""
        run = self._true_page()
        if run is not None:
            place = self._random.randrange(len(run[3]))
            run[3] = [*run[3][:place], (run[3][place][0], FORGED.encode()), *run[3][place + 1 :]]
            await self.push(run, name=self._principal.name)

    async def cut_off_a_signature(self) -> None:
        """A true page that ends before its signature."""
        run = self._true_page()
        if run is not None and len(run[3]) > 1:
            run[3] = run[3][:-1]
            await self.push(run, name=self._principal.name)

    async def claim_another_s_epoch(self) -> None:
        """An epoch in another member's name, old or new."""
        epoch = [self._random.choice((1, 2, 2**40)), 9, self._other(), "b"]
        who = {"v": 2, "cluster": secured_world.CLUSTER, "from": self._principal.name, "boot": "b"}
        await self.refused(self._random.choice(("coordinator", "election", "release")), **who, epoch=epoch)

    def _other(self) -> str:
        return self._random.choice([name for name in self.world.servers if name != self._principal.name])

    def _true_page(self) -> list[Any] | None:
        """As some server would give it."""
        alive = [node for node in self.world.servers.values() if node.alive]
        if not alive:
            return None
        store = self._random.choice(alive).store
        origins = sorted(store.heads())
        if not origins:
            return None
        run = store.run_after(self._random.choice(origins), 0, entries_max=50, bytes_max=10_000, signed=True)
        return None if run is None else run_fields(msgspec.structs.replace(run))
