"""Golden tables: what a machine does in each phase with each input, as text to be read in review.

``RECADO_REWRITE_GOLDEN=1 pytest ...`` writes them anew; read the difference before committing it.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "golden"
REWRITE_VARIABLE = "RECADO_REWRITE_GOLDEN"


def check(name: str, text: str) -> None:
    """Compare with ``golden/NAME.txt``; a missing file is a failure unless rewriting."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get(REWRITE_VARIABLE) == "1":
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no {path.name}; write it with {REWRITE_VARIABLE}=1"
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs; see {REWRITE_VARIABLE}"


def table(
    phases: Mapping[str, Callable[[], Any]],
    inputs: Mapping[str, Callable[[Any], Iterable[Any]]],
    *,
    state: Callable[[Any], str],
    effect: Callable[[Any], str] = str,
) -> str:
    """Every phase (made anew for each row) × every input: effects in order, and the state afterwards."""
    lines: list[str] = []
    for phase, make in phases.items():
        lines += [f"== {phase}: {state(make())}"]
        for name, apply in inputs.items():
            machine = make()
            effects = list(apply(machine))
            lines.append(f"   {name:<34} -> {state(machine)}")
            lines += [f"       {effect(one)}" for one in effects]
        lines.append("")
    return "\n".join(line.rstrip() for line in lines) + "\n"
