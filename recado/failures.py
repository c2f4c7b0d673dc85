"""What a request may end in, besides success: one class for each thing that a caller can do about it.

ChatError
├── NoAnswer            nobody answered a read in time: ask again, nothing has changed
│   └── BadReply        somebody answered, but nothing that can be read
├── Indeterminate       a write is not confirmed: send it again with the same id
├── Queued              a message is in the outbox and not confirmed: it is sent again, with its id
├── Closed              the connection is closed
├── TooManyTargets      a subscription follows as much as it can: leave something, or open another
└── RefusedByServer     answered, and not carried out: nothing was kept
    ├── NameTaken  ChannelExists  ChannelMissing  UserMissing     another name, or create it
    ├── NameRefused  TextRefused                                  another text
    ├── Busy                                                      later
    │   └── RateLimited                                           later, and slower
    ├── NotYou  KeyUnknown  RegistrationRefused                   another name or key; login; an invitation
    └── Forbidden                                                 somebody who may
        └── NotMember  Banned  Muted                              ask the channel's operators
"""

from collections.abc import Callable, Mapping
from typing import Any

from recado.protocol import names
from recado.protocol.errors import Refused


class ChatError(Exception):
    """Everything that the library raises."""


class Closed(ChatError):
    """The connection was closed while, or before, the request was under way."""


class TooManyTargets(ChatError):
    """A subscription was asked to follow more than `most` targets; it goes on as before."""

    def __init__(self, *, most: int) -> None:
        super().__init__(f"a subscription follows at most {most} channels, direct messages counted as one")
        self.most = most


class NoAnswer(ChatError):
    """Nobody answered a read within its time, or a write found no server that it could be sent to.

    `service` as asked, `seconds` waited, `tried`: (server, what happened) of every attempt in order.
    """

    def __init__(self, service: str, *, seconds: float, tried: tuple[tuple[str, str], ...]) -> None:
        super().__init__(f"{service}: no answer within {seconds:g} s ({_told(tried)})")
        self.service = service
        self.seconds = seconds
        self.tried = tried


class BadReply(NoAnswer):
    """Nobody answered a read within its time with something that can be read; see `tried`."""


class Indeterminate(ChatError):
    """A write was not confirmed within its time: it may or may not be kept, or have too few copies.

    Sending it again with the same `id` does no harm: it appears once.  `acks`: the durable copies
    that a server told of (0: nobody did), `of` how many members.
    """

    def __init__(
        self,
        service: str,
        *,
        id: bytes,
        seconds: float,
        tried: tuple[tuple[str, str], ...],
        acks: int = 0,
        of: int | None = None,
    ) -> None:
        super().__init__(
            f"{service}: not confirmed within {seconds:g} s ({_told(tried)}); it may have been kept"
        )
        self.service = service
        self.id = id
        self.seconds = seconds
        self.tried = tried
        self.acks = acks
        self.of = of


class Queued(ChatError):
    """A message stays in the outbox, as nobody has confirmed it: `why`.  It is sent again with its `id`."""

    def __init__(self, id: bytes, *, why: ChatError) -> None:
        super().__init__(f"kept in the outbox: {why}")
        self.id = id
        self.why = why


class RefusedByServer(ChatError):
    """The request was not carried out and nothing was kept.

    `code` is stable and for programs (empty if the server gave none that is known), `text` is for
    people, `server` who refused (empty: this library did, before anything was sent).  `certain` is False
    if another server had been asked before without an answer: that one may have kept it.  `reason`: of who
    is muted, banned or put out, in the words of who did it (None: not told).
    """

    certain = True
    reason: str | None = None

    def __init__(self, code: str, text: str, *, server: str = "") -> None:
        super().__init__(text or code)
        self.code = code
        self.text = text
        self.server = server


class NameTaken(RefusedByServer):
    """A login under a name that somebody else has registered."""


class ChannelExists(RefusedByServer):
    """A channel of this name exists already."""


class ChannelMissing(RefusedByServer):
    """There is no such channel; `create_channel` makes it."""


class UserMissing(RefusedByServer):
    """There is no such user."""


class NameRefused(RefusedByServer):
    """A name that can't be one: empty, too long, reserved, or with control characters."""


class TextRefused(RefusedByServer):
    """A message text that can't be one: empty or too long."""


