"""Users, names and keys are a function of the set of entries (A17, A18)."""

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recado.protocol import names, rules
from recado.protocol.identities import Identities
from recado.protocol.messages import Entry, Kind
from recado.protocol.views import other_name
from tests.protocol.rule_entries import KEYS, NAMES, ORIGINS, PEOPLE, about_user, about_users, entry, login

ANA, OTHER_ANA, BIA = PEOPLE
TOKEN = "0" * 32


def folded(*entries: Entry) -> Identities:
    identities = Identities()
    for one in entries:
        identities.take(one)
    return identities


def everything(identities: Identities) -> Any:
    """All that can be asked."""
    return (
        list(identities.users()),
        [identities.named(name) for name in NAMES],
        [identities.named(user.shown) for user in identities.users()],
        [(identities.owner(key), identities.is_claimed(key), identities.is_revoked(key)) for key in KEYS],
        [identities.keys(uid) for uid in PEOPLE],
        [identities.invitation(token) for token in ("0" * 32, "1" * 32)],
        [identities.name_like(name) for name in ("ANA", "bіа")],
    )


@given(about_users, st.integers())
def test_the_order_of_arrival_and_repetitions_change_nothing(entries: list[Entry], seed: int) -> None:
    """Shuffled, and with half of the entries twice, the same answers to every question."""
    shuffled = entries + entries[: len(entries) // 2]
    Random(seed).shuffle(shuffled)
    assert everything(folded(*shuffled)) == everything(folded(*entries))


def test_one_name_registered_three_times() -> None:
    """The smallest key has the name; the others are shown, and found, with letters of their ids."""
    uids = [names.key_uid(key, "ana") for key in KEYS[:3]]
    found = folded(*(login("ana", KEYS[n], at=9 - n, origin=ORIGINS[n]) for n in range(3)))
    shown = [other_name("ana", uids[0]), other_name("ana", uids[1]), "ana"]
    assert [u and u.shown for u in map(found.user, uids)] == shown
    assert [u and u.uid for u in map(found.named, shown)] == uids
    assert [u and u.uid for u in map(found.owner, KEYS[:3])] == uids


def test_a_revocation_wins_for_ever() -> None:
    """Added again later, or revoked by an entry that arrives first: the key is nobody's."""
    text = names.key_text(KEYS[3])
    added = [about_user(ANA, "add_key", key=text, at=at) for at in (2, 9)]
    revoked = about_user(ANA, "revoke_key", key=text, reason="lost", at=5, origin=ORIGINS[1])
    found = folded(revoked, login("ana", KEYS[0], at=1), *added)
    assert found.owner(KEYS[3]) is None
    assert found.is_revoked(KEYS[3])
    assert [(held.key, held.revoked_ms, held.reason) for held in found.keys(ANA)] == [
        (KEYS[0], None, None),
        (KEYS[3], 5_000, "lost"),
    ]
    user = found.user(ANA)
    assert user is not None
    assert user.generation == 1


def test_nobody_takes_or_revokes_another_users_key() -> None:
    """Claimed by one and by another later, revoked by the other: it stays the first one's."""
    text = names.key_text(KEYS[0])
    theft = about_user(BIA, "add_key", key=text, at=3)
    harm = about_user(BIA, "revoke_key", key=text, at=4)
    found = folded(theft, harm, login("bia", KEYS[2], at=1), login("ana", KEYS[0], at=2))
    owner = found.owner(KEYS[0])
    assert owner is not None
    assert owner.uid == ANA
    assert [held.key for held in found.keys(BIA)] == [KEYS[2]]


def test_a_rule_about_somebody_else_needs_an_operator() -> None:
    """A user's rule about another counts for nothing, an operator's does; nobody makes himself a bot."""
    text = names.key_text(KEYS[0])
    start = login("ana", KEYS[0], at=1)
    deed = rules.UserDeed(do="revoke_key", key=text)
    forged = entry(Kind.USER_RULE, ANA, deed, author=BIA, at=2)
    assert folded(start, forged).owner(KEYS[0]) is not None
    assert folded(start, about_user(ANA, "revoke_key", key=text, at=2, by=BIA)).owner(KEYS[0]) is None
    user = folded(start, about_user(ANA, "role", role="bot", at=2)).user(ANA)
    assert user is not None
    assert user.role == "user"


def test_role_and_suspension_are_the_last_ones() -> None:
    """Suspended and restored, restored and suspended: the larger key says."""
    start = login("ana", KEYS[0], at=1, bot=True)
    suspend = about_user(ANA, "suspend", at=3, by=BIA)
    restore = about_user(ANA, "restore", at=4, by=BIA)
    user = folded(restore, start, suspend).user(ANA)
    assert user is not None
    assert (user.role, user.suspended) == ("bot", False)
    again = folded(start, restore, suspend, about_user(ANA, "suspend", at=5, by=BIA)).user(ANA)
    assert again is not None
    assert again.suspended


def test_a_login_is_of_its_key_and_name_only() -> None:
    """A key that does not make the user id, or no key and an id not of the name: no registration."""
    body = rules.LoginBody(key=names.key_text(KEYS[0]))
    wrong = entry(Kind.LOGIN, "ana", body, author=BIA, at=1)
    bare = entry(Kind.LOGIN, "ana", author=BIA, at=1)
    plain = entry(Kind.LOGIN, "caio", author=names.uid("caio"), at=1)
    assert [user.name for user in folded(wrong, bare, plain).users()] == ["caio"]


def test_an_invitation_is_good_once() -> None:
    """Open until it expires, is used, or is taken back."""
    invited = about_user(ANA, "invite", token=TOKEN, expires=10_000, at=1)
    found = folded(invited)
    assert [one.token for one in found.open_invitations(9_999)] == [TOKEN]
    assert found.open_invitations(10_000) == []
    found.take(login("bia", KEYS[2], at=2, invite=TOKEN))
    used = found.invitation(TOKEN)
    assert used is not None
    assert (used.used_by, used.is_open(0)) == (BIA, False)
    back = folded(invited, about_user(ANA, "revoke_invite", token=TOKEN, at=2))
    assert back.open_invitations(0) == []


def test_names_that_read_alike_are_found() -> None:
    """A registered name is found under what looks like it, not under itself."""
    found = folded(login("ana", KEYS[0], at=1))
    assert [found.name_like(name) for name in ("Ana", "аnа", "ana", "bia")] == ["ana", "ana", None, None]


def test_of_two_revocations_and_two_invitations_the_first_is_told() -> None:
    """The smaller key's reason and expiry, whichever arrives first."""
    start, text = login("ana", KEYS[0], at=1), names.key_text(KEYS[0])
    revoked = [about_user(ANA, "revoke_key", key=text, reason=f"{at}", at=at) for at in (3, 2)]
    invited = [about_user(ANA, "invite", token=TOKEN, expires=at * 1_000, at=at) for at in (3, 2)]
    for turn in (1, -1):
        found = folded(start, *revoked[::turn], *invited[::turn])
        invitation = found.invitation(TOKEN)
        assert invitation is not None
        assert invitation.expires_ms == 2_000
        assert [(held.revoked_ms, held.reason) for held in found.keys(ANA)] == [(2_000, "2")]
