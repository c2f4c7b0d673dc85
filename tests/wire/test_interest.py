"""What a publisher knows of who listens, from what an XPUB tells it."""

import pytest

from recado.protocol.limits import TOPICS_WANTED_MAX
from recado.wire import interest
from recado.wire.interest import Interest


def told(*messages: bytes) -> Interest:
    """An interest that has heard these messages of one frame."""
    found = Interest()
    for message in messages:
        found.told([message], more=False)
    return found


def test_a_subscription_covers_what_begins_with_it() -> None:
    """The topic itself and longer ones, no shorter and no other one; the empty one covers everything."""
    some = told(b"\1ge", b"\1ana")
    asked = (b"ge", b"geral", b"g", b"", b"an", b"anabel", b"\1ge")
    assert [some.covers(topic) for topic in asked] == [True, True, False, False, False, True, False]
    assert all(told(b"\1").covers(topic) for topic in (b"", b"geral"))
    assert not Interest().covers(b"geral")


def test_a_subscription_that_has_ended_covers_nothing() -> None:
    """Others of the same length go on; an end without a beginning is harmless."""
    some = told(b"\1geral", b"\1outro", b"\0geral", b"\0nunca")
    assert (some.covers(b"geral"), some.covers(b"outro")) == (False, True)
    some.told([b"\0outro"], more=False)
    assert not some.covers(b"outro")


def test_what_is_no_subscription_says_nothing() -> None:
    """Junk, empty frames, and frames of longer messages that look like subscriptions: cut ones, too."""
    some = told(b"\1geral", b"", b"\2geral", b"xgeral")
    some.told([b"x", b"\0geral"], more=False)
    some.told([b"x"] * 17, more=True)
    some.told([b"\0geral"], more=False)
    assert some.covers(b"geral")
    some.told([b"\0geral"], more=False)
    assert not some.covers(b"geral")


def test_who_is_told_of_too_many_topics_takes_everything_for_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has a bound; beyond it publications go out as if nobody had been asked, for good."""
    monkeypatch.setattr(interest, "TOPICS_WANTED_MAX", 2)
    assert TOPICS_WANTED_MAX > 1024
    some = told(b"\1a", b"\1b", b"\1a")
    assert not some.covers(b"geral")
    for message in (b"\1c", b"\0a", b"\0b", b"\0c"):
        some.told([message], more=False)
        assert some.covers(b"geral")
