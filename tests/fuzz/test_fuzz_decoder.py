"""Coverage-guided fuzzing of the decoders, for as long as RECADO_FUZZ_SECONDS says."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.frames import VALID, framed, hostile

SECONDS = int(os.environ.get("RECADO_FUZZ_SECONDS", "60"))
INPUT_SECONDS_MAX = 5
MEMORY_MIB_MAX = 600
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.needs("atheris")
def test_no_bytes_break_a_decoder(tmp_path: Path) -> None:
    """From valid and hostile frames on, no input makes a decoder fail, hang or take much memory."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    frames = [framed(service, {**data, "clock": 7}) for service, data in VALID.items()]
    for number, frame in enumerate([*frames, *(frame for frame in hostile() if len(frame) < 4096)]):
        (corpus / str(number)).write_bytes(frame)
    limits = [
        f"-max_total_time={SECONDS}",
        f"-timeout={INPUT_SECONDS_MAX}",
        f"-rss_limit_mb={MEMORY_MIB_MAX}",
    ]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.decoder", *limits, f"-artifact_prefix={tmp_path}/", str(corpus)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS * 2 + 60,
        check=False,
    )
    found = [path.read_bytes()[:400] for path in tmp_path.iterdir() if path.is_file()]
    assert ended.returncode == 0, f"{ended.stderr[-4000:]}\n{found}"
