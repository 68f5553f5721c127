"""Lines that a person types while a command runs."""

from __future__ import annotations

import collections.abc as cabc
import os
import signal
import sys

#: Bytes that are read at once.
_READ = 4096


def keep_in_background() -> None:
    """Let a command that a shell has put into the background run without its terminal.

    Reading would stop it (SIGTTIN); now it fails, and :func:`lines` ends. For the main thread.
    """
    if sys.stdin is not None and sys.stdin.isatty():
        signal.signal(signal.SIGTTIN, signal.SIG_IGN)


def lines() -> cabc.Iterator[str]:
    """Yield lines of the standard input that are not blank, until it ends."""
    kept = b""
    try:
        # Not through its buffer, whose lock would stop the interpreter from exiting.
        while sys.stdin is not None and (data := os.read(sys.stdin.fileno(), _READ)):
            *whole, kept = (kept + data).split(b"\n")
            for line in whole:
                if text := line.decode("utf-8", "replace").strip():
                    yield text
    except (OSError, ValueError):
        return  # The terminal belongs to another command, or there is no standard input.
