"""Who is who: users, names and keys, folded from the log in whatever order it arrives (A17, A18).

A user is a user id, made of a name and the key that registered it.  Everything here is a function of the
*set* of entries seen, each part of it a minimum, a maximum or a union over that set, so that replicas
need not agree on an order and a late entry moves only what it must:

- A name belongs to the user id that registered it with the smallest key of the total order; the others
  are shown with four letters of their user id (`views.other_name`).
- A key belongs to the user of the smallest entry that claims it: a login, `prove_key`, or an operator's
  `add_key`; only if there is none, a user's `add_key`.  Whoever adds a key need not have it, so nobody
  is kept out by another who has added his key to himself.  A revocation by that user, or an operator for
  that user, is for ever, whenever it arrives: nothing can order a thief's entries before it.  The key
  then belongs to nobody.
- An SSH key is claimed and revoked as any other key.  A *session key* is one that a node made for logins
  with an SSH key of the user: it is good as long as that one is, and makes no further keys.
- Role and suspension are those of the largest rule; before any, a login says whether it is a program's.
- An invitation is open until a login has used it or somebody took it back.

A rule counts if its author is the user concerned, or if the server that accepted it saw an operator;
that is decided from the entry alone.  Suspensions and roles are operators' only.
"""

from collections.abc import Iterator
from typing import NamedTuple

from recado.protocol import names, rules, ssh_keys
from recado.protocol.entry import shape_problem
from recado.protocol.lookalikes import skeleton
from recado.protocol.messages import Entry, Kind
from recado.protocol.views import holder_of, other_name

Key = tuple[int, str, int]  # (lamport, origin, seq): the total order
_OPERATORS_ONLY = frozenset({"role", "suspend", "restore"})


class User(NamedTuple):
    """A registered user.  `shown`: the name as people see it; `role`: "user" or "bot"; `registered`:
    the entry that did it, None while it is on its way to the disk; `appointed`: an operator gave the role.
    """

    uid: bytes
    name: str
    shown: str
    role: str
    suspended: bool
    generation: int  # how many keys were revoked: part of the topic of direct messages
    since_ms: int
    registered: Key | None = None
    appointed: bool = False

    @property
    def has_bot_rates(self) -> bool:
        """A program by an operator's word: one's own would multiply what one may send."""
        return self.role == "bot" and self.appointed


class HeldKey(NamedTuple):
    """One key of a user; `revoked_ms` is None while it is good.

    Of an SSH key `key` is its ident and `ssh_key` its text.  `via`: of a session key, the ident of the SSH
    key that it is good with.
    """

    key: bytes
    since_ms: int
    revoked_ms: int | None = None
    reason: str | None = None
    ssh_key: str | None = None
    via: bytes | None = None

    @property
    def text(self) -> str:
        """As people name it: Z85, or an SSH key's fingerprint."""
        is_ssh = ssh_keys.is_ident(self.key)
        return ssh_keys.fingerprint_of(self.key) if is_ssh else names.key_text(self.key)


class Invitation(NamedTuple):
    """An invitation by the hash of its token.  `expires_ms`: None for never."""

    token: str
    by: bytes
    expires_ms: int | None
    used_by: bytes | None
    taken_back: bool

    def is_open(self, now_ms: int) -> bool:
        """Whether it may still be used; the clock is that of the server which is asked."""
        in_time = self.expires_ms is None or now_ms < self.expires_ms
        return in_time and self.used_by is None and not self.taken_back


class _Login(NamedTuple):
    key: Key
    name: str
    bot: bool
    wall_ms: int


class _Claim(NamedTuple):
    """The smallest is the one that counts."""

    unproved: bool
    at: Key
    uid: bytes


class _Deed(NamedTuple):
    """An entry and what it says, ordered by the entry's key."""

    key: Key
    actor: bytes
    wall_ms: int
    said: rules.UserDeed


