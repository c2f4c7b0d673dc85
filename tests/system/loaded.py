"""Clients that write without pause and remember what was acknowledged to them."""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import Any

import msgpack
import zmq
from looking import copies, select
from processes import until
from running_cluster import Cluster

STOP_SECONDS = 10.0
PLAIN_REPLY_MS = 1500
PLAIN_PAUSE_SECONDS = 0.02


def journal(path: Path) -> list[dict[str, Any]]:
    """What a bot wrote down: a message a line, acknowledged at the level that bots ask."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


@contextmanager
def journaling_bots(cluster: Cluster, folder: Path, *, count: int, rate: float) -> Iterator[list[Path]]:
    """Bots beside the cluster, each beginning at another server; their journals."""
    journals = [folder / f"journal-{number}.jsonl" for number in range(count)]
    servers = cluster.servers
    processes = []
    for number, path in enumerate(journals):
        # The data directory in `--state` makes a forgotten bot findable.
        command = [sys.executable, "-m", "clients.bot", "--user", f"diarista-{number}", "--rate", f"{rate:g}"]
        command += ["--journal", str(path), "--state", str(cluster.data / f"diarista-{number}")]
        for address in servers[number % len(servers) :] + servers[: number % len(servers)]:
            command += ["--server", address]
        processes.append(
            subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        )
    try:
        until(lambda: all(journal(path) for path in journals), seconds=30, what="every bot is talking")
        yield journals
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class PlainWriter:
    """A plain REQ client in a thread: publishes numbered texts, one socket per lost reply.

    `acknowledged` holds the texts that were answered `OK`; those without an answer are never repeated.
    With both stamps (`clock`) a broker may ask a second server, which must not make two messages of it.
    """

    def __init__(self, address: str, name: str, *, clock: bool) -> None:
        self.acknowledged: list[str] = []
        self.unanswered = 0
        self._address = address
        self._name = name
        self._clock = clock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "PlainWriter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        with zmq.Context() as context:
            number = 0
            while not self._stop.is_set():
                with context.socket(zmq.REQ) as end:
                    end.linger = 0
                    end.rcvtimeo = end.sndtimeo = PLAIN_REPLY_MS
                    end.connect(self._address)
                    number = self._publish_while_answered(end, number)

    def _publish_while_answered(self, end: "zmq.Socket[bytes]", number: int) -> int:
        while not self._stop.wait(PLAIN_PAUSE_SECONDS):
            number += 1
            text = f"{self._name} n. {number}"
            data: dict[str, Any] = {"user": self._name, "channel": "geral", "message": text}
            data |= {"timestamp": time(), **({"clock": number} if self._clock else {})}
            try:
                end.send(msgpack.packb({"service": "publish", "data": data}))
                reply = msgpack.unpackb(end.recv())
            except zmq.Again:
                self.unanswered += 1
                return number
            if reply["data"].get("status") == "OK":
                self.acknowledged.append(text)
        return number


def until_more_is_acknowledged(journals: Sequence[Path], writers: Sequence[PlainWriter]) -> None:
    """Wait until every bot has had something acknowledged since now, and one of the writers too."""
    had = [len(journal(path)) for path in journals]
    plain = sum(len(writer.acknowledged) for writer in writers)
    until(
        lambda: all(len(journal(path)) > n for path, n in zip(journals, had, strict=True)),
        seconds=30,
        what="every bot goes on",
    )
    until(
        lambda: sum(len(writer.acknowledged) for writer in writers) > plain, seconds=30, what="writers go on"
    )


def check_everywhere_once(
    replicas: Iterable[Path], journals: Sequence[Path], writers: Sequence[PlainWriter]
) -> None:
    """Every replica shows every acknowledged message exactly once."""
    idents = [line["id"] for path in journals for line in journal(path)]
    texts = [text for writer in writers for text in writer.acknowledged]
    assert len(idents) > 20
    assert len(texts) > 20
    assert len(set(idents)) == len(idents)
    for replica in replicas:
        wrong = {ident: n for ident, n in copies(replica, idents).items() if n != 1}
        assert wrong == {}, replica
        found = Counter(text for (text,) in select(replica, "select message from channel_messages"))
        assert {text: found[text] for text in texts if found[text] != 1} == {}, replica
