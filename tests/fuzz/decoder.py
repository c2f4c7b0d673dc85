"""``python -m tests.fuzz.decoder -max_total_time=60``: coverage-guided bytes into every decoder (atheris).

Whatever comes in, a decoder gives a value or raises `Malformed` (`InvalidEntry` for entries), within a
second and a bounded memory.  Corpus and findings are where libFuzzer's own arguments say.
"""

import sys
from contextlib import suppress

import atheris

with atheris.instrument_imports(include=["recado.protocol", "msgpack"], enable_loader_override=False):
    from recado.protocol import codec
    from recado.protocol.entry import EMPTY, encode_header, parse
    from recado.protocol.errors import InvalidEntry, Malformed
    from recado.protocol.publications import place_of, seqs


def one(data: bytes) -> None:
    """One input, to all of them."""
    for decode in (codec.decode_request, codec.decode_reply):
        with suppress(Malformed):
            decode(data)
    with suppress(Malformed):
        for body in codec.decode_publications(data):
            seqs(body.get("heads"))
            place_of(body)
    _entry(data)


def _entry(data: bytes) -> None:
    """A header that is taken is made of the very same bytes again (its hash is what peers compare)."""
    header, body = data, b""
    if len(data) > 2:
        cut = int.from_bytes(data[:2], "big") % len(data)
        header, body = data[2:cut], data[cut:]
    try:
        entry = parse(header, body, EMPTY)
    except InvalidEntry:
        return
    fields = codec.unpack(header)
    assert encode_header(*fields[1:]) == header, entry


def main() -> None:
    """The program."""
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
