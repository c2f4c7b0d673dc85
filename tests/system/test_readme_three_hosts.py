"""The README's ten minutes: what it types on three bare hosts was typed here, and printed what it says."""

import re

import pytest
from bare_hosts import NEEDS, README, BareHosts, Ran, Typed, missing, of_the_readme, unlike
from packages import deb

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*NEEDS)]
COMMANDS_MAX = 12
SECONDS_MAX = 300.0


def test_the_section_is_followed(bare_hosts: BareHosts) -> None:
    """Every command ends well and prints what the page shows, typed as it stands and in its order."""
    assert [wrong for ran in bare_hosts.readme if (wrong := unlike(ran))] == []
    assert [ran.typed for ran in bare_hosts.readme] == of_the_readme()


def test_twelve_commands_and_five_minutes(bare_hosts: BareHosts) -> None:
    """The first block, from bare hosts to a message, has at most 12 commands and takes under 5 minutes."""
    first = bare_hosts.readme[0].typed.line
    block = [one for one in bare_hosts.readme if one.typed.line < first + _length(first)]
    commands = [part for one in block for part in re.split(r"&&|\|\||;", one.typed.command)]
    seconds = sum(one.seconds for one in block)
    print(f"{len(commands)} commands, {seconds:.0f} s of machine time")
    assert any(command.startswith("recado status") for command in commands)
    assert any(command.startswith("recado dm") for command in commands)
    assert len(commands) <= COMMANDS_MAX
    assert seconds < SECONDS_MAX


def _length(first: int) -> int:
    """How many lines the block has whose first command stands in that line."""
    return README.read_text("utf-8").splitlines()[first - 1 :].index("```")


def test_the_package_is_called_as_the_page_says(bare_hosts: BareHosts) -> None:
    """The first command installs the package that `make deb` builds now."""
    assert bare_hosts.readme[0].typed.command == f"apt install ./{deb().name}"


def test_nothing_secret_is_left_behind(bare_hosts: BareHosts) -> None:
    """After it no host has a key that is another one's, or can be read by others than root."""
    for name, keys in {"n1": {"reference", "broker", "n1"}, "n2": {"n2"}, "n3": {"n3"}}.items():
        node = bare_hosts[name]
        there = node.run("find", "/etc/credstore", "-name", "*.key", "-printf", "%f %m %u\\n").splitlines()
        assert set(there) == {f"recado.{key}.key 600 root" for key in {*keys, "cluster"}}
        assert node.run("find", "/root", "-name", "*.recado") == ""


def test_the_nodes_are_hardened_and_start_at_boot(bare_hosts: BareHosts) -> None:
    """All units run shut in as they are shipped, and are enabled."""
    for name in ("n1", "n2", "n3"):
        node = bare_hosts[name]
        assert node.show(node.unit, "ActiveState") == "active"
        assert node.show(node.unit, "UnitFileState") == "enabled"
        assert node.show(node.unit, "NoNewPrivileges") == "yes"
        said = node.run("systemd-analyze", "security", "--threshold=13", node.unit)
        assert "Overall exposure level" in said


@pytest.mark.parametrize(
    ("printed", "said", "noticed"),
    [
        (("3 of 3 servers answer", "…", "n1  ok  12s"), "3 of 3 servers answer\nx\nn1      ok   7s\n", ""),
        (("3 of 3 servers answer",), "2 of 3 servers answers\n", "3 of 3 servers answer"),
        (("first", "second"), "second\nfirst\n", "second"),
        (("started: …",), "started: recado.target\n", ""),
    ],
)
def test_another_output_would_be_noticed(printed: tuple[str, ...], said: str, noticed: str) -> None:
    """Numbers and widths of columns may differ, words and their order may not."""
    ran = Ran(Typed(1, "", "n1", "recado status", printed), 0, said, 0.0)
    assert missing(ran) == noticed


@pytest.mark.parametrize(
    ("printed", "code", "fine"), [((), 0, True), ((), 1, False), (("✗ clock",), 1, True)]
)
def test_a_command_that_fails_would_be_noticed(printed: tuple[str, ...], code: int, fine: bool) -> None:
    """An exit code other than 0 is wrong, unless the page shows findings of the doctor."""
    ran = Ran(Typed(1, "", "n1", "recado doctor", printed), code, "✗ clock\n", 0.0)
    assert (unlike(ran) == "") == fine
