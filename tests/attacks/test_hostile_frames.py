"""Groups 1, 2, 4 and 20: frames of every size, bombs, several frames where one belongs, packed ones.

What is announced and never sent, and frames beyond what a socket takes, are in `tests/system/test_bad_input`
(open mode) and in `test_doors` (secured mode).  Expected: `malformed`, within ten milliseconds of the
processor and a mebibyte of memory.
"""

import gzip
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from time import thread_time
from typing import Any

import msgpack
import pytest
import trio

from recado.protocol import codec
from recado.protocol.errors import Malformed
from recado.protocol.limits import KIB, MIB, NESTING_MAX, PEER_FRAME_BYTES_MAX, REQUEST_FRAME_BYTES_MAX
from tests.attacks.wrong_values import nested
from tests.daemons.server.people import People, people, principal
from tests.fuzz.frames import framed

CPU_SECONDS_MAX = 0.010
MEMORY_BYTES_MAX = MIB
ATTEMPTS = 5  # the best counts: collections of garbage and other processes fall anywhere

Decoder = Callable[[bytes], Any]
DECODERS: dict[str, Decoder] = {
    "a request": codec.decode_request,
    "a reply": codec.decode_reply,
    "a publication": codec.decode_publication,
    "publications": codec.decode_publications,
}


def heads(depth: int, claims: int, *, size: int = 0, within: bytes = b"") -> bytes:
    """Lists in each other that claim so many items, filled up with nils to `size` bytes."""
    made = within + (b"\xdd" + struct.pack(">I", claims)) * depth
    return made.ljust(size, b"\xc0")


_IN_DATA = b"\x82\xa7service\xa5users\xa4data\x81\xa1x"
BOMBS: dict[str, bytes] = {
    **{f"{depth} lists": framed("users", {"x": nested(depth)}) for depth in (NESTING_MAX, 100)},
    **{f"{depth} heads": heads(depth, 4096, within=_IN_DATA) for depth in (9, 600, 1000, 2000)},
    "400 heads that claim a million": heads(400, 2**20, size=MIB, within=_IN_DATA),
    "1000 heads that claim as much as there is": heads(1000, PEER_FRAME_BYTES_MAX - 1, size=256 * KIB),
    "a page of heads": heads(50_000, 4096),
    "maps in maps": (b"\xdf" + struct.pack(">I", 60_000) + b"\xa1a") * 40_000,
    "a million keys": b"\xdf" + struct.pack(">I", 10**6) + b"".join(
        b"\xa4" + n.to_bytes(4, "big") for n in range(0x20202020, 0x20202020 + 200_000)
    ),
    "numbers as keys, with one hash": b"\xde" + struct.pack(">H", 20_000) + b"".join(
        b"\xcf" + ((2**61 - 1) * (n % 8)).to_bytes(8, "big") + b"\xc0" for n in range(20_000)
    ),
    "a gibibyte of text": b"\xdb" + struct.pack(">I", 2**30),
    "a gibibyte of bytes": b"\xc6" + struct.pack(">I", 2**30),
    "a gibibyte of an extension": b"\xc9" + struct.pack(">I", 2**30) + b"\x01",
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_bombs_cost_their_sender(decoder: str, bomb: str) -> None:
    """What claims much costs no more than its own bytes: bounded time, bounded memory, `Malformed`."""
    decode, frame = DECODERS[decoder], BOMBS[bomb]
    took = []
    for _ in range(ATTEMPTS):
        begun = thread_time()
        with pytest.raises(Malformed):
            decode(frame)
        took.append(thread_time() - begun)
    assert min(took) < CPU_SECONDS_MAX
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            decode(frame)
        assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES_MAX
    finally:
        tracemalloc.stop()


async def told(cluster: People, frame: bytes) -> dict[str, Any]:
    async with cluster.network.host("any", principal("ana")).asker(cluster.first.asker.address) as asker:
        return dict(codec.decode_reply(await asker.ask(frame)).data)


async def test_frames_of_every_size(autojump_clock: trio.abc.Clock) -> None:
    """Nothing, one byte and one too much get an envelope; a request of exactly the largest size is served."""
    async with people() as cluster:
        await cluster.login("ana")
        overhead = len(framed("users", {"x": [b"y" * 60_000] * 4 + [b"y" * 300]})) - 4 * 60_000 - 300
        fits = [b"y" * 60_000] * 4 + [b"y" * (REQUEST_FRAME_BYTES_MAX - 4 * 60_000 - overhead)]
        assert len(framed("users", {"x": fits})) == REQUEST_FRAME_BYTES_MAX
        assert (await told(cluster, framed("users", {"x": fits})))["users"] == ["ana"]
        more = [*fits[:-1], fits[-1] + b"y"]
        for frame in (b"", b"\x00", framed("users", {"x": more}), b"x" * MIB, b"\x00" * PEER_FRAME_BYTES_MAX):
            assert (await told(cluster, frame))["code"] == "malformed"
        assert (await told(cluster, framed("users", {})))["users"] == ["ana"]


async def test_bombs_at_the_door(autojump_clock: trio.abc.Clock) -> None:
    """A server answers each of them, in open words, and serves on."""
    async with people() as cluster:
        await cluster.login("ana")
        for frame in BOMBS.values():
            assert (await told(cluster, frame))["code"] == "malformed"
        assert (await cluster.done("ana", "users"))["users"] == ["ana"]


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "deflate": zlib.compress,
    "gzip": gzip.compress,
    "a bomb of gzip": lambda _frame: gzip.compress(bytes(10 * MIB)),
    "packed twice": msgpack.packb,
}


@pytest.mark.parametrize("how", PACKED)
async def test_nothing_is_unpacked(autojump_clock: trio.abc.Clock, how: str) -> None:
    """No compression is offered: what is packed is junk, and grows to nothing."""
    async with people() as cluster:
        await cluster.login("ana")
        data = await told(cluster, PACKED[how](framed("users", {})))
        assert (data["status"], data["code"]) == ("erro", "malformed")
