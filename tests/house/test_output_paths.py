"""Whatever people see goes through the sanitiser: there is one door, and nobody writes beside it."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Where writing is done, after `printable`: the commands, the daemons' last words, their log.
DOORS = {"clients/output.py", "daemons/shared/process.py", "daemons/shared/logging.py"}
WRITERS = {"print", "pprint", "print_formatted_text", "secho", "echo", "echo_via_pager", "print_exception"}
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}


def _writes(tree: ast.AST) -> Iterator[tuple[int, str, ast.Call]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        owner = called.value if isinstance(called, ast.Attribute) else None
        on_stream = isinstance(owner, ast.Attribute) and owner.attr in STREAMS
        if name in WRITERS or (on_stream and name in {"write", "writelines"}):
            yield node.lineno, name, node


def _beside(rooms: tuple[str, ...]) -> list[str]:
    found = []
    for room in rooms:
        for file in sorted((ROOT / room).rglob("*.py")):
            path = str(file.relative_to(ROOT))
            for line, name, call in _writes(ast.parse(file.read_text("utf-8"))):
                if path not in DOORS and "printable(" not in ast.unparse(call):
                    found.append(f"{path}:{line} {name}")
    return found


def test_one_door_for_all_that_is_written() -> None:
    """No command, daemon or library module writes to a terminal but through a door, or sanitised there."""
    assert _beside(("clients", "daemons", "recado", "storage")) == []


def test_doors_sanitise_all_they_write() -> None:
    """In the commands' door nothing is printed that did not come out of `printable`."""
    tree = ast.parse((ROOT / "clients/output.py").read_text("utf-8"))
    handed = [
        ast.unparse(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_write"
    ]
    assert len(handed) >= 4
    assert [text for text in handed if not text.startswith(("printable(", "json_line("))] == []
