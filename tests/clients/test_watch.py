"""Who `recado up` calls coordinator when no announcement was heard, in virtual time."""

import anyio

from clients.cluster.events import Event
from clients.cluster.watch import ASK_SECONDS, watch
from recado.protocol import codec
from recado.wire.memory import MemoryNetwork
from recado.wire.ports import Outgoing
from tests.client.both_loops import on_both_loops

XSUB, XPUB = "tcp://broker:1", "tcp://broker:2"


class Cluster:
    """Two servers; `says` is whom each names as coordinator, `settled_names` which have run for long."""

    xpub = XPUB
    secured = False

    def __init__(self) -> None:
        self.coordinator: str | None = None
        self.told: list[Event] = []
        self.says = {"server-1": "server-2", "server-2": "server-2"}
        self.settled_names: list[str] = []

    def settled(self) -> dict[str, str]:
        return {name: f"tcp://{name}:5555" for name in self.settled_names}

    def tell(self, happened: Event) -> None:
        self.told.append(happened)

    async def serve(self, network: MemoryNetwork, name: str) -> None:
        async with network.host(name).listener(f"tcp://{name}:5555") as listener:
            while True:
                for incoming in await listener.receive_batch():
                    reply = codec.encode("status", {"status": "OK", "coordinator": self.says[name]})
                    listener.send([Outgoing(incoming.envelope, reply)])


@on_both_loops
async def test_only_the_coordinator_itself_is_believed_once_it_has_settled() -> None:
    """Neither what another server says of it counts, nor what it remembers from before its restart."""
    network, cluster = MemoryNetwork(), Cluster()
    async with network.host("broker").forwarder(XSUB, XPUB), anyio.create_task_group() as duties:
        for name in cluster.says:
            duties.start_soon(cluster.serve, network, name)
        await duties.start(watch, cluster, network.host("up"))
        await anyio.sleep(3 * ASK_SECONDS)
        assert cluster.told == []
        cluster.settled_names = ["server-1"]  # it speaks of server-2, which has just restarted
        await anyio.sleep(3 * ASK_SECONDS)
        assert cluster.told == []
        cluster.settled_names = ["server-1", "server-2"]
        await anyio.sleep(3 * ASK_SECONDS)
        assert [(e["event"], e["node"]) for e in cluster.told] == [("coordinator", "server-2")]
        duties.cancel_scope.cancel()
