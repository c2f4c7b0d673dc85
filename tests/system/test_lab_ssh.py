"""SSH at the laboratory: two people come to different hosts, talk, and go elsewhere when one is gone."""

import json
import subprocess
from collections.abc import Callable, Iterator

import pytest
from lab_node import Node
from laboratory import NEEDS, Laboratory
from ssh_nodes import blocks

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*NEEDS, "sshd", "ssh", "ssh-keygen")]
OPTIONS = (
    *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "LogLevel=ERROR"),
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=5"),
)
# What a host with OpenSSH has: keys of its own, logins.
HOST = "ssh-keygen -A; systemctl start systemd-user-sessions ssh"
Ssh = Callable[..., str]


@pytest.fixture
def ssh(lab: Laboratory) -> Iterator[Ssh]:
    """`ssh bbs@HOST COMMAND` of somebody beyond the cuts.  Hosts are set up as docs/ssh.md says."""
    for node in (lab["n1"], lab["n3"]):
        node.run("sh", "-euc", HOST)
        for who, text in blocks("Setting a node up"):
            assert who == "node"
            node.run("bash", "-euo", "pipefail", "-c", text)
    lab.recado("login", "olga")
    for who in ("ana", "rita"):
        key = lab.desk / f"{who}.ssh"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", who, "-f", key], check=True)
        public = key.with_suffix(".ssh.pub").read_text()
        lab.recado("user", "add-ssh-key", who, "--user", "olga", "--create", stdin=public)

    def typed(who: str, node: Node, *command: str, stdin: str = "") -> str:
        key = str(lab.desk / f"{who}.ssh")
        words = [*lab.network.beside(), "ssh", "-i", key, *OPTIONS, f"bbs@{node.address}", *command]
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, (command, done.returncode, done.stderr)
        return done.stdout

    yield typed
    for node in (lab["n1"], lab["n3"]):
        node.run("systemctl", "stop", "ssh")


def _texts(history: str) -> list[tuple[str, str]]:
    return [(one["user"], one["text"]) for one in json.loads(history)["messages"]]


def test_two_people_at_two_hosts_talk(lab: Laboratory, ssh: Ssh) -> None:
    """ana at one host and rita at another read each other; when ana's host is gone she goes to rita's."""
    one, three = lab["n1"], lab["n3"]
    ssh("ana", one, "channel", "create", "conversa")
    ssh("ana", one, "publish", "conversa", stdin="olá, çedilha\n")
    ssh("rita", three, "publish", "conversa", "e", "aí?")
    said = [("ana", "olá, çedilha"), ("rita", "e aí?")]
    assert _texts(ssh("ana", one, "history", "conversa", "--json")) == said
    assert _texts(ssh("rita", three, "history", "conversa", "--json")) == said
    one.cut_power()
    ssh("ana", three, "publish", "conversa", "agora", "daqui")
    one.boot()
    one.serves()
    assert _texts(ssh("rita", three, "history", "conversa", "--json"))[-1] == ("ana", "agora daqui")
