"""The attacks on real processes use what the system tests start them with."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "system"))
