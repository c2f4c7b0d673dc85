"""Publications that share frames in secured mode: what is made of them, and what a subscriber makes of it."""

from functools import partial

import pytest
import trio

from daemons.server.announcements import in_runs
from recado.protocol import codec
from recado.protocol.clock_tag import is_tagged
from recado.protocol.errors import Malformed
from recado.protocol.limits import PUBLICATIONS_OF_RUN_MAX, RUN_BYTES_MAX
from recado.protocol.publications import public_topic
from recado.wire.ports import Publication
from tests.daemons.server.disks import Brake
from tests.daemons.server.people import People, people
from tests.daemons.server.secured_bench import CLUSTER_KEY
from tests.daemons.server.test_announcements import listening


def said(heading: bytes, number: int, *, size: int = 0) -> Publication:
    """One publication, as long as asked."""
    return Publication(heading, codec.pack({"number": number, "text": "x" * size}))


def numbers(frame: bytes) -> list[int]:
    """What a frame holds."""
    return [body["number"] for body in codec.decode_publications(frame)]


def test_publications_of_one_topic_share_a_frame_in_their_order() -> None:
    """Two topics in turn become two frames; one alone stays the map that it was."""
    made = [said(b"a" if number % 2 else b"b", number) for number in range(6)]
    alone = said(b"c", 9)
    runs = in_runs([*made, alone])
    assert [(run.topic, numbers(run.body)) for run in runs] == [
        (b"b", [0, 2, 4]),
        (b"a", [1, 3, 5]),
        (b"c", [9]),
    ]
    assert runs[-1] == alone


def test_a_run_ends_at_its_number_and_at_its_bytes() -> None:
    """No frame holds more than the limits say, and nothing is lost or moved at a cut."""
    many = in_runs([said(b"a", number) for number in range(3 * PUBLICATIONS_OF_RUN_MAX + 1)])
    assert [len(numbers(run.body)) for run in many] == [PUBLICATIONS_OF_RUN_MAX] * 3 + [1]
    long = in_runs([said(b"a", number, size=RUN_BYTES_MAX // 3) for number in range(5)])
    assert [numbers(run.body) for run in long] == [[0, 1], [2, 3], [4]]
    assert [
        numbers(run.body) for run in in_runs([said(b"a", n, size=2 * RUN_BYTES_MAX) for n in (0, 1)])
    ] == [[0], [1]]


@pytest.mark.parametrize(
    "frame", [b"\x91\x01", b"\x92\x80\xc0", b"\xdc\x00\x41" + b"\x80" * 65, b"\x01", b""]
)
def test_what_is_no_run_of_maps_is_malformed(frame: bytes) -> None:
    """Lists of anything but maps, and lists longer than a run."""
    with pytest.raises(Malformed):
        codec.decode_publications(frame)


async def test_what_one_commit_publishes_is_one_frame(autojump_clock: trio.abc.Clock) -> None:
    """Ten messages that waited for one commit: one frame, in their order, the last stamp with its tag."""
    brake = Brake()
    async with people("server-1", of=2, kind=People) as cluster, listening(cluster) as ear:
        await cluster.login("ana")
        await cluster.done("ana", "channel", channel="c", user="ana")
        await cluster.start("server-2", committer=brake)
        await cluster.level()
        brake.hold()
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(partial(cluster.say, "ana", "c", at="server-2"))
            await trio.sleep(1)
            brake.released.set()
        await trio.sleep(1)
        frames = ear.named(public_topic("c"))
    (run,) = [frame for frame in frames if isinstance(frame, list)]
    stamps = [body["clock"] for body in run]
    tagged = [is_tagged(CLUSTER_KEY, body["clock"], body.get("ctag")) for body in run]
    assert len(run) >= 9
    assert stamps == sorted(stamps)
    assert tagged == [False] * (len(run) - 1) + [True]
