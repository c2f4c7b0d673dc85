"""Options of the commands about users and channels, and moments and spans as people type them."""

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

CODES = "Exit codes: 0 done, 1 refused, 65 unusable name or text, 69 nobody answers, 75 outcome unknown."
_SPAN = re.compile(r"([0-9]{1,9})(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
Decorated = Callable[..., Any]

reason_option = click.option("--reason", metavar="TEXT", help="Why; it stands in the audit log.")


def span_seconds(text: str) -> int | None:
    """Seconds of a span like ``90s``, ``10m``, ``24h``, ``7d``, ``2w``; None if it is none."""
    found = _SPAN.fullmatch(text.strip().lower())
    return int(found[1]) * _SECONDS[found[2]] if found else None


def moment_of(text: str, *, now: float, ahead: bool) -> float:
    """UNIX seconds of a span before `now` (`ahead`: after it), or of a date or time in local time.

    Raises `ValueError`.
    """
    seconds = span_seconds(text)
    if seconds is not None:
        return now + seconds if ahead else now - seconds
    if text.isascii() and text.isdigit():
        return float(text)
    return datetime.fromisoformat(text).timestamp()


def _moment(*, ahead: bool) -> Callable[[click.Context, click.Parameter, str | None], float | None]:
    def read(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
        if value is None:
            return None
        try:
            return moment_of(value, now=time.time(), ahead=ahead)
        except (ValueError, OverflowError):
            raise click.BadParameter(
                "a span (30m, 24h, 7d), a date (2026-01-31), or UNIX seconds, not " + repr(value)
            ) from None

    return read


since_option = click.option(
    "--since", callback=_moment(ahead=False), metavar="WHEN", help="Only since then: 24h, 7d, 2026-01-31."
)
expires_option = click.option(
    "--expires", callback=_moment(ahead=True), metavar="WHEN", help="Void after that: 24h, 7d, 2026-01-31."
)
