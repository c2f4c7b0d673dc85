"""What settings are made of: addresses, durations, names, and the table that a section is."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from recado.protocol.limits import NODE_NAME_CHARACTERS_MAX

_ADDRESS = r"^(tcp://[^\s/]+:([0-9]{1,5}|\*)|ipc://\S+)$"
Address = Annotated[str, Meta(pattern=_ADDRESS)]
OptionalAddress = Annotated[str, Meta(pattern=rf"^$|{_ADDRESS}")]
NodeName = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9][A-Za-z0-9_-]{{0,{NODE_NAME_CHARACTERS_MAX - 1}}}$")]
Duration = Annotated[float, Meta(gt=0, le=86_400, extra={"unit": "seconds"})]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
ByteCount = Annotated[int, Meta(ge=0, le=2**40, extra={"unit": "bytes"})]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the configuration file."""


def is_address(text: str) -> bool:
    """Whether it has the shape of an address."""
    return re.search(_ADDRESS, text) is not None
