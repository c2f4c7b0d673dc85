"""``make test``: every test, in two runs side by side, which together take little more than the longer one.

The rooms of `BESIDE` mostly wait for no clock and no socket: they keep a processor busy while the others
wait.  What they say is printed when both have ended.  Arguments go to both runs of pytest.  Exit code: 0 if
both have passed, otherwise the first one that is not 0.
"""

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BESIDE = ("simulation", "fuzz", "protocol", "storage", "client", "clients", "daemons", "house")


def commands(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The run in the background, and the one in front."""
    pytest = [sys.executable, "-m", "pytest", *arguments]
    paths = [f"tests/{room}" for room in BESIDE]
    return [*pytest, *paths], [*pytest, "tests", *(f"--ignore={path}" for path in paths)]


def main(arguments: list[str]) -> int:
    """Both runs."""
    behind, ahead = commands(arguments)
    with tempfile.TemporaryFile() as said:
        background = subprocess.Popen(behind, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        try:
            first = subprocess.run(ahead, cwd=ROOT, check=False).returncode
            second = background.wait()
        except KeyboardInterrupt:
            background.send_signal(signal.SIGINT)
            background.wait()
            first = second = 130
        said.seek(0)
        print(f"\n== tests of {', '.join(BESIDE)}: they ran beside these", flush=True)
        sys.stdout.buffer.write(said.read())
        sys.stdout.flush()
    return first or second


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
