"""Rules about users and channels as the store shows them, and names that several go by."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_entries import (
    ORIGINS,
    Author,
    batches,
    conversation,
    interleaved,
    logs,
    looked_into,
    put,
    said,
    shown,
    uid,
)

from recado.protocol import names
from recado.protocol.messages import Entry, Kind
from recado.protocol.views import materialise
from storage.replica import Replica

ANA, BIA = b"a" * 32, b"b" * 32
RULES = (Kind.LOGIN, Kind.CHANNEL, Kind.USER_RULE, Kind.CHANNEL_RULE)


def rows(replica: Replica, query: str) -> list[tuple[object, ...]]:
    return looked_into(replica).execute(query).fetchall()


def filled(entries: list[Entry]) -> Replica:
    replica = Replica.in_memory("server-1")
    put(replica, entries)
    return replica


def community() -> Author:
    """Two users with keys, a private channel, an operator's word, a topic."""
    author = Author()
    author.keyed("ana", ANA)
    author.keyed("bia", BIA)
    ana, bia = names.key_uid(ANA, "ana"), names.key_uid(BIA, "bia")
    author.add(kind=Kind.CHANNEL, author=ana, target="mesa", body=said(private=True))
    author.add(kind=Kind.CHANNEL, author=ana, target="geral", body=b"")
    rule = {"kind": Kind.CHANNEL_RULE, "author": ana}
    author.add(**rule, target="mesa", body=said(do="topic", text="planos", reason="novos"))
    author.add(**rule, target="geral", body=said(do="ban", who=bia.hex(), reason="spam"))
    body = said(do="add_key", key=names.key_text(b"c" * 32))
    author.add(kind=Kind.USER_RULE, author=bia, target=bia, body=body)
    for by, who in ((None, ana), ("operator", ana)):
        fields = {"by": by} if by else {}
        body = said(do="revoke_key", key=names.key_text(BIA), **fields)
        author.add(kind=Kind.USER_RULE, author=who, target=bia, body=body)
    author.add(author=ana, target="mesa", body=b"segredo da mesa")
    author.add(author=bia, target="geral", body=b"ola")
    return author


def test_rules_come_in_total_order_across_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logins, channels, rules and no other kind, over all origins, also copies and what is not shown."""
    monkeypatch.setattr("storage.log_reading._RULES_AT_A_TIME", 3)
    author = community()
    for n in range(7):
        author.login("ana", origin=ORIGINS[n % 3], id=b"copy", later=n + 1)
    author.add(kind=Kind.CHANNEL_RULE, origin=ORIGINS[1], body=b"\xff")
    replica = filled(author.entries)
    expected = sorted((e for e in author.entries if e.kind in RULES), key=lambda e: e.key)
    assert list(replica.rules()) == expected
    assert list(Replica.in_memory("server-1").rules()) == []


@given(entries=logs(), random=st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_rules_are_all_of_them_whatever_the_order_of_arrival(entries: list[Entry], random: Random) -> None:
    """A start reads exactly what was appended of these kinds, in one order."""
    replica = Replica.in_memory("server-1")
    for batch in batches(interleaved(entries, random), random):
        put(replica, batch)
    again = Replica.in_memory("server-1", replica.image())
    assert list(again.rules()) == sorted((e for e in entries if e.kind in RULES), key=lambda e: e.key)


def test_views_tell_keys_rules_and_who_did_it() -> None:
    """Keys with their state, rules with names for user ids, the audit with reasons; private ones marked."""
    replica = filled(community().entries)
    assert rows(replica, "select user, key, bot, added_by, revoked from user_keys") == [
        ("ana", names.key_text(ANA), 0, "ana", 0),
        ("bia", names.key_text(BIA), 0, "bia", 1),
        ("bia", names.key_text(b"c" * 32), 0, "bia", 0),
    ]
    assert rows(replica, "select channel, rule, user, who, text, reason, private from channel_rules") == [
        ("mesa", "topic", "ana", None, "planos", "novos", 1),
        ("geral", "ban", "ana", "bia", None, "spam", 0),
    ]
    audit = rows(replica, "select user, rule, channel, who, operator, private from audit")
    assert audit == [
        ("ana", "topic", "mesa", None, 0, 1),
        ("ana", "ban", "geral", "bia", 0, 0),
        ("bia", "add_key", None, "bia", 0, 0),
        ("ana", "revoke_key", None, "bia", 0, 0),
        ("ana", "revoke_key", None, "bia", 1, 0),
    ]
    assert rows(replica, "select channel, private from channel_messages") == [("mesa", 1), ("geral", 0)]
    assert rows(replica, "select kind from replication_log where kind like '%rule' limit 1") == [
        ("channel_rule",)
    ]


def test_a_revocation_by_somebody_else_is_none() -> None:
    """`revoked` follows the user's own word or an operator's, not a stranger's."""
    replica = filled(community().entries[:-3])
    assert rows(replica, "select sum(revoked) from user_keys") == [(0,)]


