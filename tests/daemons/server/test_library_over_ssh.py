"""The library for logins over SSH: a node's key hears and speaks as the user, until the SSH key ends."""

import pytest
import trio

from recado.client import Forbidden, KeyUnknown, NameTaken, RefusedByServer, connect
from tests.daemons.server.people import OPERATOR, key_text
from tests.daemons.server.server_bench import members
from tests.daemons.server.test_library_in_secured_clusters import texts, town
from tests.daemons.server.test_ssh_accounts import BBS, MINE, SETTINGS


async def test_a_session_hears_and_speaks_until_its_ssh_key_ends(autojump_clock: trio.abc.Clock) -> None:
    """At another server than the one that was asked, and at the broker; then it is nobody's at both."""
    async with (
        town(settings=SETTINGS) as cluster,
        cluster.chat("ana") as ana,
        cluster.chat("ana", device="sessão") as session,
        cluster.chat("bia") as bia,
    ):
        await ana.login()
        await bia.login()
        host, first = cluster.network.host("bbs", BBS), members(1)[0].address
        async with connect(None, servers=[first], network=host, level="local") as node:
            with pytest.raises(RefusedByServer) as unknown:
                await node.session_key(key_text("sessão"), fingerprint=MINE.fingerprint)
            assert unknown.value.code == "ssh_key_unknown"
            await ana.add_ssh_key(MINE.text, reason="laptop")
            assert await node.session_key(key_text("sessão"), fingerprint=MINE.fingerprint) == "ana"
        await session.login()
        async with session.subscribe(direct=True) as incoming:
            await bia.message("ana", "um")
            assert await texts(incoming, 1) == ["um"]
            await session.message("bia", "dois")
            with pytest.raises(Forbidden):
                await session.add_key(key_text("outra"))
            held = {one.key: (one.ssh_key, one.via) for one in await ana.keys()}
            assert held[MINE.fingerprint] == (MINE.text, None)
            assert held[key_text("sessão")] == (None, MINE.fingerprint)
            await ana.revoke_ssh_key(MINE.fingerprint, reason="perdido", level="all")
            await bia.message("ana", "três")
            with pytest.raises(KeyUnknown):
                await session.message("bia", "quatro")
            with trio.move_on_after(100):
                pytest.fail(f"{await anext(incoming)} arrived")
            assert isinstance(incoming.denied[None], KeyUnknown)


async def test_other_devices_go_on_hearing(autojump_clock: trio.abc.Clock) -> None:
    """When an SSH key is revoked the topic of direct messages moves, and the user's other devices with it."""
    async with town(settings=SETTINGS) as cluster, cluster.chat("ana") as ana, cluster.chat("bia") as bia:
        await ana.login()
        await bia.login()
        await ana.add_ssh_key(MINE.text)
        async with ana.subscribe(direct=True) as incoming:
            await bia.message("ana", "um")
            assert await texts(incoming, 1) == ["um"]
            await ana.revoke_ssh_key(MINE.fingerprint)
            await trio.sleep(3)
            await bia.message("ana", "dois")
            with trio.fail_after(3):
                assert await texts(incoming, 1) == ["dois"]


async def test_an_operator_registers(autojump_clock: trio.abc.Clock) -> None:
    """A name without a key, once; and the log tells which SSH key was given to it."""
    async with town(settings=SETTINGS) as cluster, cluster.chat(OPERATOR) as operator:
        await operator.register("rita")
        with pytest.raises(NameTaken):
            await operator.register("rita")
        await operator.add_ssh_key(MINE.text, user="rita")
        told = [(deed.do, deed.who, deed.public_key) for deed in await operator.audit_log()]
        assert told == [("add_ssh_key", "rita", MINE.fingerprint)]
