"""Clock tags (A14): a server vouches for a clock that a client brings to another server.

The budget of A13 holds back every large step of a client's clock, also an honest one's that has just
left a server which was ahead; its next message would be sorted before its last.  So replies carry a
tag of their clock, and a clock that comes with its tag is adopted in full: some server of the cluster
has had it.  An old pair is no more than an old clock.
"""

import hmac
from functools import lru_cache
from hashlib import blake2b
from typing import Final

TAG_BYTES: Final = 8


def clock_tag(cluster_key: bytes, clock: int) -> bytes:
    """Keyed BLAKE2b (RFC 7693) of the clock in 8 bytes, under the cluster key and a name of its own."""
    tag = _begun(cluster_key).copy()
    tag.update(clock.to_bytes(8, "big"))
    return tag.digest()


@lru_cache(16)
def _begun(cluster_key: bytes) -> blake2b:
    """The hash as far as it is the same for every clock: with each reply and publication one is made."""
    return blake2b(key=cluster_key, digest_size=TAG_BYTES, person=b"recado clock")


def is_tagged(cluster_key: bytes, clock: int, tag: bytes | None) -> bool:
    """Whether a server of this cluster made `tag` for `clock`; decided in constant time."""
    return tag is not None and hmac.compare_digest(clock_tag(cluster_key, clock), tag)
