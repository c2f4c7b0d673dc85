"""Proofs of origin, clock tags and capabilities: golden bytes, and nothing passes that was not made so."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_sign_seed_keypair

from recado.protocol import publications
from recado.protocol.clock_tag import clock_tag, is_tagged
from recado.protocol.proof import sign, signed_bytes, verify

SECRET = bytes(range(32))
PUBLIC = crypto_sign_seed_keypair(SECRET)[0]
FORMER = crypto_sign_seed_keypair(bytes(32))[0]
CLUSTER_KEY = bytes(range(32, 64))
ORIGIN = "server-1.0123456789abcdef"
HASH = bytes(range(16))


def test_golden_signature() -> None:
    """What is signed, and the signature, do not change by accident."""
    said = signed_bytes("recado", ORIGIN, 512, HASH)
    assert said == (
        b"recado proof of origin 1\x00\x00\x06recado\x00\x19"
        + ORIGIN.encode()
        + b"\x00\x00\x00\x00\x00\x00\x02\x00"
        + HASH
    )
    assert sign(SECRET, "recado", ORIGIN, 512, HASH).hex() == (
        "e40a64edef890f661659c26a3e4008d17a9cec4a634a624412bf2f18ba86a3d7"
        "caabdcf7bc466aa57bad7286b2da8e65fa6628a836d86dd36b2be5edbd62b400"
    )


def test_a_signature_is_good_for_what_was_signed() -> None:
    """By any key of the node; not for another cluster, origin, seq or hash, and not cut short."""
    signature = sign(SECRET, "recado", ORIGIN, 7, HASH)

    def good(
        keys: tuple[bytes, ...] = (FORMER, PUBLIC),
        cluster: str = "recado",
        origin: str = ORIGIN,
        seq: int = 7,
        hash: bytes = HASH,
        made: bytes = signature,
    ) -> bool:
        return verify(keys, cluster, origin, seq=seq, hash=hash, signature=made)

    assert good()
    assert not good(keys=(FORMER,))
    assert not good(keys=())
    assert not good(keys=(b"short",))
    assert not good(cluster="recad")
    assert not good(origin="server-2.0123456789abcdef")
    assert not good(seq=8)
    assert not good(hash=bytes(16))
    assert not good(made=signature[:-1])
    assert not good(made=b"")


@given(st.binary(min_size=64, max_size=64))
def test_made_up_signatures_are_refused(made: bytes) -> None:
    """Any 64 bytes: refused, without an exception."""
    assert not verify((PUBLIC, bytes(32), b"\xff" * 32), "recado", ORIGIN, seq=1, hash=HASH, signature=made)


def test_no_two_things_are_signed_with_the_same_bytes() -> None:
    """Letters moved from the cluster's id to the origin make another text."""
    assert signed_bytes("ab", "c", 1, HASH) != signed_bytes("a", "bc", 1, HASH)


def test_golden_clock_tag() -> None:
    """Eight bytes that depend on key and clock."""
    tag = clock_tag(CLUSTER_KEY, 1_000_000)
    assert tag.hex() == "ee0c5b6aa2de07a6"
    said = (1_000_000).to_bytes(8, "big")
    assert tag == hashlib.blake2b(said, key=CLUSTER_KEY, digest_size=8, person=b"recado clock").digest()
    assert is_tagged(CLUSTER_KEY, 1_000_000, tag)
    for key, clock, given_tag in (
        (bytes(32), 1_000_000, tag),
        (CLUSTER_KEY, 1_000_001, tag),
        (CLUSTER_KEY, 1_000_000, tag[:7]),
        (CLUSTER_KEY, 1_000_000, b""),
        (CLUSTER_KEY, 1_000_000, None),
    ):
        assert not is_tagged(key, clock, given_tag)


def test_golden_topics() -> None:
    """Topics of secured mode, their capabilities, and a generation that changes all of it."""
    private = publications.private_topic(CLUSTER_KEY, "diretoria", generation=3)
    assert private.hex() == "7064697265746f72696100e362588131ab1a74676919b2c6fb5b0d"
    assert (
        publications.direct_topic(CLUSTER_KEY, "ana", generation=0).hex()
        == "75616e6100f357393c2a17f6bb9d7bc07c769603a5"
    )
    assert publications.public_topic("geral") == b"cgeral\x00"
    assert private != publications.private_topic(CLUSTER_KEY, "diretoria", generation=4)
    assert publications.capability(CLUSTER_KEY, b"p", "ana", 0) != publications.capability(
        CLUSTER_KEY, b"u", "ana", 0
    )


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=16), st.integers(0, 2**32)
)
def test_topics_are_read_back_and_none_is_anothers_prefix(name: str, generation: int) -> None:
    """Each topic in its parts; every prefix and every longer one is no topic at all (A39)."""
    for topic in (
        publications.public_topic(name),
        publications.private_topic(CLUSTER_KEY, name, generation=generation),
        publications.direct_topic(CLUSTER_KEY, name, generation=generation),
    ):
        parts = publications.parse_topic(topic)
        assert parts is not None
        assert (parts.name, parts.kind) == (name, topic[:1])
        assert publications.parse_topic(topic + b"x") is None
        assert publications.parse_topic(topic[:-1]) is None
        if topic[:1] != publications.PUBLIC:
            assert len(topic) - len(name.encode()) == 2 + publications.CAPABILITY_BYTES


@pytest.mark.parametrize(
    "topic",
    [b"", b"c", b"c\x00", b"u", b"\x00", b"\x00beacon", b"x\x00", b"c" + b"a" * 65 + b"\x00", b"c\xff\x00"],
)
def test_what_is_no_topic(topic: bytes) -> None:
    """Prefixes, no name, too long a name, a name that is not UTF-8."""
    assert publications.parse_topic(topic) is None
