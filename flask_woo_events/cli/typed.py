"""Lines that a person types while a command runs."""

from __future__ import annotations

import collections.abc as cabc
import signal
import sys


def keep_in_background() -> None:
    """Let a command that a shell has put into the background run without its terminal.

    Reading would stop it (SIGTTIN); now it fails, and :func:`lines` ends. For the main thread.
    """
    if sys.stdin is not None and sys.stdin.isatty():
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)


def lines() -> cabc.Iterator[str]:
    """Yield lines of the standard input that are not blank, until it ends."""
    try:
        for line in sys.stdin or ():
            if text := line.strip():
                yield text
    except (OSError, ValueError):
        return  # The terminal belongs to another command, or the input was closed.
