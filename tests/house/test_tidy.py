"""The house keeps its own rules: sizes, floors, habits, and silence about where it was built."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from recado.texts import ERRORS

ROOT = Path(__file__).parents[2]
ROOMS = ("recado", "storage", "daemons", "clients", "packaging", "tests", "bench")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
# Paths and hosts of the machines where this was written, and of services that are no part of it.
_ABSENT = re.compile(
    "|".join(
        ["/" + r"work\b", r"/tmp/" + "brief", r"\.\./" + "shared", "py" + r"pi\.org", "np" + r"mjs\.org"]
    )
)


def _python() -> list[Path]:
    return sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"), filename=str(file))


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_file_is_too_long() -> None:
    """No Python file has more than 400 lines."""
    sizes = {str(f.relative_to(ROOT)): len(f.read_text("utf-8").splitlines()) for f in _python()}
    assert {name: lines for name, lines in sizes.items() if lines > FILE_LINES_MAX} == {}


def test_no_function_is_too_long() -> None:
    """No function has more than 60 lines, its docstring included."""
    long = [
        f"{file.relative_to(ROOT)}:{f.lineno} {f.name}: {f.end_lineno - f.lineno + 1}"
        for file in _python()
        for f in _functions(_tree(file))
        if f.end_lineno is not None and f.end_lineno - f.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_every_module_says_what_it_is_for() -> None:
    """Every Python file that holds code begins with a docstring."""
    silent = [
        str(f.relative_to(ROOT)) for f in _python() if (t := _tree(f)).body and not ast.get_docstring(t)
    ]
    assert silent == []


def test_every_test_claims_something() -> None:
    """Every test function has a docstring: the sentence that it holds to be true."""
    mute = [
        f"{file.relative_to(ROOT)}:{f.lineno} {f.name}"
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        for f in _functions(_tree(file))
        if f.name.startswith("test_") and not ast.get_docstring(f)
    ]
    assert mute == []


def _calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_nothing_is_mocked() -> None:
    """No file imports unittest.mock: fakes behave, mocks agree."""
    guilty = {
        str(f.relative_to(ROOT)) for f in _python() if any("mock" in n.split(".") for n in _imports(_tree(f)))
    }
    assert guilty == set()


def test_tests_do_not_sleep() -> None:
    """No test waits by time.sleep: it waits for what it wants, with a deadline."""
    asleep = [
        f"{file.relative_to(ROOT)}:{line}"
        for file in sorted((ROOT / "tests").rglob("*.py"))
        for line, name in _calls(_tree(file))
        if name == "time.sleep"
    ]
    assert asleep == []


def test_one_place_runs_the_loop() -> None:
    """trio.run is called by daemons/shared/process.py alone among the daemons."""
    places = {
        str(f.relative_to(ROOT))
        for f in sorted((ROOT / "daemons").rglob("*.py"))
        for _, name in _calls(_tree(f))
        if name == "trio.run"
    }
    assert places == {"daemons/shared/process.py"}


def test_nobody_swallows_cancellation() -> None:
    """Whoever catches BaseException, Cancelled or everything raises it again at the end."""
    guilty = []
    for file in sorted(f for room in ROOMS[:4] for f in (ROOT / room).rglob("*.py")):
        for node in ast.walk(_tree(file)):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                last = node.body[-1]
                again = isinstance(last, ast.Raise) and last.exc is None
                if re.search(r"\b(BaseException|Cancelled|everything)\b", caught) and not again:
                    guilty.append(f"{file.relative_to(ROOT)}:{node.lineno} {caught}")
    assert guilty == []


def test_the_floors_hold() -> None:
    """Imports go down only, as the contracts in pyproject.toml say."""
    lint = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([str(lint), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_refusal_can_be_translated() -> None:
    """Each code that the source refuses with has a text in both languages."""
    codes = set()
    for file in (f for room in ROOMS[:4] for f in (ROOT / room).rglob("*.py")):
        codes |= set(re.findall(r'\bRefused\(\s*"([a-z_]+)"', file.read_text("utf-8")))
        codes |= set(re.findall(r'\bcode="([a-z_]+)"', file.read_text("utf-8")))
    assert codes - set(ERRORS) == set()


def test_every_package_is_installed() -> None:
    """What pip installs, and so the Debian package, has each directory of modules that imports may name."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    rooms = ("recado", "storage", "daemons", "clients")
    found = {
        str(file.parent.relative_to(ROOT)).replace("/", ".")
        for room in rooms
        for file in (ROOT / room).rglob("__init__.py")
    }
    assert found == set(listed) - {"clients.units"}


def test_the_project_speaks_of_itself_alone() -> None:
    """No tracked file names the places where it was written, or hosts that serve packages."""
    guilty = []
    for file in _tracked():
        try:
            text = file.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        guilty += [f"{file.relative_to(ROOT)}: {found}" for found in _ABSENT.findall(text)]
    assert guilty == []


_STATEMENTS = ("execute", "executemany", "executescript")


def _pieced_together(node: ast.expr) -> bool:
    """Whether a text is made on the spot.  A PRAGMA takes no parameters, so it may be."""
    if isinstance(node, ast.JoinedStr):
        first = node.values[0]
        return not (isinstance(first, ast.Constant) and str(first.value).startswith("pragma "))
    made_by = isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2]
    return isinstance(node, ast.BinOp) or made_by in ("format", "replace", "join")


def test_statements_take_parameters() -> None:
    """No SQL statement is pieced together where it is executed: values go in as parameters."""
    pieced = [
        f"{file.relative_to(ROOT)}:{call.lineno}"
        for room in ("recado", "storage", "daemons", "clients")
        for file in sorted((ROOT / room).rglob("*.py"))
        for call in ast.walk(_tree(file))
        if isinstance(call, ast.Call) and call.args
        if isinstance(call.func, ast.Attribute | ast.Name)
        if ast.unparse(call.func).rpartition(".")[2] in _STATEMENTS and _pieced_together(call.args[0])
    ]
    assert pieced == []
