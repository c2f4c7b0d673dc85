"""docs/security.md says what the programs do, and the proofs that it names exist."""

import re
from pathlib import Path

from recado.protocol.policy import SERVER_POLICY, Role
from recado.texts import ERRORS
from tests.house.security_page import rewritten

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
# Where a secured cluster refuses.
REFUSERS = [
    *(f"daemons/server/{name}.py" for name in ("accounts", "admission", "channels", "rationing")),
    *(f"daemons/server/{name}.py" for name in ("registration", "rules", "rule_reads")),
    *(f"recado/protocol/{name}.py" for name in ("policy", "channel_rules")),
]
_TEST = re.compile(r"`(test_[a-z0-9_]+)`")


def test_policy_rates_and_bounds_are_written_anew() -> None:
    """The tables of the page are those that `make docs` would write."""
    assert rewritten(PAGE) == PAGE


def test_every_role_and_service_is_in_the_table() -> None:
    """Who reads the policy on the page reads all of it."""
    assert [role for role in Role if role is not Role.OPEN and f"| {role} |" not in PAGE] == []
    assert [service for service in SERVER_POLICY if f"`{service}`" not in PAGE] == []


def test_every_mechanism_names_its_proof() -> None:
    """No row among the mechanisms is without a test."""
    section = PAGE.partition("## Mechanisms")[2].partition("## The policy")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")]
    bare = [row for row in rows if not row.startswith("| mechanism") and not _TEST.search(row)]
    assert len(rows) > 30
    assert bare == []


def test_the_tests_that_documents_name_exist() -> None:
    """Each test that a page calls a proof is one."""
    defined = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_[a-z0-9_]+)\(", file.read_text("utf-8"))
    } | {file.stem for file in (ROOT / "tests").rglob("test_*.py")}
    named = {(page.name, name) for page in PAGES for name in _TEST.findall(page.read_text("utf-8"))}
    assert {(page, name) for page, name in named if name not in defined} == set()


def test_every_refusal_has_its_cure() -> None:
    """What a secured cluster refuses with is explained in troubleshooting, in its own words."""
    cures = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    known = " ".join(cures.split())
    source = "".join((ROOT / file).read_text("utf-8") for file in REFUSERS)
    codes = set(re.findall(r'"([a-z_]+)"', source)) & set(ERRORS)
    assert len(codes) > 25
    assert [code for code in sorted(codes) if ERRORS[code].en not in known] == []
