"""Two nodes of one cluster with a real sshd each, set up as docs/ssh.md says, and who comes to them.

Each is a machine with a systemd of its own.  They share the first one's network, so node 2 has other ports.
ana types on the first machine as root, the operator olga there with a home of her own; rita has an SSH key
and nothing else.
"""

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from machine import LIBRARIES, ROOT, UNITS, Machine

PAGE: Final = (ROOT / "docs" / "ssh.md").read_text("utf-8")
PORTS: Final = {1: 2201, 2: 2202}
NAMES: Final = {1: "alfa", 2: "beta"}
ACCOUNT_UID: Final = 61234  # a Unix user of node 1, who is mia
CONFIG: Final = """
[cluster]
id = "lab"
reference = "tcp://127.0.0.1:5559"
members = [
    { name = "server-1", rank = 1, address = "tcp://127.0.0.1:5551" },
    { name = "server-2", rank = 2, address = "tcp://127.0.0.1:5552" },
]
brokers = [{ name = "broker", xsub = "tcp://127.0.0.1:5560", xpub = "tcp://127.0.0.1:5558" }]
[security]
roster = "/etc/recado/roster.toml"
[disk]
reserve_bytes = 0
"""
HERE: Final = f"""
[server]
listen = "tcp://127.0.0.1:555%d"
[security]
local_listen = "ipc:///run/recado/server-%d/local.sock"
local_accounts = ["{ACCOUNT_UID}=mia"]
"""
SSHD: Final = """
Port %d
ListenAddress 127.0.0.1
HostKey /etc/ssh/test_host_key
MaxStartups 100
"""
CLIENT: Final = """
Host alfa
    Port 2201
Host beta
    Port 2202
Host *
    HostName 127.0.0.1
    BatchMode yes
    IdentitiesOnly yes
    IdentityAgent none
    LogLevel ERROR
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
"""
KEYS: Final = """
umask 077; mkdir -p /root/.ssh /root/olga /root/people /root/.config/recado /etc/credstore; cd /etc/credstore
for name in ana rita stranger; do ssh-keygen -q -t ed25519 -N '' -C "$name" -f /root/people/$name; done
cp /root/people/ana /root/.ssh/id_ed25519; cp /root/people/ana.pub /root/.ssh/id_ed25519.pub
cp /root/people/rita.pub /root/olga/
recado keygen --server server-1 -o recado.server-1.key
recado keygen --server server-2 -o recado.server-2.key
recado keygen --reference -o recado.reference.key
recado keygen --broker -o recado.broker.key
recado keygen --cluster -o recado.cluster.key
recado keygen --user ana
HOME=/root/olga recado keygen --user olga
export RECADO_ROSTER=/etc/recado/roster.toml
recado roster init --cluster lab
recado roster add recado.server-1.pub --address tcp://127.0.0.1:5551
recado roster add recado.server-2.pub --address tcp://127.0.0.1:5552
recado roster add recado.reference.pub --address tcp://127.0.0.1:5559
recado roster add recado.broker.pub --address tcp://127.0.0.1:5560 --address tcp://127.0.0.1:5558
recado roster add --operator /root/olga/.config/recado/olga.key
chmod 644 /etc/recado/roster.toml
cp /etc/recado/roster.toml /root/.config/recado/; cp /etc/recado/roster.toml /root/olga/.config/recado/
"""
SHARED: Final = ("roster.toml", "recado.server-2.key", "recado.cluster.key")
# What a host has that these machines lack: a host key, logins allowed, the interpreter's libraries.
HOST: Final = """
ldconfig; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/test_host_key
systemctl start systemd-user-sessions ssh recado-server@server-{number}
"""


