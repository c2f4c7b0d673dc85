"""Bare Debian hosts on a network of their own, at which commands of a page are typed as it prints them.

Nothing of Recado is on them but its package in root's home of the first; root may log in from one to the
other over SSH.  A page's block begins with ``console hosts``: a line ``n1# COMMAND`` is typed at that host as
root, and what stands below it must be printed.
"""

import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import laboratory
from laboratory import HIDDEN, Laboratory, Node
from packages import deb

README: Final = Path(__file__).parents[2] / "README.md"
HEADING: Final = "Three hosts, ten minutes"
NAMES: Final = ("n1", "n2", "n3")
SPARE: Final = "n4"
NEEDS: Final = (
    *laboratory.NEEDS,
    "apt-get",
    "sshd",
    "ssh",
    "scp",
    "ssh-keygen",
    "sqlite3",
    "/usr/bin/python3.11",
)
# What this machine has there is not Debian's, and on no bare host.
BARE: Final = (*HIDDEN, "root", "home", "opt", "srv", "usr/local", "etc/recado", "etc/ssh/sshd_config.d")
ENVIRONMENT: Final = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
)
SSHD: Final = "UsePAM no\nPermitRootLogin prohibit-password\n"
COMMAND_SECONDS: Final = 120.0
LOOKS: Final = ("recado status", "recado doctor", "recado replica diff")
SETTLING_SECONDS: Final = 30.0
_BLOCK: Final = re.compile(r"^```console hosts\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
_HEADING: Final = re.compile(r"^##+ (.+)$", re.MULTILINE)
_TYPED: Final = re.compile(r"^(?P<host>n\d)# (?P<command>.*)$")
_LOOSE: Final = re.compile(r"\d+|…| +")


class Typed(NamedTuple):
    """One command of a page: the line where it stands, below which heading, the host, what is printed."""

    line: int
    heading: str
    host: str
    command: str
    printed: tuple[str, ...]


class Ran(NamedTuple):
    """What a command came to; both of its streams in the order of a terminal."""

    typed: Typed
    code: int
    said: str
    seconds: float


def typed_in(page: str) -> list[Typed]:
    """The commands of a page, in its order."""
    found: list[Typed] = []
    for block in _BLOCK.finditer(page):
        before = page[: block.start()]
        *_, heading = _HEADING.findall(before)
        line = before.count("\n") + 1
        for number, text in enumerate(block["text"].splitlines(), line + 1):
            if (typed := _TYPED.match(text)) is not None:
                found.append(Typed(number, heading, typed["host"], typed["command"], ()))
            else:
                assert found, f"line {number}: no host is named"
                assert found[-1].heading == heading, f"line {number}: no host is named"
                found[-1] = found[-1]._replace(printed=(*found[-1].printed, text))
    return found


def of_the_readme() -> list[Typed]:
    """The commands of the README's section for several hosts."""
    return [typed for typed in typed_in(README.read_text("utf-8")) if typed.heading == HEADING]


def missing(ran: Ran) -> str:
    """The first line that a page promises and a command did not print, in that order; empty if there is none.

    A number stands for any number, ``…`` for anything, and columns may be wider.
    """
    lines = iter(ran.said.splitlines())
    for wanted in ran.typed.printed:
        pattern = re.compile(_LOOSE.sub(_loosely, re.sub(r"[^\w\s…]", r"\\\g<0>", wanted)))
        if wanted.strip() and wanted != "…" and not any(pattern.fullmatch(line.rstrip()) for line in lines):
            return wanted
    return ""


def unlike(ran: Ran) -> str:
    """What is not as the page says, for people; empty if all is."""
    line = missing(ran)
    finds = any(text.startswith("✗") for text in ran.typed.printed)  # `doctor` ends with 1 then
    if not line and ran.code == (1 if finds else 0):
        return ""
    why = f"does not print {line!r}" if line else f"ends with {ran.code}"
    return f"line {ran.typed.line}: {ran.typed.host}# {ran.typed.command}\n{why}\n{ran.said}"


def _loosely(found: re.Match[str]) -> str:
    return {"…": ".*", " ": " +"}.get(found[0][:1], r"\d+")


class BareHosts(Laboratory):
    """Hosts by name, booted; a context manager that leaves nothing behind.

    `readme`: what the commands of the README's section for several hosts came to.
    """

    def __init__(self) -> None:
        super().__init__((*NAMES, SPARE))
        self.readme: list[Ran] = []

    def _prepare(self) -> None:
        """What is on all disks at first."""
        for path in BARE:
            (self.layer / path).mkdir(parents=True, exist_ok=True)
            os.setxattr(self.layer / path, "trusted.overlay.opaque", b"y")
        (self.layer / "root").chmod(0o700)
        ssh = self.layer / "root/.ssh"
        ssh.mkdir(mode=0o700)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ssh / "id_ed25519"], check=True)
        host_key = self.layer / "etc/ssh/ssh_host_ed25519_key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", host_key], check=True)
        shutil.copy(ssh / "id_ed25519.pub", ssh / "authorized_keys")
        public = host_key.with_suffix(".pub").read_text()
        (ssh / "known_hosts").write_text("".join(f"{ip} {public}" for ip in self.network.addresses.values()))
        (self.layer / "etc/ssh/sshd_config.d/bare.conf").write_text(SSHD)
        wants = self.layer / "etc/systemd/system/multi-user.target.wants"
        # The index of this machine's many manuals takes longer than all else; images in use start no service.
        (self.layer / "var/lib/man-db").mkdir(parents=True)
        for path in ("usr/sbin", "usr/local/bin"):
            (self.layer / path).mkdir(parents=True)
        for path in ("var/lib/man-db/auto-update", "usr/sbin/policy-rc.d"):
            os.mknod(self.layer / path, stat.S_IFCHR, 0)
        (wants / "ssh.service").symlink_to("/lib/systemd/system/ssh.service")

    def __enter__(self) -> "BareHosts":
        try:
            self._prepare()
            for name in list(self.network.addresses)[: len(NAMES)]:
                self.add(name)
            shutil.copy(deb(), self["n1"].home / "upper/root" / deb().name)
            self.all_at_once("boot")
        except BaseException:
            self.close()
            raise
        return self

    def add(self, name: str) -> Node:
        """One more host, which has not booted yet."""
        node = Node(name, network=self.network, layer=self.layer)
        node.name = f"bare-{node.name}"  # other laboratories have hosts of that name
        (node.home / "upper/root").mkdir(mode=0o700)
        self.nodes[name] = node
        return node

    def type(self, typed: Typed) -> Ran:
        """Have somebody type it.  What only looks is typed again until it shows what the page does."""
        begun = time.monotonic()
        ran = self._type(typed)
        while (
            missing(ran) and typed.command.startswith(LOOKS) and time.monotonic() < begun + SETTLING_SECONDS
        ):
            ran = self._type(typed)
        return ran._replace(seconds=time.monotonic() - begun)

    def _type(self, typed: Typed) -> Ran:
        node = self[typed.host]
        where = ["nsenter", "-t", str(node.pid), "-a", "env", "-i", *ENVIRONMENT]
        done = subprocess.run(
            [*where, "bash", "-c", f"cd\n{typed.command}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        return Ran(typed, done.returncode, done.stdout, 0.0)


@contextmanager
def following_the_readme() -> Iterator[BareHosts]:
    """Three hosts at which the README's section was typed."""
    with BareHosts() as hosts:
        for typed in of_the_readme():
            hosts.readme.append(hosts.type(typed))
            if hosts.readme[-1].code:
                break  # the rest would only say the same again, more slowly
        yield hosts
