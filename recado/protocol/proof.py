"""Proof of origin: a server signs its own log, so that no other member can write in its name.

The chain hash of an entry vouches for the whole log before it; so one signature over the last entry of
each commit batch covers the batch.  What is signed is a fixed prefix, then cluster and origin with
their lengths, the seq, the hash: no two tuples have the same bytes, and a signature is good in one
cluster only.  Ed25519 (RFC 8032), by libsodium; keys are 32 bytes (the secret one is the seed).
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import CryptoError

SIGNATURE_BYTES: Final = 64
_PREFIX: Final = b"recado proof of origin 1\0"

assert crypto_sign_BYTES == SIGNATURE_BYTES


def signed_bytes(cluster: str, origin: str, seq: int, hash: bytes) -> bytes:
    """What a signature is over.  `hash`: the chain hash of the entry `seq` of `origin`, 16 bytes."""
    parts = [_PREFIX]
    for text in (cluster.encode(), origin.encode()):
        parts += [len(text).to_bytes(2, "big"), text]
    return b"".join([*parts, seq.to_bytes(8, "big"), hash])


def sign(secret: bytes, cluster: str, origin: str, seq: int, hash: bytes) -> bytes:
    """The signature, 64 bytes; the same whenever it is made again.  `secret`: the seed, 32 bytes."""
    return crypto_sign(signed_bytes(cluster, origin, seq, hash), _expanded(secret))[:SIGNATURE_BYTES]


def verify(
    keys: Iterable[bytes], cluster: str, origin: str, *, seq: int, hash: bytes, signature: bytes
) -> bool:
    """Whether one of the public keys of the origin's node, present or former, made the signature."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    said = signature + signed_bytes(cluster, origin, seq, hash)
    return any(_opens(said, key) for key in keys)


def _opens(said: bytes, key: bytes) -> bool:
    try:
        crypto_sign_open(said, key)
    except (CryptoError, ValueError):
        return False
    return True


@lru_cache(4)  # a process signs with one key, and with two while it is rotated
def _expanded(secret: bytes) -> bytes:
    return crypto_sign_seed_keypair(secret)[1]
