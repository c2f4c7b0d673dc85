"""What is searched for: the request, and the terms that a text given by people means.

A text is words, ``"phrases in quotes"`` and beginnings of words with a star, ``begin*``; a message is found
if it has them all.  Nothing else in it means anything: there are no operators to be misspelt or smuggled
in, and no text is an error of syntax.
"""

import unicodedata
from typing import Final, NamedTuple

from recado.protocol.errors import Refused
from recado.protocol.limits import SEARCH_PREFIX_CHARACTERS_MIN, SEARCH_TERMS_MAX, SEARCH_TEXT_BYTES_MAX
from recado.protocol.messages import Number, Read

_QUOTES: Final = str.maketrans(dict.fromkeys("“”„«»", '"'))


class Search(Read, frozen=True, kw_only=True):
    """The last `limit` messages with all terms of `text`, before `before` ([lamport, origin, seq]).

    Of `channel`; or of all channels; or with `direct` of the direct messages of `user` (with `peer` only,
    if given).  `author`: only what that user said.
    """

    text: str
    channel: str | None = None
    direct: bool = False
    user: str | None = None
    peer: str | None = None
    author: str | None = None
    before: tuple[Number, str, Number] | None = None
    limit: int | None = None


class Term(NamedTuple):
    """Words that must follow each other; with `prefix` the last of them may go on."""

    words: str
    prefix: bool = False


def terms(text: str) -> tuple[Term, ...]:
    """What a text asks for.  Raises `Refused` for nothing, too much, or a beginning that is too short."""
    if len(text.encode("utf-8", "replace")) > SEARCH_TEXT_BYTES_MAX:
        raise Refused("search_too_long", "Busca longa demais")
    found: dict[Term, None] = {}
    for number, part in enumerate(text.translate(_QUOTES).split('"')):
        pieces = [part] if number % 2 else part.split()
        for piece in pieces:
            term = _term(piece)
            if term is not None:
                found[term] = None
    if not found:
        raise Refused("search_empty", "Diga pelo menos uma palavra para buscar")
    if len(found) > SEARCH_TERMS_MAX:
        raise Refused("search_too_long", f"Busca com mais de {SEARCH_TERMS_MAX} termos")
    return tuple(found)


def searchable(text: str) -> str:
    """The text as it is.  Raises `Refused` as `terms` does."""
    terms(text)
    return text


def _term(piece: str) -> Term | None:
    """None if there is no letter or digit in it, which no index knows."""
    words = [word for word in "".join(c if _is_word(c) else " " for c in piece).split() if not _is_bare(word)]
    if not words:
        return None
    prefix = piece.rstrip().endswith("*")
    if prefix and len(words[-1]) < SEARCH_PREFIX_CHARACTERS_MIN:
        least = SEARCH_PREFIX_CHARACTERS_MIN
        raise Refused("search_too_short", f"Antes do asterisco, pelo menos {least} letras")
    return Term(" ".join(words), prefix)


def _is_word(character: str) -> bool:
    """As SQLite's tokenizer `unicode61`: letters, numbers, private use, and the marks on them."""
    category = unicodedata.category(character)
    return category[0] in "LNM" or category == "Co"


def _is_bare(word: str) -> bool:
    """Whether it is marks on nothing."""
    return all(unicodedata.category(character)[0] == "M" for character in word)