class Busy(RefusedByServer):
    """Every server asked was too busy until the time was up.  `retry_after` in seconds."""

    def __init__(self, code: str, text: str, *, server: str = "", retry_after: float = 1.0) -> None:
        super().__init__(code, text, server=server)
        self.retry_after = retry_after


class RateLimited(Busy):
    """Asked more often than this user, key or address may.  `retry_after` in seconds."""


class NotYou(RefusedByServer):
    """The name is not that of the key with which this connection proves itself."""


class KeyUnknown(RefusedByServer):
    """The key is nobody's: `login` first; or (code ``key_revoked``) it was revoked, for ever."""


class RegistrationRefused(RefusedByServer):
    """Not everybody may register here: it needs an invitation (``login(invite=…)``), or an operator."""


class Forbidden(RefusedByServer):
    """Who asked may not do this."""


class NotMember(Forbidden):
    """The channel is private, and this user is not of it."""


class Banned(Forbidden):
    """This user is banned from the channel."""


class Muted(Forbidden):
    """This user may read but not speak: muted, or the channel is moderated and gave no voice."""


# The contract's texts, for servers that send no codes.
_CODES_OF_TEXTS: Mapping[str, str] = {
    "Nome de usuário não pode ser vazio": "user_empty",
    "Usuário já existe": "user_taken",
    "Nome do canal não pode ser vazio": "channel_empty",
    "Canal já existe": "channel_taken",
    "Canal não existe": "channel_missing",
    "Mensagem não pode ser vazia": "text_empty",
    "Usuário de destino não existe": "user_missing",
}
_KINDS: Mapping[str, type[RefusedByServer]] = {
    "user_taken": NameTaken,
    "channel_taken": ChannelExists,
    "channel_missing": ChannelMissing,
    "user_missing": UserMissing,
    "user_empty": NameRefused,
    "channel_empty": NameRefused,
    "name_too_long": NameRefused,
    "name_invalid": NameRefused,
    "name_reserved": NameRefused,
    "text_empty": TextRefused,
    "text_too_long": TextRefused,
    "search_empty": TextRefused,
    "search_too_long": TextRefused,
    "search_too_short": TextRefused,
    "busy": Busy,
    "name_confusable": NameRefused,
    "rate_limited": RateLimited,
    "not_you": NotYou,
    "key_unknown": KeyUnknown,
    "key_revoked": KeyUnknown,
    "registration_closed": RegistrationRefused,
    "invite_needed": RegistrationRefused,
    "invite_invalid": RegistrationRefused,
    "channel_closed": NotMember,
    "banned": Banned,
    "muted": Muted,
    "moderated": Muted,
    "suspended": Forbidden,
    "operators_only": Forbidden,
    "members_only": Forbidden,
    "not_for_you": Forbidden,
    "not_channel_operator": Forbidden,
    "is_founder": Forbidden,
}


def refusal(data: Mapping[str, Any], *, server: str) -> RefusedByServer:
    """The typed error for the data of an `erro` reply, whoever wrote the server."""
    given = data.get("description") or data.get("message") or ""
    text = given if isinstance(given, str) else repr(given)
    code = data.get("code")
    if not isinstance(code, str):
        code = _CODES_OF_TEXTS.get(text.strip(), "")
    kind = _KINDS.get(code, RefusedByServer)
    if issubclass(kind, Busy):
        return kind(code, text, server=server, retry_after=seconds_of(data.get("retry_after"), default=1.0))
    error = kind(code, text, server=server)
    reason = data.get("reason")
    error.reason = reason if isinstance(reason, str) and reason else None
    return error


def refused_here(refused: Refused) -> RefusedByServer:
    """The same for what the library refuses itself, before anything is sent."""
    return _KINDS.get(refused.code, RefusedByServer)(refused.code, refused.text)


def checked(check: Callable[[str], str], value: str) -> str:
    """What `check` of `protocol.names` makes of a value, refused as the library refuses."""
    try:
        return check(value)
    except Refused as refused:
        raise refused_here(refused) from None


def checked_id(id: bytes) -> bytes:
    """The id of a write, refused as the library refuses."""
    try:
        return names.identifier(id) or b""
    except Refused as refused:
        raise refused_here(refused) from None


def seconds_of(value: Any, *, default: float) -> float:
    """A span of seconds from the wire: finite and not negative, or the default."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return default
    return float(value)


def _told(tried: tuple[tuple[str, str], ...]) -> str:
    return "; ".join(f"{server}: {what}" for server, what in tried[-4:]) or "no server known"
