"""The alert rules and the dashboard ask for metrics that there are, and the page explains each alert."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.house.metrics_page import TABLES

ROOT = Path(__file__).parents[2]
RULES: list[dict[str, Any]] = yaml.safe_load((ROOT / "systemd/recado.rules.yml").read_text("utf-8"))[
    "groups"
][0]["rules"]
DASHBOARD = json.loads((ROOT / "systemd/recado.dashboard.json").read_text("utf-8"))
FAMILIES = {family.name: family for _, families in TABLES for family in families}
_NAME = re.compile(r"\b((?:recado|process)_[a-z_]+)")
_LABELS = re.compile(r"\b((?:recado|process)_[a-z_]+)\{([^}]*)\}")
FROM_PROMETHEUS = {"job", "instance", "le"}


def _expressions() -> Iterator[tuple[str, str]]:
    yield from ((rule["alert"], rule["expr"]) for rule in RULES)
    for panel in DASHBOARD["panels"]:
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])


def _family(name: str) -> str:
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    return base if base in FAMILIES and FAMILIES[base].kind == "histogram" else name


@pytest.mark.parametrize(("of", "expression"), list(_expressions()))
def test_an_expression_asks_for_what_there_is(of: str, expression: str) -> None:
    """Each metric is declared, and so is each label that it is chosen by; brackets are closed."""
    for name in _NAME.findall(expression):
        assert _family(name) in FAMILIES, f"{of}: {name}"
    for name, chosen in _LABELS.findall(expression):
        labels = set(re.findall(r"(\w+)[!=]", chosen))
        assert labels <= {*FAMILIES[_family(name)].labels, *FROM_PROMETHEUS}, f"{of}: {name}"
    for opening, closing in ("()", "{}", "[]"):
        assert expression.count(opening) == expression.count(closing), of


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """The form of Prometheus, a severity, a summary and what to do; and a row on the page with its time."""
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "action"}
    assert re.fullmatch(r"[1-9]\d*[mh]", rule.get("for", "1m"))
    after = re.sub(r"(\d)([mh])", r"\1 \2", rule["for"]) if "for" in rule else "at once"
    page = (ROOT / "docs/observability.md").read_text("utf-8")
    assert f"| `{rule['alert']}` | {after} |" in page


def test_the_page_explains_no_alert_that_is_none() -> None:
    """Every alert of the page is in the rules."""
    page = (ROOT / "docs/observability.md").read_text("utf-8")
    assert set(re.findall(r"`(Recado[A-Z]\w+)`", page)) == {rule["alert"] for rule in RULES}


def test_the_dashboard_can_be_read() -> None:
    """Panels have numbers of their own and don't lie over each other."""
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)
