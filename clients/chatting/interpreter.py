"""What a typed line means: a pure function from a line to an intent.

A line that begins with ``/`` is a command (in English or Portuguese), anything else is said on the
current channel; ``//`` says a text that begins with a slash.  A name with spaces stands in quotes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from clients.rules import deeds

HISTORY_DEFAULT = 20
HISTORY_MOST = 200
DIRECT = ("--direct", "--diretas")
PRIVATE = ("--private ", "--privado ")


@dataclass(frozen=True)
class Nothing:
    """An empty line."""


@dataclass(frozen=True)
class Say:
    """A text for the current channel."""

    text: str


@dataclass(frozen=True)
class Login:
    user: str


@dataclass(frozen=True)
class Users:
    pass


@dataclass(frozen=True)
class Channels:
    """List the channels; `most`: no more than so many of them."""

    most: int | None = None


@dataclass(frozen=True)
class Create:
    channel: str
    private: bool = False


@dataclass(frozen=True)
class Join:
    channel: str


@dataclass(frozen=True)
class Leave:
    """Leave a channel; None: the current one."""

    channel: str | None


@dataclass(frozen=True)
class Rule:
    """A rule for the current channel, or for `channel`; `do` is the wire's word."""

    do: str
    who: str | None = None
    text: str | None = None
    reason: str | None = None
    channel: str | None = None


@dataclass(frozen=True)
class Topic:
    """Show the current channel's topic."""


@dataclass(frozen=True)
class Info:
    """Show all that is so in a channel; None: in the current one."""

    channel: str | None


@dataclass(frozen=True)
class Direct:
    user: str
    text: str


@dataclass(frozen=True)
class History:
    count: int


@dataclass(frozen=True)
class Search:
    """Find these words in all channels, or in one's direct messages."""

    text: str
    direct: bool = False


@dataclass(frozen=True)
class Status:
    pass


@dataclass(frozen=True)
class Help:
    pass


@dataclass(frozen=True)
class Menu:
    pass


@dataclass(frozen=True)
class Quit:
    pass


@dataclass(frozen=True)
class Wrong:
    """A line that can't be carried out; `key` names the text that says why, `about` what it concerns."""

    key: str
    about: str = ""


Intent = (
    Nothing | Say | Login | Users | Channels | Create | Join | Leave | Rule | Topic | Info | Direct | History
    | Search | Status | Help | Menu | Quit | Wrong
)  # fmt: skip

ABOUT_USERS: tuple[str, ...] = tuple(f"/{word}" for word in deeds.ABOUT_USERS)
ABOUT_CHANNELS: tuple[str, ...] = tuple(f"/{word}" for word in deeds.ABOUT_CHANNELS)
COMMANDS: tuple[str, ...] = (
    "/menu", "/login", "/users", "/channels", "/create", "/join", "/leave", "/msg", "/history",
    "/search", "/status",
    "/info", "/topic", *ABOUT_USERS, *ABOUT_CHANNELS, "/resign", "/help", "/quit",
)  # fmt: skip
ALIASES: Mapping[str, str] = {
    "/usuarios": "/users",
    "/usuários": "/users",
    "/canais": "/channels",
    "/criar": "/create",
    "/entrar": "/join",
    "/j": "/join",
    "/deixar": "/leave",
    "/part": "/leave",
    "/m": "/msg",
    "/dm": "/msg",
    "/assunto": "/topic",
    "/convidar": "/invite",
    "/desconvidar": "/uninvite",
    "/operador": "/op",
    "/voz": "/voice",
    "/silenciar": "/mute",
    "/banir": "/ban",
    "/desbanir": "/unban",
    "/expulsar": "/kick",
    "/privado": "/private",
    "/publico": "/public",
    "/público": "/public",
    "/moderado": "/moderated",
    "/desistir": "/resign",
    "/historico": "/history",
    "/histórico": "/history",
    "/buscar": "/search",
    "/busca": "/search",
    "/estado": "/status",
    "/ajuda": "/help",
    "/?": "/help",
    "/sair": "/quit",
    "/q": "/quit",
    "/exit": "/quit",
}
_ALONE: Mapping[str, Intent] = {
    "/menu": Menu(),
    "/users": Users(),
    "/channels": Channels(),
    "/status": Status(),
    "/help": Help(),
    "/quit": Quit(),
}


def interpret(line: str) -> Intent:
    """The intent of one line."""
    if not line.strip():
        return Nothing()
    if not line.startswith("/"):
        return Say(line)
    if line.startswith("//"):
        return Say(line[1:])
    word, _, rest = line.strip().partition(" ")
    command = ALIASES.get(word.lower(), word.lower())
    rest = rest.strip()
    if command in _ALONE:
        return _ALONE[command]
    if command == "/history":
        return _history(rest)
    if command == "/search":
        return _search(rest)
    if command == "/msg":
        user, text = first_name(rest)
        return Direct(user, text) if user and text else Wrong("chat.usage", "/msg NAME TEXT")
    if command in {"/leave", "/info", "/resign"}:
        channel = without_hash(whole_name(rest)) or None
        if command == "/resign":
            return Rule("leave", channel=channel)
        return Leave(channel) if command == "/leave" else Info(channel)
    if command in {"/login", "/create", "/join"}:
        return _named(command, rest)
    return _rule(command, rest) or Wrong("chat.unknown", word)


def _named(command: str, rest: str) -> Intent:
    """A command with one name."""
    private = command == "/create" and rest.startswith(PRIVATE)
    name = whole_name(rest.partition(" ")[2].strip() if private else rest)
    if not name:
        return Wrong("chat.usage", f"{command} NAME")
    if command == "/login":
        return Login(name)
    channel = without_hash(name)
    return Create(channel, private) if command == "/create" else Join(channel)


def _rule(command: str, rest: str) -> Intent | None:
    """A command about who may do what; None if it is another."""
    if command == "/topic":
        return Rule("topic", text=whole_name(rest)) if rest else Topic()
    if command in ABOUT_CHANNELS:
        return Rule(command[1:], reason=rest or None)
    if command in ABOUT_USERS:
        who, reason = first_name(rest)
        if not who:
            return Wrong("chat.usage", f"{command} NAME")
        return Rule(command[1:], who=who, reason=reason or None)
    return None


def _history(rest: str) -> Intent:
    if not rest:
        return History(HISTORY_DEFAULT)
    if not rest.isascii() or not rest.isdigit() or not 1 <= int(rest[:9]) <= HISTORY_MOST:
        return Wrong("chat.usage", f"/history 1…{HISTORY_MOST}")
    return History(int(rest))


def _search(rest: str) -> Intent:
    word, _, text = rest.partition(" ")
    direct = word in DIRECT
    text = text.strip() if direct else rest
    return Search(text, direct) if text else Wrong("chat.usage", "/search [--direct] WORDS")


def first_name(rest: str) -> tuple[str, str]:
    """The first name, in quotes if it has spaces, and what follows it."""
    if rest.startswith('"'):
        name, closed, text = rest[1:].partition('"')
        return (name.strip(), text.strip()) if closed else ("", "")
    name, _, text = rest.partition(" ")
    return name, text.strip()


def whole_name(rest: str) -> str:
    """A name alone: quotes around it are dropped."""
    return rest[1:-1].strip() if len(rest) >= 2 and rest[0] == rest[-1] == '"' else rest


def without_hash(name: str) -> str:
    """``#geral`` is the channel ``geral``, as people who know IRC type it."""
    return name.removeprefix("#").strip()


def in_quotes(name: str) -> str:
    """A name as `first_name` reads it back."""
    return f'"{name}"' if " " in name else name
