"""The worker: loops that poll, process webhooks, deliver and purge until it is stopped."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import functools
import logging
import os
import signal
import threading
import types
import typing as t

import sqlalchemy as sa

from ..db.database import Work, is_away
from ..db.leases import LeaseRenewer
from ..db.presence import RENEW_EVERY, Presence
from ..delivery.dispatcher import Dispatch, DispatchReport
from ..errors import WooEventsError
from ..instances import circuit, restored, webhooks
from ..runtime import Runtime
from ..sync.instance_poll import InstancePoll, Progress, due_instances
from ..sync.report import PollReport
from ..sync.webhooks.process import HintProcessor
from ..sync.webhooks.reachability import Watch
from . import operations, retention
from .thread_pool import StoreThreadPools

_log = logging.getLogger(__name__)

#: The longest pause between two checks of what is due, and the pause of a thread whose work failed,
#: seconds.
CHECK_EVERY = 1.0
#: The pause between two purges, and before the first, seconds.
PURGE_EVERY, PURGE_AFTER = 3600.0, 60.0
#: The longest pause between two checks for webhooks to process, seconds.
SETTLE_EVERY = 0.25
#: The pause between two checks of whether stores reach the intake, seconds.
WATCH_EVERY = 15.0
#: The longest pause between two checks for operational events to send, seconds: usually the commit
#: of their cause wakes the loop.
OPERATIONAL_EVERY = 15.0


class Worker:
    """Polls and delivers for one application.

    :param progress: called during baselines.
    :param poll: ``run()`` polls, processes webhooks, and checks them.
    :param deliver: ``run()`` delivers and purges.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        progress: Progress | None = None,
        poll: bool = True,
        deliver: bool = True,
    ) -> None:
        self._runtime = runtime
        self._progress = progress
        self._poll = poll
        self._deliver = deliver
        self._stop = threading.Event()
        #: End the pauses of loops: when a thread is free, and when a commit gives them work.
        self._wakes: list[threading.Event] = []
        self._wakes_by_work: dict[Work, threading.Event] = {}
        #: What ended a loop.
        self._failure: BaseException | None = None

    def stop(self) -> None:
        """End between two commits; from a signal handler or another thread."""
        self._stop.set()
        for wake in (*self._wakes, *self._wakes_by_work.values()):
            wake.set()

    @property
    def stopped(self) -> bool:
        """``stop()`` was called."""
        return self._stop.is_set()

    @property
    def stop_seconds(self) -> float:
        """How long running requests may take after ``stop()``, seconds."""
        return self._runtime.settings.stop_seconds

    def poll_once(
        self,
        instance_ids: cabc.Sequence[int],
        *,
        only: str | None = None,
        also_off: bool = False,
    ) -> list[PollReport]:
        """Poll these instances now, several at the same time; slow stores delay no others.

        An error of one instance is reported; the others are polled.

        :param only: the one resource to poll; ``None``: all.
        :param also_off: also poll those whose events are off.
        """
        reports: list[PollReport] = []
        settings = self._runtime.settings
        with self._runtime.database.read() as session:
            slow = circuit.slow_ones(session, instance_ids)
        with (
            lease_renewer(self._runtime) as renewer,
            concurrent.futures.ThreadPoolExecutor(settings.poll_threads, "woo-poll") as pool,
            concurrent.futures.ThreadPoolExecutor(settings.slow_threads, "woo-slow") as slow_pool,
        ):
            poll = self._instance_poll(renewer, only, forced=True, also_off=also_off)

            def run(instance_id: int) -> list[PollReport]:
                try:
                    return poll.run(instance_id)
                except Exception as exc:
                    if is_away(exc):
                        raise
                    extra = {"action": "poll", "instance": instance_id}
                    _log.exception("the poll of instance %d failed", instance_id, extra=extra)
                    error = f"unexpected {type(exc).__name__}, which the log shows"
                    if isinstance(exc, WooEventsError):
                        error = str(exc)
                    return [PollReport(instance=instance_id, resource=only or "*", error=error)]

            later = [slow_pool.submit(run, one) for one in instance_ids if one in slow]
            prompt = [one for one in instance_ids if one not in slow]
            for instance_id, done in zip(prompt, pool.map(run, prompt), strict=True):
                reports += done
                if not done:
                    # Its store was slow.
                    later.append(slow_pool.submit(run, instance_id))
            for each in later:
                reports += each.result()
        return reports

    def settle_once(self) -> list[PollReport]:
        """Process the webhooks that were received so far."""
        with lease_renewer(self._runtime) as renewer:
            processor = HintProcessor(self._runtime, renewer, self._stop.is_set)
            reports = [report for one in processor.due(slow=False) for report in processor.run(one)]
            # Also those that were given up by now.
            return reports + [
                report for one in processor.due(slow=True) for report in processor.run(one)
            ]

    def deliver_once(self) -> DispatchReport:
        """Deliver what is due now."""
        operations.post(self._runtime)
        with lease_renewer(self._runtime) as renewer:
            return Dispatch(self._runtime, renewer, stopped=self._stop.is_set).run()

    def run(self) -> None:
        """Poll and deliver until ``stop()``.

        All loops end when one of them fails, so that the process can be started again.
        """
        loops = [self._poll_loop, self._process_loop, self._watch_loop] * self._poll
        loops += [self._deliver_loop, self._operational_loop, self._purge_loop] * self._deliver
        loops.append(self._presence_loop)
        threads = [
            threading.Thread(target=self._run, args=(loop,), name=f"woo{loop.__name__}")
            for loop in loops
        ]
        started: list[threading.Thread] = []
        self._runtime.database.listeners.append(self._wake)
        try:
            for thread in threads:
                thread.start()
                started.append(thread)
            # The main thread stays free for signals.
            while not self._stop.wait(CHECK_EVERY):
                pass
        finally:
            self._runtime.database.listeners.remove(self._wake)
            self.stop()
            for thread in started:
                thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self, loop: cabc.Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as exc:
            # For example no thread could be started for its renewer.
            self._failure = exc
            self.stop()

    def _wake(self, work: Work) -> None:
        if work in self._wakes_by_work:
            self._wakes_by_work[work].set()

    def _loop(
        self,
        action: str,
        what: str,
        step: cabc.Callable[[], object],
        every: float,
        wake: threading.Event | None = None,
    ) -> None:
        """Call a function again and again until ``stop()``.

        :param every: the longest pause between two calls, seconds.
        :param wake: ends a pause.
        """
        while True:
            if wake is not None:
                wake.clear()
            # After the clear, which may have hidden that stop() set the event.
            if self._stop.is_set():
                return
            self._guarded(action, what, step)
            (wake or self._stop).wait(every)

    def _guarded(
        self,
        action: str,
        what: str,
        work: cabc.Callable[[], object],
        instance_id: int | None = None,
    ) -> None:
        """Call a function, and log what it raises: leases end, so that any worker may repeat it."""
        extra: dict[str, object] = {"action": action}
        if instance_id is not None:
            what = f"{what} of instance {instance_id}"
            extra["instance"] = instance_id
        try:
            work()
            return
        except sa.exc.SQLAlchemyError:
            extra["action"] = "database_away"
            _log.warning("%s: the database does not answer", what, exc_info=True, extra=extra)
        except BaseException:
            # Any error, also sys.exit() of an application's receiver of a signal: the other
            # instances, and the other loops, go on.
            _log.exception("%s failed", what, extra=extra)
        if instance_id is not None:
            # Keep the thread: the instance is still due, and would fail again immediately.
            self._stop.wait(CHECK_EVERY)

    def _poll_loop(self) -> None:
        threads = self._runtime.settings.poll_threads
        wake = threading.Event()
        self._wakes.append(wake)
        with (
            lease_renewer(self._runtime) as renewer,
            self._pools(threads, "woo-poll", wake) as polls,
            self._pools(threads, "woo-guard", wake) as guards,
        ):
            poll = self._instance_poll(renewer, None)
            checking = "checking whether the database was restored"
            self._guarded("epoch", checking, lambda: restored.look(self._runtime))

            def poll_one(number: int, slow: bool) -> None:
                run = functools.partial(poll.run, number, slow=slow)
                self._guarded("poll", "polling", run, number)

            def guard_one(number: int, slow: bool) -> None:
                guard = functools.partial(webhooks.guard, self._runtime, renewer, number, slow=slow)
                self._guarded("guard", "checking the webhooks", guard, number)

            def due(slow: bool, most: int) -> list[int]:
                return due_instances(self._runtime, most=most, slow=slow)

            def start() -> None:
                polls.begin(due, poll_one)
                guards.begin(lambda slow, _: webhooks.due(self._runtime, slow=slow), guard_one)

            self._loop("poll", "polling", start, CHECK_EVERY, wake)

    def _process_loop(self) -> None:
        """Process webhooks when they arrive; a slow store delays only its own."""
        wake = self._wakes_by_work[Work.ARRIVALS] = threading.Event()
        threads = self._runtime.settings.settle_threads
        with (
            lease_renewer(self._runtime) as renewer,
            self._pools(threads, "woo-settle", wake) as pools,
        ):
            processor = HintProcessor(self._runtime, renewer, self._stop.is_set)
            what = "processing the webhooks"

            def process_one(number: int, slow: bool) -> None:
                run = functools.partial(processor.run, number, slow=slow)
                self._guarded("settle", what, run, number)

            def start() -> None:
                pools.begin(lambda slow, _: processor.due(slow=slow), process_one)

            self._loop("settle", what, start, SETTLE_EVERY, wake)

    def _pools(self, threads: int, name: str, wake: threading.Event) -> StoreThreadPools:
        return StoreThreadPools(threads, self._runtime.settings.slow_threads, name, wake)

    def _watch_loop(self) -> None:
        watch = Watch(self._runtime)
        self._loop("watch", "checking whether stores reach the intake", watch.check, WATCH_EVERY)

    def _presence_loop(self) -> None:
        presence = Presence(self._runtime.database, self._runtime.clock)
        what = "noting that the worker runs"
        self._loop("presence", what, presence.renew, RENEW_EVERY)
        self._guarded("presence", what, presence.end)

    def _deliver_loop(self) -> None:
        with lease_renewer(self._runtime) as renewer:

            def deliver() -> None:
                dispatch = Dispatch(self._runtime, renewer, stopped=self._stop.is_set)
                self._wakes_by_work[Work.DELIVERIES] = dispatch.wake
                dispatch.run(forever=True)

            self._loop("deliver", "delivering", deliver, CHECK_EVERY)

    def _operational_loop(self) -> None:
        wake = self._wakes_by_work[Work.OPERATIONAL] = threading.Event()

        def step() -> None:
            operations.post(self._runtime, self._stop.is_set)

        what = "recording operational events"
        self._loop("operational", what, step, OPERATIONAL_EVERY, wake)

    def _purge_loop(self) -> None:
        def purge() -> None:
            # What it records of feeds belongs to the new life of a restored database.
            restored.look(self._runtime)
            purged = retention.purge(self._runtime, self._stop.is_set)
            extra = {"action": "purge", **dataclasses.asdict(purged)}
            _log.info("purged %d old notifications", purged.notifications, extra=extra)

        if not self._stop.wait(PURGE_AFTER):
            self._loop("purge", "purging", purge, PURGE_EVERY)

    def _instance_poll(
        self,
        renewer: LeaseRenewer,
        only: str | None,
        *,
        forced: bool = False,
        also_off: bool = False,
    ) -> InstancePoll:
        return InstancePoll(
            self._runtime,
            renewer,
            only=only,
            forced=forced,
            progress=self._progress,
            stopped=self._stop.is_set,
            also_off=also_off,
        )


