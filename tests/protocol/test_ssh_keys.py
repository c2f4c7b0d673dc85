"""SSH keys: which lines are keys, how they are named, and whose they are in any order of arrival."""

import base64
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recado.protocol import names, rules, ssh_keys
from recado.protocol.identities import Identities
from recado.protocol.messages import Entry
from tests.protocol.rule_entries import KEYS, ORIGINS, PEOPLE, about_user, login

ANA, _, BIA = PEOPLE
# By `ssh-keygen`, with its own word for the fingerprint.
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHotHWQfUE7QnN4tPK62LLtlcP/m0MWWV1rHVNu+RFoS ana@mesa"
ED25519_FINGERPRINT = "SHA256:Wk6mVLDIGYpn+4UKqkfBYaaXvRE3ZhkY7/5HvM28/U0"


def field(raw: bytes) -> bytes:
    return len(raw).to_bytes(4, "big") + raw


def line(kind: str, *fields: bytes) -> str:
    blob = field(kind.encode()) + b"".join(map(field, fields))
    return f"{kind} {base64.b64encode(blob).decode()}"


SSH_1, SSH_2 = (line("ssh-ed25519", bytes([n]) * 32) for n in (1, 2))
RSA = line("ssh-rsa", b"\x01\x00\x01", b"\x00\xff" + b"\x01" * 255)


def of(text: str) -> ssh_keys.SshKey:
    key = ssh_keys.parse_key(text)
    assert key is not None
    return key


def folded(*entries: Entry) -> Identities:
    identities = Identities()
    for one in entries:
        identities.take(one)
    return identities


@pytest.mark.parametrize("text", [ED25519, SSH_1, RSA, f"  {SSH_1}   a comment with spaces\n"])
def test_lines_that_are_keys(text: str) -> None:
    """A key is known by its type and bytes, whatever stands around it, and its own text is one again."""
    key = of(text)
    assert ssh_keys.key_of(key.text) == key
    assert ssh_keys.ident_of(key.fingerprint) == key.ident
    assert of(ED25519).fingerprint == ED25519_FINGERPRINT
    assert ssh_keys.is_ident(key.ident)
    assert not ssh_keys.is_ident(KEYS[0])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 !!!!",
        SSH_1.replace("ssh-ed25519", "ssh-rsa"),
        f"command=\"sh\" {SSH_1}",
        line("ssh-ed25519", b"short"),
        line("ssh-ed25519", bytes(32), b"more"),
        line("ssh-dss", b"p", b"q", b"g", b"y"),
        line("ssh-rsa", b"\x03", b"\x7f" * 128),
        line("ssh-ed25519-cert-v01@openssh.com", bytes(32)),
        SSH_1[:-4],
        SSH_1 + " " + "x" * ssh_keys.LINE_CHARACTERS_MAX,
    ],
)  # fmt: skip
def test_lines_that_are_none(text: str) -> None:
    """Options, certificates, weak keys, other types, and bytes too many or too few."""
    assert ssh_keys.parse_key(text) is None


@pytest.mark.parametrize(
    "text", ["", "SHA256:", "MD5:" + "a" * 43, "SHA256:" + "a" * 42, "SHA256:" + "/" * 43, "SHA256:$(id)"]
)
def test_fingerprints_have_one_form(text: str) -> None:
    """Anything else names no key."""
    assert ssh_keys.ident_of(text) is None


def test_a_session_key_is_good_as_long_as_its_ssh_key() -> None:
    """From when both are there until the SSH key is revoked, by one rule, whatever comes first."""
    mine, session = of(SSH_1), names.key_text(KEYS[3])
    entries = [
        login("ana", KEYS[0], at=1),
        about_user(ANA, "add_ssh_key", ssh_key=mine.text, at=2),
        about_user(ANA, "add_session", key=session, ssh=mine.fingerprint, at=3, origin=ORIGINS[1]),
    ]
    for order in (entries, entries[::-1]):
        found = folded(*order)
        owner, opened = found.owner(KEYS[3]), found.owner(mine.ident)
        assert owner is not None
        assert (owner, owner.uid) == (opened, ANA)
        assert found.session_of(KEYS[3]) == {mine.ident}
        assert [(held.text, held.via) for held in found.keys(ANA)][1:] == [
            (mine.fingerprint, None),
            (session, mine.ident),
        ]
    assert folded(entries[0], entries[2]).owner(KEYS[3]) is None
    assert not folded(entries[0], entries[2]).is_revoked(KEYS[3])
    ended = about_user(ANA, "revoke_ssh_key", ssh=mine.fingerprint, reason="lost", at=9)
    for order in ([*entries, ended], [ended, *entries]):
        found = folded(*order)
        assert found.owner(KEYS[3]) is None
        assert found.owner(mine.ident) is None
        assert found.is_revoked(KEYS[3])
        assert [held.reason for held in found.keys(ANA)] == [None, "lost", "lost"]


