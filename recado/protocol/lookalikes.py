"""Names that people take for one another (Unicode Technical Standard 39, "Unicode Security Mechanisms").

Two questions: does a name mix scripts as no language does (its section 5.2, "highly restrictive"), and
what is its *skeleton*, which it shares with names that read like it.  The skeleton folds width, style
and case (NFKC, casefold), then the letters of other alphabets that have the shape of Latin ones, so that a
name wholly in Cyrillic is caught too.  Within Latin nothing is folded further: `ana1` and `anal` are
different names to those who type them.

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
    "օսհոցզ" "ıɑɡɩ"
    # Lisu and Cherokee, whose letters are Latin capitals to the eye (casefold makes those of Cherokee large)
    "ꓮꓐꓚꓓꓰꓝꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑꓣꓢꓔꓴꓦꓪꓫꓬꓜ"
    "ᎪᏴᏟᎠᎬᏀᎻᎫᏦᏞᎷᏢᎡᏚᎢᏙᎳᎩᏃ",
    "abeijkmhopcstyxhdqwgyf"
    "abyeznikmvoptuxw"
    "ouhngq" "iagi"
    "abcdefghijklmnoprstuvwxyz"
    "abcdeghjklmprstvwyz",
)  # fmt: skip
# A dot over a letter that has one is drawn over it; the rest is how a symbol is coloured.
_SAME: Final = (("i\u0307", "i"), ("j\u0307", "j"), ("\ufe0e", ""), ("\ufe0f", ""))
_TOGETHER: Final = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
)
# Of Unicode's Default_Ignorable_Code_Point what is a mark (variation selectors, fillers), and what is drawn
# blank: the empty Braille cell, the Ogham space, the null notehead.
_UNSEEN: Final = frozenset(
    "\u180b\u180c\u180d\u180e\u180f\u1680\u2800\U00016fe4\U0001d159"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
_COLOURS: Final = "\ufe0e\ufe0f"  # whether a symbol is drawn as a letter or as a picture
_LETTERS: Final = frozenset({"Lu", "Ll", "Lt", "Lo"})


@lru_cache(4096)
def skeleton(name: str) -> str:
    """What a name looks like: equal for names that are to be taken for one another."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    for seen, read in _SAME:
        folded = folded.replace(seen, read)
    return folded.translate(_FOLDED)


def has_unseen(name: str) -> bool:
    """Whether a name has characters that draw nothing, though their category does not say so.

    A variation selector may follow a symbol (it makes a heart red); behind a letter it makes another name
    that reads the same.
    """
    before = ""
    for character in name:
        coloured = character in _COLOURS and before and unicodedata.category(before) == "So"
        if character in _UNSEEN and not coloured:
            return True
        before = character
    return False


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
