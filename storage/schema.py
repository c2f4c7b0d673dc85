"""The replica's tables and views.

Tables are private; the views are the contract (``docs/replica-schema.md``).  One insert per message:
views are joins with `origin` and `user`, and every derived row is a minimum over the set of entries,
so nothing depends on the order of arrival (A18).  `number` stands for an origin in this file only and
takes no part in any order.

What a step once said stays as it is: files are somewhere between the steps.  `storage.schema_rules` is
the second one.
"""

import sqlite3

from storage import schema_rules
from storage.migrations import Step

REPLICA = "replica"

TABLES = (
    "create table meta(key text primary key, value) without rowid",
    # state: open, forked (A2) or stopped (A15)
    """create table origin(
        number integer primary key, origin text not null unique, node text not null,
        state text not null default 'open')""",
    # author, id, hash: blob.  target: text (a name) or blob (a user id).  body: text if kind 3 or 4
    # and UTF-8, else blob.  shown: 1 if of a known kind, well-shaped, and the smallest of its copies.
    """create table entry(
        number int not null, seq int not null, lamport int not null, wall int not null, kind int not null,
        author blob, target, id blob, prev int not null, body not null, extra blob, hash blob not null,
        shown int not null default 1, primary key(number, seq)) without rowid""",
    "create index entry_stream on entry(kind, target, lamport) where shown",
    "create index entry_order on entry(kind, lamport) where shown",
    "create index entry_sent on entry(author, lamport) where shown and kind = 4",
    "create index entry_id on entry(id)",
    # Without registration (wall .. seq null): only the name that a message told is known.
    """create table user(
        uid blob primary key, name text not null, shown_name text not null,
        wall int, lamport int, number int, seq int) without rowid""",
    """create table channel(
        name text primary key, wall int not null, lamport int not null,
        number int not null, seq int not null) without rowid""",
    # from_node '': found by this node in its own log, else who sent what was refused
    """create table quarantine(
        origin text not null, seq int not null, reason text not null, from_node text not null, raw blob,
        primary key(origin, seq, reason, from_node)) without rowid""",
    """create table peer(
        name text primary key, rank int, address text, confirmed_entries int,
        heard int, offset_ms real) without rowid""",
    # What was durable here at a time: plain `sync` asks by time of arrival.
    """create table milestone(
        number int not null, time_ms int not null, seq int not null,
        primary key(number, time_ms)) without rowid""",
)

VIEWS = (
    """create view users as
    select u.shown_name as name, u.wall / 1000.0 as timestamp, u.lamport, o.origin, u.seq
    from user u join origin o using(number) where u.lamport is not null
    order by u.lamport, o.origin, u.seq""",
    """create view channels as
    select c.name, c.wall / 1000.0 as timestamp, c.lamport, o.origin, c.seq
    from channel c join origin o using(number)
    order by c.lamport, o.origin, c.seq""",
    """create view channel_messages as
    select e.target as channel, coalesce(u.shown_name, '?') as user, e.body as message,
        e.wall / 1000.0 as timestamp, e.lamport, o.origin, e.seq
    from entry e join origin o using(number) left join user u on u.uid = e.author
    where e.kind = 3 and e.shown
    order by e.lamport, o.origin, e.seq""",
    """create view user_messages as
    select coalesce(s.shown_name, '?') as src, coalesce(d.shown_name, '?') as dst, e.body as message,
        e.wall / 1000.0 as timestamp, e.lamport, o.origin, e.seq
    from entry e join origin o using(number)
        left join user s on s.uid = e.author left join user d on d.uid = e.target
    where e.kind = 4 and e.shown
    order by e.lamport, o.origin, e.seq""",
    """create view replication_log as
    select o.origin, e.seq, e.lamport, e.wall / 1000.0 as timestamp,
        case e.kind when 1 then 'login' when 2 then 'channel' when 3 then 'channel_message'
            when 4 then 'user_message' else 'kind_' || e.kind end as kind,
        lower(hex(e.author)) as author,
        case typeof(e.target) when 'blob' then lower(hex(e.target)) else e.target end as target,
        lower(hex(e.id)) as id, e.prev, lower(hex(e.hash)) as hash, e.shown
    from entry e join origin o using(number)
    order by e.lamport, o.origin, e.seq""",
    """create view peers as
    select name, rank, address, confirmed_entries, heard / 1000.0 as heard, offset_ms
    from peer order by rank, name""",
)

STEPS = (
    Step("1-log-and-views", TABLES + VIEWS),
    Step(schema_rules.NAME, schema_rules.STATEMENTS),
)


def definitions(connection: sqlite3.Connection) -> dict[str, str]:
    """The SQL of everything in a file that somebody has defined, by name.  Statistics are no definition."""
    rows = connection.execute(
        "select type || ' ' || name, coalesce(sql, '') from sqlite_master where name not like 'sqlite_stat%'"
    )
    return dict(rows)
