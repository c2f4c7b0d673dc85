"""Wall clocks that differ between the processes of one cluster, by a small library preloaded into them."""

import struct
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = Path(__file__).with_name("skew.c")


def build_skew(directory: Path) -> Path:
    """Compile the library.  Needs a C compiler."""
    library = directory / "skew.so"
    subprocess.run(
        ["cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"],
        check=True,
    )
    return library


def skewed(directory: Path, offsets_seconds: Mapping[str, float]) -> dict[str, str]:
    """The environment under which each named node's wall clock is off by so many seconds."""
    library = build_skew(directory)
    for name, offset in offsets_seconds.items():
        (directory / name).write_bytes(struct.pack("d", offset))
    return {"LD_PRELOAD": str(library), "SKEW_DIRECTORY": str(directory)}
