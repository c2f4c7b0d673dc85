"""The one sanitiser: nothing that acts on a terminal or in a log gets through."""

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recado.protocol.limits import COMBINING_MARKS_MAX
from recado.protocol.printable import acts, printable, printable_json

ACTING = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


@given(st.text(st.characters()))
def test_nothing_that_acts_gets_through(text: str) -> None:
    """No control, bidirectional, zero-width or unassigned character, and no pile of marks."""
    shown = printable(text)
    assert not ACTING.search(shown)
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Cn", "Zl", "Zp") for c in shown)
    assert not re.search(rf"[\u0300-\u036f]{{{COMBINING_MARKS_MAX + 1}}}", shown)
    assert printable(shown) == shown
    assert acts(text) == (shown != text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("olá, João — 日本 ❤️", "olá, João — 日本 ❤️"),
        ("a\x1b[31mb", r"a\u{1b}[31mb"),
        ("a\u009b31mb", r"a\u{9b}31mb"),
        ("\x1b]0;x\x07", r"\u{1b}]0;x\u{7}"),
        ("um\ndois", r"um\u{a}dois"),
        ("\u202eabc", r"\u{202e}abc"),
        ("a\u200db", r"a\u{200d}b"),
        ("a\u3164b", r"a\u{3164}b"),
        ("a\u0378b", r"a\u{378}b"),
        ("a" + "\u0301" * 10, "a" + "\u0301" * 8 + r"\u{301}\u{301}"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    """Escape sequences, new lines, turned and hidden text, marks beyond the eighth: as code points."""
    assert printable(text) == shown


def test_what_is_kept_on_request() -> None:
    """A new line stays where the caller lays out lines itself."""
    assert printable("a\n\tb\x07", keep="\n\t") == "a\n\tb\\u{7}"


def test_ten_thousand_marks() -> None:
    """A storm of marks on one letter: eight remain marks."""
    assert printable("a" + "\u0301" * 10_000).count("\u0301") == COMBINING_MARKS_MAX


@given(st.recursive(st.text(st.characters()), lambda inner: st.dictionaries(st.text(), inner)))
def test_json_is_read_back_as_it_was(value: object) -> None:
    """In JSON what acts is escaped as JSON does: nothing acts, nothing is lost."""
    document = printable_json(json.dumps(value, ensure_ascii=False))
    assert not acts(document)
    assert json.loads(document) == value
