"""People with plain REQ sockets and nothing of ours but the contract: one at each server and at each broker.

An answer that does not come in time means a new socket, as REQ demands, and the text is never sent again.
Those at a broker keep a Lamport clock, as the contract asks: with both stamps in the request a broker may
ask a second server, which must not make two messages of it, and their order is kept from server to server.
"""

import threading
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import msgpack
import trio
import zmq

from recado.protocol.lamport import LamportClock
from recado.protocol.messages import Level
from tests.torture.neighbours import Operation

if TYPE_CHECKING:
    from tests.torture.load import Journal

REPLY_SECONDS = 4.0
CHANNEL = "sala-1"
NOBODY = b""  # the id of a request that had none; the judgement finds the entry by its key


class PlainPeople:
    """`names` of all; `run` is their task."""

    def __init__(self, servers: list[str], requests: list[str], journal: "Journal") -> None:
        self._requests = requests
        self._addresses = [*servers, *requests]
        self.names = [f"plain-{number}" for number in range(1, len(self._addresses) + 1)]
        self._journal = journal
        self._stop = threading.Event()

    async def run(self, pause_seconds: float) -> None:
        """Until the journal closes; then every thread ends its request."""
        threads = [
            threading.Thread(target=self._person, args=(name, address, pause_seconds), daemon=True)
            for name, address in zip(self.names, self._addresses, strict=True)
        ]
        for thread in threads:
            thread.start()
        while not self._journal.closing:  # noqa: ASYNC110  # a flag of the signal's
            await trio.sleep(0.1)
        self._stop.set()
        while any(thread.is_alive() for thread in threads):  # noqa: ASYNC110  # threads
            await trio.sleep(0.1)

    def _person(self, name: str, address: str, pause_seconds: float) -> None:
        number = 0
        clock = LamportClock() if address in self._requests else None
        with zmq.Context() as context:
            while not self._stop.is_set():
                with context.socket(zmq.REQ) as end:
                    end.linger = 0
                    end.rcvtimeo = end.sndtimeo = int(REPLY_SECONDS * 1000)
                    end.connect(address)
                    number = self._while_answered(end, name, number, clock, pause_seconds)

    def _while_answered(
        self,
        end: "zmq.Socket[bytes]",
        name: str,
        number: int,
        clock: LamportClock | None,
        pause_seconds: float,
    ) -> int:
        while not self._stop.wait(pause_seconds):
            number += 1
            text = f"{name} n. {number}"
            operation = Operation(
                service="publish", user=name, target=CHANNEL, text=text, id=NOBODY, level=Level.LOCAL
            )
            operation.begun, operation.tries = monotonic(), 1
            data = {"user": name, "channel": CHANNEL, "message": text, "timestamp": int(time())}
            try:
                stamp = {} if clock is None else {"clock": clock.tick()}
                end.send(msgpack.packb({"service": "publish", "data": {**data, **stamp}}))
                reply = msgpack.unpackb(end.recv())["data"]
            except zmq.Again:
                self._journal.ended(operation)
                return number
            if clock is not None:
                clock.receive(reply["clock"])
            self._told(operation, reply)
            self._journal.ended(operation)
        return number

    def _told(self, operation: Operation, reply: dict[str, Any]) -> None:
        if reply.get("status") == "OK":
            operation.outcome, operation.ended = "acknowledged", monotonic()
            operation.key = tuple(reply["key"])
        elif reply.get("code") != "indeterminate":
            operation.outcome, operation.code = "refused", reply.get("code")
