"""docs/keys.md is followed to the letter, on hosts made for it: every command, in the page's order."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import until
from several_hosts import Block, Hosts, blocks_of, free_network

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.needs("bash")]
PAGE = Path(__file__).parents[2] / "docs" / "keys.md"
BLOCKS = blocks_of(PAGE.read_text("utf-8"))
CONFIGURED = "mesa"  # where the configuration is written


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    names = list(dict.fromkeys(block.where for block in BLOCKS if block.language == "sh"))
    found = Hosts(tmp_path, names, network=free_network(4))
    try:
        yield found
    finally:
        found.close()


def typed(hosts: Hosts, host: str, text: str) -> str:
    """What a command says that ends well."""
    ran = hosts.run(host, text)
    assert ran.returncode == 0, f"on {host}: {text}\n{ran.stdout}{ran.stderr}"
    return ran.stdout


def refused(hosts: Hosts, host: str, text: str, *, told: str) -> None:
    """A command that must not succeed, and what it says."""
    ran = hosts.run(host, text)
    assert ran.returncode != 0, ran.stdout
    assert told in ran.stderr, ran.stderr


def joined(hosts: Hosts) -> None:
    """Nobody else gets the name, nor anything without a key."""
    typed(hosts, "phone", "recado keygen --user ana -o other.key")
    typed(hosts, "phone", "mkdir -p ~/.config/recado && scp mesa:.config/recado/roster.toml .config/recado/")
    refused(hosts, "phone", "recado login ana --key other.key", told="exists already")
    typed(hosts, "phone", "rm ~/.config/recado/roster.toml")


def lost(hosts: Hosts) -> None:
    """The revoked device is refused, the other one is not."""
    refused(hosts, "phone", "recado publish --user ana geral 'a thief'", told="revoked")
    typed(hosts, "ana", "recado publish --user ana geral 'still me'")


def rotated(hosts: Hosts) -> None:
    """All three servers hold what is said afterwards, and the old key is good for nothing."""
    typed(hosts, "ana", "recado publish --user ana geral rotated --level all")
    shown = json.loads(typed(hosts, "mesa", "recado roster show --json"))
    (server,) = [entry for entry in shown["entries"] if entry["name"] == "server-2"]
    assert (len(server["keys"]), len(server["signing"])) == (1, 2)


def of_members(hosts: Hosts, count: int) -> None:
    """The cluster has so many members, and a majority of them keeps what is said."""

    def told() -> bool:
        ran = hosts.run("mesa", "recado status --json --user olga")
        return ran.returncode == 0 and json.loads(ran.stdout)["of"] == count

    until(told, seconds=60, what=f"a status of {count} members")
    typed(hosts, "ana", f"recado publish --user ana geral 'of {count}' --level quorum")


def changed(hosts: Hosts) -> None:
    """All members hold what is said under the new cluster key; who left can still be verified."""
    typed(hosts, "ana", "recado publish --user ana geral end --level all")
    shown = json.loads(typed(hosts, "mesa", "recado roster show --json"))
    assert "server-3" in shown["former"]


SAID = ["oi", "still me", "rotated", "of 4", "of 3", "end"]
CHECKS: dict[str, Callable[[Hosts], None]] = {
    "Somebody joins": joined,
    "Another device": lost,
    "Rotating a server's key": rotated,
    "Replacing a server": lambda hosts: of_members(hosts, 4),
    "Removing a member": lambda hosts: of_members(hosts, 3),
    "The cluster key": changed,
}


def follow(hosts: Hosts, block: Block) -> None:
    if block.language == "toml":
        hosts.write(CONFIGURED, block.where, block.text)
    else:
        typed(hosts, block.where, block.text)


def test_the_page_is_followed(hosts: Hosts) -> None:
    """From bare hosts to a replaced server and another cluster key: each command does what it should."""
    headings = list(dict.fromkeys(block.heading for block in BLOCKS))
    assert set(CHECKS) <= set(headings)
    for heading in headings:
        if heading == "Replacing a server":
            hosts.burn("gama")
        for block in BLOCKS:
            if block.heading == heading:
                follow(hosts, block)
        if heading in CHECKS:
            CHECKS[heading](hosts)
    said = json.loads(typed(hosts, "ana", "recado history geral --user ana --json"))
    assert [message["text"] for message in said["messages"]] == SAID
