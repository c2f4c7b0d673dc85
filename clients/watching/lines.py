"""Numbers as people read them in narrow columns, columns as lines, values as small graphs."""

from collections.abc import Sequence
from typing import Final

from recado.protocol.printable import printable

BARS: Final = "▁▂▃▄▅▆▇█"
GAP: Final = "  "


def age(seconds: float | None) -> str:
    """``12s``, ``5m``, ``3h``, ``9d``; `-` if not known."""
    if seconds is None:
        return "-"
    whole = max(0, int(seconds))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if whole >= size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def milliseconds(value: float | None) -> str:
    """A signed duration in ms, in seconds from ten of them on."""
    if value is None:
        return "-"
    if abs(value) >= 10_000:
        return f"{value / 1000:+.0f} s"
    return f"{value:+.0f} ms" if abs(value) >= 100 else f"{value:+.1f} ms"


def sized(number: float | None) -> str:
    """Bytes with a binary unit."""
    if number is None:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" or number >= 10 else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def spark(values: Sequence[float | None], *, width: int) -> str:
    """The last `width` values as bars from zero to the largest of them; a gap where there is none."""
    shown = list(values)[-width:]
    most = max((value for value in shown if value is not None), default=0.0)

    def bar(value: float | None) -> str:
        if value is None:
            return " "
        return BARS[0] if most <= 0 else BARS[min(len(BARS) - 1, int(max(0.0, value) / most * len(BARS)))]

    return "".join(map(bar, shown)).rjust(width)


def columns(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """Rows as lines, each column as wide as its widest cell; `right`: columns of numbers."""
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        GAP.join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
