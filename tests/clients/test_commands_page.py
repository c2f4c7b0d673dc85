"""docs/commands.md tells every command and every option."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from clients import ending
from clients.chatting.interpreter import COMMANDS as CHAT_COMMANDS
from clients.cli import COMMANDS, cli

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))


def _commands() -> Iterator[tuple[str, click.Command]]:
    context = click.Context(cli)
    for name, *_ in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            for inner, subcommand in command.commands.items():
                yield f"{name} {inner}", subcommand
        else:
            yield name, command


@pytest.mark.parametrize(("name", "command"), [pytest.param(*found, id=found[0]) for found in _commands()])
def test_command_and_its_options_are_told(name: str, command: click.Command) -> None:
    """A command has a section, and each of its options stands there or among the common ones."""
    section = SECTIONS[f"recado {name}"]
    common = SECTIONS["Finding the cluster"]
    shared = set(re.findall(r"^\| `(--[a-z]+) ", common, re.M))
    for parameter in command.params:
        for option in parameter.opts if isinstance(parameter, click.Option) else ():
            told = re.search(rf"(?<![\w-]){option}(?![\w-])", section)
            assert told or option in shared, f"{name} {option}"


@pytest.mark.parametrize(("name", "command"), [pytest.param(*found, id=found[0]) for found in _commands()])
def test_no_parameter_takes_another_s_place(name: str, command: click.Command) -> None:
    """An argument and an option of one name would write over each other when they are read."""
    names = [parameter.name for parameter in command.params]
    assert sorted(set(names)) == sorted(names), name


def test_no_section_is_about_nothing() -> None:
    """Every section about a command is about one that exists."""
    told = {title for title in SECTIONS if title.startswith("recado ")}
    assert told == {f"recado {name}" for name, _ in _commands()}


def test_environment_variables_are_told() -> None:
    """Each variable that an option reads stands on the page."""
    for _, command in _commands():
        for parameter in command.params:
            if isinstance(parameter.envvar, str):
                assert f"`{parameter.envvar}`" in PAGE


def test_exit_codes_are_told() -> None:
    """Each exit code that commands use has its line."""
    codes = {value for name, value in vars(ending).items() if name.isupper() and isinstance(value, int)}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", SECTIONS["Exit codes"], re.M)} == codes | {130}


def test_chat_commands_are_told() -> None:
    """Each command of the chat stands in its section."""
    for command in CHAT_COMMANDS:
        assert f"`{command}" in SECTIONS["recado chat"], command
