"""The journal's catalog explains events under the ids that the daemons give them."""

import re
import subprocess
from pathlib import Path

import pytest

from daemons.shared.journal import message_id
from tests.house.journal_catalog import catalog, sections

ROOT = Path(__file__).parents[2]
CATALOG = ROOT / "systemd" / "recado.catalog"
PAGE = ROOT / "docs" / "troubleshooting.md"


def _entries() -> dict[str, str]:
    """Event -> MESSAGE_ID, as the file has them."""
    found = re.findall(
        r"^-- ([0-9a-f]{32})\nSubject: Recado: (.+)$", CATALOG.read_text("utf-8"), re.MULTILINE
    )
    return {event: number for number, event in found}


def test_ids_are_those_of_the_events() -> None:
    """Each entry has the id of the event in its subject, once."""
    entries = _entries()
    assert len(entries) > 30
    assert all(number == message_id(event) for event, number in entries.items())
    assert CATALOG.read_text("utf-8").count("\n-- ") == len(entries)


def test_entries_are_from_the_page() -> None:
    """What the catalog explains the page explains too, under that name."""
    assert set(_entries()) <= {event for event, _ in sections(PAGE.read_text("utf-8"))}


def test_events_are_logged_somewhere() -> None:
    """Most entries are of events as a daemon writes them: page and code use the same names."""
    code = "".join(file.read_text("utf-8") for file in ROOT.glob("daemons/**/*.py"))
    code += "".join(file.read_text("utf-8") for file in ROOT.glob("recado/protocol/*.py"))
    strange = {event for event in _entries() if event not in code}
    assert len(strange) < len(_entries()) / 3, strange


@pytest.mark.needs("journalctl")
def test_journalctl_reads_it(tmp_path: Path) -> None:
    """journald's own compiler takes the whole file, with the text of an event that everybody meets."""
    folder = tmp_path / "usr" / "lib" / "systemd" / "catalog"
    folder.mkdir(parents=True)
    (tmp_path / "var" / "lib" / "systemd" / "catalog").mkdir(parents=True)
    (folder / "recado.catalog").write_text(catalog(PAGE.read_text("utf-8")), "utf-8")
    options = ["journalctl", f"--root={tmp_path}"]
    subprocess.run([*options, "--update-catalog"], check=True, capture_output=True)
    shown = subprocess.run(
        [*options, "--dump-catalog", message_id("peer is silent")], capture_output=True, text=True, check=True
    )
    assert "A server does not answer within" in shown.stdout
