"""Files of keys: what is written, who may read it, what is refused."""

import os
from hashlib import sha256
from pathlib import Path

import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey
from zmq.utils import z85 as rfc_32

from recado.keys import (
    KINDS,
    Identity,
    KeyFileError,
    Kind,
    from_z85,
    make_cluster_key,
    make_identity,
    public_text,
    read_cluster_key,
    read_identity,
    read_public,
    write_cluster_key,
    write_identity,
    z85,
)


def _fixed(count: int) -> bytes:
    return bytes(range(1, count + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_an_identity_comes_back_as_it_was_written(tmp_path: Path, kind: Kind) -> None:
    """Every kind of key file reads back equal, and only its owner may read it."""
    path = tmp_path / "new" / "one.key"
    identity = make_identity(kind, "one")
    write_identity(path, identity)
    assert read_identity(path) == identity
    assert path.stat().st_mode & 0o777 == 0o600
    assert bool(identity.signing_secret) == (kind == "server")


def test_a_name_with_quotes_and_backslashes_survives(tmp_path: Path) -> None:
    """A user's name may hold what TOML escapes."""
    identity = make_identity("user", 'ana "\\" ção')
    write_identity(tmp_path / "k", identity)
    assert read_identity(tmp_path / "k").name == 'ana "\\" ção'


def test_keys_are_those_of_zeromq_and_ed25519() -> None:
    """libzmq finds the same public key to the secret; the signing pair signs."""
    identity = make_identity("server", "server-1", entropy=_fixed)
    assert zmq.curve_public(z85(identity.secret).encode()) == z85(identity.public).encode()
    assert bytes(SigningKey(identity.signing_secret).verify_key) == identity.signing_public


def test_the_same_entropy_gives_the_same_keys() -> None:
    """Identities are a pure function of the entropy, for simulations."""
    assert make_identity("server", "a", entropy=_fixed) == make_identity("server", "a", entropy=_fixed)
    assert make_identity("server", "a") != make_identity("server", "a")


@given(st.binary(min_size=32, max_size=32))
def test_z85_is_rfc_32s(key: bytes) -> None:
    """Our Z85 is the one of ZeroMQ, both ways."""
    assert z85(key).encode() == rfc_32.encode(key)
    assert from_z85(z85(key)) == key


@pytest.mark.parametrize("text", ["", "a" * 39, "a" * 41, "ç" * 40, " " * 40, "~" * 40, "#" * 40])
def test_what_is_no_key_is_refused(text: str) -> None:
    """Other lengths, other characters and numbers too large for five digits."""
    with pytest.raises(ValueError, match=r"40 characters|overflow"):
        from_z85(text)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The error says what to type; for the cluster key too."""
    identity, cluster = tmp_path / "a.key", tmp_path / "cluster.key"
    write_identity(identity, make_identity("user", "ana"))
    write_cluster_key(cluster, make_cluster_key())
    for path, read in ((identity, read_identity), (cluster, read_cluster_key)):
        path.chmod(mode)
        with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
            read(path)


def test_no_key_is_written_over(tmp_path: Path) -> None:
    """A second key into the same file is refused, also through a link, and the first one stays."""
    path = tmp_path / "a.key"
    identity = make_identity("user", "ana")
    write_identity(path, identity)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    for target in (path, link):
        with pytest.raises(KeyFileError, match="written over"):
            write_identity(target, make_identity("user", "ana"))
    assert read_identity(path) == identity
    assert not (tmp_path / "nowhere").exists()


def test_public_part_in_a_file_of_its_own(tmp_path: Path) -> None:
    """`NAME.pub` holds no secret, reads as the key file's public part, and is no key file."""
    identity = make_identity("server", "server-1")
    key, pub = tmp_path / "s.key", tmp_path / "s.pub"
    write_identity(key, identity)
    pub.write_text(public_text(identity.public_part))
    assert read_public(pub) == read_public(key) == identity.public_part
    assert z85(identity.secret) not in pub.read_text()
    pub.chmod(0o600)
    with pytest.raises(KeyFileError, match="only the public part"):
        read_identity(pub)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('kind = "server"', 'kind = "king"', "kind must be"),
        ('name = "s"', "name = 7", "kind must be"),
        ('name = "s"', 'name = "../s"', "node's name"),
        ('\npublic = "', '\npublic = "short" # "', "public: a key is 40"),
        ('signing_public = "', 'signing_public = "AAAA" # "', "signing_public: a signing key is 32"),
        ('\nsecret = "', '\nsecret = "\xff" # "', "secret: a key is 40"),
        ("kind", "= kind", "not TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_told(tmp_path: Path, old: str, new: str, said: str) -> None:
    """The error names the file and what is wrong, and never a secret."""
    path = tmp_path / "s.key"
    identity = make_identity("server", "s")
    write_identity(path, identity)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(KeyFileError, match=said) as caught:
        read_identity(path)
    assert str(path) in str(caught.value)
    assert z85(identity.secret) not in str(caught.value)


def test_keys_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    """A public key pasted from elsewhere does not pass for that of the secret."""
    mine, other = make_identity("user", "ana"), make_identity("user", "bia")
    path = tmp_path / "a.key"
    write_identity(path, mine)
    path.write_text(path.read_text().replace(z85(mine.public), z85(other.public)))
    with pytest.raises(KeyFileError, match="belong together"):
        read_identity(path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"x" * 5000, b"00" * 31, b"zz" * 32])
def test_other_files_are_no_keys(tmp_path: Path, content: bytes) -> None:
    """Empty, binary, too large, too short: an error of its own, no traceback."""
    path = tmp_path / "x"
    path.write_bytes(content)
    path.chmod(0o600)
    for read in (read_identity, read_cluster_key, read_public):
        with pytest.raises(KeyFileError, match=str(path)):
            read(path)


def test_a_directory_and_nothing_are_no_keys(tmp_path: Path) -> None:
    """Reading what is no file says so."""
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "none", tmp_path / "fifo"):
        with pytest.raises(KeyFileError, match=r"can't be read|no file"):
            read_identity(path)


@pytest.mark.parametrize(
    ("kind", "name"), [("server", "a b"), ("server", ""), ("user", " "), ("bot", "x" * 65)]
)
def test_bad_names_make_no_identity(kind: Kind, name: str) -> None:
    """Nodes are named like nodes, users like users."""
    with pytest.raises(KeyFileError):
        make_identity(kind, name)


def test_no_secret_in_what_is_printed() -> None:
    """The repr of an identity, which may end in a log, holds no secret."""
    identity: Identity = make_identity("server", "s", entropy=_fixed)
    for secret in (identity.secret, identity.signing_secret):
        assert repr(secret) not in repr(identity)
        assert "secret" not in repr(identity)


def test_cluster_key_round_trip(tmp_path: Path) -> None:
    """32 bytes there and back."""
    key = make_cluster_key()
    write_cluster_key(tmp_path / "c", key)
    assert read_cluster_key(tmp_path / "c") == key


def test_no_key_looks_like_an_option() -> None:
    """What begins with a hyphen is drawn anew: people type keys into command lines."""
    drawn = iter(sha256(b"%d" % number).digest() for number in range(10_000))
    made = [make_identity("user", "ana", lambda _size: next(drawn)) for _ in range(500)]
    assert not [one for one in made if z85(one.public).startswith("-")]
    assert next(drawn) != sha256(b"500").digest()  # some were
