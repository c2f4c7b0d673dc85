"""``python manual.py TREE`` writes the manual pages into TREE/usr/share/man, from the programs and docs/.

Commands, arguments and options are click's; prose, exit codes and variables are those of docs/; settings are
those of `recado.settings`.  Nothing is said here that is said elsewhere.
"""

import os
import re
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple, cast

import click
from layout import packed
from roff import bold, entry, escaped, example, finished, inline, markdown, section, titled

from clients.cli import COMMANDS, cli
from daemons.shared.command import command_of
from recado import __version__
from recado.config import Program, describe
from recado.config import toml as as_toml
from recado.settings import SECTIONS

DOCS: Final = Path(__file__).parents[2] / "docs"
DAEMONS: Final = {
    "server": "A server keeps everything in its directory, answers clients, and replicates with the others.",
    "broker": "The broker passes publications on to subscribers, and spreads requests over the servers.",
    "reference": "The reference gives ranks to servers and lists those that are active.",
}
FILES: Final = (
    ("/etc/recado/recado.toml", "configuration of this host, read by all three daemons: recado.toml(5)"),
    ("/etc/recado/conf.d/*.toml", "further configuration, a later name over an earlier one"),
    ("/etc/credstore/recado.NAME.key", "the key of a node, root's alone, handed over by systemd"),
    ("/var/lib/recado/NAME/", "the data of a node: replica.db, or registry.db of the reference"),
    (
        "/run/recado/NAME/local.sock",
        "where Unix users of this host reach a server with keys, if it is configured",
    ),
    ("/usr/share/recado/", "alert rules and a dashboard"),
    ("/usr/share/doc/recado/", "all documents: operations.md is the runbook"),
)


class Page(NamedTuple):
    """One page, without its first lines."""

    name: str
    number: int
    purpose: str
    lines: list[str]


