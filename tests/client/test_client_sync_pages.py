"""Pages of the on-demand `sync`: what a server gives to go on with comes back as it was."""

import pytest

from recado import values


@pytest.mark.parametrize("cursor", ["c:00ff00ff00ff00ff:1760000000000:1=17,", 1760000000, 1760000000.5])
def test_the_cursor_of_a_page_is_kept(cursor: object) -> None:
    """`next_sync` is a text at our servers and a time at others; both can be handed back."""
    page = values.sync_page({"more": True, "next_sync": cursor}, server="server-1")
    assert (page.more, page.next_sync) == (True, cursor)


def test_a_cursor_that_is_none_is_left_out() -> None:
    """What can't be handed back is None."""
    assert values.sync_page({"more": True, "next_sync": ["junk"]}, server="server-1").next_sync is None
