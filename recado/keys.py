"""Files of keys: who a process is, and what proves it.

An identity is one TOML file that its owner alone can read: a CURVE key pair (who one is on the wire),
and for servers an Ed25519 pair besides (what they sign their log with; CURVE keys don't sign).  Its
public part is a file of the same form without secrets, which may be shown to everybody.  The cluster
key is shared by all servers, and by nobody else.

Nothing here writes over a key that exists: it could not be had again.
"""

import base64
import binascii
import os
import stat
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

from nacl.bindings import crypto_scalarmult_base, crypto_sign_seed_keypair

from recado.protocol.errors import Refused
from recado.protocol.names import is_node_name, user_name

Kind = Literal["server", "broker", "reference", "user", "bot"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)
KEY_BYTES: Final = 32  # of every key here: CURVE public and secret, Ed25519 public and seed, cluster key
KEY_FILE_BYTES_MAX: Final = 4096
_PYTHON_ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_Z85_ALPHABET = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_TO_Z85 = bytes.maketrans(_PYTHON_ALPHABET, _Z85_ALPHABET)
_FROM_Z85 = bytes.maketrans(_Z85_ALPHABET, _PYTHON_ALPHABET)


class KeyFileError(Exception):
    """A file of keys that can't be used or written; the text says what to do."""

    exit_code = 78  # EX_CONFIG


class PublicPart(NamedTuple):
    """What others may know of an identity: keys of 32 raw bytes; `signing` is b"" unless a server's."""

    kind: Kind
    name: str
    public: bytes
    signing: bytes


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One key file: keys of 32 raw bytes, the signing ones b"" unless it is a server's."""

    kind: Kind
    name: str
    public: bytes
    secret: bytes = field(repr=False)
    signing_public: bytes = b""
    signing_secret: bytes = field(default=b"", repr=False)

    @property
    def public_part(self) -> PublicPart:
        return PublicPart(self.kind, self.name, self.public, self.signing_public)


def z85(key: bytes) -> str:
    """32 bytes as the 40 characters of ZeroMQ's RFC 32."""
    return base64.b85encode(key).translate(_TO_Z85).decode("ascii")


def from_z85(text: str) -> bytes:
    """The 32 bytes of a key written in Z85.  Raises `ValueError`."""
    raw = text.encode("utf-8", "replace")
    if len(raw) != 40 or not set(raw) <= set(_Z85_ALPHABET):
        raise ValueError("a key is 40 characters of Z85")
    return base64.b85decode(raw.translate(_FROM_Z85))


