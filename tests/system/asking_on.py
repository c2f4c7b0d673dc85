"""``asking_on.py ADDRESS SECONDS [SERVICE]``: ask a server over and over, each answer within 10 s.

Prints how many questions were answered, and how many times one had to be asked again.
"""

import sys
from time import monotonic, time
from typing import Any

import msgpack
import zmq

AGAIN_MS = 1_000
ATTEMPTS_MAX = 10


def answered(asker: "zmq.Socket[bytes]", number: bytes, data: dict[str, Any], service: str) -> bool:
    """Ask once; whether the answer to this very question came in time."""
    asker.send_multipart([number, b"", msgpack.packb({"service": service, "data": data})])
    end = monotonic() + AGAIN_MS / 1000
    while (left := end - monotonic()) > 0 and asker.poll(int(left * 1000) + 1):
        if asker.recv_multipart()[0] == number:
            return True
    return False


def main(address: str, seconds: float, service: str = "users") -> None:
    asker = zmq.Context().socket(zmq.DEALER)
    asker.setsockopt(zmq.LINGER, 0)
    asker.setsockopt(zmq.RECONNECT_IVL, 20)
    asker.connect(address)
    answers = again = 0
    end = monotonic() + seconds
    while monotonic() < end:
        number = answers.to_bytes(4, "big")
        attempts = 1
        while not answered(
            asker, number, {"user": "ana", "timestamp": int(time()), "clock": answers}, service
        ):
            attempts += 1
            if attempts > ATTEMPTS_MAX:
                sys.exit(f"question {answers} was not answered in {ATTEMPTS_MAX} attempts")
        answers += 1
        again += attempts - 1
    print(answers, again)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), *sys.argv[3:])
