"""``python packaging/deb/pins.py`` writes requirements.txt anew, with the newest versions allowed.

Each with the hashes of its wheels for the architectures of a Debian package, so that whoever builds it
takes the same bytes.  What a dependency wants and Recado never calls is left out (`NOT_NEEDED`).
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

from wheels import ARCHITECTURES, REQUIREMENTS, TARGET

ROOT: Final = Path(__file__).parents[2]
BUILDS_THE_WHEEL: Final = "setuptools>=70.1"  # the first that makes wheels by itself
NOT_NEEDED: Final = frozenset({"pip"})  # sqlite-utils installs its plugins with it
HEADING: Final = """\
# What the Debian package brings: written by `python packaging/deb/pins.py`, for amd64 and arm64.
# setuptools only makes the wheel of Recado itself, and is not shipped.
"""


def resolved(architecture: str, wanted: list[str]) -> dict[tuple[str, str], str]:
    """``{(name, version): hash}`` of every wheel that these requirements come to."""
    with tempfile.TemporaryDirectory() as aside:
        report = Path(aside) / "report.json"
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "-qq", "--dry-run", "--report", str(report)),
                *(*TARGET, *ARCHITECTURES[architecture].options, "--target", aside, *wanted),
            ],
            check=True,
        )
        found = json.loads(report.read_text())["install"]
    return {
        (_normal(each["metadata"]["name"]), each["metadata"]["version"]): each["download_info"][
            "archive_info"
        ]["hash"].replace("=", ":")
        for each in found
    }


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Ask for each architecture, and write what all of them agree on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins: dict[tuple[str, str], set[str]] = {}
    for architecture in ARCHITECTURES:
        for pin, digest in resolved(architecture, [*project["dependencies"], BUILDS_THE_WHEEL]).items():
            if pin[0] not in NOT_NEEDED:
                pins.setdefault(pin, set()).add(digest)
    lines = [
        f"{name}=={version}" + "".join(f" \\\n    --hash={digest}" for digest in sorted(digests))
        for (name, version), digests in sorted(pins.items())
    ]
    REQUIREMENTS.write_text(HEADING + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
