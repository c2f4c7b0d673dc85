"""Whose an SSH key is, by the replicas of a node: what sshd is told at each login."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from clients.cli import cli
from recado.protocol import names
from recado.protocol.messages import Kind
from storage.replica import FILE_NAME, Replica
from tests.protocol.test_ssh_keys import SSH_1, SSH_2, of
from tests.storage.storage_entries import ORIGINS, Author, put, said

KEY = b"a" * 32
ANA = names.key_uid(KEY, "ana")


def told(data: Path, key: str) -> tuple[int, str]:
    """Exit code and what sshd reads."""
    result = CliRunner().invoke(cli, ["ssh", "authorized-keys", *key.split(), "--data", str(data)])
    return result.exit_code, result.stdout


def rule(author: Author, *, origin: str = ORIGINS[0], **fields: object) -> None:
    author.add(kind=Kind.USER_RULE, author=ANA, target=ANA, body=said(**fields), origin=origin)


def write(data: Path, node: str, author: Author) -> None:
    """A stopped server's replica."""
    replica = Replica.open(data / node, node=node)
    put(replica, author.entries)
    replica.close()


@pytest.fixture
def author() -> Author:
    """ana, who has one SSH key."""
    made = Author()
    made.keyed("ana", KEY)
    rule(made, do="add_ssh_key", ssh_key=SSH_1)
    return made


def test_a_key_opens_one_command(tmp_path: Path, author: Author) -> None:
    """One line: nothing but the messenger, told by fingerprint; another key gets no line."""
    write(tmp_path, "server-1", author)
    command = f'command="/opt/recado/bin/recado ssh session {of(SSH_1).fingerprint}"'
    assert told(tmp_path, SSH_1) == (0, f"restrict,pty,{command} {SSH_1}\n")
    assert told(tmp_path, SSH_2) == (0, "")


@pytest.mark.parametrize(
    "ends",
    [
        {"do": "revoke_ssh_key", "ssh": of(SSH_1).fingerprint},
        {"do": "suspend", "by": "operator", "reason": "x"},
    ],
)
def test_one_replica_that_knows_is_enough(tmp_path: Path, author: Author, ends: dict[str, str]) -> None:
    """What one server of the node has heard ends the key, though the other has not."""
    write(tmp_path, "server-1", author)
    assert told(tmp_path, SSH_1)[1] != ""
    rule(author, origin=ORIGINS[1], **ends)
    write(tmp_path, "server-2", author)
    assert told(tmp_path, SSH_1) == (0, "")


def test_a_damaged_replica_keeps_nobody_out(tmp_path: Path, author: Author) -> None:
    """What lies beside the node's own, put aside and unreadable, is passed over."""
    write(tmp_path, "server-1", author)
    aside = tmp_path / "server-1.damaged" / FILE_NAME
    aside.parent.mkdir()
    aside.write_bytes(b"no database")
    assert told(tmp_path, SSH_1)[1].endswith(f"{SSH_1}\n")
    assert told(tmp_path, SSH_2) == (0, "")
