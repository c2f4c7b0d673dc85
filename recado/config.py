"""Where settings come from: flag > environment > conf.d/*.toml > main file > default.

Whatever is wrong is collected and reported at once, each with its source, its key and what was
expected; an unknown key is an error, since a misspelt setting would silently do nothing.
"""

import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

import msgspec

from recado.contradictions import contradictions
from recado.setting_types import Section
from recado.settings import SECTIONS, Config, Setting, describe

__all__ = ["Config", "ConfigError", "Loaded", "Problem", "check", "describe", "load", "load_with_origins"]

ENVIRONMENT_PREFIX = "RECADO_"
_RENAMED = {"cluster.open_beyond_loopback": "security.insecure"}
Program = Literal["server", "reference", "broker"]


class Problem(NamedTuple):
    """One thing wrong: where it was said (file, variable, flag), which key, what was expected."""

    source: str
    key: str
    expected: str

    def __str__(self) -> str:
        return ": ".join(part for part in self if part)


class ConfigError(Exception):
    """The configuration can't be used; `problems` says everything that is wrong with it."""

    exit_code = 78  # EX_CONFIG

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Loaded(NamedTuple):
    """A configuration and, for each key that somebody set, who set it."""

    config: Config
    origins: Mapping[str, str]


class _Given(NamedTuple):
    """One value as found. `textual`: it came as text and is read by the setting's type."""

    source: str
    key: str
    value: Any
    textual: bool


def load(
    path: Path | None, *, overrides: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None
) -> Config:
    """The configuration from `path` (None: no file) and its ``conf.d`` beside it.

    `overrides` are flags, ``{"section.key": value}``; `env` holds ``RECADO_SECTION__KEY``. Texts in
    both are read by the setting's type (``"2.5"``, ``"true"``; lists separated by commas, or TOML).
    Raises `ConfigError` with all problems.
    """
    return load_with_origins(path, overrides=overrides, env=env).config


def load_with_origins(
    path: Path | None, *, overrides: Mapping[str, Any] | None = None, env: Mapping[str, str] | None = None
) -> Loaded:
    """`load`, and who set what."""
    problems: list[Problem] = []
    given: list[_Given | Problem] = [
        *_from_files(path),
        *_from_environment(env or {}),
        *(_Given("flag", key, value, isinstance(value, str)) for key, value in (overrides or {}).items()),
    ]
    known = {setting.key: setting for setting in describe()}
    tables: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    origins: dict[str, str] = {}
    for item in given:
        if isinstance(item, Problem):
            problems.append(item)
            continue
        setting = known.get(item.key)
        if setting is None:
            problems.append(Problem(item.source, item.key, _unknown(item.key, known)))
            continue
        try:
            value = _value(item, setting)
        except msgspec.ValidationError as error:
            problems.append(Problem(item.source, item.key, _expected(error, setting)))
            continue
        section, name = item.key.split(".", 1)
        tables[section][name] = value
        origins[item.key] = item.source
    if tables["security"].get("roster"):
        _without_round_robin(tables)
    config = Config(**{name: SECTIONS[name](**table) for name, table in tables.items()})  # type: ignore[arg-type]
    problems += [
        Problem(origins.get(key, "default"), key, expected) for key, expected in contradictions(config)
    ]
    if problems:
        raise ConfigError(problems)
    return Loaded(config, origins)


def _without_round_robin(tables: dict[str, dict[str, Any]]) -> None:
    """The defaults of a secured cluster: its broker has no request port, since that hides who asks."""
    tables["broker"].setdefault("request", "")
    plain = tuple(msgspec.structs.replace(broker, request="") for broker in Config().cluster.brokers)
    tables["cluster"].setdefault("brokers", plain)


def _from_files(path: Path | None) -> Iterator[_Given | Problem]:
    if path is None:
        return
    for file in (path, *sorted((path.parent / "conf.d").glob("*.toml"))):
        try:
            content = tomllib.loads(file.read_text("utf-8"))
        except OSError as error:
            yield Problem(str(file), "", f"can't be read: {error.strerror}")
            continue
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            yield Problem(str(file), "", f"not TOML: {error}")
            continue
        for section, table in content.items():
            if isinstance(table, dict) and section in SECTIONS:
                for name, value in table.items():
                    yield _Given(str(file), f"{section}.{name}", value, False)
            elif section in SECTIONS:
                yield Problem(str(file), section, f"expected a table [{section}]")
            else:
                yield Problem(str(file), section, _unknown(section, SECTIONS))


