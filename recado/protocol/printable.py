"""Other people's text on our terminals and in our logs: nothing in it may act.

Control characters move cursors, forge log lines and set window titles; bidirectional and zero-width
characters make a text read as what it is not (Boucher and Anderson, "Trojan Source", 2021); hundreds
of combining marks on one letter paint over the lines around it; what is unassigned today may be any of
these in the terminal's next version.  They are shown as ``\\u{…}`` with the code point in hexadecimal.
"""

import json
import unicodedata
from collections.abc import Callable

from recado.protocol.limits import COMBINING_MARKS_MAX

# Cc: C0, DEL, C1 (CSI among them); Cf: bidirectional, zero-width, tags; Cs: surrogates; Zl, Zp:
# separators; Cn: unassigned.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Cn"})
_COMBINING = frozenset({"Mn", "Me"})
# Letters and marks that are nothing to see: grapheme joiner, Hangul and Khmer fillers.
INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")


def printable(text: str, *, keep: str = "") -> str:
    """`text` with every acting character shown as ``\\u{…}``, those in `keep` left as they are."""
    if text.isascii() and text.isprintable():
        return text
    return _escaped(text, _visible, keep=keep)


def printable_json(document: str) -> str:
    """A JSON text with every acting character in its own escape: it is read back as it was."""
    if document.isascii() and document.isprintable():
        return document
    return _escaped(document, _in_json, keep="\n")


def _escaped(text: str, escape: Callable[[str], str], *, keep: str) -> str:
    shown: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in _COMBINING else 0
        acts = category in _ACTING or marks > COMBINING_MARKS_MAX or character in INVISIBLE
        shown.append(escape(character) if acts and character not in keep else character)
    return "".join(shown)


def _visible(character: str) -> str:
    return f"\\u{{{ord(character):x}}}"


def _in_json(character: str) -> str:
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"


def acts(text: str) -> bool:
    """Whether a text has a character that `printable` would not show as it is."""
    return printable(text) != text
