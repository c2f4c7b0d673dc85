"""Names that people take for one another (Unicode Technical Standard 39, "Unicode Security Mechanisms").

Two questions: does a name mix scripts as no language does (its section 5.2, "highly restrictive"), and
what is its *skeleton*, which it shares with names that read like it.  The skeleton folds width, style
and case (NFKC, casefold), then the Cyrillic, Greek and Armenian letters that have the shape of Latin ones,
so that a name wholly in Cyrillic is caught too.  Within Latin nothing is folded further: `ana1` and
`anal` are different names to those who type them.

Most of the standard's whole table is about scripts that the first question keeps apart, and the packages
that bring it had their last releases in 2021 and 2024; so there is a short table here.  Scripts are
read from the characters' names in `unicodedata`, whose version is that of the interpreter, not the
cluster's: so this decides what is accepted, never what is valid or shown.
"""

import unicodedata
from functools import lru_cache
from typing import Final

_FOLDED: Final = str.maketrans(
    # Cyrillic, by the shapes of small and of capital letters
    "авеіјкмнорсѕтухһԁԛԝԍүғ"
    # Greek
    "αβγεζηικμνορτυχω"
    # Armenian, and Latin letters without a dot or in another hand
    "օսհոցզ" "ıɑɡɩ",
    "abeijkmhopcstyxhdqwgyf"
    "abyeznikmvoptuxw"
    "ouhngq" "iagi",
)  # fmt: skip
_TOGETHER: Final = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)
_LETTERS: Final = frozenset({"Lu", "Ll", "Lt", "Lo"})


@lru_cache(4096)
def skeleton(name: str) -> str:
    """What a name looks like: equal for names that are to be taken for one another."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return folded.translate(_FOLDED)


def scripts(name: str) -> frozenset[str]:
    """The scripts of a name's letters, by the first words of their names; digits and marks have none."""
    plain = unicodedata.normalize("NFKC", name)
    return frozenset(
        unicodedata.name(character, "?").split()[0]
        for character in plain
        if unicodedata.category(character) in _LETTERS
    )


def mixes_scripts(name: str) -> bool:
    """Whether letters stand together that no language writes together."""
    found = scripts(name)
    return len(found) > 1 and not any(found <= together for together in _TOGETHER)