def _from_environment(env: Mapping[str, str]) -> Iterator[_Given]:
    for variable in sorted(env):
        # One underscore is no setting: RECADO_LANG, RECADO_SERVER and others have readers of their own.
        section, separator, name = variable.removeprefix(ENVIRONMENT_PREFIX).partition("__")
        if variable.startswith(ENVIRONMENT_PREFIX) and separator:
            yield _Given(variable, f"{section}.{name}".lower(), env[variable], True)


def _value(item: _Given, setting: Setting) -> Any:
    value = item.value
    if item.textual and isinstance(setting.default, tuple):
        value = _list(value)
    return msgspec.convert(value, setting.type, strict=not item.textual)


def _list(text: str) -> Any:
    """A list given as text: TOML if it begins like it, else separated by commas."""
    if text.lstrip().startswith("["):
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise msgspec.ValidationError(f"not a TOML list: {error}") from None
    return [part.strip() for part in text.split(",") if part.strip()]


def _unknown(key: str, known: Iterable[str]) -> str:
    """What to say of a key that nobody reads: the nearest one, or none."""
    if key in _RENAMED:
        return f"now called {_RENAMED[key]}"
    section, _, name = key.rpartition(".")
    candidates = [candidate for candidate in known if "[]" not in candidate]
    near = difflib.get_close_matches(key, candidates, n=1, cutoff=0.75)
    elsewhere = [candidate for candidate in candidates if section and candidate.endswith(f".{name}")]
    suggestion = (near or elsewhere or [""])[0]
    return f"unknown; did you mean {suggestion}?" if suggestion else "unknown"


def _expected(error: msgspec.ValidationError, setting: Setting) -> str:
    """The library's words, where they are too much its own in ours; with unit and default."""
    text = str(error)
    if "matching regex" in text:
        where = text.partition(" - at ")
        shape = (
            "tcp://HOST:PORT or ipc://PATH" if "tcp" in text else "letters, digits, `_` and `-`, at most 32"
        )
        shape = "127.0.0.1:PORT" if "localhost" in text else shape
        text = f"Expected {shape}{where[1]}{where[2]}"
    choices = _choices(setting.type)
    if choices:
        text = f"Expected {' or '.join(choices)}"
    text = text.replace("`float`", "a number").replace("`int`", "a whole number").replace("`str`", "a text")
    unit = f" in {setting.unit}" if setting.unit else ""
    return f"{text}{unit} (default: {toml(setting.default)})"


def _choices(annotated: Any) -> tuple[str, ...]:
    plain = get_args(annotated)[0] if get_origin(annotated) is Annotated else annotated
    return get_args(plain) if get_origin(plain) is Literal else ()


def toml(value: Any) -> str:
    """A default as one would write it in the file; "" for one that has none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, Section):
        return "{ " + ", ".join(f"{k} = {toml(v)}" for k, v in msgspec.structs.asdict(value).items()) + " }"
    return f"{value:g}" if isinstance(value, float) else str(value)


def check(config: Config, program: Program) -> None:
    """What this one program needs besides. Raises `ConfigError`."""
    problems = []
    if program == "server":
        if not config.node.name:
            problems.append(Problem("", "node.name", "a server must have a name"))
        elif config.cluster.members and config.member(config.node.name) is None:
            names = ", ".join(member.name for member in config.cluster.members)
            problems.append(
                Problem("", "node.name", f"{config.node.name} is none of cluster.members ({names})")
            )
    if config.secured:
        from recado.secured import SecurityProblems, load_security  # its cryptography is not for open mode

        try:
            load_security(config, program)
        except SecurityProblems as found:
            problems += [Problem("", key, text) for key, text in found.problems]
    if program == "broker" and config.secured and not server_addresses(config):
        problems.append(
            Problem("", "broker.servers", "needs broker.servers or cluster.members to ask whose a key is")
        )
    if program == "broker" and config.broker.request:
        if not server_addresses(config):
            problems.append(
                Problem(
                    "", "broker.request", "needs broker.servers or cluster.members to spread requests over"
                )
            )
        if not config.server.open:
            problems.append(Problem("", "broker.request", 'must be "" unless server.open: it hides who asks'))
    if problems:
        raise ConfigError(problems)


def server_addresses(config: Config) -> tuple[str, ...]:
    """The servers behind the broker's request port."""
    return config.broker.servers or tuple(member.address for member in config.cluster.members)
