"""The example file and the page of settings say what the programs do."""

import re
from pathlib import Path

import pytest

from recado.config import Config, describe, load
from recado.config import toml as as_toml
from recado.settings import Setting
from tests.house.configuration_page import rewritten

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "systemd" / "recado.example.toml"
PAGE = ROOT / "docs" / "configuration.md"
_COMMENTED = re.compile(r"^# (?=[a-z_]+ = )", re.MULTILINE)


def _sections(text: str) -> dict[str, str]:
    parts = re.split(r"^\[([a-z]+)\]$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("setting", [s for s in describe() if "[]" not in s.key], ids=lambda s: s.key)
def test_the_example_shows_the_setting_with_its_default(setting: Setting) -> None:
    """Each setting stands in its section of the example file, commented out, at its default."""
    section, name = setting.key.split(".")
    assert f"\n# {name} = {as_toml(setting.default)}\n" in _sections(EXAMPLE.read_text())[section]


def test_the_example_gives_a_unit_for_durations() -> None:
    """Durations are named with their unit, so that no comment needs to be read to know it."""
    assert all(s.key.endswith("_seconds") == (s.unit == "seconds") for s in describe())


def test_the_example_is_valid_and_changes_nothing(tmp_path: Path) -> None:
    """The example as it stands, and with its settings no longer commented out, is the default."""
    text = EXAMPLE.read_text()
    assert load(EXAMPLE) == Config()
    bare = tmp_path / "bare.toml"
    member = text.index("#\n# [[cluster.members]]")
    after = text.index("\n\n", member)
    bare.write_text(_COMMENTED.sub("", text[:member] + text[after:]))
    assert load(bare) == Config()


def test_the_page_lists_every_setting_as_it_is() -> None:
    """The table of docs/configuration.md is the one that `make docs` would write."""
    page = PAGE.read_text("utf-8")
    assert rewritten(page) == page


def test_every_setting_is_read() -> None:
    """No setting is without a reader in the daemons."""
    readers = [ROOT / "recado" / f"{name}.py" for name in ("config", "contradictions", "secured")]
    sources = [*(ROOT / "daemons").rglob("*.py"), *readers]
    code = "".join(file.read_text("utf-8") for file in sources)
    names = {s.key: s.key.rpartition(".")[2] for s in describe()}
    assert [key for key, name in names.items() if f".{name}" not in code] == []


def test_every_setting_says_what_it_is_for() -> None:
    """No setting is without a description that ends like a sentence."""
    assert [s.key for s in describe() if not s.description.endswith(".")] == []
