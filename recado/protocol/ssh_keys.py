"""Public keys of SSH, as one line of OpenSSH writes them, and their fingerprints (RFC 4253 6.6, RFC 8709).

Such a key is of no use on our own wire: it opens an account on a node whose login is the messenger, and
the log says whose it is.  Only what OpenSSH takes today is taken: Ed25519, ECDSA, both also of hardware
tokens, and RSA of 2048 bits or more; no certificates, no DSA.
"""

import base64
import binascii
import hashlib
import re
from typing import Final, NamedTuple

LINE_CHARACTERS_MAX: Final = 4096  # of what is pasted, comment included
RSA_BITS_MIN: Final = 2048
BLOB_BYTES_MAX: Final = 700  # RSA of 4096 bits has 535; in base 64 it fits into a text of a rule
_FIELDS: Final = {  # type → how many fields follow its name
    "ssh-ed25519": 1,
    "sk-ssh-ed25519@openssh.com": 2,
    "ecdsa-sha2-nistp256": 2,
    "ecdsa-sha2-nistp384": 2,
    "ecdsa-sha2-nistp521": 2,
    "sk-ecdsa-sha2-nistp256@openssh.com": 3,
    "ssh-rsa": 2,
}
_FINGERPRINT: Final = re.compile(r"SHA256:([A-Za-z0-9+/]{43})")
_IDENT: Final = b"ssh"  # before a fingerprint's bytes, where keys of both kinds stand side by side


class SshKey(NamedTuple):
    """A public key: its type, its bytes."""

    type: str
    blob: bytes

    @property
    def text(self) -> str:
        """As `authorized_keys` has it, without a comment."""
        return f"{self.type} {base64.b64encode(self.blob).decode()}"

    @property
    def ident(self) -> bytes:
        """What tells it from all other keys, of either kind: 35 bytes."""
        return _IDENT + hashlib.sha256(self.blob).digest()

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it."""
        return fingerprint_of(self.ident)


def parse_key(line: str) -> SshKey | None:
    """The key in a line ``TYPE BASE64 [COMMENT]``; None if it is none that is taken."""
    if len(line) > LINE_CHARACTERS_MAX:
        return None
    words = line.split(None, 2)
    if len(words) < 2 or words[0] not in _FIELDS:
        return None
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    key = SshKey(words[0], blob)
    return key if len(blob) <= BLOB_BYTES_MAX and _is_sound(key) else None


def key_of(text: str) -> SshKey | None:
    """The key of a text in `SshKey.text`'s own form; None for any other text."""
    key = parse_key(text)
    return key if key is not None and key.text == text else None


def fingerprint_of(ident: bytes) -> str:
    """The fingerprint of an `SshKey.ident`."""
    return "SHA256:" + base64.b64encode(ident.removeprefix(_IDENT)).decode().rstrip("=")


def ident_of(fingerprint: str) -> bytes | None:
    """The `SshKey.ident` of a fingerprint in its one form; None for anything else."""
    found = _FINGERPRINT.fullmatch(fingerprint)
    if found is None:
        return None
    ident = _IDENT + base64.b64decode(found[1] + "=")
    return ident if fingerprint_of(ident) == fingerprint else None


def is_ident(key: bytes) -> bool:
    """Whether a key's bytes are an SSH key's ident; those of our own wire have 32."""
    return len(key) == 35 and key.startswith(_IDENT)


def _is_sound(key: SshKey) -> bool:
    """Whether the blob is the fields that its type has, and nothing more."""
    fields: list[bytes] = []
    rest = key.blob
    while rest and len(fields) <= 4:
        size = int.from_bytes(rest[:4], "big")
        if len(rest) < 4 + size or size == 0:
            return False
        fields.append(rest[4 : 4 + size])
        rest = rest[4 + size :]
    if rest or not fields or fields[0] != key.type.encode() or len(fields) != 1 + _FIELDS[key.type]:
        return False
    if key.type == "ssh-rsa":
        return int.from_bytes(fields[2], "big").bit_length() >= RSA_BITS_MIN
    return "ed25519" not in key.type or len(fields[1]) == 32
