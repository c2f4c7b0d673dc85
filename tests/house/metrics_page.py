"""The table of metrics in docs/observability.md, made from the families as they are declared."""

from collections.abc import Sequence

from daemons.broker import observed as broker
from daemons.reference import observed as reference
from daemons.server import observed as server
from daemons.shared.observe_metrics import COMMON, Family

BEGIN = "<!-- metrics: written by `make docs` -->"
END = "<!-- end of metrics -->"
TABLES: tuple[tuple[str, Sequence[Family]], ...] = (
    ("Every daemon", COMMON),
    ("Servers", server.FAMILIES),
    ("The reference", reference.FAMILIES),
    ("Brokers", broker.FAMILIES),
)


def table() -> str:
    """One Markdown table per program, between the two marks."""
    parts = [BEGIN]
    for title, families in TABLES:
        parts += ["", f"### {title}", "", "| metric | kind | labels | what it is |", "|---|---|---|---|"]
        parts += [_row(family) for family in families]
    return "\n".join([*parts, "", END])


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels) or "–"
    return f"| `{family.name}` | {family.kind} | {labels} | {family.help} |"


def rewritten(page: str) -> str:
    """The page with its tables replaced. Raises `ValueError` without the marks."""
    before, rest = page[: page.index(BEGIN)], page[page.index(END) + len(END) :]
    return before + table() + rest