def lease_renewer(runtime: Runtime) -> LeaseRenewer:
    """Return a renewer of leases with the length that is configured."""
    length = dt.timedelta(seconds=runtime.settings.lease_seconds)
    return LeaseRenewer(runtime.database, runtime.clock, length)


@contextlib.contextmanager
def stopping_on_signals(worker: Worker) -> cabc.Iterator[None]:
    """Stop a worker on SIGINT and SIGTERM while the block runs; a second signal kills it.

    A request that is not answered within ``WOO_EVENTS_STOP_SECONDS`` is abandoned with the process,
    as if it were killed: its lease ends by itself.
    """
    before: dict[int, t.Any] = {}
    asked, ended = threading.Event(), threading.Event()

    def stop(number: int, frame: types.FrameType | None) -> None:
        worker.stop()
        asked.set()
        signal.signal(number, before[number])

    def abandon() -> None:
        asked.wait()
        if not ended.wait(worker.stop_seconds):
            extra = {"action": "stop", "seconds": worker.stop_seconds}
            _log.warning(
                "some requests were not answered within %.0f s; they are abandoned, and repeated "
                "by the next worker", worker.stop_seconds, extra=extra,
            )  # fmt: skip
            logging.shutdown()
            # The threads that wait would keep the process.
            os._exit(0)

    threading.Thread(target=abandon, name="woo-stop", daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        ended.set()
        asked.set()
        for each, handler in before.items():
            signal.signal(each, handler)
