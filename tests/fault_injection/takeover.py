"""Takeovers: how long it takes until another process continues the work of a killed one."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import threading
import time
import typing as t

from tests.waiting import wait_until

from .installation import Installation
from .server_processes import Broker

#: How long the store delays answers to the process that is killed, seconds.
SLOW = 10.0


class Running(t.Protocol):
    """A process that can be killed."""

    def kill(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class Takeover:
    """Kills a working process while another one is idle, and measures the time of the takeover.

    :param start: starts a worker.
    :param ready: seconds after which a started worker is ready, at most.
    """

    installation: Installation
    start: cabc.Callable[[], Running]
    ready: float = 1.0

    def of_requests(self, cause: cabc.Callable[[], None], times: int) -> float:
        """Kill during a request to the store; return the time until every change is delivered.

        :param cause: makes the worker send requests to the store.
        """
        installation, took = self.installation, list[float]()
        for _ in range(times):
            holder = self.start()
            installation.store.faults.add("delay", times=100_000, seconds=SLOW)
            installation.change_store()
            cause()
            wait_until(lambda: not installation.idle)
            other = self._other()
            took.append(
                self._killed(holder, installation.store.faults.clear, lambda: installation.complete)
            )
            other.kill()
        return max(took)

    def of_deliveries(self, times: int) -> float:
        """Kill during a request to the callback; return the time until it is repeated."""
        installation, took = self.installation, list[float]()
        for _ in range(times):
            slow = _Slow()
            holder = self.start()
            installation.receiver.answer = slow
            installation.change_store()
            installation.poll_now()
            slow.asked.wait(60)
            other = self._other()
            installation.receiver.answer = lambda _received: 200
            took.append(self._killed(holder, lambda: None, lambda: installation.complete))
            slow.answer.set()
            other.kill()
        return max(took)

    def of_both(self) -> float:
        """Kill during requests to the store and the callback; return the time until the end."""
        installation, slow = self.installation, _Slow()
        holder = self.start()
        installation.receiver.answer = slow
        installation.change_store()
        installation.poll_now()
        slow.asked.wait(60)
        installation.store.faults.add("delay", times=100_000, seconds=SLOW)
        installation.change_store()
        wait_until(lambda: installation.idle)
        installation.poll_now()
        wait_until(lambda: not installation.idle)
        other = self._other()
        installation.receiver.answer = lambda _received: 200
        took = self._killed(holder, installation.store.faults.clear, lambda: installation.complete)
        slow.answer.set()
        other.kill()
        return took

    def of_webhook_checks(self, times: int) -> float:
        """Kill while webhooks are being registered; return the time until all of them are."""
        installation, took = self.installation, list[float]()
        table = installation.store.shop.tables["webhooks"]
        for _ in range(times):
            holder = self.start()
            wait_until(lambda: installation.webhooks_ready, 180)
            wanted = len(table)
            with installation.store.shop.lock:
                table.replace([])
            # The first one is registered, the others are not.
            installation.store.faults.add(
                "delay", times=100_000, match="webhooks/batch", seconds=SLOW, effect=False
            )
            installation.check_webhooks_now()
            wait_until(lambda: 0 < len(table) < wanted)  # noqa: B023
            other = self._other()
            done = lambda: len(table) >= wanted and installation.webhooks_ready  # noqa: B023, E731
            took.append(self._killed(holder, installation.store.faults.clear, done))
            other.kill()
        return max(took)

    def _other(self) -> Running:
        other = self.start()
        # A lease is renewed each third of its length; the kill is anywhere between two renewals.
        time.sleep(self.ready + self.installation.chance.uniform(0.0, 2.0))
        return other

    def _killed(
        self,
        holder: Running,
        then: cabc.Callable[[], None],
        done: cabc.Callable[[], bool],
    ) -> float:
        self.installation.record_kill()
        holder.kill()
        began = time.monotonic()
        then()
        wait_until(done)
        return time.monotonic() - began


class _Slow:
    """A callback that does not answer yet."""

    def __init__(self) -> None:
        self.asked, self.answer = threading.Event(), threading.Event()

    def __call__(self, _received: t.Any) -> int:
        self.asked.set()
        self.answer.wait(60)
        return 200


def broker_takeover(installation: Installation, broker: Broker) -> float:
    """Kill and restart the broker; return the seconds from then until all is delivered."""
    installation.record_kill()
    broker.kill()
    for _ in range(3):
        installation.change_store()
    installation.poll_now()
    time.sleep(3.0)
    broker.start()
    return wait_until(lambda: installation.complete)