def from_base64(text: str) -> bytes:
    """The 32 bytes of a signing key.  Raises `ValueError`."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise ValueError("a signing key is 32 bytes in base64")
    return raw


def make_identity(kind: Kind, name: str, entropy: Callable[[int], bytes] = os.urandom) -> Identity:
    """A new identity, a pure function of what `entropy` gives.  Raises `KeyFileError` for a bad name.

    No public key begins with "-", which a command line would take for an option.
    """
    name = _checked_name(kind, name)
    secret = entropy(KEY_BYTES)
    while z85(crypto_scalarmult_base(secret)).startswith("-"):
        secret = entropy(KEY_BYTES)
    signing_secret = entropy(KEY_BYTES) if kind == "server" else b""
    return _identity(kind, name, secret=secret, signing_secret=signing_secret)


def _identity(kind: Kind, name: str, *, secret: bytes, signing_secret: bytes) -> Identity:
    return Identity(
        kind=kind,
        name=name,
        public=crypto_scalarmult_base(secret),
        secret=secret,
        signing_public=crypto_sign_seed_keypair(signing_secret)[0] if signing_secret else b"",
        signing_secret=signing_secret,
    )


def _checked_name(kind: str, name: str) -> str:
    if kind in ("user", "bot"):
        try:
            return user_name(name)
        except Refused as refused:
            raise KeyFileError(f"{name!r} can't be a user's name: {refused.text}") from None
    if not is_node_name(name):
        raise KeyFileError(f"{name!r} can't be a node's name: letters, digits, `_` and `-`, at most 32")
    return name


def make_cluster_key(entropy: Callable[[int], bytes] = os.urandom) -> bytes:
    """A new cluster key: 32 bytes."""
    return entropy(KEY_BYTES)


def public_text(part: PublicPart) -> str:
    """The public part as a file, for `recado roster add`."""
    lines = [f'kind = "{part.kind}"', f"name = {_quoted(part.name)}", f'public = "{z85(part.public)}"']
    if part.signing:
        lines.append(f'signing_public = "{_base64(part.signing)}"')
    return "\n".join([*lines, ""])


def write_identity(path: Path, identity: Identity) -> None:
    """Write the key file, mode 0600, durably.  Never over another: raises `KeyFileError`."""
    write_new(path, identity_text(identity), mode=0o600)


def identity_text(identity: Identity) -> str:
    """The text of its key file, secrets included."""
    text = "# A secret: whoever has this file is this one. Public is what `recado roster add` reads.\n"
    text += public_text(identity.public_part) + f'secret = "{z85(identity.secret)}"\n'
    if identity.signing_secret:
        text += f'signing_secret = "{_base64(identity.signing_secret)}"\n'
    return text


def write_cluster_key(path: Path, key: bytes) -> None:
    """Write the cluster key, mode 0600, durably.  Never over another: raises `KeyFileError`."""
    write_new(path, key.hex() + "\n", mode=0o600)


def write_new(path: Path, text: str, *, mode: int) -> None:
    """A file that was not there before, whole and durable.  Raises `KeyFileError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(descriptor)
        except OSError:
            path.unlink(missing_ok=True)  # half a key is none, and would stand in the way of a whole one
            raise
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        raise KeyFileError(f"{path} exists, and keys are not written over; choose another file") from None
    except OSError as error:
        raise KeyFileError(f"{path} can't be written: {error.strerror}") from None


def read_identity(path: Path) -> Identity:
    """The identity in a key file.  Raises `KeyFileError`: unreadable, not its owner's alone, not one."""
    return identity_of(_read(path, secret=True), path)


def identity_of(text: str, path: Path) -> Identity:
    """The identity in the text of a key file; `path` is for the words.  Raises `KeyFileError`."""
    table = _table(path, text)
    kind, name = _who(path, table)
    if "secret" not in table:
        raise KeyFileError(f"{path} is only the public part; give the key file itself")
    secret = _key(path, table, "secret", from_z85)
    signing_secret = _key(path, table, "signing_secret", from_base64) if kind == "server" else b""
    identity = _identity(kind, name, secret=secret, signing_secret=signing_secret)
    if _public(path, table, kind=kind, name=name) != identity.public_part:
        raise KeyFileError(f"{path}: its public and secret keys don't belong together")
    return identity


def read_public(path: Path) -> PublicPart:
    """The public part in a file of its own or in a key file.  Raises `KeyFileError`."""
    table = _table(path, _read(path, secret=False))
    kind, name = _who(path, table)
    return _public(path, table, kind=kind, name=name)


def read_cluster_key(path: Path) -> bytes:
    """The 32 bytes of the cluster key.  Raises `KeyFileError`."""
    text = _read(path, secret=True).strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise KeyFileError(f"{path} is no cluster key; make one with `recado keygen --cluster -o FILE`")
    return key


def _read(path: Path, *, secret: bool) -> str:
    """The file's text; of a secret one the mode is looked at before a byte of it."""
    try:
        # A FIFO in place of the file would otherwise hold us here for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyFileError(f"{path} is no file")
            if secret and status.st_mode & 0o077:
                raise KeyFileError(f"{path} can be read by others than its owner; chmod 600 {path}")
            raw = file.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise KeyFileError(f"{path} can't be read: {error.strerror}") from None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = ""
    if not text or len(raw) > KEY_FILE_BYTES_MAX:
        raise KeyFileError(f"{path} is no file of keys")
    return text


def _table(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # its words may quote the file, and the file is secret
        raise KeyFileError(f"{path} is no file of keys: not TOML") from None


def _who(path: Path, table: dict[str, Any]) -> tuple[Kind, str]:
    kind, name = table.get("kind"), table.get("name")
    if kind not in KINDS or not isinstance(name, str):
        raise KeyFileError(f"{path} is no file of keys: kind must be one of {', '.join(KINDS)}, name a text")
    try:
        return kind, _checked_name(kind, name)
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}") from None


def _public(path: Path, table: dict[str, Any], *, kind: Kind, name: str) -> PublicPart:
    signing = _key(path, table, "signing_public", from_base64) if kind == "server" else b""
    return PublicPart(kind, name, _key(path, table, "public", from_z85), signing)


def _key(path: Path, table: dict[str, Any], name: str, read: Callable[[str], bytes]) -> bytes:
    value = table.get(name)
    try:
        return read(value if isinstance(value, str) else "")
    except ValueError as error:
        raise KeyFileError(f"{path}: {name}: {error}") from None


def _base64(key: bytes) -> str:
    return base64.b64encode(key).decode("ascii")


def _quoted(name: str) -> str:
    """A name as a TOML string; names hold no control characters."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
