"""Where the package and the machines come from."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "system"))
