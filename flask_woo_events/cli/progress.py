"""Progress: the bar of baselines, and a word before what takes long."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import sys
import threading
import typing as t

import click
from click.termui import progressbar

#: Seconds after which a command says what it waits for.
SAY_AFTER = 2.0


class BaselineBar:
    """One progress bar for all baselines that are being recorded.

    :param shown: whether to draw it: not without a terminal, and not with ``--json``.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._lock = threading.Lock()
        self._done: dict[str, tuple[int, int]] = {}
        self._bar: t.Any = None

    def show(self, resource: str, done: int, total: int) -> None:
        """Show how many objects of one resource have been read."""
        if not self._shown:
            return
        with self._lock:
            self._done[resource] = (done, total)
            done_in_all = sum(done for done, _ in self._done.values())
            if self._bar is None:
                self._bar = _bar()
            self._bar.length = sum(total for _, total in self._done.values())
            self._bar.update(done_in_all - self._bar.pos)

    def __enter__(self) -> BaselineBar:
        return self

    def __exit__(self, *exc_info: t.Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)


@contextlib.contextmanager
def saying(text: str) -> cabc.Iterator[None]:
    """Print a line if the block takes longer than two seconds."""
    timer = threading.Timer(SAY_AFTER, click.echo, (text,), {"err": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _bar() -> t.Any:
    options: dict[str, t.Any] = {"length": 0, "label": "baseline"}
    bar = progressbar(file=sys.stderr, **options)
    bar.render_progress()
    return bar
