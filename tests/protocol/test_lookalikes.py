"""Names that read alike, and names that secured mode refuses."""

import pytest

from recado.protocol import names
from recado.protocol.entry import EMPTY, seal, shape_problem
from recado.protocol.errors import Refused
from recado.protocol.lookalikes import mixes_scripts, skeleton
from recado.protocol.messages import Kind
from recado.protocol.views import other_name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ana", "Ana"), ("ana", "ＡＮＡ"), ("paco", "расо"), ("MAT", "МАТ"), ("straße", "STRASSE"),
        ("kilo", "Kilo"), ("file", "ﬁle"), ("coco", "сосо"), ("too", "τοο"),
        ("ANA", "ꓮꓠꓮ"), ("MARTA", "ᎷᎪᎡᎢᎪ"), ("ivan", "i\u0307van"), ("i❤u", "i❤\ufe0fu"), ("IVAN", "İVAN"),
    ],
)  # fmt: skip
def test_alike(one: str, other: str) -> None:
    """Case, width, style, and letters of other alphabets with the same shape."""
    assert one != other
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(
    ("one", "other"), [("ana", "anna"), ("ana1", "anal"), ("joao", "joão"), ("ана", "ана2")]
)
def test_not_alike(one: str, other: str) -> None:
    """What people tell apart has different skeletons."""
    assert skeleton(one) != skeleton(other)


@pytest.mark.parametrize(
    ("name", "mixed"),
    [
        ("ana", False), ("José-7", False), ("анна", False), ("аna", True), ("paypаl", True), ("Ωmega", True),
        ("東京タワー", False), ("日本go", False), ("한글abc", False), ("한글かな", True),
        ("ΑΒΓ", False), ("123_", False),
        ("μTorrent", True), ("नमस्ते", False),
    ],
)  # fmt: skip
def test_mixed_scripts(name: str, mixed: bool) -> None:
    """Latin with Chinese, Japanese or Korean is how people write; Latin with Cyrillic is not."""
    assert mixes_scripts(name) is mixed


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ana\u200bbia", "name_invalid"), ("ana\u202e", "name_invalid"), ("a\u2066b", "name_invalid"),
        ("a" + "\u0301" * 9, "name_invalid"), ("\u3164", "name_invalid"), ("a\ue000", "name_invalid"),
        ("ana\ufe0f", "name_invalid"), ("ana\U000e0100", "name_invalid"), ("ana\u180b", "name_invalid"),
        ("ana\u2800", "name_invalid"), ("a\u1680b", "name_invalid"), ("ana\U0001d159", "name_invalid"),
        ("a\u0378", "name_invalid"), (other_name("ana", bytes(16)), "name_reserved"),
        ("ana~BC2D", "name_reserved"), ("аna", "name_confusable"),
    ],
)  # fmt: skip
def test_new_names_that_are_refused(name: str, code: str) -> None:
    """Invisible, turning, piled-up, unassigned, private; the form of a name told apart; mixed scripts."""
    with pytest.raises(Refused) as refused:
        names.new_name(name)
    assert refused.value.code == code


@pytest.mark.parametrize("name", ["ana", "João", "日本", "ana~", "ana~bc", "i❤️u", "q.7_x"])
def test_new_names_that_are_taken(name: str) -> None:
    """Ordinary names of several languages are theirs."""
    assert names.new_name(names.user_name(name)) == names.user_name(name)


def test_a_name_is_composed_at_the_door_only() -> None:
    """The two ways to write ã are one name in requests; an entry that has the other way is shown still."""
    apart = "Joa\u0303o"
    assert names.user_name(apart) == names.channel_name(apart) == "João"
    assert names.kept_user_name(apart) == apart
    old = seal(
        EMPTY,
        origin="server-1.0123456789abcdef",
        lamport=1,
        wall_ms=1,
        kind=Kind.LOGIN,
        author=names.uid(apart),
        id=None,
        target=apart,
        prev=0,
        body=b"",
    )
    assert shape_problem(old) is None
