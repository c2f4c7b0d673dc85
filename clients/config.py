"""`recado config check|show`: whether a node's configuration is right, and what it comes to."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from clients.ending import CONFIGURATION, Ended
from clients.options import CONFIG_DEFAULT, json_option
from clients.output import document, put, words
from clients.setup.origins import Lines
from clients.setup.words import speaker
from recado.config import ConfigError, Loaded, Problem, describe, load_with_origins
from recado.config import toml as as_toml

CODES = "Exit codes: 2 wrong usage, 78 something is wrong with it."

_file_argument = click.argument(
    "path",
    metavar="[FILE]",
    required=False,
    envvar="RECADO_CONFIG",
    type=click.Path(path_type=Path, dir_okay=False),
)
_set_option = click.option(
    "--set", "given", multiple=True, metavar="KEY=VALUE", help="As the daemons take it; repeatable."
)


@click.group("config", epilog="\b\nExample:\n  recado config show --origin")
def config() -> None:
    """The settings of a node: whether they are right, and where each comes from."""


@config.command(
    "check",
    epilog="\b\nExamples:\n  recado config check\n  recado config check --json | jq '.problems[]'\n"
    f"\n{CODES}",
)
@_file_argument
@_set_option
@json_option
def check(path: Path | None, given: tuple[str, ...], as_json: bool) -> None:
    """Check every setting, contradictions, keys and their rights, the roster, and whether all agree.

    FILE is /etc/recado/recado.toml if nothing else is said; conf.d/*.toml beside it and the environment
    count too.
    """
    from clients.setup.checking import look

    path = path or CONFIG_DEFAULT
    lines = Lines()
    try:
        loaded = _load(path, given)
    except ConfigError as error:
        _wrong(error.problems, lines, as_json=as_json)
    checked = look(loaded.config, path)
    if checked.problems:
        found = [_with_source(problem, loaded.origins) for problem in checked.problems]
        _wrong(found, lines, as_json=as_json)
    keys = [str(file) for file in (*checked.identities, *checked.cluster_keys)]
    unchecked = [str(file) for file in checked.unchecked]
    if as_json:
        document(file=str(path), valid=True, problems=[], keys=keys, unchecked=unchecked)
        return
    say = speaker()
    for file in unchecked:
        words(say("config.unchecked", path=file))
    names = ", ".join(one.name for one in checked.identities.values()) or "–"
    words(
        say("config.good", path=path, members=len(loaded.config.cluster.members), keys=names)
        if loaded.config.secured
        else say("config.good_open", path=path, members=len(loaded.config.cluster.members))
    )


@config.command(
    "show",
    epilog="\b\nExamples:\n  recado config show --origin\n  recado config show --changed\n"
    f"  recado config show --json | jq '.settings[\"server.listen\"]'\n\n{CODES}",
)
@_file_argument
@_set_option
@click.option(
    "--origin", is_flag=True, help="Where each comes from: file and line, variable, --set or default."
)
@click.option("--changed", is_flag=True, help="Only those that somebody has set.")
@json_option
def show(*, path: Path | None, given: tuple[str, ...], origin: bool, changed: bool, as_json: bool) -> None:
    """Show the effective value of every setting, as TOML.

    Settings hold no secrets: of keys they tell the file.
    """
    if path is None and CONFIG_DEFAULT.exists():
        path = CONFIG_DEFAULT
    lines = Lines()
    try:
        loaded = _load(path, given)
    except ConfigError as error:
        _wrong(error.problems, lines, as_json=as_json)
    keys = [setting.key for setting in describe() if "[]" not in setting.key]
    keys = [key for key in keys if not changed or key in loaded.origins]
    if as_json:
        settings = {key: _fields(key, loaded, lines) for key in keys}
        document(file=None if path is None else str(path), settings=settings)
        return
    section = ""
    for key in keys:
        table, _, name = key.partition(".")
        if table != section:
            put(f"[{table}]" if not section else f"\n[{table}]", keep="\n")
            section = table
        where = f"  # {_origin(key, loaded, lines)}" if origin else ""
        put(_setting(name, _value(key, loaded), where), keep="\n")


def _setting(name: str, value: Any, where: str) -> str:
    """One setting as TOML; a list of tables has a line for each."""
    if isinstance(value, tuple) and value and isinstance(value[0], msgspec.Struct):
        return "\n".join([f"{name} = [{where}", *(f"    {as_toml(item)}," for item in value), "]"])
    return f"{name} = {as_toml(value)}{where}"


def _load(path: Path | None, given: Sequence[str]) -> Loaded:
    """Raises `ConfigError`, `UsageError`."""
    overrides = {}
    for item in given:
        key, separator, value = item.partition("=")
        if not separator:
            raise click.UsageError(f"--set {item}: KEY=VALUE")
        overrides[key.strip()] = value
    if path is not None and not path.exists():
        raise Ended(speaker()("config.none", path=path), CONFIGURATION)
    return load_with_origins(path, overrides=overrides, env=os.environ)


def _value(key: str, loaded: Loaded) -> Any:
    section, _, name = key.partition(".")
    return getattr(getattr(loaded.config, section), name)


def _origin(key: str, loaded: Loaded, lines: Lines) -> str:
    source = loaded.origins.get(key, "default")
    return "--set" if source == "flag" else lines.of(source, key)


def _fields(key: str, loaded: Loaded, lines: Lines) -> dict[str, object]:
    source = loaded.origins.get(key, "default")
    return {
        "value": msgspec.to_builtins(_value(key, loaded)),
        "origin": "--set" if source == "flag" else source,
        "line": lines.number(source, key),
    }


def _with_source(problem: Problem, origins: Mapping[str, str]) -> Problem:
    return (
        problem
        if problem.source or not problem.key
        else problem._replace(source=origins.get(problem.key, ""))
    )


def _wrong(problems: Sequence[Problem], lines: Lines, *, as_json: bool) -> NoReturn:
    """Tell all that is wrong, each with file and line, and end with 78."""
    if not as_json:
        told = [str(one._replace(source=lines.of(one.source, one.key))) for one in problems]
        raise Ended("\n".join(told), CONFIGURATION)
    found = [
        {
            "source": one.source or None,
            "line": lines.number(one.source, one.key),
            "key": one.key or None,
            "expected": one.expected,
        }
        for one in problems
    ]
    document(valid=False, problems=found)
    raise SystemExit(CONFIGURATION)