def _doc(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def _help(text: str) -> list[str]:
    """Click's help: paragraphs, after ``\\b`` lines as they stand; its headings become sections."""
    lines: list[str] = []
    for block in text.replace("\f", "").strip("\n").split("\n\n"):
        verbatim = block.startswith("\b\n")
        body = block.removeprefix("\b\n")
        first, _, rest = body.partition("\n")
        if (heading := re.fullmatch(r"(Examples?|Exit codes):", first)) and verbatim:
            lines += [f".SS {heading[1]}", *example(_outdented(rest))]
        elif verbatim:
            lines += example(body)
        else:
            lines += [".PP", inline(body)]
    return lines


def _outdented(text: str) -> str:
    return "\n".join(line.removeprefix("  ") for line in text.splitlines())


def _synopsis(context: click.Context) -> list[str]:
    pieces = context.command.collect_usage_pieces(context)
    return [".PP", f"{bold(context.command_path)} {escaped(' '.join(pieces))}"]


def _records(context: click.Context) -> list[tuple[str, str]]:
    found = (parameter.get_help_record(context) for parameter in context.command.get_params(context))
    return [record for record in found if record is not None and record[1]]


def _options(records: list[tuple[str, str]]) -> list[str]:
    lines = []
    for names, text in records:
        lines += entry(bold(names), inline(text))
    return lines


def _children(context: click.Context) -> Iterator[click.Context]:
    group = cast(click.Group, context.command)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None and not command.hidden:
            yield click.Context(command, info_name=name, parent=context)


def _told(name: str) -> list[str]:
    """What docs/commands.md says of a command beside its options."""
    try:
        return markdown(section(_doc("commands.md"), name), without=("option",))
    except KeyError:
        return []


def command_page(context: click.Context, purpose: str) -> Page:
    """One command of ``recado``, and those below it."""
    lines = [".SH SYNOPSIS", *_synopsis(context)]
    command = context.command
    body = [".SH DESCRIPTION", *_help(command.help or ""), *_told(context.command_path)]
    if isinstance(command, click.Group):
        inner = list(_children(context))
        everywhere = [
            record for record in _records(inner[0]) if all(record in _records(each) for each in inner)
        ]
        for each in inner:
            lines += _synopsis(each)
            body += [f".SH {escaped(each.command_path)}", *_help(each.command.help or "")]
            body += _told(each.command_path)
            body += _options([record for record in _records(each) if record not in everywhere])
            body += _help(each.command.epilog or "")
        body += [".SH OPTIONS OF ALL OF THEM", *_options(everywhere)]
    else:
        body += [".SH OPTIONS", *_options(_records(context))]
    body += [".SH EXAMPLES AND EXIT CODES", *_help(command.epilog or "See recado(1).")]
    body += [".SH SEE ALSO", f"{bold('recado')}(1), {bold('recado.toml')}(5)"]
    return Page(context.command_path.replace(" ", "-"), 1, purpose, lines + body)


def main_page(root: click.Context) -> Page:
    """recado(1): the commands in their order, variables, codes, files."""
    page = _doc("commands.md")
    lines = [".SH SYNOPSIS", *_synopsis(root), ".SH DESCRIPTION", *_help(root.command.help or "")]
    lines += [".SH COMMANDS", ".PP", "Each has a page of its own."]
    for name, _, _, purpose in COMMANDS:
        lines += entry(f"{bold(f'recado-{name}')}(1)", inline(purpose))
    lines += [".SH FINDING THE CLUSTER", *markdown(section(page, "Finding the cluster"))]
    lines += [".SH JSON", *markdown(section(page, "JSON"))]
    lines += [".SH EXIT STATUS", *markdown(section(page, "Exit codes")), *_files()]
    others = ", ".join(f"{bold(f'recado-{name}')}(8)" for name in DAEMONS)
    lines += [".SH SEE ALSO", f"{others}, {bold('recado.toml')}(5)"]
    return Page("recado", 1, "messenger that a few hosts run for themselves", lines)


def _files() -> list[str]:
    lines = [".SH FILES"]
    for name, text in FILES:
        lines += entry(f"\\fI{escaped(name)}\\fR", escaped(text))
    return lines


def daemon_page(program: Program) -> Page:
    """recado-server(8) and the others."""
    page, name = _doc("configuration.md"), f"recado-{program}"
    context = click.Context(command_of(program, _nothing), info_name=name)
    unit = f"{name}@NAME.service" if program == "server" else f"{name}.service"
    lines = [".SH SYNOPSIS", *_synopsis(context), ".SH DESCRIPTION", ".PP", escaped(DAEMONS[program])]
    lines += [".PP", f"It is run by systemd as {bold(unit)}, whose journal explains events: journalctl \\-x."]
    lines += [".SH OPTIONS", *_options(_records(context))]
    lines += [".SH ENVIRONMENT", *entry(bold("RECADO_SECTION__KEY"), "a setting: see recado.toml(5).")]
    lines += markdown(section(page, "Variables that are not settings"))
    lines += [
        ".SH SIGNALS AND EXIT STATUS",
        *markdown(section(page, "Signals and exit codes of the daemons")),
    ]
    lines += _files()
    others = ", ".join(f"{bold(f'recado-{each}')}(8)" for each in DAEMONS if each != program)
    lines += [".SH SEE ALSO", f"{bold('recado')}(1), {others}, {bold('recado.toml')}(5)"]
    return Page(name, 8, f"the {program} of Recado, a messenger", lines)


async def _nothing(*_: object) -> None:
    """What a daemon does whose options are only looked at."""


def settings_page() -> Page:
    """recado.toml(5): where values come from, and each setting."""
    page = _doc("configuration.md")
    lines = [".SH DESCRIPTION", ".PP", inline(page.partition("\n\n")[2].partition("## ")[0])]
    lines += [".SH WHERE VALUES COME FROM", *markdown(section(page, "Where values come from"))]
    for name, settings in groupby(describe(), key=lambda setting: setting.key.rpartition(".")[0]):
        doc = SECTIONS[name].__doc__ if name in SECTIONS else None
        lines += [f".SH [{escaped(name)}]", *([".PP", inline(doc.strip())] if doc else [])]
        for setting in settings:
            default = "required" if setting.default is None else as_toml(setting.default)
            unit = f" {setting.unit}" if setting.unit else ""
            tag = f"{bold(setting.key.rpartition('.')[2])} = {escaped(default + unit)}"
            lines += entry(tag, inline(setting.description))
    example_file = "/usr/share/doc/recado/examples/recado.example.toml"
    lines += [*_files(), *entry(f"\\fI{escaped(example_file)}\\fR", "each setting with its reason")]
    others = ", ".join(f"{bold(f'recado-{name}')}(8)" for name in DAEMONS)
    return Page(
        "recado.toml", 5, "settings of Recado", [*lines, ".SH SEE ALSO", f"{bold('recado')}(1), {others}"]
    )


def pages() -> Iterator[Page]:
    """All of them."""
    root = click.Context(cli, info_name="recado", **cli.context_settings)
    yield main_page(root)
    purposes = {name: text for name, _, _, text in COMMANDS}
    for each in _children(root):
        yield command_page(each, purposes[each.info_name or ""].rstrip("."))
    for program in DAEMONS:
        yield daemon_page(cast(Program, program))
    yield settings_page()


def main() -> None:
    """Write them, packed."""
    directory = Path(sys.argv[1]) / "usr/share/man"
    for page in pages():
        head = titled(
            page.name,
            page.number,
            version=__version__,
            epoch=int(os.environ.get("SOURCE_DATE_EPOCH", "0")),
            purpose=page.purpose,
        )
        file = directory / f"man{page.number}" / f"{page.name}.{page.number}.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(packed(finished([*head, *page.lines]).encode()))


if __name__ == "__main__":
    main()
