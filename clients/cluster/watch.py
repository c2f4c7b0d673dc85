"""What the cluster says, heard as any subscriber would: messages, and who is coordinator.

An announcement may be lost (publications are hints), so while no coordinator is known each server is
asked now and then whether it is the one.  Of another it may not know yet that it is gone, and after its
own restart it may only remember.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import anyio
import anyio.abc

from clients.cluster.events import Event, event
from recado.protocol import codec
from recado.protocol.errors import Malformed
from recado.protocol.publications import BEACON_TOPIC, COORDINATOR_TOPIC, SECURED_COORDINATOR_TOPIC
from recado.wire.ports import Asker, Network, Publication, WireError

SAID_PER_SECOND = 10  # more is counted, not shown: a terminal is no place for a flood
ASK_SECONDS = 2.0


class Watched(Protocol):
    """Who is told what was heard.

    `secured`: publications are granted one topic at a time, so messages are not heard.
    """

    coordinator: str | None

    @property
    def secured(self) -> bool: ...

    def settled(self) -> Mapping[str, str]: ...

    @property
    def xpub(self) -> str: ...

    def tell(self, happened: Event) -> None: ...


async def watch(
    cluster: Watched,
    network: Network,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Listen at the broker until cancelled, through its restarts."""
    allowance = Allowance(SAID_PER_SECOND)
    async with network.subscriber([cluster.xpub]) as subscriber, anyio.create_task_group() as duties:
        subscriber.subscribe(SECURED_COORDINATOR_TOPIC if cluster.secured else b"")
        duties.start_soon(_ask_for_coordinator, cluster, network)
        task_status.started()
        while True:
            for publication in await subscriber.receive_batch():
                _heard(cluster, publication, allowance)


class Allowance:
    """At most so many a second are shown; the number left out is told with the next one shown."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._second = -1
        self._shown = 0
        self.left_out = 0

    def take(self, now_seconds: float) -> bool:
        """Whether one more may be shown at this time."""
        if int(now_seconds) != self._second:
            self._second, self._shown = int(now_seconds), 0
        self._shown += 1
        if self._shown > self._per_second:
            self.left_out += 1
            return False
        return True


def _heard(cluster: Watched, publication: Publication, allowance: Allowance) -> None:
    if publication.topic == BEACON_TOPIC:  # for machines
        return
    try:
        said = codec.decode_publication(publication.body)
    except Malformed:
        return
    if publication.topic in (COORDINATOR_TOPIC, SECURED_COORDINATOR_TOPIC):
        data = said.get("data")
        if isinstance(data, dict):
            _coordinator(cluster, data.get("coordinator"))
    elif allowance.take(anyio.current_time()):
        happened = said_event(said)
        if happened is not None:
            if allowance.left_out:
                happened["left_out"], allowance.left_out = allowance.left_out, 0
            cluster.tell(happened)


def said_event(said: dict[str, Any]) -> Event | None:
    """A publication as an event; None if it is no message."""
    user, text = said.get("user") or said.get("src"), said.get("message")
    if not isinstance(user, str) or not isinstance(text, str):
        return None
    where = {key: said[key] for key in ("channel", "dst") if isinstance(said.get(key), str)}
    return event("said", user=user, **where, text=text, clock=said.get("clock"), origin=said.get("origin"))


def _coordinator(cluster: Watched, name: Any) -> None:
    if isinstance(name, str) and name and name != cluster.coordinator:
        before, cluster.coordinator = cluster.coordinator, name
        cluster.tell(event("coordinator", node=name, before=before))


async def _ask_for_coordinator(cluster: Watched, network: Network) -> None:
    while True:
        await anyio.sleep(ASK_SECONDS)
        for name, address in cluster.settled().items():
            if cluster.coordinator is not None:
                break
            async with network.asker(address) as asker:
                said = await _status_coordinator(asker)
            if said == name and name in cluster.settled():  # the process that was asked still runs
                _coordinator(cluster, name)


async def _status_coordinator(asker: Asker) -> Any:
    with anyio.move_on_after(ASK_SECONDS):
        try:
            reply = codec.decode_reply(await asker.ask(codec.encode("status", {"clock": 0})))
        except (Malformed, WireError):
            return None
        return reply.data.get("coordinator")
    return None
