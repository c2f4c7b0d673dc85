"""Mosquitto: MQTT with QoS 1 in, QoS 0 out.  Its answers promise no disk: it saves from time to time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.base import Contender, Peer, Running, free_port, process


@contextmanager
def _start(directory: Path) -> Iterator[Running]:
    port = free_port()
    file = directory / "mosquitto.conf"
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {directory}/",
        "autosave_interval 1",
        "max_queued_messages 0",
        "max_inflight_messages 0",
        "max_connections -1",
        *(["user root"] if os.getuid() == 0 else []),
    ]
    file.write_text("\n".join(lines) + "\n", "utf-8")
    with process(["mosquitto", "-c", str(file)], directory, port=port) as running:
        yield Running([f"127.0.0.1:{port}"], [running.pid])


MOSQUITTO = Peer(
    name="Mosquitto",
    promise="PUBACK from memory, saved every second without being waited for",
    package="apt-get install mosquitto",
    program="mosquitto",
    version_words=["-h"],
    start=_start,
)
QOS1 = Contender("Mosquitto, QoS 1 in, 0 out", MOSQUITTO, "mqtt")