def test_users_tell_the_last_role() -> None:
    """The rule with the largest key, whatever the order of arrival; empty without one."""
    author = Author()
    author.login("ana")
    author.login("bia")
    for origin, later, role in ((ORIGINS[1], 9, "bot"), (ORIGINS[2], 5, "user")):
        body = said(by="operator", do="role", role=role)
        rule = {"kind": Kind.USER_RULE, "author": uid("bia"), "target": uid("ana")}
        author.add(**rule, origin=origin, later=later, body=body)
    for entries in (author.entries, author.entries[::-1]):
        ordered = sorted(entries, key=lambda e: (e.origin, e.seq) if entries is author.entries else e.key)
        assert rows(filled(ordered), "select name, role from users") == [("ana", "bot"), ("bia", None)]


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"{", b"[]", b'"do"', b"1", b"null", b'{"do":{"a":1}}', b"\x00{}", b"[" * 3000],
)
@pytest.mark.parametrize("is_shown", [0, 1])
def test_no_body_breaks_a_view(body: bytes, is_shown: int) -> None:
    """Whatever stands where a rule is expected, even if it were shown: every view can be read."""
    author = community()
    for kind, target in ((1, "x"), (2, "x"), (5, uid("ana")), (6, "mesa")):
        author.add(kind=kind, target=target, body=body)
    replica = filled(author.entries)
    connection = looked_into(replica)
    connection.execute("update entry set shown = max(shown, ?)", (is_shown,))
    for view in ("users", "user_keys", "channel_rules", "audit", "channel_messages", "replication_log"):
        connection.execute("select * from " + view).fetchall()  # raises if it can't be read
    assert connection.execute("select count(*) from replication_log").fetchone() == (len(author.entries),)


def test_one_private_word_marks_a_channel_for_ever() -> None:
    """By creation or by a rule, arriving before the channel or long after: its messages are marked."""
    author = Author()
    rule = {"kind": Kind.CHANNEL_RULE, "author": uid("ana"), "target": "geral"}
    author.add(target="geral", body=b"antes")
    author.add(**rule, body=said(do="private"))
    author.add(**rule, body=said(do="public"))
    author.add(target="geral", body=b"depois")
    author.add(target="livros")
    replica = Replica.in_memory("server-1")
    for entry in author.entries:
        put(replica, [entry])
        replica = Replica.in_memory("server-1", replica.image())
    marks = rows(replica, "select message, private from channel_messages")
    assert marks == [("antes", 1), ("depois", 1), ("oi", 0)]
    alone = Author()
    alone.add(**rule, body=said(do="private"))
    assert filled(alone.entries).channels() == [], "a rule alone makes no channel"


def test_the_smallest_key_has_the_name() -> None:
    """Of two with one name the earlier is shown by it, the other with letters of its id; then a third."""
    author = Author()
    second = author.keyed("ana", ANA, origin=ORIGINS[0], later=5)
    author.add(origin=ORIGINS[0], author=second.author)
    first = author.keyed("ana", BIA, origin=ORIGINS[1], later=3)
    author.add(origin=ORIGINS[1], author=first.author)
    replica = Replica.in_memory("server-1")
    put(replica, author.entries[:2])
    assert replica.users() == ["ana"]
    put(replica, author.entries[2:])
    other = replica.names()[0][second.author or b""]
    assert other.startswith("ana~")
    assert replica.users() == ["ana", other]
    assert [row.user for row in replica.last_messages(channel="geral", limit=9)] == ["ana", other]
    third = author.keyed("ana", b"z" * 32, origin=ORIGINS[2], later=1)
    restarted = Replica.in_memory("server-1", replica.image())
    put(restarted, [third])
    shown_names = restarted.names()[0]
    assert shown_names[third.author or b""] == "ana"
    assert len({*shown_names.values()}) == 3
    assert shown(looked_into(restarted)) == materialise(author.entries)


def test_a_name_that_a_message_tells_takes_nobody_s() -> None:
    """A user id known only by a message's `extra` does not share the name of one who registered it."""
    author = Author()
    author.add(author=uid("ana"), extra=b"\x81\xa4user\xa3ana")
    author.keyed("ana", ANA, origin=ORIGINS[1], later=50)
    for entries in (author.entries, author.entries[::-1]):
        replica = Replica.in_memory("server-1")
        for entry in entries:
            put(replica, [entry])
        assert replica.users() == ["ana"]
        (message,) = replica.last_messages(channel="geral", limit=9)
        assert message.user.startswith("ana~")
        assert shown(looked_into(replica)) == materialise(author.entries)


def test_a_batch_that_is_not_kept_leaves_names_as_they_were() -> None:
    """Names, marks and counts that a failed batch has moved are all back, and the batch can come again."""
    author = Author()
    second = author.keyed("ana", ANA, origin=ORIGINS[0], later=5)
    author.keyed("ana", BIA, origin=ORIGINS[1], later=3)
    author.add(kind=Kind.CHANNEL, target="mesa", body=said(private=True), origin=ORIGINS[1])
    replica = filled([second])
    connection = replica._writer.connection
    connection.execute("create trigger no before insert on entry begin select raise(abort, 'no'); end")
    with pytest.raises(Exception, match="no"):
        put(replica, author.entries[1:])
    connection.execute("drop trigger no")
    replica._guard.failed = False
    assert replica.users() == ["ana"]
    put(replica, author.entries[1:])
    assert shown(looked_into(replica)) == materialise(author.entries)
    assert rows(replica, "select name from private_channel") == [("mesa",)]


def test_open_mode_knows_no_other_names() -> None:
    """Where the name makes the id, every user is shown by the plain name."""
    replica = filled(conversation(30))
    found = replica._writer.connection.execute("select count(*) from user where shown_name <> name")
    assert found.fetchone() == (0,)
    assert replica.names()[0] == {uid(name): name for name in ("ana", "bia", "caio")}
