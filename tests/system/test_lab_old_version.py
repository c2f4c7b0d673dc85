"""A cluster of an older version, upgraded host by host while people talk."""

import subprocess
import tarfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from lab_load import under_load
from lab_node import LIBRARIES, Node
from laboratory import NEEDS, Laboratory
from machine import PACKAGES, ROOT

from recado.protocol.versions import WIRE_VERSION

pytestmark = [pytest.mark.slow, pytest.mark.system, pytest.mark.needs(*NEEDS)]
TODAY = "today's code as version 1"
VERSIONS = "recado/protocol/versions.py"
# That version found its keys only where it was told.
KEYS = """
[Service]
Environment=RECADO_SECURITY__KEY=%d/node.key RECADO_SECURITY__CLUSTER_KEY=%d/cluster.key
"""


def _git(*words: str) -> bytes:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else b""


def _old_sources() -> tuple[bytes, str]:
    """The packages as they were before there were wire versions, as a tar, and what that is.

    A clone without that part of the history has today's code instead, which says that it speaks version 1.
    """
    first = _git("log", "--format=%H", "--diff-filter=A", "--", VERSIONS).decode().split()
    if first and (packed := _git("archive", f"{first[-1]}^", *PACKAGES)):
        return packed, f"{first[-1][:7]}^"
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for package in PACKAGES:
            tar.add(ROOT / package, package, filter=_but_versions)
        text = (
            (ROOT / VERSIONS)
            .read_bytes()
            .replace(f"WIRE_VERSION: Final = {WIRE_VERSION}".encode(), b"WIRE_VERSION: Final = 1")
        )
        entry = tarfile.TarInfo(VERSIONS)
        entry.size = len(text)
        tar.addfile(entry, BytesIO(text))
    return packed.getvalue(), TODAY


def _but_versions(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if entry.name == VERSIONS or "__pycache__" in entry.name else entry


def _take(node: Node, sources: bytes) -> None:
    """Put these in the place of what the package brought."""
    node.run("sh", "-c", f"cd /{LIBRARIES} && rm -rf {' '.join(PACKAGES)}")
    subprocess.run(node.words("tar", "-x", "-C", f"/{LIBRARIES}"), input=sources, check=True, timeout=30)


@pytest.fixture(scope="module")
def old() -> Iterator[tuple[Laboratory, str]]:
    """Three hosts that the new program has set up and the old one runs."""
    sources, what = _old_sources()
    with Laboratory() as lab:
        for node in lab:
            node.write_now("/etc/systemd/system/recado-.service.d/keys.conf", KEYS)
        lab.install()
        lab.make_cluster(start=False)
        for node in lab:
            _take(node, sources)
        lab.all_at_once("run", "systemctl", "start", "recado.target")
        yield lab, what


def _said(node: Node) -> dict[str, Any]:
    """What its own server answers."""
    (own,) = [one["status"] for one in node.status()["servers"] if one["name"] == node.server]
    return dict(own)


def test_an_old_cluster_is_upgraded_host_by_host(old: tuple[Laboratory, str]) -> None:
    """From the wire version before, by `dpkg -i` under load: nobody is refused, nothing is lost."""
    lab, what = old
    with under_load(lab, f"rolling upgrade from {what}") as load:
        for node in lab:
            node.install(lab.package)
            node.serves()
            load.goes_on()
        told = _said(lab["n1"])
        assert {peer["wire"] for peer in told["peers"]} == {told["wire"]} == {WIRE_VERSION}
    for node in lab:
        assert not node.events("a server of another wire version is refused")
