"""What every test may rely on, how long each suite took, and the list of what this machine could not run.

``@pytest.mark.needs("node", "root", "sqlite3")`` names programs or rights. What is missing skips
the test and is listed at the end; with ``RECADO_TEST_REQUIRE=all`` (set by .ci/run) it fails the
run instead, so that nothing stays untested unnoticed.
"""

import importlib.util
import os
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator

import pytest

REQUIRE_VARIABLE = "RECADO_TEST_REQUIRE"
HEADING = "could not be run on this machine"
_unmet: dict[str, list[str]] = {}
_seconds: dict[str, float] = {}  # of each suite: a directory of tests/

# A shell's background jobs ignore Ctrl-C and hand that on; the programs that tests interrupt must not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _node_zeromq() -> bool:
    """Node.js with the `zeromq` and `@msgpack/msgpack` modules that the other-language tests use."""
    node = shutil.which("node")
    if node is None:
        return False
    script = "require('zeromq'); require('@msgpack/msgpack')"
    here = os.path.join(os.path.dirname(__file__), "system", "node")
    if not os.path.isdir(here):
        return False
    return subprocess.run([node, "-e", script], cwd=here, capture_output=True, check=False).returncode == 0


def _debian_venv() -> bool:
    """Debian's own interpreter, and the module with which it makes environments."""
    asked = ["/usr/bin/python3.11", "-c", "import ensurepip"]
    try:
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _packet_capture() -> bool:
    """The right to listen to every frame of an interface."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except (OSError, AttributeError):
        return False
    return True


# What can't be told by looking for a program of that name.
CHECKS: dict[str, Callable[[], bool]] = {
    "root": lambda: os.geteuid() == 0,
    "not-root": lambda: os.geteuid() != 0,
    "node-zeromq": _node_zeromq,
    "packet-capture": _packet_capture,
    "debian-venv": _debian_venv,
    # `ulimit -Hn`: ten thousand connections and what else is open.
    "11000-open-files": lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 11_000,
    "atheris": lambda: importlib.util.find_spec("atheris") is not None,
}
_known: dict[str, bool] = {}


def _has(need: str) -> bool:
    if need not in _known:
        _known[need] = CHECKS[need]() if need in CHECKS else shutil.which(need) is not None
    return _known[need]


@pytest.fixture(autouse=True)
def _same_signals() -> Iterator[None]:
    """Commands let a closed pipe end their process; the tests' own goes on as before."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python begins
    yield
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*what): programs or rights without which the test can't run")


def pytest_runtest_setup(item: pytest.Item) -> None:
    needs = [need for marker in item.iter_markers("needs") for need in marker.args]
    missing = [need for need in needs if not _has(need)]
    if not missing:
        return
    for need in missing:
        _unmet.setdefault(need, []).append(item.nodeid)
    pytest.skip(f"needs {', '.join(missing)}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    tests, _, below = report.nodeid.partition("/")
    suite, slash, _ = below.partition("/")
    if tests == "tests" and slash:
        _seconds[suite] = _seconds.get(suite, 0.0) + report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if len(_seconds) > 1:
        terminalreporter.section("seconds of each suite")
        for suite, seconds in sorted(_seconds.items()):
            terminalreporter.write_line(f"{suite:<10} {seconds:7.1f}")
    if not _unmet:
        return
    terminalreporter.section(HEADING)
    for need, tests in sorted(_unmet.items()):
        terminalreporter.write_line(f"without {need}:")
        for test in tests:
            terminalreporter.write_line(f"  {test}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _unmet and os.environ.get(REQUIRE_VARIABLE) == "all" and session.exitstatus in (0, 5):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
