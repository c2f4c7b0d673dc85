"""Judges of what people were told: their sessions (K4), and words that are nobody else's business (K12).

Pure functions like those in `judges`; proved in ``test_judges_of_words.py``.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from workload import History, Operation, Read, brief

# Places in a file system, Python's own words for a fault, addresses of objects.
_INSIDE = re.compile(
    r"(?<![\w:/])/(?:home|root|tmp|usr|var|etc|opt|srv|proc)/|\.py\b|Traceback|\bat 0x[0-9a-f]{4,}|"
    r"sqlite3?\.|\b[A-Z]\w+(?:Error|Exception)\b"
)
FAULT_EVENTS = frozenset({"fault while serving"})
OWN_WORDS = ("segredo", " says ")  # every text of the workloads has one of these
COMPLAINTS_MAX = 20


def sessions_hold(history: History) -> list[str]:
    """K4: within a session each look shows all that the look before showed, and one's own
    acknowledged words; a server that can't has to say that it is behind.
    """
    complaints: list[str] = []
    own: dict[tuple[str, str], list[Operation]] = {}
    for op in history.acknowledged:
        if op.service == "publish":
            own.setdefault((op.who, op.target), []).append(op)
    before: dict[tuple[str, int, str], Read] = {}
    began: dict[tuple[str, int, str], float] = {}
    for read in history.reads:
        if read.shown is None:
            continue
        key = (read.who, read.session, read.channel)
        began.setdefault(key, read.begun)
        if key in before and (gone := (before[key].shown or frozenset()) - read.shown):
            complaints.append(f"{_look(read)} lacks what was seen before: {_texts(gone)}")
        mine = {
            (op.id, brief(op.text))
            for op in own.get((read.who, read.channel), ())
            if op.begun >= began[key] and (op.ended or read.begun) < read.begun
        }
        if gone := mine - read.shown:
            complaints.append(f"{_look(read)} lacks own words: {_texts(gone)}")
        before[key] = read
    return complaints[:COMPLAINTS_MAX]


def keeps_to_itself(lines: Iterable[tuple[float, Mapping[str, Any]]], said: Iterable[str]) -> list[str]:
    """K12: no log line and no refusal has a path, a traceback or an object in it; no log line has what
    people said to each other; and nothing fails inside.
    """
    complaints = []
    for at, line in lines:
        text = " ".join(f"{key}={value}" for key, value in line.items())
        if line["event"] in FAULT_EVENTS or _INSIDE.search(text) or any(word in text for word in OWN_WORDS):
            complaints.append(f"{at:.2f} logged: {text[:2000]}")
    complaints += [f"told: {text[:300]}" for text in said if _INSIDE.search(text)]
    return complaints[:COMPLAINTS_MAX]


def _look(read: Read) -> str:
    return f"{read.begun:.2f} {read.who}'s look at {read.channel[:20]} on {read.server}"


def _texts(gone: Iterable[tuple[bytes, str]]) -> str:
    return str(sorted(text[:40] for _, text in gone)[:5])
