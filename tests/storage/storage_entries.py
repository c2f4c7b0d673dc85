"""Entries for the store's tests: made by hand, or drawn by hypothesis in all shapes a log may hold."""

import json
import sqlite3
from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st

from recado.protocol import names, views
from recado.protocol.entry import EMPTY, Head, names_extra, seal
from recado.protocol.messages import Entry, Kind
from storage.replica import Batch, Replica

ORIGINS = tuple(f"server-{n}.{n:016x}" for n in (1, 2, 3))
USERS = ("ana", "bia", "caio")
CHANNELS = ("geral", "livros")


class Author:
    """Appends to the logs of several origins, as if there were several servers."""

    def __init__(self) -> None:
        self.heads: dict[str, Head] = {}
        self.entries: list[Entry] = []

    def add(self, *, origin: str = ORIGINS[0], later: int = 1, **fields: Any) -> Entry:
        """The origin's next entry, its stamp `later` than the last; unnamed fields are plain."""
        head = self.heads.get(origin, EMPTY)
        plain = {
            "kind": Kind.CHANNEL_MESSAGE,
            "author": names.uid("ana"),
            "id": None,
            "target": "geral",
            "prev": 0,
            "body": b"oi",
            "wall_ms": 1_700_000_000_000 + head.lamport,
        }
        entry = seal(head, origin=origin, lamport=head.lamport + later, **{**plain, **fields})
        self.heads[origin] = Head(entry.seq, entry.lamport, entry.hash)
        self.entries.append(entry)
        return entry

    def login(self, name: str, **fields: Any) -> Entry:
        return self.add(kind=Kind.LOGIN, author=names.uid(name), target=name, body=b"", **fields)

    def keyed(self, name: str, key: bytes, **fields: Any) -> Entry:
        """A login in secured mode."""
        body = said(key=names.key_text(key))
        return self.add(kind=Kind.LOGIN, author=names.key_uid(key, name), target=name, body=body, **fields)

    def direct(self, src: str, dst: str, text: str, **fields: Any) -> Entry:
        uids = {"author": names.uid(src), "target": names.uid(dst)}
        return self.add(kind=Kind.USER_MESSAGE, body=text.encode(), **uids, **fields)


def conversation(count: int, *, origins: Sequence[str] = ORIGINS) -> list[Entry]:
    """Users, a channel, then messages in a channel and between users, over all origins in turn."""
    author = Author()
    for name in USERS:
        author.login(name)
    author.add(kind=Kind.CHANNEL, author=None, target="geral", body=b"")
    for n in range(count):
        origin = origins[n % len(origins)]
        mid = n.to_bytes(16, "big")
        if n % 3 == 2:
            author.direct("ana", USERS[n % 2 + 1], f"segredo {n}", origin=origin, id=mid)
        else:
            author.add(origin=origin, id=mid, body=f"mensagem {n}".encode())
    return author.entries


def put(replica: Replica, entries: Sequence[Entry], *, now_ms: int = 0) -> None:
    """One commit."""
    replica.stage(Batch(entries=entries, now_ms=now_ms))
    replica.commit()


def uid(name: str) -> bytes:
    return names.uid(name)


def said(**fields: object) -> bytes:
    """The body of a rule, or of a login with a key."""
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


