"""What every pure machine may ask for beside its own effects."""

from collections.abc import Mapping
from typing import Any

import msgspec


class Note(msgspec.Struct, frozen=True):
    """One log line: what happened, in words, and its fields (units last in their names).

    The machine neither writes it nor knows a logger; whoever carries the effects out does.
    """

    event: str
    fields: Mapping[str, Any] = {}
