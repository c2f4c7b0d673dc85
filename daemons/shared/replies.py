"""Envelopes that every daemon answers with. Pure: clock and time are passed in."""

from typing import Any

from recado.protocol.codec import encode
from recado.texts import wire_text


def reply(service: str, data: dict[str, Any], *, clock: int, now_seconds: float) -> bytes:
    """An envelope with `timestamp` (whole seconds: strict clients take no float) and `clock`."""
    return encode(service, {**data, "timestamp": int(now_seconds), "clock": clock})


def malformed_text(reason: str) -> str:
    """What people are told of a request that could not be read."""
    return f"Pedido inválido: {reason}"


def error_reply(
    service: str,
    *,
    code: str,
    clock: int,
    now_seconds: float,
    text: str | None = None,
    extra: dict[str, Any] | None = None,
) -> bytes:
    """An `erro` envelope. The text stands twice, since clients read one or the other.

    `text`: what to say; without it the text of `code`. `extra`: further fields, such as the
    request's `id` or ``retry_after`` in seconds.
    """
    said = wire_text(code) if text is None else text
    data = {"status": "erro", "description": said, "message": said, "code": code, **(extra or {})}
    return reply(service, data, clock=clock, now_seconds=now_seconds)
