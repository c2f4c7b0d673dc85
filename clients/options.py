"""Options that several commands share, and the values they come to."""

import os
import random
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

REFERENCE_DEFAULT = "tcp://127.0.0.1:5559"
ROSTER_FILE = "roster.toml"
CONFIG_DEFAULT = Path("/etc/recado/recado.toml")  # where units have it
TIMEOUT_SECONDS_DEFAULT = 15.0
_ADDRESS = re.compile(r"tcp://[^\s/]+:[0-9]{1,5}|ipc://\S+")
Decorated = Callable[..., Any]

data_option = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var"),
    show_default="./var",
    envvar="RECADO_DATA",
    metavar="DIR",
    help="Where the cluster's nodes keep their files.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
user_option = click.option(
    "--user", envvar="RECADO_USER", metavar="NAME", help="Who speaks.  [env: RECADO_USER]"
)
level_option = click.option(
    "--level",
    type=click.Choice(["local", "quorum", "all"]),
    help="How many durable copies to wait for.  [default: quorum with three servers or more]",
)
id_option = click.option(
    "--id",
    "ident",
    callback=lambda _ctx, _parameter, value: _hexadecimal(value),
    metavar="HEX",
    help="The id of an earlier try, to send the same again: it appears once.",
)

outbox_option = click.option(
    "--outbox",
    is_flag=True,
    help="Write the message down first; if nobody confirms it, it waits for `outbox send`.",
)


@dataclass(frozen=True, kw_only=True)
class Where:
    """How the cluster is found, how long to wait for it, and where a client keeps what it must not forget.

    `roster`: of a cluster with keys, None without; `key`: None for the one of whoever speaks
    (`clients.keyring.security_of`).
    """

    servers: tuple[str, ...]
    brokers: tuple[str, ...]
    reference: str | None
    timeout_seconds: float
    state: Path
    roster: Path | None = None
    key: Path | None = None


def where_options(command: Decorated) -> Decorated:
    """The options that say where the cluster is; the command gets them as ``where``."""

    @wraps(command)
    def with_where(
        *,
        servers: tuple[str, ...],
        brokers: tuple[str, ...],
        reference: str | None,
        timeout_seconds: float,
        state: Path | None,
        roster: Path | None,
        key: Path | None,
        **others: Any,
    ) -> Any:
        names = default_roster(os.environ) if roster is None else _named(roster)
        if roster is names is None and not servers and reference is None:
            names, servers, reference = _account_here(has_key=key is not None)
        if servers:
            reference = None
        elif reference is None:
            servers, reference = _addresses_in(names)
        where = Where(
            servers=servers,
            brokers=brokers,
            reference=reference if servers else reference or REFERENCE_DEFAULT,
            timeout_seconds=timeout_seconds,
            state=state or state_directory(os.environ),
            roster=names,
            key=key and _named(key),
        )
        return command(where=where, **others)

    decorated: Decorated = with_where
    for option in reversed(_WHERE_OPTIONS):
        decorated = option(decorated)
    return decorated


def state_directory(env: Any) -> Path:
    """Where a client's small files go, by the XDG base directory specification."""
    base = env.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "recado"


def config_directory(env: Any) -> Path:
    """Where a person's keys and roster are, by the XDG base directory specification."""
    base = env.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "recado"


def default_roster(env: Any) -> Path | None:
    """The roster that a person keeps, if there is one."""
    path = config_directory(env) / ROSTER_FILE
    return path if path.is_file() else None


def _account_here(*, has_key: bool) -> tuple[Path | None, tuple[str, ...], str | None]:
    """The roster, servers and reference of the node on which this is one of the accounts that its server
    knows, whose key is made if there is none yet; else nothing.  Raises `Ended`.
    """
    if not CONFIG_DEFAULT.is_file():
        return None, (), None
    from clients.keyring import user_key_path
    from clients.local_account import account_here, make_first_key

    account = account_here(CONFIG_DEFAULT)
    if account is None:
        return None, (), None
    directory = config_directory(os.environ)
    if not has_key and not list(directory.glob("*.key")):
        make_first_key(account, user_key_path(account.name, os.environ))
    return account.roster, account.servers, account.reference


