"""A thread pool in which at most one thread works for an instance at a time."""

from __future__ import annotations

import collections.abc as cabc
import threading
import typing as t


class InstanceThreadPool:
    """Threads that each work for one instance, and end with that work.

    An executor would keep work for which no thread could be started, and do it much later.

    :param threads: how many at most.
    :param name: the prefix of their names.
    :param wake: set when one of them ends.
    """

    def __init__(self, threads: int, name: str, wake: threading.Event) -> None:
        self._most = threads
        self._name = name
        self._wake = wake
        self._lock = threading.Lock()
        self._threads: dict[int, threading.Thread] = {}

    @property
    def busy(self) -> frozenset[int]:
        """The instances for which threads are working."""
        with self._lock:
            return frozenset(self._threads)

    @property
    def free(self) -> int:
        """How many more threads may be started."""
        with self._lock:
            return self._most - len(self._threads)

    def begin(self, instance_ids: cabc.Iterable[int], work: cabc.Callable[[int], object]) -> None:
        """Start work for instances, up to the number of threads; the others wait for the next call.

        :raises RuntimeError: the system starts no more threads.
        """
        for number in instance_ids:
            with self._lock:
                if len(self._threads) >= self._most:
                    return
                if number in self._threads:
                    continue
                name = f"{self._name}_{number}"
                thread = threading.Thread(target=self._work, args=(number, work), name=name)
                # The thread waits for the lock before it removes itself.
                thread.start()
                self._threads[number] = thread

    def _work(self, number: int, work: cabc.Callable[[int], object]) -> None:
        try:
            work(number)
        finally:
            with self._lock:
                del self._threads[number]
            self._wake.set()

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            threads = list(self._threads.values())
        for thread in threads:
            thread.join()
