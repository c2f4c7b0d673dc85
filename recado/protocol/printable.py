"""Other people's text on our terminals and in our logs: nothing in it may act.

Control characters move cursors, forge log lines and set window titles; bidirectional and
zero-width characters make a text read as what it is not (Boucher and Anderson, "Trojan Source",
2021). They are shown as ``\\u{…}`` with the code point in hexadecimal.
"""

import unicodedata

# Cc: C0, DEL, C1 (CSI among them); Cf: bidirectional, zero-width, tags; Cs: surrogates; Zl, Zp: separators.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str, *, keep: str = "") -> str:
    """`text` with every acting character shown as ``\\u{…}``, those in `keep` left as they are."""
    if text.isprintable():
        return text
    return "".join(
        character
        if character in keep or unicodedata.category(character) not in _ACTING
        else f"\\u{{{ord(character):x}}}"
        for character in text
    )
