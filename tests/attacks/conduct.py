"""How the attacks are judged: time of the processor, and what may never be told or logged (K12)."""

import base64
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import thread_time
from typing import Any

from recado.keys import z85

ATTEMPTS = 3  # the best counts: collections of garbage and other processes fall anywhere


async def cpu_seconds(ask: Callable[[], Awaitable[Any]], *, attempts: int = ATTEMPTS) -> float:
    """What one request and its answer cost this thread at least, server and asker together."""
    took = []
    for _ in range(attempts):
        begun = thread_time()
        await ask()
        took.append(thread_time() - begun)
    return min(took)


def leaks(texts: Iterable[str], secrets: Mapping[str, bytes]) -> list[str]:
    """K12: which secret stands in which text, raw, in hexadecimal, Z85 or base64 or as a list of numbers."""
    found = []
    for text in texts:
        for what, secret in secrets.items():
            if any(form in text for form in forms(secret)):
                found.append(f"{what} in {text[:200]!r}")
    return found


def forms(secret: bytes) -> list[str]:
    """How a secret may look in a log line or a reply."""
    shown = [secret.hex(), base64.b64encode(secret).decode().rstrip("="), repr(secret)[2:-1]]
    return [*shown, z85(secret)] if len(secret) == 32 else shown
