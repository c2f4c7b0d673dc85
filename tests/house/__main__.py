"""``python -m tests.house`` writes the generated parts of docs/ anew: settings, protocol, security; and
the journal's catalog."""

from pathlib import Path

from tests.house import configuration_page, journal_catalog, metrics_page, protocol_page, security_page

DOCS = Path(__file__).parents[2] / "docs"

if __name__ == "__main__":
    for name, rewritten in (
        ("configuration.md", configuration_page.rewritten),
        ("protocol.md", protocol_page.rewritten),
        ("security.md", security_page.rewritten),
        ("observability.md", metrics_page.rewritten),
    ):
        page = DOCS / name
        page.write_text(rewritten(page.read_text("utf-8")), "utf-8")
    catalog = DOCS.parent / "systemd" / "recado.catalog"
    catalog.write_text(journal_catalog.catalog((DOCS / "troubleshooting.md").read_text("utf-8")), "utf-8")
