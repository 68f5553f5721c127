"""Thread pools in which at most one thread works for an instance at a time."""

from __future__ import annotations

import collections.abc as cabc
import functools
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


#: Returns instances that are due.
#:
#: :param slow: those whose stores did not answer promptly before, or the others.
#: :param most: the greatest number that can begin.
Due = cabc.Callable[[bool, int], cabc.Iterable[int]]


class StoreThreadPools:
    """Two pools, so that no instance waits for the slow store of another one.

    :param threads: for stores that answer promptly.
    :param slow_threads: for those that did not before.
    :param name: the prefix of the names of threads.
    :param wake: set when one of them ends.
    """

    def __init__(self, threads: int, slow_threads: int, name: str, wake: threading.Event) -> None:
        self._pools = {
            False: InstanceThreadPool(threads, name, wake),
            True: InstanceThreadPool(slow_threads, f"{name}-slow", wake),
        }

    def begin(self, due: Due, work: cabc.Callable[[int, bool], object]) -> None:
        """Start work for the instances that are due, in the pool that is for their stores.

        :param work: gets the instance, and whether it may be one with a slow store.
        :raises RuntimeError: the system starts no more threads.
        """
        for slow, pool in self._pools.items():
            if free := pool.free:
                # Instances that have just begun may not have their lease yet.
                found = due(slow, free + len(pool.busy))
                pool.begin(found, functools.partial(_call, work, slow))

    def __enter__(self) -> t.Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for pool in self._pools.values():
            pool.__exit__(*exc_info)


def _call(work: cabc.Callable[[int, bool], object], slow: bool, number: int) -> object:
    return work(number, slow)
