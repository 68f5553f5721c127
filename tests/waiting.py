"""Waits of tests: for a condition, never for a time."""

from __future__ import annotations

import collections.abc as cabc
import time

#: Time-out of a wait, seconds: long, so that no test depends on the speed of the machine.
HANG_SECONDS = 500.0


def wait_until(done: cabc.Callable[[], bool], seconds: float = HANG_SECONDS) -> float:
    """Wait for a condition; return how long it took, seconds.

    :param seconds: fewer for what a long run measures; a test leaves it out.
    :raises TimeoutError: the condition did not become true.
    """
    began = time.monotonic()
    while not done():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"the condition was not met within {seconds:g} seconds")
        time.sleep(0.01)
    return time.monotonic() - began
