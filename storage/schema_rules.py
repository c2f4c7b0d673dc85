"""The second version of the replica's schema: signatures, rules about users and channels, what is private.

Bodies of rules are JSON texts, so that the views can read them.  A body that is none (a later version's,
or damage) gives empty columns and never an error: what views can't read must not make them unreadable.
"""

from typing import Final

NAME: Final = "2-signatures-and-rules"

_TABLES: Final = (
    # Of the origin's node over the chain hash of the entry, which vouches for all entries up to it.
    """create table signature(
        number int not null, seq int not null, signature blob not null,
        primary key(number, seq)) without rowid""",
    # Channels that an entry once said to be private: what was written in them stays marked.
    "create table private_channel(name text primary key) without rowid",
    # All but messages: what a server reads at its start.  Comparisons: an IN costs each insert 1.5 us.
    "create index entry_rule on entry(lamport, number, seq) where kind <> 3 and kind <> 4",
    "create index user_hex on user(lower(hex(uid)))",  # bodies name users in hexadecimal
    *(f"drop view {name}" for name in ("users", "channel_messages", "user_messages", "replication_log")),
)


def _said(field: str, *, of: str = "e") -> str:
    """A field of an entry's body, null if there is none."""
    body = f"{of}.body"
    return (
        f"case when typeof({body}) = 'text' and json_valid({body}) then json_extract({body}, '$.{field}') end"
    )


_ORDER: Final = "order by e.lamport, o.origin, e.seq"
_PLACE: Final = "e.wall / 1000.0 as timestamp, e.lamport, o.origin, e.seq"
_REVOKED: Final = f"""exists(select 1 from entry r
        where r.kind = 5 and r.shown and r.target = k.uid and {_said("do", of="r")} = 'revoke_key'
            and {_said("key", of="r")} = k.key
            and (r.author = r.target or {_said("by", of="r")} = 'operator'))"""
_KEYS: Final = f"""select e.author as uid, {_said("key")} as key, {_said("bot")} as bot, e.author as added_by,
        e.wall, e.lamport, e.number, e.seq
    from entry e where e.kind = 1 and e.shown and {_said("key")} is not null
    union all
    select e.target, {_said("key")}, 0, e.author, e.wall, e.lamport, e.number, e.seq
    from entry e where e.kind = 5 and e.shown and {_said("do")} = 'add_key'"""
_ROLE: Final = f"""(select {_said("role", of="r")} from entry r join origin ro using(number)
        where r.kind = 5 and r.shown and r.target = u.uid and {_said("do", of="r")} = 'role'
        order by r.lamport desc, ro.origin desc, r.seq desc limit 1)"""
_VIEWS: Final = (
    f"""create view users as
    select u.shown_name as name, u.wall / 1000.0 as timestamp, u.lamport, o.origin, u.seq,
        lower(hex(u.uid)) as uid, {_ROLE} as role
    from user u join origin o using(number) where u.lamport is not null
    order by u.lamport, o.origin, u.seq""",
    f"""create view channel_messages as
    select e.target as channel, coalesce(u.shown_name, '?') as user, e.body as message,
        {_PLACE}, p.name is not null as private
    from entry e join origin o using(number) left join user u on u.uid = e.author
        left join private_channel p on p.name = e.target
    where e.kind = 3 and e.shown
    {_ORDER}""",
    f"""create view user_messages as
    select coalesce(s.shown_name, '?') as src, coalesce(d.shown_name, '?') as dst, e.body as message,
        {_PLACE}, 1 as private
    from entry e join origin o using(number)
        left join user s on s.uid = e.author left join user d on d.uid = e.target
    where e.kind = 4 and e.shown
    {_ORDER}""",
    f"""create view replication_log as
    select o.origin, e.seq, e.lamport, e.wall / 1000.0 as timestamp,
        case e.kind when 1 then 'login' when 2 then 'channel' when 3 then 'channel_message'
            when 4 then 'user_message' when 5 then 'user_rule' when 6 then 'channel_rule'
            else 'kind_' || e.kind end as kind,
        lower(hex(e.author)) as author,
        case typeof(e.target) when 'blob' then lower(hex(e.target)) else e.target end as target,
        lower(hex(e.id)) as id, e.prev, lower(hex(e.hash)) as hash, e.shown,
        g.seq is not null as signed
    from entry e join origin o using(number) left join signature g on g.number = e.number and g.seq = e.seq
    {_ORDER}""",
    f"""create view user_keys as
    select coalesce(u.shown_name, '?') as user, k.key, coalesce(k.bot, 0) as bot,
        coalesce(a.shown_name, '?') as added_by, {_REVOKED} as revoked,
        k.wall / 1000.0 as timestamp, k.lamport, o.origin, k.seq
    from ({_KEYS}) k join origin o using(number)
        left join user u on u.uid = k.uid left join user a on a.uid = k.added_by
    order by k.lamport, o.origin, k.seq""",
    f"""create view channel_rules as
    select e.target as channel, {_said("do")} as rule, coalesce(u.shown_name, '?') as user,
        w.shown_name as who, {_said("text")} as text, {_said("reason")} as reason,
        {_said("by")} is 'operator' as operator, {_PLACE}, p.name is not null as private
    from entry e join origin o using(number) left join user u on u.uid = e.author
        left join user w on lower(hex(w.uid)) = {_said("who")}
        left join private_channel p on p.name = e.target
    where e.kind = 6 and e.shown
    {_ORDER}""",
    f"""create view audit as
    select coalesce(u.shown_name, '?') as user, {_said("do")} as rule,
        case e.kind when 6 then e.target end as channel, w.shown_name as who,
        coalesce({_said("text")}, {_said("role")}, {_said("key")}) as detail, {_said("reason")} as reason,
        {_said("by")} is 'operator' as operator, {_PLACE}, p.name is not null as private
    from entry e join origin o using(number) left join user u on u.uid = e.author
        left join user w on lower(hex(w.uid))
            = case e.kind when 5 then lower(hex(e.target)) else {_said("who")} end
        left join private_channel p on e.kind = 6 and p.name = e.target
    where e.kind in (5, 6) and e.shown
    {_ORDER}""",
)

STATEMENTS: Final = _TABLES + _VIEWS