class _Person:
    """All that was said of one user id, whether it is registered yet or not."""

    __slots__ = ("claimed", "lasting", "login", "revoked", "role", "sessions", "ssh", "standing")

    def __init__(self) -> None:
        self.login: _Login | None = None
        self.claimed: dict[bytes, tuple[Key, int]] = {}  # key → the first claim, its time
        self.lasting: set[bytes] = set()  # keys claimed in another way than as a session's
        self.sessions: dict[bytes, set[bytes]] = {}  # session key → idents of the SSH keys it is good with
        self.ssh: dict[bytes, str] = {}  # ident → the SSH key
        self.revoked: dict[bytes, _Deed] = {}  # key → the first revocation
        self.role: _Deed | None = None
        self.standing: _Deed | None = None  # the last suspension or restoration


class Identities:
    """Users, names, keys and invitations as the entries taken so far say."""

    def __init__(self) -> None:
        self._people: dict[bytes, _Person] = {}
        self._bearers: dict[str, dict[bytes, Key]] = {}  # name → user ids that registered it
        self._alike: dict[str, set[str]] = {}  # skeleton → registered names
        self._owners: dict[bytes, _Claim] = {}
        self._invited: dict[str, _Deed] = {}
        self._taken_back: set[str] = set()
        self._used: dict[str, tuple[Key, bytes]] = {}

    def take(self, entry: Entry) -> None:
        """An entry of the log; other kinds and what makes no sense are passed over, repetitions harmless."""
        if entry.kind not in (Kind.LOGIN, Kind.USER_RULE) or shape_problem(entry) is not None:
            return
        author, target = entry.author, entry.target
        if author is None:
            return
        if entry.kind == Kind.LOGIN:
            self._take_login(entry, author, str(target))
            return
        said = rules.user_deed_of(entry.body)
        if said is None or not isinstance(target, bytes):
            return
        by_operator = said.by == rules.OPERATOR
        if not by_operator and (author != target or said.do in _OPERATORS_ONLY):
            return
        self._take_deed(target, _Deed(entry.key, author, entry.wall_ms, said))

    # Questions ----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return sum(len(bearers) for bearers in self._bearers.values())

    def user(self, uid: bytes) -> User | None:
        """A registered user."""
        person = self._people.get(uid)
        if person is None or person.login is None:
            return None
        login = person.login
        role = person.role.said.role if person.role is not None else None
        return User(
            uid,
            login.name,
            self._shown(uid, login.name),
            role or ("bot" if login.bot else "user"),
            person.standing is not None and person.standing.said.do == "suspend",
            len(person.revoked),
            login.wall_ms,
            login.key,
            role is not None,
        )

    def users(self) -> Iterator[User]:
        """All registered users, in the order of registration."""
        registered = [(p.login.key, uid) for uid, p in self._people.items() if p.login is not None]
        for _, uid in sorted(registered):
            if (user := self.user(uid)) is not None:
                yield user

    def named(self, name: str) -> User | None:
        """The user of a name, as registered or as shown to people."""
        bearers = self._bearers.get(name)
        if bearers:
            holder = holder_of(bearers)
            return None if holder is None else self.user(holder)
        plain, tilde, _ = name.rpartition("~")
        for uid in sorted(self._bearers.get(plain, {})) if tilde else ():
            if self._shown(uid, plain) == name:
                return self.user(uid)
        return None

    def bearers(self, name: str) -> list[User]:
        """All who registered this name; one of them is shown by it."""
        found = (self.user(uid) for uid in sorted(self._bearers.get(name, {})))
        return [user for user in found if user is not None]

    def owner(self, key: bytes) -> User | None:
        """Whose key it is; None if nobody's, no longer, or of somebody who is not registered here yet."""
        claim = self._owners.get(key)
        return self.user(claim.uid) if claim is not None and self._is_good(key, claim.uid) else None

    def is_proved(self, key: bytes) -> bool:
        """Whether who has the key has once logged in with it, or an operator has vouched for it."""
        claim = self._owners.get(key)
        return claim is not None and not claim.unproved

    def added(self, key: bytes, name: str) -> User | None:
        """The user of this name, as registered or shown, if the key was added to them and not revoked."""
        user = self.named(name)
        if user is None:
            return None
        person = self._people[user.uid]
        return user if key in person.claimed and self._is_good(key, user.uid) else None

    def is_claimed(self, key: bytes) -> bool:
        """Whether the key is or was somebody's: it can't become another user's."""
        return key in self._owners

    def is_revoked(self, key: bytes) -> bool:
        """Whether the key's owner, or an operator, has revoked it or the SSH key that it depends on."""
        claim = self._owners.get(key)
        return claim is not None and self._revocation(key, claim.uid) is not None

    def addition_problem(self, key: bytes, uid: bytes) -> str | None:
        """Why the key can't be added to this user, as an error's code."""
        claim, person = self._owners.get(key), self._people.get(uid)
        if person is not None and key in person.revoked:
            return "key_revoked"
        if claim is None or (claim.unproved and claim.uid != uid):
            return None
        return "key_revoked" if self.is_revoked(key) else "key_taken"

    def keys(self, uid: bytes) -> list[HeldKey]:
        """The keys of a user in the order of their claims, revoked ones too, others' keys not."""
        person = self._people.get(uid)
        if person is None:
            return []
        held: list[HeldKey] = []
        for key, (_, since_ms) in sorted(person.claimed.items(), key=lambda item: (item[1], item[0])):
            if self._owners[key].uid != uid:
                continue
            revoked = self._revocation(key, uid)
            via = None if key in person.lasting else min(person.sessions.get(key, ()), default=None)
            ended_ms = None if revoked is None else revoked.wall_ms
            reason = None if revoked is None else revoked.said.reason
            held.append(HeldKey(key, since_ms, ended_ms, reason, person.ssh.get(key), via))
        return held

    def session_of(self, key: bytes) -> set[bytes]:
        """The SSH keys (idents) with which a session key is good; empty if it is none."""
        claim = self._owners.get(key)
        person = None if claim is None else self._people[claim.uid]
        return set() if person is None or key in person.lasting else person.sessions.get(key, set())

    def name_like(self, name: str) -> str | None:
        """Another registered name that people could take for this one (`lookalikes.skeleton`)."""
        return min(self._alike.get(skeleton(name), set()) - {name}, default=None)

    def invitation(self, token_hash: str) -> Invitation | None:
        """An invitation by its token's hash."""
        deed = self._invited.get(token_hash)
        if deed is None:
            return None
        used = self._used.get(token_hash)
        expires = deed.said.expires
        return Invitation(token_hash, deed.actor, expires, used and used[1], token_hash in self._taken_back)

    def open_invitations(self, now_ms: int) -> list[Invitation]:
        """Those that may still be used, oldest first."""
        in_order = sorted(self._invited.items(), key=lambda item: item[1].key)
        found = (self.invitation(token) for token, _ in in_order)
        return [one for one in found if one is not None and one.is_open(now_ms)]

    def _is_good(self, key: bytes, uid: bytes) -> bool:
        """Whether a key that this user has claimed is good."""
        person = self._people[uid]
        if key in person.revoked:
            return False
        return key in person.lasting or any(self._is_mine(ssh, uid) for ssh in person.sessions.get(key, ()))

    def _is_mine(self, ssh: bytes, uid: bytes) -> bool:
        claim = self._owners.get(ssh)
        return claim is not None and claim.uid == uid and ssh not in self._people[uid].revoked

    def _revocation(self, key: bytes, uid: bytes) -> _Deed | None:
        """What ended a key of this user: its own revocation, or those of all that it depends on."""
        person = self._people[uid]
        ended = person.revoked.get(key)
        if ended is not None or key in person.lasting:
            return ended
        ends = [person.revoked.get(ssh) for ssh in person.sessions.get(key, ())]
        known = [end for end in ends if end is not None]
        return max(known, key=lambda end: end.key) if known and len(known) == len(ends) else None

    # The fold -----------------------------------------------------------------------------------

    def _shown(self, uid: bytes, name: str) -> str:
        return name if holder_of(self._bearers[name]) == uid else other_name(name, uid)

    def _take_login(self, entry: Entry, author: bytes, name: str) -> None:
        said = rules.login_of(entry.body)
        if said is None:
            return
        key = names.key_bytes(said.key) if said.key is not None else None
        if key is None and author != names.uid(name):
            return  # without a key the name makes the user id: nobody renames another
        person = self._people.setdefault(author, _Person())
        if person.login is None or entry.key < person.login.key:
            person.login = _Login(entry.key, name, said.bot, entry.wall_ms)
        bearers = self._bearers.setdefault(name, {})
        bearers[author] = min(entry.key, bearers.get(author, entry.key))
        self._alike.setdefault(skeleton(name), set()).add(name)
        if key is not None:
            person.lasting.add(key)
            self._claim(key, _Claim(False, entry.key, author), wall_ms=entry.wall_ms)
        if said.invite is not None:
            use = (entry.key, author)
            self._used[said.invite] = min(use, self._used.get(said.invite, use))

    def _claim(self, key: bytes, claim: _Claim, *, wall_ms: int) -> None:
        mine = (claim.at, wall_ms)
        claimed = self._people[claim.uid].claimed
        claimed[key] = min(mine, claimed.get(key, mine))
        self._owners[key] = min(claim, self._owners.get(key, claim))

    def _take_deed(self, uid: bytes, deed: _Deed) -> None:
        said = deed.said
        person = self._people.setdefault(uid, _Person())
        key = names.key_bytes(said.key) if said.key is not None else None
        match said.do:
            case "add_key" | "prove_key" if key is not None:
                unproved = said.do == "add_key" and said.by != rules.OPERATOR
                person.lasting.add(key)
                self._claim(key, _Claim(unproved, deed.key, uid), wall_ms=deed.wall_ms)
            case "revoke_key" if key is not None:
                _revoke(person, key, deed)
            case "add_ssh_key" | "revoke_ssh_key" | "add_session":
                self._take_ssh(uid, deed, key)
            case "role":
                person.role = _later(person.role, deed)
            case "suspend" | "restore":
                person.standing = _later(person.standing, deed)
            case "invite" if said.token is not None:
                first = self._invited.get(said.token)
                if first is None or deed.key < first.key:
                    self._invited[said.token] = deed
            case "revoke_invite" if said.token is not None:
                self._taken_back.add(said.token)

    def _take_ssh(self, uid: bytes, deed: _Deed, key: bytes | None) -> None:
        said, person = deed.said, self._people[uid]
        added = ssh_keys.key_of(said.ssh_key) if said.ssh_key is not None else None
        ident = ssh_keys.ident_of(said.ssh) if said.ssh is not None else None
        if said.do == "add_ssh_key" and added is not None:
            person.lasting.add(added.ident)
            person.ssh[added.ident] = added.text
            unproved = said.by != rules.OPERATOR
            self._claim(added.ident, _Claim(unproved, deed.key, uid), wall_ms=deed.wall_ms)
        elif said.do == "revoke_ssh_key" and ident is not None:
            _revoke(person, ident, deed)
        elif said.do == "add_session" and ident is not None and key is not None:
            person.sessions.setdefault(key, set()).add(ident)
            self._claim(key, _Claim(False, deed.key, uid), wall_ms=deed.wall_ms)


def _revoke(person: _Person, key: bytes, deed: _Deed) -> None:
    before = person.revoked.get(key)
    person.revoked[key] = deed if before is None or deed.key < before.key else before


def _later(before: _Deed | None, deed: _Deed) -> _Deed:
    return deed if before is None or deed.key > before.key else before
