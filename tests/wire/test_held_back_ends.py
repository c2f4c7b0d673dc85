"""An end that has stopped reading, since its queue is full, lives on when its connection breaks.

libzmq 4.3.5 ends the process otherwise (`_HELD_BACK` in recado/wire/sockets.py): each case has its own one.
"""

import subprocess
import sys

import pytest

HEARTBEATS = 10  # that a socket of the other kinds would have sent after its connection broke

SUBSCRIBING = """
import anyio, zmq
from recado.wire.zeromq import WireOptions, ZeroMQNetwork

async def main():
    speaker = zmq.Context()
    publisher = speaker.socket(zmq.XPUB)
    publisher.set_hwm(0)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    options = WireOptions(heartbeat_interval_seconds=0.05, heartbeat_timeout_seconds=30.0)
    address = f"tcp://127.0.0.1:{port}"
    async with ZeroMQNetwork(options) as network, network.subscriber([address]) as subscriber:
        subscriber.subscribe(b"t")
        publisher.recv()
        for _ in range(40_000):
            publisher.send_multipart([b"t", bytes(1000)])
        await subscriber.receive_batch(1)
        await anyio.sleep(0.3)  # the rest fills the queue
        speaker.destroy(linger=0)
        await anyio.sleep(WAIT)
        print("alive")

anyio.run(main)
"""

LISTENING = """
import anyio, zmq
from recado.wire.zeromq import WireOptions, ZeroMQNetwork

async def main():
    options = WireOptions(heartbeat_interval_seconds=0.05, heartbeat_timeout_seconds=30.0)
    async with ZeroMQNetwork(options) as network, network.listener("tcp://127.0.0.1:*") as listener:
        speaker = zmq.Context()
        asker = speaker.socket(zmq.DEALER)
        asker.set_hwm(0)
        asker.connect(listener.address)
        for _ in range(40_000):
            asker.send_multipart([b"", bytes(1000)])
        await listener.receive_batch(1)
        await anyio.sleep(0.3)  # the rest fills the queue
        speaker.destroy(linger=0)
        await anyio.sleep(WAIT)
        print("alive")

anyio.run(main)
"""


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.parametrize("program", [SUBSCRIBING, LISTENING], ids=["subscriber", "listener"])
def test_a_full_queue_outlives_its_connection(program: str) -> None:
    """The other end dies while the queue is full and nobody reads: the process goes on."""
    words = [sys.executable, "-c", program.replace("WAIT", str(HEARTBEATS * 0.05))]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n", "")