def test_a_session_key_opens_by_the_key_of_its_own_user_only() -> None:
    """With somebody else's SSH key, or one that an operator gave to somebody else, it is good for nothing."""
    key, session = of(SSH_1), names.key_text(KEYS[3])
    start = [login("ana", KEYS[0], at=1), login("bia", KEYS[2], at=1, origin=ORIGINS[1])]
    added = about_user(ANA, "add_ssh_key", ssh_key=key.text, at=2)
    foreign = about_user(BIA, "add_session", key=session, ssh=key.fingerprint, at=3)
    assert folded(*start, added, foreign).owner(KEYS[3]) is None
    own = about_user(ANA, "add_session", key=session, ssh=key.fingerprint, at=3)
    given = about_user(BIA, "add_ssh_key", ssh_key=key.text, at=7, by=BIA)
    found = folded(*start, added, own, given)
    assert found.owner(KEYS[3]) is None
    opened = found.owner(key.ident)
    assert opened is not None
    assert opened.uid == BIA


def test_a_key_that_was_added_is_no_session() -> None:
    """A device's key that a node also asked for lives on when the SSH key ends."""
    key, text = of(SSH_1), names.key_text(KEYS[3])
    found = folded(
        login("ana", KEYS[0], at=1),
        about_user(ANA, "add_ssh_key", ssh_key=key.text, at=2),
        about_user(ANA, "add_key", key=text, at=3),
        about_user(ANA, "add_session", key=text, ssh=key.fingerprint, at=4),
        about_user(ANA, "revoke_ssh_key", ssh=key.fingerprint, at=5),
    )
    assert found.owner(KEYS[3]) is not None
    assert found.session_of(KEYS[3]) == set()


_RULES = st.builds(
    lambda uid, do, at, by, origin, key, ssh: about_user(
        uid, do, at=at, by=by, origin=origin, key=names.key_text(key), ssh_key=ssh.text, ssh=ssh.fingerprint
    ),
    st.sampled_from([ANA, BIA]),
    st.sampled_from(["add_ssh_key", "revoke_ssh_key", "add_session", "add_key", "revoke_key"]),
    st.integers(1, 9),
    st.sampled_from([None, None, BIA]),
    st.sampled_from(ORIGINS),
    st.sampled_from(KEYS),
    st.sampled_from([of(SSH_1), of(SSH_2)]),
)
_START = [login("ana", KEYS[0], at=20), login("bia", KEYS[2], at=21)]


@given(st.lists(_RULES, max_size=12), st.integers())
def test_any_order_tells_the_same(drawn: list[Entry], seed: int) -> None:
    """Shuffled and repeated, the same keys are whose they were, and no session outlives its SSH key."""
    entries = [*_START, *{one.key: one for one in drawn}.values()]
    shuffled = entries + entries[::2]
    Random(seed).shuffle(shuffled)
    idents = [*KEYS, of(SSH_1).ident, of(SSH_2).ident]
    told = []
    for found in (folded(*entries), folded(*shuffled)):
        told.append(
            (
                [(found.owner(key), found.is_revoked(key), found.session_of(key)) for key in idents],
                [found.keys(uid) for uid in (ANA, BIA)],
            )
        )
        for key in KEYS:
            vias, owner = found.session_of(key), found.owner(key)
            assert owner is None or not vias or any(found.owner(via) == owner for via in vias)
    assert told[0] == told[1]


def test_a_rule_about_an_ssh_key_is_whole_or_none() -> None:
    """A text that is no key, or a fingerprint that is none, makes the whole rule mean nothing."""
    good = rules.UserDeed(do="add_ssh_key", ssh_key=SSH_1)
    assert rules.user_deed_of(rules.body_of(good)) == good
    for bad in (
        rules.UserDeed(do="add_ssh_key"),
        rules.UserDeed(do="add_ssh_key", ssh_key=SSH_1 + " comment"),
        rules.UserDeed(do="revoke_ssh_key", ssh="SHA256:x"),
        rules.UserDeed(do="add_session", key=names.key_text(KEYS[0])),
    ):
        assert rules.user_deed_of(rules.body_of(bad)) is None
