"""A thread pool in which at most one thread works for an instance at a time."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import threading
import typing as t


class InstanceThreadPool:
    """Threads that each work for one instance.

    :param threads: how many.
    :param name: the prefix of their names.
    :param wake: set when one of them becomes free.
    """

    def __init__(self, threads: int, name: str, wake: threading.Event) -> None:
        self._pool = concurrent.futures.ThreadPoolExecutor(threads, name)
        self._threads = threads
        self._wake = wake
        self._lock = threading.Lock()
        self._busy: set[int] = set()

    @property
    def busy(self) -> frozenset[int]:
        """The instances for which threads are working."""
        with self._lock:
            return frozenset(self._busy)

    @property
    def free(self) -> int:
        """How many threads are idle."""
        with self._lock:
            return self._threads - len(self._busy)

    def begin(self, instance_ids: cabc.Iterable[int], work: cabc.Callable[[int], object]) -> None:
        """Start work for instances, while threads are idle; the others wait for the next call."""
        for number in instance_ids:
            with self._lock:
                if len(self._busy) >= self._threads:
                    return
                if number in self._busy:
                    continue
                self._busy.add(number)
            self._pool.submit(self._work, number, work)

    def _work(self, number: int, work: cabc.Callable[[int], object]) -> None:
        try:
            work(number)
        finally:
            with self._lock:
                self._busy.discard(number)
            self._wake.set()

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pool.shutdown()
