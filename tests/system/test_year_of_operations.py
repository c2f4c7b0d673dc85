"""docs/operations.md is followed to the letter: every command, in the page's order, on hosts with a systemd.

They are the hosts that the README has made a cluster; a fourth one comes when the page wants it.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from bare_hosts import NEEDS, SPARE, BareHosts, typed_in, unlike
from own_wheel import collect_wheels
from packages import deb

from recado import __version__

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*NEEDS, "curl", "debian-venv")]
PAGE: Final = Path(__file__).parents[2] / "docs" / "operations.md"
TYPED: Final = typed_in(PAGE.read_text("utf-8"))
HEADINGS: Final = list(dict.fromkeys(typed.heading for typed in TYPED))
LOOK: Final = "select user, message from channel_messages"
FILL: Final = """
file=/var/lib/recado/forgotten.iso
fallocate -l $(($(df --output=avail -B1 /var/lib/recado | tail -n 1) - 1048576)) $file
cat /dev/zero >> $file || true
"""
NEXT: Final = f"{__version__}+next"  # the version that the page upgrades to, as other tests have it built


def a_fourth_host(hosts: BareHosts) -> None:
    """It has a wheel, and, as no network leads to any, those that pip would fetch."""
    upper = hosts.add(SPARE).home / "upper"
    wheels = upper / "srv/wheels"
    wheels.mkdir(parents=True)
    shutil.copy(collect_wheels(wheels), upper / "root")
    (upper / "etc").mkdir(exist_ok=True)
    (upper / "etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /srv/wheels\n")
    hosts[SPARE].boot()


def a_new_version(hosts: BareHosts) -> None:
    """Its package lies on n1, under the page's name for it."""
    (name,) = {typed.command.rpartition("./")[2] for typed in TYPED if "apt install" in typed.command}
    shutil.copy(deb(NEXT), hosts["n1"].root / "root" / name)


def somebody_fills_a_disk(hosts: BareHosts) -> None:
    """n2's is full, and the server has noticed when it was to write."""
    hosts["n2"].run("sh", "-euc", FILL)
    words = ("recado", "publish", "--timeout", "1", "--server", "tcp://10.77.0.12:5555", "geral", "hello")
    hosts["n1"].run(*words, check=False)


def the_key_is_lost(hosts: BareHosts) -> None:
    """It was in one place only."""
    hosts["n1"].run("rm", "/root/.config/recado/operator.key")


BEFORE: Final[dict[str, Callable[[BareHosts], None]]] = {
    "Install": a_fourth_host,
    "Upgrade": a_new_version,
    "A disk is full": somebody_fills_a_disk,
    "The operator's key is lost": the_key_is_lost,
}


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_page_is_followed(bare_hosts: BareHosts, heading: str) -> None:
    """Each command below this heading ends well and prints what stands below it."""
    if heading in BEFORE:
        BEFORE[heading](bare_hosts)
    for typed in TYPED:
        if typed.heading == heading:
            ran = bare_hosts.type(typed)
            print(f"{ran.seconds:5.1f} s  {typed.host}# {typed.command}")
            assert unlike(ran) == ""


def test_a_host_of_the_page_is_still_whole(bare_hosts: BareHosts) -> None:
    """After that whole year n3, which has moved, holds what was said in the README's ten minutes."""
    said = bare_hosts[SPARE].run("sqlite3", "-readonly", "/var/lib/recado/n3/replica.db", LOOK)
    assert "operator|bom dia" in said.splitlines()


def test_everything_that_is_prepared_is_on_the_page() -> None:
    """No heading has gone for which something is prepared here."""
    assert set(BEFORE) <= set(HEADINGS)