_TARGETS: st.SearchStrategy[str | bytes | None] = st.sampled_from(
    [*CHANNELS, *USERS, " livros", "servers", "a\0b", *map(names.uid, USERS), names.uid("ninguém"), None]
)
_BODIES = st.sampled_from(
    [
        *(b"oi", b"tchau", "olá, mundo".encode(), b"", b"  ", b"\xff\xfe", b"a\0b", b"x" * 20_000),
        *(b'{"private":true}', b'{"do":"private"}', b'{"do":"topic","text":"de tudo"}', b'{"do":"suspend"}'),
        *(b"[1]", b'{"do":{"do":1}}', b'{"do": "private"}'),
    ]
)
_EXTRAS = st.sampled_from(
    [
        *(None, None, None, b"\xc1", b"\x91\x01"),
        *(names_extra("ana"), names_extra("bia"), names_extra("caio")),
        *(names_extra("ana", dst="bia"), names_extra("caio", dst="ninguém")),
    ]
)
_WILD = {
    "kind": st.sampled_from([1, 2, 3, 3, 4, 4, 5, 6, 77, 65_535]),
    "author": st.sampled_from([None, *map(names.uid, USERS)]),
    "target": _TARGETS,
    "id": st.sampled_from([None, b"1", b"2", b"3"]),
    "body": _BODIES,
    "extra": _EXTRAS,
}
# Messages that only differ in where they are: what duplicates are made of.
_USUAL = {
    "kind": st.just(Kind.CHANNEL_MESSAGE),
    "target": st.sampled_from(CHANNELS),
    "id": st.sampled_from([None, b"1", b"2"]),
    "body": st.sampled_from([b"oi", b"sim"]),
}
_LOGIN = {
    "kind": st.just(Kind.LOGIN),
    "author": st.sampled_from([names.uid(name) for name in USERS]),
    "target": st.sampled_from(USERS),
    "body": st.just(b""),
}
# Several users of one name, each with a key of its own.
_KEYED = {"keyed": st.sampled_from(USERS), "key": st.sampled_from([bytes(32), b"k" * 32])}
_PLACE = {"origin": st.sampled_from(ORIGINS), "later": st.integers(1, 3), "wall_ms": st.integers(0, 2**47)}


def logs(most: int = 40) -> st.SearchStrategy[list[Entry]]:
    """Entries of several origins, in an order that keeps each origin's."""
    one = st.one_of(
        *(st.fixed_dictionaries({**_PLACE, **fields}) for fields in (_WILD, _USUAL, _LOGIN, _KEYED))
    )

    def write(drawn: list[dict[str, Any]]) -> list[Entry]:
        author = Author()
        for fields in drawn:
            if "keyed" in fields:
                author.keyed(fields["keyed"], **{k: v for k, v in fields.items() if k != "keyed"})
            else:
                author.add(**fields)
        return author.entries

    return st.lists(one, max_size=most).map(write)


def interleaved(entries: Sequence[Entry], random: Random) -> list[Entry]:
    """The same entries in another order that keeps each origin's."""
    waiting = {o: [e for e in entries if e.origin == o] for o in {e.origin for e in entries}}
    order = []
    while waiting:
        origin = random.choice(sorted(waiting))
        order.append(waiting[origin].pop(0))
        if not waiting[origin]:
            del waiting[origin]
    return order


def batches(entries: Sequence[Entry], random: Random, *, most: int = 12) -> list[list[Entry]]:
    """Cut into pieces of 1 to `most`."""
    cut, start = [], 0
    while start < len(entries):
        end = start + random.randint(1, most)
        cut.append(list(entries[start:end]))
        start = end
    return cut


def shown(connection: sqlite3.Connection) -> views.Views:
    """What the four SQL views say, in the form of `views.materialise`."""

    def rows(view: str, people: str) -> list[tuple[Any, ...]]:
        text = f"select {people}, cast(round(timestamp * 1000) as int), lamport, origin, seq from {view}"
        return connection.execute(text).fetchall()

    return views.Views(
        [views.Named(*row) for row in rows("users", "name")],
        [views.Named(*row) for row in rows("channels", "name")],
        [views.Shown(*row) for row in rows("channel_messages", "user, channel, message")],
        [views.Shown(*row) for row in rows("user_messages", "src, dst, message")],
    )


def looked_into(replica: Replica) -> sqlite3.Connection:
    """An in-memory replica's committed content, as somebody looking into it sees it."""
    connection = sqlite3.connect(":memory:")
    connection.deserialize(replica.image())
    return connection
