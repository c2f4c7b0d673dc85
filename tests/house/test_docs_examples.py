"""What the documents tell people to type works: it is typed here, at a cluster started for it."""

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.house.doc_examples import ROOT, Example, all_examples

PROGRAMS = Path(sys.executable).parent
DEFAULT_REFERENCE = "tcp://127.0.0.1:5559"
STARTS_MAX = 5  # ports are taken between choosing and binding; then others are chosen
SECONDS_MAX = 60


class Here(NamedTuple):
    """A cluster: its directory (``var`` is in it), its reference, and an environment that finds both."""

    directory: Path
    reference: str
    environment: dict[str, str]


def _run(here: Here, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=here.directory,
        env=here.environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    directory = tmp_path_factory.mktemp("reader")
    for _ in range(STARTS_MAX):
        port = random.randrange(20_000, 32_000)
        reference = f"tcp://127.0.0.1:{port + 4}"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("RECADO_")}
        here = Here(
            directory,
            reference,
            {
                **kept,
                "PATH": f"{PROGRAMS}{os.pathsep}{os.environ.get('PATH', '')}",
                "RECADO_REFERENCE": reference,
                "RECADO_LANG": "en",
                "XDG_STATE_HOME": str(directory / "state"),
            },
        )
        up = _run(here, ["recado", "up", "--detach", "--bots", "0", "--base-port", str(port)])
        if up.returncode != 73:
            break
    assert up.returncode == 0, up.stderr
    try:
        yield here
    finally:
        _run(here, ["recado", "down"])


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.needs("sqlite3", "bash")
@pytest.mark.parametrize("example", all_examples(), ids=lambda example: example.name)
def test_the_example_works(here: Here, example: Example) -> None:
    """The block ends well and complains of nothing, run where a reader would run it."""
    code = example.code.replace(DEFAULT_REFERENCE, here.reference)
    if example.language == "sh":
        ran = _run(here, ["bash", "-euo", "pipefail", "-c", code])
    else:
        ran = _run(here, [sys.executable, "-W", "error", "-c", code])
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


def test_there_are_examples_on_the_pages_that_people_begin_with() -> None:
    """The README has commands and a program that are executed, the page about daemons commands."""
    found = {(example.page, example.language) for example in all_examples()}
    assert {("README.md", "sh"), ("README.md", "python"), ("docs/daemons.md", "sh")} <= found


def test_every_command_of_the_runbook_is_typed_by_a_test() -> None:
    """In docs/operations.md no block stands that is not typed at the hosts of its test."""
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    fences = re.findall(r"^ *(?:```|~~~)(.*)$", page, re.MULTILINE)
    assert set(fences[::2]) == {"console hosts"}
    assert set(fences[1::2]) == {""}
    assert len(fences) > 40


def test_the_needed_programs_are_named_where_people_begin() -> None:
    """What the examples need is in the README's list of needs."""
    readme = (ROOT / "README.md").read_text("utf-8")
    assert all(f"`{program}`" in readme for program in ("make", "sqlite3", "venv"))
    assert shutil.which("python3.11") is None or "Python 3.11" in readme
