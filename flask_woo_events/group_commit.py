"""Group commit: the writes of concurrent requests, made in one transaction."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import threading
import typing as t

from sqlalchemy import orm

from .database import Database

T = t.TypeVar("T")
Work = cabc.Callable[[orm.Session], t.Any]
#: Writes of one transaction.
TOGETHER = 100


class GroupCommit:
    """Lets requests that arrive together share a commit; each waits until its own is done.

    Whoever comes first writes for those who came meanwhile. A request that fails does not take
    others with it: each is then made in a transaction of its own.

    :param database: where to write.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Write] = []
        self._turn = threading.Lock()

    def write(self, work: cabc.Callable[[orm.Session], T]) -> T:
        """Do the work in a transaction; returns what it returns once that is committed.

        :param work: may be done twice, the first time in a transaction that is rolled back.
        """
        mine = _Write(work)
        self._waiting.append(mine)
        with self._turn:
            if not mine.done:
                batch = [mine, *(one for one in self._waiting[:TOGETHER] if one is not mine)]
                for one in batch:
                    # Whose writer was interrupted is not there any more.
                    with contextlib.suppress(ValueError):
                        self._waiting.remove(one)
                self._commit(batch)
        if mine.error is not None:
            raise mine.error
        return t.cast("T", mine.result)

    def _commit(self, batch: cabc.Sequence[_Write]) -> None:
        try:
            with self._database.write() as session:
                results = [one.work(session) for one in batch]
        except Exception as exc:
            if len(batch) == 1:
                batch[0].end(error=exc)
                return
            for one in batch:
                self._commit([one])
        else:
            for one, result in zip(batch, results, strict=True):
                one.end(result)


class _Write:
    """One request's part."""

    __slots__ = ("done", "error", "result", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.result: t.Any = None
        self.error: Exception | None = None
        self.done = False

    def end(self, result: t.Any = None, error: Exception | None = None) -> None:
        self.result, self.error, self.done = result, error, True
