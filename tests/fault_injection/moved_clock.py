"""A clock that a test moves forward, for all processes of an installation at the same time."""

from __future__ import annotations

import datetime as dt
import os
import pathlib
import time
import types
import typing as t

from flask_woo_events.db.clock import DatabaseClock
from flask_woo_events.woocommerce import row_limit, unreadable

#: Names the file with the seconds by which the clock of a process is ahead.
CLOCK_FILE = "CHAOS_CLOCK"


class MovedClock:
    """The seconds by which clocks are ahead, in a file that processes read at each use."""

    def __init__(self, file: pathlib.Path) -> None:
        self._file = file

    @property
    def ahead(self) -> float:
        """How far the clocks are ahead, seconds."""
        return float(self._file.read_text())

    def advance(self, seconds: float) -> None:
        """Move the clocks forward."""
        there = self.ahead if self._file.exists() else 0.0
        # Renamed, so that no process reads half of it.
        new = self._file.with_suffix(".new")
        new.write_text(str(there + seconds))
        new.rename(self._file)


def from_environment() -> None:
    """Move the clocks of this process, if the environment names a file."""
    if named := os.environ.get(CLOCK_FILE):
        _move(MovedClock(pathlib.Path(named)))


def _move(clock: MovedClock) -> None:
    machine, database = time.time, DatabaseClock.__call__

    class Datetime(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> t.Any:
            return dt.datetime.now(tz) + dt.timedelta(seconds=clock.ahead)

    moved = types.SimpleNamespace(**{**vars(dt), "datetime": Datetime})
    vars(row_limit)["dt"] = vars(unreadable)["dt"] = moved
    time.time = lambda: machine() + clock.ahead
    DatabaseClock.__call__ = lambda self: (  # type: ignore[method-assign]
        database(self) + dt.timedelta(seconds=clock.ahead)
    )
