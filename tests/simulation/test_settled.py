"""When a storm's servers count as agreed."""

from collections.abc import Mapping
from typing import Any

import pytest
from settled import Settled

Statuses = Mapping[str, Mapping[str, Any]]


def said(coordinator: str, *epochs: int) -> Statuses:
    """What three servers say; the third has the highest rank."""
    names = [f"server-{n}" for n in (1, 2, 3)]
    return {
        name: {"coordinator": coordinator, "epoch": epoch, "rank": rank}
        for rank, (name, epoch) in enumerate(zip(names, epochs, strict=True), 1)
    }


STEADY = said("server-3", 4, 4, 4)


@pytest.mark.parametrize(
    ("looks", "after"),
    [
        ([STEADY] * 5, 3),
        ([STEADY, said("server-3", 4, 4, 6), *[said("server-3", 6, 6, 6)] * 3], 5),
        ([STEADY, STEADY, *[said("server-3", 6, 6, 6)] * 3], 5),
        ([STEADY, STEADY, said("server-2", 6, 6, 6), STEADY, STEADY], None),
        ([said("server-1", 2, 2, 2)] * 5, None),
    ],
    ids=["at once", "outbidden while one looks", "outbidden between two looks", "deposed", "not the highest"],
)
async def test_agreement_lasts(looks: list[Statuses], after: int | None) -> None:
    """Three looks in a row find the highest leading in one epoch; anything else begins anew."""
    left = iter(looks)

    async def statuses() -> Statuses:
        return next(left)

    settled = Settled(statuses)
    reached = [n for n in range(1, len(looks) + 1) if await settled.look()]
    assert (reached[0] if reached else None) == after