def blocks(heading: str) -> list[tuple[str, str]]:
    """Who types what in a section of the page."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"```sh (\w+)\n(.*?)```", section, re.DOTALL)


class Nodes:
    """The two machines, and what people type."""

    def __init__(self, one: Machine, two: Machine) -> None:
        self.machines = {1: one, 2: two}

    @property
    def one(self) -> Machine:
        return self.machines[1]

    def follow(self, heading: str) -> str:
        """Type what a section of the page says, line by line; each has to end well.  What it shows."""
        shown = ""
        for who, text in blocks(heading):
            where = list(self.machines.values()) if who == "node" else [self.one]
            for machine in where:
                shown += machine.run(*_at_home(who), "bash", "-euo", "pipefail", "-c", text)
        return shown

    def mia(self, *command: str) -> list[str]:
        """A command line here for a command of the Unix account."""
        return self.one.words(*_at_home("mia"), *command)

    def olga(self, *command: str) -> str:
        """The operator's `recado`."""
        return self.one.run(*_at_home("olga"), "recado", *command, "--user", "olga")

    def words(self, who: str, node: int, *command: str, options: tuple[str, ...] = ()) -> list[str]:
        """A command line here for `ssh bbs@node COMMAND` of somebody."""
        ssh = ["ssh", "-i", f"/root/people/{who}", *options]
        return self.one.words("TERM=xterm", *ssh, f"bbs@{NAMES[node]}", *command)

    def ssh(
        self, who: str, node: int, *command: str, stdin: str | bytes = b"", options: tuple[str, ...] = ()
    ) -> tuple[int, str, str]:
        """Its exit code and what it says."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        words = self.words(who, node, *command, options=options)
        done = subprocess.run(words, input=given, capture_output=True, check=False, timeout=60)
        return done.returncode, done.stdout.decode(), done.stderr.decode("utf-8", "replace")


def _at_home(who: str) -> list[str]:
    if who == "mia":
        as_mia = ["setpriv", f"--reuid={ACCOUNT_UID}", f"--regid={ACCOUNT_UID}", "--clear-groups"]
        return [*as_mia, "env", "-C", "/home/mia", "HOME=/home/mia"]
    return ["env", "-C", "/root/olga", "HOME=/root/olga"] if who == "olga" else ["env", "-C", "/root"]


def _prepare(machine: Machine, number: int) -> None:
    machine.write("/etc/recado/recado.toml", CONFIG)
    machine.write("/etc/recado/conf.d/here.toml", HERE % (number, number))
    for file in (UNITS / "ssh").iterdir():  # where the package has them
        machine.write(f"/usr/share/recado/ssh/{file.name}", file.read_text())
    machine.write("/etc/ssh/sshd_config.d/00-test.conf", SSHD % PORTS[number])
    machine.write("/etc/ld.so.conf.d/recado-test.conf", LIBRARIES.partition("=")[2] + "\n")


@contextmanager
def ssh_nodes() -> Iterator[Nodes]:
    """Both, running, set up as the page says, with the keys of ana and rita added as it says."""
    with ExitStack() as ends:
        one = Machine("ssh-1")
        _prepare(one, 1)
        ends.enter_context(one)
        two = Machine("ssh-2")
        two.options = [f"--network-namespace-path=/proc/{one.pid}/ns/net"]
        _prepare(two, 2)
        ends.enter_context(two)
        one.run("sh", "-euc", KEYS)
        one.write_now("/root/.ssh/config", CLIENT)
        one.run("install", "-d", "-o", str(ACCOUNT_UID), "-g", str(ACCOUNT_UID), "/home/mia")
        for name in SHARED:
            path = Path("/etc/recado" if name.endswith(".toml") else "/etc/credstore") / name
            two.write_now(str(path), one.run("cat", str(path)))
        two.run("sh", "-c", "chmod 600 /etc/credstore/*.key")
        one.run("systemctl", "start", "recado-reference", "recado-broker")
        nodes = Nodes(one, two)
        for number, machine in nodes.machines.items():
            machine.run("sh", "-euc", HOST.format(number=number))
        nodes.follow("Setting a node up")
        nodes.olga("login", "olga")
        one.run(*_at_home("ana"), "recado", "login", "ana")
        nodes.follow("Who may come")
        yield nodes
