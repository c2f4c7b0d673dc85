"""A request in one frame instead of three, between programs of ours.

The long form is ``[correlation, b"", body]``, as REQ and foreign DEALERs make it.  Every frame costs both
ends a call and, over CURVE, an encryption and a decryption of its own: of a small request as much as the
body.  The short form is ``[MARK ‖ number (8 bytes) ‖ body]``; no MessagePack value begins with `MARK`.

Not every program understands it, so an asker begins with the long one and offers the short one in the
correlation, ``OFFER ‖ number``.  A listener that knows it answers with ``TAKEN ‖ number``; an older one gives
the correlation back as it came.  An asker that then meets an older listener, since the program there was
exchanged, gets an answer of one frame without `MARK`, and goes back to the long form.
"""

from typing import Final

MARK: Final = b"\xc1"
OFFER: Final = MARK + b"short?"
TAKEN: Final = MARK + b"short!"
NUMBER_BYTES: Final = 8
HEAD_BYTES: Final = len(MARK) + NUMBER_BYTES


def numbered(number: int) -> bytes:
    """The correlation of one asker's request of that number."""
    return number.to_bytes(NUMBER_BYTES, "big")


def split(frame: bytes) -> tuple[bytes, bytes] | None:
    """The head, to give back, and the body of a frame in the short form; None if it is in no such form."""
    if frame[:1] != MARK or len(frame) < HEAD_BYTES:
        return None
    return frame[:HEAD_BYTES], frame[HEAD_BYTES:]


def answering(correlation: bytes) -> bytes:
    """What comes back for a correlation frame of the long form: the same, an offer taken."""
    return TAKEN + correlation[len(OFFER) :] if correlation.startswith(OFFER) else correlation
