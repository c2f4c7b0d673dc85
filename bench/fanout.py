"""One publisher, many subscribers: a burst as fast as it goes, and messages at a steady pace.

Every subscriber must hear every message; what did not come is counted and told.  Ours takes part twice:
through the durable server, whose publications follow the commit, and straight through the broker, which
promises as little as the peers do.
"""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bench import generator
from bench.generator import Load, Subscribers
from bench.paired import Ask, Measured, alternate, everybody
from bench.peers import mosquitto, nats, ngircd, rabbitmq, recado, redis
from bench.peers.base import Contender, Running

CONTENDERS = (
    recado.BUS,
    recado.SPREAD,
    recado.SPREAD_IN_RUNS,
    nats.NEW_CORE,
    nats.CORE,
    redis.PUBSUB,
    ngircd.CHANNEL,
    mosquitto.QOS1,
    rabbitmq.FANOUT,
)
BURSTS = {10: 20_000, 100: 4_000, 1_000: 400}  # subscribers: messages
QUICK_BURSTS = {10: 4_000, 100: 1_000, 1_000: 100}
PACE_PER_SECOND = 40
WINDOW = 64
QUIET_SECONDS = 0.3
# A peer with a queue for each subscriber needs seconds to make a thousand of them.
PROBING_SECONDS = 60.0


def measure(
    directory: Path,
    *,
    bursts: dict[int, int],
    rounds: int,
    paced_seconds: float,
    contenders: Sequence[Contender] = CONTENDERS,
) -> Measured:
    """Bursts and paced messages to so many subscribers each.  Needs the compiled generator."""
    command = generator.build()
    with everybody(directory, contenders) as (present, left_out):
        plan = []
        for subscribers, messages in bursts.items():
            plan.append(
                (f"burst to {subscribers}", _load(command, subscribers, messages, pace=0), list(present))
            )
            if paced_seconds:
                count = round(paced_seconds * PACE_PER_SECOND)
                paced = _load(command, subscribers, count, pace=PACE_PER_SECOND)
                plan.append((f"paced to {subscribers}", paced, list(present)))
        return alternate("fanout", directory, plan=plan, present=present, left_out=left_out, rounds=rounds)


def _load(command: Sequence[str], subscribers: int, messages: int, *, pace: int) -> Ask:
    def ask(contender: Contender, running: Running) -> tuple[Load, int, int]:
        with Subscribers(
            command,
            contender.protocol,
            running.listening or running.endpoints,
            connections=subscribers,
            count=messages,
        ) as listening:
            with _probing(command, contender, running):
                listening.hearing()
            time.sleep(QUIET_SECONDS)
            words = generator.publish(
                command,
                contender.protocol,
                running.endpoints,
                connections=1,
                channels=1,
                window=WINDOW,
                count=messages,
                seconds=60,
                rate=pace,
                level=contender.level,
            )
            said = generator.finish(words, timeout_seconds=90)
            if said.refused or said.answered < messages:
                raise RuntimeError(
                    f"{said.answered} of {messages} publishes answered, {said.refused} refused"
                )
            heard = listening.finish()
        # Whoever hands everything to TCP at once and then waits was not the limit.
        speaker = said.generator_cores * min(said.seconds / max(heard.seconds, 1e-9), 1.0)
        busiest = max(heard.generator_cores, speaker)
        lost = subscribers * messages - heard.measured
        return msgspec.structs.replace(heard, generator_cores=busiest), heard.measured, lost

    return ask


@contextmanager
def _probing(command: Sequence[str], contender: Contender, running: Running) -> Iterator[None]:
    """Messages that count for nothing: subscribing is answered by none of ours."""
    words = generator.publish(
        command,
        contender.protocol,
        running.endpoints,
        channels=1,
        rate=20,
        probing=1,
        seconds=PROBING_SECONDS,
    )
    prober = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        prober.kill()
        prober.wait()
