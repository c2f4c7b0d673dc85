"""``python -m tests.house`` writes the generated part of docs/configuration.md anew."""

from pathlib import Path

from tests.house.configuration_page import rewritten

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text("utf-8")), "utf-8")
