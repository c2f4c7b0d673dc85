"""The command line that the three daemons share: ``--config FILE``, ``--set KEY=VALUE``."""

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from daemons.shared.process import Life, report, run
from recado import __version__
from recado.config import Config, ConfigError, Problem, Program, check, load

Main = Callable[[Config, Life], Awaitable[None]]
CONFIG_VARIABLE = "RECADO_CONFIG"


def main_of(program: Program, main: Main, *, arguments: Sequence[str] | None = None) -> NoReturn:
    """Read the configuration, run `main` as a process, leave with its exit code."""
    command_of(program, main)(args=arguments, prog_name=f"recado-{program}")
    raise AssertionError("click leaves by SystemExit")


def command_of(program: Program, main: Main) -> click.Command:
    """The command that does that; manual pages are made of it too."""
    name = f"recado-{program}"

    @click.command(name, help=f"Run {name} until SIGTERM or Ctrl-C.")
    @click.option(
        "--config",
        "path",
        type=click.Path(path_type=Path),
        envvar=CONFIG_VARIABLE,
        help="Configuration file; conf.d/*.toml beside it is read too.",
    )
    @click.option("--set", "given", multiple=True, metavar="KEY=VALUE", help="Override one setting.")
    @click.option("--check", "only_check", is_flag=True, help="Check the configuration and leave.")
    @click.version_option(__version__, prog_name=name)
    def command(path: Path | None, given: tuple[str, ...], only_check: bool) -> None:
        try:
            config = configuration(program, path=path, given=given)
        except ConfigError as error:
            sys.exit(report(error, name=name))
        if only_check:
            return

        async def living(life: Life) -> None:
            life.stop_seconds = config.timings.drain_seconds + config.timings.linger_seconds
            life.read_again = lambda: configuration(program, path=path, given=given)
            await main(config, life)

        sys.exit(run(living, name=config.node.name or program))

    return command


def configuration(program: Program, *, path: Path | None, given: Sequence[str]) -> Config:
    """The checked configuration of one program. Raises `ConfigError`."""
    overrides: dict[str, Any] = {}
    wrong = []
    for item in given:
        key, separator, value = item.partition("=")
        if separator:
            overrides[key.strip()] = value
        else:
            wrong.append(Problem("--set", item, "expected KEY=VALUE"))
    if wrong:
        raise ConfigError(wrong)
    config = load(path, overrides=overrides, env=os.environ)
    check(config, program)
    return config
