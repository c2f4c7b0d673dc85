"""Which commands a login over SSH has, with which options: what is not named here is not there.

The words of ``SSH_ORIGINAL_COMMAND`` are split like a shell would, and never given to one.  What they mean
is decided by the command's own parser, so that there is one reading of them.
"""

import shlex
from collections.abc import Mapping, Sequence
from typing import Final

import click

from clients.cli import cli
from clients.ending import DATA, USAGE, Ended
from clients.words import speaker

COMMAND_BYTES_MAX: Final = 64 * 1024  # four texts of messages
CHAT: Final = "chat"
HELP: Final = frozenset({"help", "-h", "--help"})
_SHOWN: Final = 300  # characters of what somebody sent
_TALK: Final = frozenset({"text", "level", "ident", "as_json"})
_RULE: Final = frozenset({"name", "who", "text", "reason", "level", "as_json"})
# Names of parameters; none of them is a file, an address, a key or who speaks, which a test looks after.
OFFERED: Final[Mapping[str, frozenset[str]]] = {
    CHAT: frozenset({"channels", "level"}),
    "publish": _TALK | {"channel"},
    "dm": _TALK | {"peer"},
    "tail": frozenset({"names", "follow", "count", "direct", "as_json"}),
    "history": frozenset({"name", "direct", "count", "before", "as_json"}),
    "users": frozenset({"as_json"}),
    "channels": frozenset({"as_json"}),
    "channel": _RULE | {"private"},
    "user list": frozenset({"as_json"}),
    "user show": frozenset({"name", "as_json"}),
    "user keys": frozenset({"name", "as_json"}),
    "user revoke": frozenset({"which", "reason", "level", "as_json"}),
    "status": frozenset({"as_json"}),
}
_JOINED: Final = frozenset({"publish", "dm"})  # the text is all that is left: ssh took its quotes


def words_of(raw: bytes) -> list[str]:
    """The words of a command as it came; none: the chat.  Raises `Ended`."""
    say = speaker()
    if len(raw) > COMMAND_BYTES_MAX:
        raise Ended(say("ssh.long"), DATA)
    try:
        return shlex.split(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise Ended(say("ssh.bytes"), DATA, code="not_utf8") from None
    except ValueError:
        raise Ended(say("ssh.quotes"), USAGE) from None


def arguments_of(words: Sequence[str]) -> list[str]:
    """The command line of `recado` for these words.  Raises `Ended`, `click.UsageError`."""
    if not words:
        return [CHAT]
    name, command, rest = _command(words)
    if isinstance(command, click.Group):
        return [name, "--help"]
    allowed = OFFERED[name if name in OFFERED else name.partition(" ")[0]]
    context = click.Context(
        command, info_name=name, ignore_unknown_options=False, help_option_names=["-h", "--help"]
    )
    values, more, order = command.make_parser(context).parse_args(list(rest))
    for parameter in order:
        if (
            isinstance(parameter, click.Option)
            and parameter.name not in allowed
            and "--help" not in parameter.opts
        ):
            raise _not_offered("ssh.option", command=name, option=parameter.opts[-1])
    if name == "user revoke" and str(values.get("which", "")).endswith((".pub", ".key")):
        raise Ended(speaker()("ssh.file"), DATA)
    if name not in _JOINED or any("--help" in parameter.opts for parameter in order):
        return [*words]
    text = [values["text"]] if isinstance(values.get("text"), str) else []
    joined = " ".join([*text, *more]) or "-"
    options = [part for parameter in order for part in _as_typed(parameter, values)]
    first = values.get("channel" if name == "publish" else "peer")
    return [*name.split(), *options, "--", *([first] if isinstance(first, str) else []), joined]


def _command(words: Sequence[str]) -> tuple[str, click.Command, Sequence[str]]:
    """Name, command and what follows it."""
    top = words[0]
    found = cli.get_command(click.Context(cli), top) if top in tops() else None
    if found is None:
        raise _not_offered("ssh.unknown", command=top, offered=", ".join(tops()))
    if not isinstance(found, click.Group):
        return top, found, words[1:]
    second = words[1] if len(words) > 1 else ""
    name = f"{top} {second}"
    if second in HELP:
        return top, found, words[1:]
    inner = found.get_command(click.Context(found), second) if {top, name} & set(OFFERED) else None
    if inner is None or isinstance(inner, click.Group):
        offered = [each for each in OFFERED if each.startswith(f"{top} ")] or [
            f"{top} {n}" for n in _inner(found)
        ]
        raise _not_offered("ssh.unknown", command=name.strip(), offered=", ".join(offered))
    return name, inner, words[2:]


def _inner(group: click.Group) -> list[str]:
    return group.list_commands(click.Context(group))


def tops() -> list[str]:
    """The commands, as `recado` itself lists them."""
    return list(dict.fromkeys(name.partition(" ")[0] for name in OFFERED))


def _as_typed(parameter: click.Parameter, values: Mapping[str, object]) -> list[str]:
    """An option again as one types it; nothing for an argument."""
    if not isinstance(parameter, click.Option):
        return []
    value = values[str(parameter.name)]
    return [parameter.opts[-1]] if parameter.is_flag else [parameter.opts[-1], str(value)]


def _not_offered(key: str, **said: str) -> Ended:
    return Ended(speaker()(key, **{name: value[:_SHOWN] for name, value in said.items()}), USAGE)