def _addresses_in(roster: Path | None) -> tuple[tuple[str, ...], str | None]:
    """The servers and the reference whose addresses a roster tells; of one that can't be read, none."""
    if roster is None:
        return (), None
    from recado.roster import Roster, RosterError

    try:
        found = Roster.read(roster)
    except RosterError:
        return (), None  # whoever needs it will say what is wrong with it
    servers = [address for entry in found.of("server") for address in entry.addresses[:1]]
    random.shuffle(servers)  # so that not all ask the first
    reference = next((address for entry in found.of("reference") for address in entry.addresses), None)
    return tuple(servers), reference


def _named(path: Path) -> Path | None:
    """The path; None if an empty one was given, which says: none, and no default either."""
    return None if path == Path() else path


def _addresses(_context: click.Context, _parameter: click.Parameter, value: Any) -> Any:
    if value is None:
        return None
    several = not isinstance(value, str)
    found = tuple(part for item in (value if several else [value]) for part in item.replace(",", " ").split())
    for address in found:
        if not _ADDRESS.fullmatch(address):
            raise click.BadParameter(f"{address!r} is not an address like tcp://127.0.0.1:5555")
    return found if several else (found or (None,))[0]


def _hexadecimal(value: str | None) -> bytes | None:
    if value is None:
        return None
    try:
        ident = bytes.fromhex(value)
    except ValueError:
        raise click.BadParameter("hexadecimal digits, as --json shows them") from None
    if not 0 < len(ident) <= 64:
        raise click.BadParameter("1 to 64 bytes")
    return ident


_WHERE_OPTIONS = (
    click.option(
        "--server",
        "servers",
        multiple=True,
        callback=_addresses,
        envvar="RECADO_SERVER",
        metavar="ADDRESS",
        help="A server; repeatable, in the order to ask.  "
        "[env: RECADO_SERVER; default: the roster's, else as the reference lists them]",
    ),
    click.option(
        "--broker",
        "brokers",
        multiple=True,
        callback=_addresses,
        envvar="RECADO_BROKER",
        metavar="ADDRESS",
        help="Where publications are (XPUB); repeatable.  [env: RECADO_BROKER; default: as the servers say]",
    ),
    click.option(
        "--reference",
        callback=_addresses,
        envvar="RECADO_REFERENCE",
        metavar="ADDRESS",
        help="Who lists the servers.  "
        f"[env: RECADO_REFERENCE; default: the roster's, else {REFERENCE_DEFAULT}]",
    ),
    click.option(
        "--timeout",
        "timeout_seconds",
        type=click.FloatRange(0, 3600, min_open=True),
        default=TIMEOUT_SECONDS_DEFAULT,
        show_default=True,
        metavar="SECONDS",
        help="After that: exit code 69 for a read, 75 for a write.",
    ),
    click.option(
        "--state",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="RECADO_STATE",
        metavar="DIR",
        help="Where a client's own files are: the proof of a login, the outbox, cursors.  "
        "[env: RECADO_STATE; default: ~/.local/state/recado]",
    ),
    click.option(
        "--roster",
        type=click.Path(path_type=Path, dir_okay=True),
        envvar="RECADO_ROSTER",
        metavar="FILE",
        help="Who belongs to a cluster with keys; '' for one without.  "
        "[env: RECADO_ROSTER; default: ~/.config/recado/roster.toml if there]",
    ),
    click.option(
        "--key",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="RECADO_KEY",
        metavar="FILE",
        help="Your key there.  [env: RECADO_KEY; default: ~/.config/recado/USER.key if there]",
    ),
)


def need_user(user: str | None) -> str:
    """The user, or how to name one (usage error)."""
    if not user:
        raise click.UsageError("who speaks? give --user NAME or set RECADO_USER")
    return user


def text_argument(given: str) -> str:
    """The text of a message: as given, or all of standard input for ``-`` (one final line break dropped)."""
    if given != "-":
        return given
    from clients.ending import DATA, Ended
    from clients.words import speaker
    from recado.protocol.limits import TEXT_BYTES_MAX

    raw = sys.stdin.buffer.read(TEXT_BYTES_MAX + 2).removesuffix(b"\n")
    if len(raw) > TEXT_BYTES_MAX:
        raise Ended(speaker()("talk.stdin_long", most=TEXT_BYTES_MAX), DATA, code="text_too_long")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Ended(speaker()("talk.stdin_bytes"), DATA, code="not_utf8") from None
