"""Unreadable objects: those of one collection that a store fails to show, and their next trial."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

#: When an unreadable object is tried again; it doubles with each trial.
FIRST_TRIAL = dt.timedelta(minutes=5)
LAST_TRIAL = dt.timedelta(hours=1)
#: Objects that are kept; with more, their resource fails.
MOST_KEPT = 100


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclasses.dataclass(slots=True)
class Trial:
    """What is kept of one object.

    :param at: when it is tried again.
    :param failures: trials without success.
    :param old: it belongs to the baseline, which could not read it.
    """

    at: dt.datetime
    failures: int = 0
    old: bool = False


class Unreadable:
    """The unreadable objects of one collection, changed in place.

    :param clock: our own clock.
    """

    def __init__(self, stored: object = None, clock: cabc.Callable[[], dt.datetime] = _now) -> None:
        self._clock = clock
        kept = stored if isinstance(stored, dict) else {}
        self._trials = {
            int(number): Trial(
                dt.datetime.fromisoformat(one["at"]), int(one["failures"]), bool(one.get("old"))
            )
            for number, one in kept.items()
        }
        self._released: dict[int, Trial] = {}
        #: Whether the baseline is being read.
        self.baseline = False

    def __contains__(self, object_id: int | str) -> bool:
        text = str(object_id)
        return text.isdecimal() and int(text) in self._trials

    def __len__(self) -> int:
        return len(self._trials)

    @property
    def ids(self) -> list[int]:
        """The ids, ascending."""
        return sorted(self._trials)

    @property
    def is_full(self) -> bool:
        """Whether no more objects are kept."""
        return len(self._trials) >= MOST_KEPT

    def add(self, number: int) -> None:
        """Note that an object cannot be read; the delay until the next trial grows."""
        before = self._released.pop(number, None) or Trial(self._clock(), old=self.baseline)
        trial = self._trials.setdefault(number, before)
        trial.at = self._clock() + min(FIRST_TRIAL * 2 ** min(trial.failures, 10), LAST_TRIAL)
        trial.failures += 1

    def remove(self, number: int) -> None:
        """Forget an object."""
        self._trials.pop(number, None)

    def waits(self, number: int) -> bool:
        """Return whether an object is kept, and not to be tried now."""
        trial = self._trials.get(number)
        return trial is not None and trial.at > self._clock()

    def is_old(self, number: int) -> bool:
        """Return whether an object belongs to the baseline, which could not read it."""
        return number in self._trials and self._trials[number].old

    def release(self, number: int) -> None:
        """Let an object be read as others are; if that fails, the delay goes on growing."""
        if (trial := self._trials.pop(number, None)) is not None:
            self._released[number] = trial

    def hurry(self, numbers: cabc.Iterable[int]) -> None:
        """Try those of these objects that are kept at the next opportunity: they changed."""
        for number in numbers:
            if (trial := self._trials.get(number)) is not None:
                trial.at = self._clock()

    def due(self, most: int) -> list[int]:
        """Return at most so many objects to try now, the longest waiting first."""
        now = self._clock()
        due = [number for number, trial in self._trials.items() if trial.at <= now]
        return sorted(due, key=lambda number: self._trials[number].at)[:most]

    def to_json(self) -> dict[str, dict[str, t.Any]]:
        """Return what a cursor's memory keeps."""
        return {
            str(number): {"at": one.at.isoformat(), "failures": one.failures}
            | ({"old": True} if one.old else {})
            for number, one in self._trials.items()
        }
