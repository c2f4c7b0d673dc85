"""What the torture borrows from the neighbouring test rooms: the judges, the histories, the skewed clocks.

Those rooms import each other by plain names, as pytest lets them; `python -m tests.torture` must say
where they are.
"""

import sys
from pathlib import Path

_TESTS = Path(__file__).parents[1]
sys.path += [str(_TESTS / room) for room in ("simulation", "system") if str(_TESTS / room) not in sys.path]

import final_state  # noqa: E402
import judges  # noqa: E402
from final_state import FinalState  # noqa: E402
from skewed_clocks import build_skew  # noqa: E402
from workload import History, Operation  # noqa: E402

__all__ = ["FinalState", "History", "Operation", "build_skew", "final_state", "judges"]
