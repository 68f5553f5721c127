"""How many examples a property test tries."""

from __future__ import annotations

import os

#: ``make soak`` sets it: how many times as many are tried.
_FACTOR = int(os.environ.get("EXAMPLES", "1"))


def examples(number: int) -> int:
    """Return how many examples to try, from the number that each change is tested with."""
    return number * _FACTOR
