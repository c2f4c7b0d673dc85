"""``asking_on.py ADDRESS SECONDS [SERVICE]``: ask a server over and over, each answer within 10 s.

Prints how many questions were answered, and how many had to be asked again.
"""

import sys
from time import monotonic, time

import msgpack
import zmq

ANSWER_MS = 10_000
AGAIN_MS = 1_000


def main(address: str, seconds: float, service: str = "users") -> None:
    context = zmq.Context()
    asker = context.socket(zmq.REQ)
    asker.setsockopt(zmq.REQ_RELAXED, 1)
    asker.setsockopt(zmq.REQ_CORRELATE, 1)
    asker.setsockopt(zmq.LINGER, 0)
    asker.setsockopt(zmq.RECONNECT_IVL, 20)
    asker.connect(address)
    answered = again = 0
    end = monotonic() + seconds
    while monotonic() < end:
        for _ in range(ANSWER_MS // AGAIN_MS):
            asker.send(
                msgpack.packb(
                    {"service": service, "data": {"user": "ana", "timestamp": int(time()), "clock": answered}}
                )
            )
            if asker.poll(AGAIN_MS):
                break
            again += 1
        asker.recv(zmq.NOBLOCK)
        answered += 1
    print(answered, again)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), *sys.argv[3:])
