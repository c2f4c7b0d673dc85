"""The outbox and resumed reading, as people type them: commands, and the chat through a pipe."""

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.client.fake_cluster import FakeServer
from tests.clients.conftest import OnSockets
from tests.clients.test_chat import environment, piped

pytestmark = pytest.mark.system
GERAL = {"channel": "geral", "user": "eva"}


@pytest.fixture
def ana(sockets: OnSockets) -> OnSockets:
    """A cluster with user ana and channel geral."""
    assert sockets.run("login", "ana").exit_code == 0
    assert sockets.run("channel", "create", "geral").exit_code == 0
    return sockets


def publish(cluster: OnSockets, text: str, *more: str) -> Any:
    options = ("--user", "ana", "--outbox", "--timeout", "0.5", "--json")
    return cluster.run("publish", *options, *more, "geral", text)


def outbox(cluster: OnSockets, command: str, *more: str) -> tuple[int, dict[str, Any]]:
    ended = cluster.run("outbox", command, "--user", "ana", "--timeout", "1", "--json", *more)
    return ended.exit_code, json.loads(ended.stdout.splitlines()[0])


def texts(server: FakeServer) -> list[str]:
    return [message["message"] for message in server.shared.messages]


def test_what_is_not_confirmed_waits(ana: OnSockets) -> None:
    """Exit code 75 and an id; listed until `send` has a confirmation, and then said once."""
    ana.server.lost_replies = 99
    ended = publish(ana, "um")
    assert ended.exit_code == 75
    told = json.loads(ended.stdout)["error"]
    assert told["code"] == "queued"
    assert publish(ana, "dois").exit_code == 75
    code, listed = outbox(ana, "list")
    assert (code, [m["text"] for m in listed["unsent"]]) == (0, ["um", "dois"])
    assert listed["unsent"][0]["id"] == told["id"]
    code, sent = outbox(ana, "send")
    assert (code, sent["sent"], sent["waiting"]) == (75, [], 2)
    ana.server.lost_replies = 0
    code, sent = outbox(ana, "send")
    assert (code, [m["text"] for m in sent["sent"]], sent["waiting"]) == (0, ["um", "dois"], 0)
    assert texts(ana.server) == ["um", "dois"]
    assert outbox(ana, "list")[1]["unsent"] == []


def test_a_confirmed_message_leaves_nothing(ana: OnSockets) -> None:
    """With somebody there `--outbox` ends as without it."""
    ended = publish(ana, "um")
    assert (ended.exit_code, json.loads(ended.stdout)["acks"]) == (0, 2)
    assert outbox(ana, "send")[1] == {"schema_version": 1, "user": "ana", "sent": [], "waiting": 0}


def test_dropping(ana: OnSockets) -> None:
    """`drop` takes ids or all; an unknown id is an error of the data given."""
    ana.server.mute = True
    for text in ("um", "dois", "três"):
        publish(ana, text)
    first = outbox(ana, "list")[1]["unsent"][0]["id"]
    assert outbox(ana, "drop", first)[0] == 0
    assert outbox(ana, "drop", first)[0] == 65
    assert ana.run("outbox", "drop", "--user", "ana").exit_code == 2
    assert len(outbox(ana, "drop", "--all")[1]["dropped"]) == 2
    assert outbox(ana, "list")[1]["unsent"] == []


def test_refused_later_is_told(ana: OnSockets) -> None:
    """What a server refuses when it is sent again stays, with its code; exit code 1."""
    ana.server.mute = True
    ana.run("publish", "--user", "ana", "--outbox", "--timeout", "0.5", "nada", "oi")
    ana.server.mute = False
    code, sent = outbox(ana, "send")
    assert (code, sent["waiting"], sent["sent"][0]["receipt"]) == (1, 0, None)
    assert outbox(ana, "list")[1]["unsent"][0]["refused"] == "channel_missing"


def test_the_chat_sends_what_waited(ana: OnSockets) -> None:
    """A chat that logs in sends what an earlier process left behind, and says so."""
    ana.server.mute = True
    publish(ana, "um")
    ana.server.mute = False
    ended = piped(ana, "dois\n", "--user", "ana", "geral")
    assert "#geral <ana> dois ✓✓" in ended.stdout
    assert texts(ana.server) == ["um", "dois"]


def test_the_chat_keeps_what_is_not_confirmed(ana: OnSockets) -> None:
    """Said while nobody answers: shown with …, kept, and sent by the next chat."""
    ana.server.lost_replies = 0

    def deaf(asked: Any) -> None:
        ana.server.mute = asked.service == "publish"

    ana.server.on_request = deaf
    ended = piped(ana, "um\n", "--user", "ana", "geral")
    assert "#geral <ana> um …" in ended.stdout
    assert "kept here and sent again (1 waiting)" in ended.stderr
    ana.server.on_request, ana.server.mute = None, False
    assert texts(ana.server) == []
    ended = piped(ana, "/status\ndois\n/status\n", "--user", "ana", "geral")
    assert texts(ana.server) == ["um", "dois"]
    assert "last message ✓✓; in the outbox: 0" in ended.stdout


def test_direct_messages_of_an_absence_are_shown(ana: OnSockets) -> None:
    """What came while one was away is shown at the next login, once."""
    piped(ana, "/status\n", "--user", "ana")
    ana.server.say({"from": "eva", "src": "eva", "dst": "ana"}, "psst", publish=False)
    assert "eva -> ana: psst" in piped(ana, "/status\n/status\n", "--user", "ana").stdout
    assert "psst" not in piped(ana, "/status\n/status\n", "--user", "ana").stdout


def test_tail_resumes(ana: OnSockets) -> None:
    """`tail -f --resume` shows each message once over several runs, whatever came in between."""

    def follow(until: str) -> list[str]:
        command = [sys.executable, "-m", "clients.cli", "tail", "-f", "--json", "--resume", "log", "geral"]
        found: list[str] = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(ana)) as process:
            assert process.stdout is not None
            for line in process.stdout:
                found.append(json.loads(line)["text"])
                if found[-1] == until:
                    break
            process.send_signal(signal.SIGTERM)
            assert process.stdout.read() == ""
        assert process.returncode == 0
        return found

    ana.server.say(GERAL, "antes", publish=False)
    assert follow("antes") == ["antes"]
    for number in range(30):
        ana.server.say(GERAL, f"{number}", publish=False)
    assert follow("29") == [f"{n}" for n in range(30)]
    ana.server.say(GERAL, "fim", publish=False)
    assert follow("fim") == ["fim"]
    assert ana.run("tail", "--resume", "log", "geral").exit_code == 2
