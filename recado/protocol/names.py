"""Names, ids and times as they arrive from other people's clients, brought to one form.

Each function returns the normal form or raises `Refused` (the request is answered `erro`).
"""

import base64
import hashlib
import math
import re
import unicodedata
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from recado.protocol.errors import Refused
from recado.protocol.limits import ID_BYTES_MAX, NAME_BYTES_MAX, NODE_NAME_CHARACTERS_MAX, TEXT_BYTES_MAX
from recado.protocol.lookalikes import has_unseen, mixes_scripts
from recado.protocol.printable import acts

UID_BYTES = 16
UNKNOWN_NAME = "?"  # shown for a user whose registration has not arrived
RESERVED_TOPICS = frozenset({"servers"})
_REMEMBERED = 4096  # names whose checks and ids are kept at hand
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_OTHER_NAME = re.compile(r".*~[a-z2-7]{4}", re.IGNORECASE | re.DOTALL)
_NODE_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{NODE_NAME_CHARACTERS_MAX - 1}}}")
# Below this a number of a timestamp is seconds, from it on milliseconds: year 5138 and 1973.
_MILLISECONDS_FROM = 10**11
_WALL_MS_MAX = 253_402_300_799_000  # 9999-12-31


def _name(value: str, what: str, empty: str) -> str:
    # Only short texts are remembered: white space around a name may be as long as a frame.
    check = _checked if len(value) <= NAME_BYTES_MAX else _checked.__wrapped__
    return check(value, what, empty)


@lru_cache(_REMEMBERED)  # the same few names come with every message; what is refused is not kept
def _checked(value: str, what: str, empty: str) -> str:
    name = value.strip()
    if not name:
        raise Refused(f"{what}_empty", empty)
    if len(name.encode("utf-8", "replace")) > NAME_BYTES_MAX:
        raise Refused("name_too_long", f"Nome com mais de {NAME_BYTES_MAX} bytes")
    if _CONTROL.search(name):
        raise Refused("name_invalid", "Nome com caracteres de controle")
    if name in RESERVED_TOPICS:
        raise Refused("name_reserved", "Nome reservado")
    return name


def kept_user_name(value: str) -> str:
    """A user name, trimmed, as entries may have it.  Refused: empty, over 64 bytes, controls, reserved."""
    name = _name(value, "user", "Nome de usuário não pode ser vazio")
    if name == UNKNOWN_NAME:
        raise Refused("name_reserved", "Nome reservado")
    return name


def kept_channel_name(value: str) -> str:
    """A channel name, trimmed, under the rules of `kept_user_name`; `?` may be one."""
    return _name(value, "channel", "Nome do canal não pode ser vazio")


def user_name(value: str) -> str:
    """A user name from a request, as `kept_user_name`, and in Unicode's composed form (NFC)."""
    return kept_user_name(_composed(value))


def channel_name(value: str) -> str:
    """A channel name from a request, as `kept_channel_name`, and in Unicode's composed form (NFC)."""
    return kept_channel_name(_composed(value))


def _composed(value: str) -> str:
    return value if value.isascii() else unicodedata.normalize("NFC", value)


def new_name(name: str) -> str:
    """What secured mode asks of a name to be registered or created, besides the rules for all.

    Refused: `name_invalid` (invisible, turning or unassigned characters, piled-up marks, private use),
    `name_reserved` (the form of `views.other_name`), `name_confusable` (mixed scripts).  Whether the name
    reads like another one is for who knows the others (`lookalikes.skeleton`).
    """
    if acts(name) or has_unseen(name) or any(unicodedata.category(c) == "Co" for c in name):
        raise Refused("name_invalid", "Nome com caracteres invisíveis ou que não existem")
    if _OTHER_NAME.fullmatch(name):
        raise Refused("name_reserved", "Nome reservado")
    if mixes_scripts(name):
        raise Refused("name_confusable", "Nome com letras de alfabetos misturados")
    return name


def text(value: str) -> str:
    """A message text: kept as it is; only white space counts as empty.  At most 16 KiB."""
    if not value.strip():
        raise Refused("text_empty", "Mensagem não pode ser vazia")
    if 4 * len(value) > TEXT_BYTES_MAX and len(value.encode("utf-8", "replace")) > TEXT_BYTES_MAX:
        raise Refused("text_too_long", f"Mensagem com mais de {TEXT_BYTES_MAX} bytes")
    return value


def is_node_name(value: str) -> bool:
    """Letters, digits, `_` and `-`, at most 32: it names files and begins an origin."""
    return _NODE_NAME.fullmatch(value) is not None


@lru_cache(_REMEMBERED)
def uid(name: str) -> bytes:
    """The user id of a name registered without a key (open mode)."""
    return hashlib.blake2b(b"name" + name.encode(), digest_size=UID_BYTES).digest()


def key_uid(key: bytes, name: str) -> bytes:
    """The user id of a name registered with a key (32 bytes): nobody else can have it (A17)."""
    return hashlib.blake2b(b"key" + key + name.encode(), digest_size=UID_BYTES).digest()


_PYTHON_85 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_Z85 = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_TO_Z85, _FROM_Z85 = bytes.maketrans(_PYTHON_85, _Z85), bytes.maketrans(_Z85, _PYTHON_85)
_Z85_DIGITS = frozenset(_Z85)


def key_bytes(text: str) -> bytes | None:
    """A public key's 32 bytes from its Z85 form (ZeroMQ RFC 32), 40 characters; None if it is not one."""
    raw = text.encode("utf-8", "replace")
    if len(raw) != 40 or not _Z85_DIGITS.issuperset(raw):
        return None
    try:
        return base64.b85decode(raw.translate(_FROM_Z85))
    except ValueError:  # five digits above 2³²
        return None


def key_text(key: bytes) -> str:
    """The Z85 form of a public key."""
    return base64.b85encode(key).translate(_TO_Z85).decode()


def has_controls(text: str) -> bool:
    """Whether control characters or line separators stand in a text."""
    return _CONTROL.search(text) is not None


def identifier(value: Any) -> bytes | None:
    """A client-made id as stored: up to 64 bytes of bin, or of UTF-8 str; None if there is none."""
    if value is None:
        return None
    if isinstance(value, str):
        value = value.encode("utf-8", "replace")
    if not isinstance(value, bytes) or not 0 < len(value) <= ID_BYTES_MAX:
        raise Refused("id_invalid", f"id: 1 a {ID_BYTES_MAX} bytes")
    return value


def wall_ms(value: Any) -> int | None:
    """A request's timestamp in milliseconds: from seconds, milliseconds or ISO 8601; None if missing.

    A timestamp is display data: what cannot be read counts as missing, it refuses nothing.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        value = moment.timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    ms = int(value) if abs(value) >= _MILLISECONDS_FROM else int(value * 1000)
    return ms if 0 <= ms <= _WALL_MS_MAX else None


def derived_id(parts: tuple[str, ...], *, timestamp: Any, clock: int | None) -> bytes:
    """The id of a request whose client made none (A12): a byte-identical resend gets the same one.

    `parts` are the fields that make the request what it is.  Begins with six bytes of time, so that
    ids come in order of time and their index stays cheap.
    """
    digest = hashlib.blake2b(digest_size=10)
    for part in (*parts, repr(timestamp), repr(clock)):
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(len(raw).to_bytes(4, "big"))
        digest.update(raw)
    return (wall_ms(timestamp) or 0).to_bytes(6, "big") + digest.digest()


def minted_id(now_ms: int, randomness: bytes) -> bytes:
    """A fresh id: six bytes of time and ten random ones."""
    return max(0, now_ms).to_bytes(6, "big") + randomness[:10]
