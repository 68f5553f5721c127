"""Group commit: the writes of concurrent threads in one transaction."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import threading
import typing as t

import sqlalchemy as sa

from .database import Database, is_away, is_deadlock

Item = t.TypeVar("Item")
Result = t.TypeVar("Result")
Writing = cabc.Callable[[sa.Connection, cabc.Sequence[Item]], cabc.Sequence[Result]]
#: Most items per transaction.
TOGETHER = 100


class GroupCommit(t.Generic[Item, Result]):
    """A commit that concurrent threads share; each waits until its own item is committed.

    The first thread writes also the items of those that came meanwhile. An item that fails does
    not affect others: each is then written in a transaction of its own. If the database is locked
    or away, all of them fail together.

    :param database: where to write.
    :param work: writes items and returns a result for each; may run twice for an item, the first
        time in a transaction that is rolled back.
    """

    def __init__(self, database: Database, work: Writing[Item, Result]) -> None:
        self._database = database
        self._work = work
        self._waiting: list[_Write[Item, Result]] = []
        self._writing = threading.Lock()

    def write(self, item: Item) -> Result:
        """Write an item, and return its result after the commit."""
        mine: _Write[Item, Result] = _Write(item)
        self._waiting.append(mine)
        with self._writing:
            if not mine.done:
                batch = [mine, *(one for one in self._waiting[:TOGETHER] if one is not mine)]
                for one in batch:
                    # An item is gone when its thread was interrupted.
                    with contextlib.suppress(ValueError):
                        self._waiting.remove(one)
                self._commit(batch)
        if mine.error is not None:
            raise mine.error
        return t.cast("Result", mine.result)

    def write_all(self, items: cabc.Sequence[Item]) -> list[Result | Exception]:
        """Write the items of one thread in one commit, and return a result or error for each."""
        batch: list[_Write[Item, Result]] = [_Write(item) for item in items]
        with self._writing:
            self._commit(batch)
        return [one.error or t.cast("Result", one.result) for one in batch]

    def _commit(self, batch: cabc.Sequence[_Write[Item, Result]]) -> None:
        try:
            results = self._database.again(lambda: self._write([one.item for one in batch]))
        except Exception as exc:
            if len(batch) == 1 or _fails_all(exc):
                for one in batch:
                    one.end(error=exc)
                return
        else:
            for one, result in zip(batch, results, strict=True):
                one.end(result)
            return
        for number, one in enumerate(batch):
            self._commit([one])
            if one.error is not None and _fails_all(one.error):
                for other in batch[number + 1 :]:
                    other.end(error=one.error)
                return

    def _write(self, items: cabc.Sequence[Item]) -> cabc.Sequence[Result]:
        with self._database.begin() as connection:
            return self._work(connection, items)


def _fails_all(exc: Exception) -> bool:
    """Return whether other items would fail, too, each after a time-out of the database."""
    return is_away(exc) and not is_deadlock(exc)


class _Write(t.Generic[Item, Result]):
    """One thread's item and its result."""

    __slots__ = ("done", "error", "item", "result")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.result: Result | None = None
        self.error: Exception | None = None
        self.done = False

    def end(self, result: Result | None = None, error: Exception | None = None) -> None:
        self.result, self.error, self.done = result, error, True
