"""The directory: when the lists that readers are given must be made anew."""

from typing import Any

from daemons.server.directory import Directory
from recado.protocol import names
from recado.protocol.entry import EMPTY, names_extra, seal
from recado.protocol.messages import Entry, Kind
from tests.daemons.server.peer_frames import ORIGIN


def entry(kind: int, target: str | bytes, **more: Any) -> Entry:
    fields = {"author": names.uid("ana"), "body": b"oi", "extra": names_extra("ana", dst="bia"), **more}
    return seal(
        EMPTY, origin=ORIGIN, lamport=1, wall_ms=1, kind=kind, id=None, target=target, prev=0, **fields
    )


def test_only_a_change_of_the_lists_is_one() -> None:
    """Messages that name their people, and unknown kinds, make no list anew; logins and new channels do."""
    directory = Directory({}, {"geral"}, heard_of={})
    directory.committed(
        [
            entry(Kind.CHANNEL_MESSAGE, "geral"),
            entry(Kind.USER_MESSAGE, names.uid("bia")),
            entry(4711, "x"),
        ]
    )
    assert directory.version == 0
    assert directory.name_of(names.uid("bia")) == "bia"
    directory.committed([entry(Kind.CHANNEL_MESSAGE, "novo")])
    assert directory.version == 1
    directory.committed([entry(Kind.LOGIN, "ana"), entry(Kind.CHANNEL, "livros")])
    assert directory.version == 3
