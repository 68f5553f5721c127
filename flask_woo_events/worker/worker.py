"""The worker: a loop that polls what is due and delivers what is due, until it is stopped."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import contextlib
import dataclasses
import datetime as dt
import logging
import signal
import threading
import types
import typing as t

import sqlalchemy as sa

from ..db.database import Work
from ..db.leases import LeaseRenewer
from ..delivery.dispatcher import Dispatch, DispatchReport
from ..instances import webhooks
from ..runtime import Runtime
from ..sync.instance_poll import InstancePoll, Progress, due_instances
from ..sync.report import PollReport
from ..sync.webhooks.process import HintProcessor
from ..sync.webhooks.reachability import Watch
from . import retention
from .thread_pool import InstanceThreadPool

_log = logging.getLogger(__name__)

#: The longest pause between two looks at what is due, seconds.
LOOK_EVERY = 1.0
#: The pause between two purges of what is old, seconds; the first comes after a minute.
PURGE_EVERY, PURGE_AFTER = 3600.0, 60.0
#: The pause between two looks at what webhooks said, seconds.
SETTLE_EVERY = 0.25
#: The pause between two looks at whether stores reach us, seconds.
WATCH_EVERY = 15.0


class Worker:
    """Polls and delivers for one application.

    :param progress: called during baselines.
    :param poll: ``run()`` polls.
    :param deliver: ``run()`` delivers.
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
        self._poll_too = poll
        self._deliver_too = deliver
        self._stop = threading.Event()
        #: What loops wait on, to be set when there may be something to do.
        self._looks: list[threading.Event] = []
        self._wakes: dict[Work, threading.Event] = {}

    def stop(self) -> None:
        """End between two commits; from a signal handler or another thread."""
        self._stop.set()
        for wake in (*self._looks, *self._wakes.values()):
            wake.set()

    @property
    def stopped(self) -> bool:
        """Somebody asked to end."""
        return self._stop.is_set()

    def poll_once(
        self, instance_ids: cabc.Sequence[int], *, only: str | None = None
    ) -> list[PollReport]:
        """Poll these instances now, several at once."""
        reports: list[PollReport] = []
        threads = self._runtime.settings.poll_threads
        with (
            self._keeper() as keeper,
            concurrent.futures.ThreadPoolExecutor(threads, "woo-poll") as pool,
        ):
            turn = self._turn(keeper, only, forced=True)
            for done in pool.map(turn.run, instance_ids):
                reports += done
        return reports

    def settle_once(self) -> list[PollReport]:
        """Look after what webhooks said so far."""
        with self._keeper() as keeper:
            settlement = HintProcessor(self._runtime, keeper, self._stop.is_set)
            return [report for one in settlement.due() for report in settlement.run(one)]

    def deliver_once(self) -> DispatchReport:
        """Deliver what is due now."""
        with self._keeper() as keeper:
            return Dispatch(self._runtime, keeper, stopped=self._stop.is_set).run()

    def run(self) -> None:
        """Poll and deliver until ``stop()``."""
        loops = [self._poll_all, self._settle_all, self._watch_all] * self._poll_too
        loops += [self._deliver_all, self._purge_all] * self._deliver_too
        threads = [threading.Thread(target=loop, name=f"woo-{loop.__name__}") for loop in loops]
        for thread in threads:
            thread.start()
        self._runtime.database.listeners.append(self._told)
        try:
            # The main thread stays free for signals.
            while not self._stop.wait(LOOK_EVERY):
                pass
        finally:
            self._runtime.database.listeners.remove(self._told)
            self.stop()
            for thread in threads:
                thread.join()

    def _look(self, work: Work | None = None) -> threading.Event:
        """What a loop waits on; set to end it, and by work of this kind."""
        wake = threading.Event()
        self._looks.append(wake)
        if work is not None:
            self._wakes[work] = wake
        return wake

    def _told(self, work: Work) -> None:
        if work in self._wakes:
            self._wakes[work].set()

    def _poll_all(self) -> None:
        threads = self._runtime.settings.poll_threads
        wake = self._look()
        with (
            self._keeper() as keeper,
            InstanceThreadPool(threads, "woo-poll", wake) as polls,
            InstanceThreadPool(threads, "woo-guard", wake) as guards,
        ):
            turn = self._turn(keeper, None)
            while not self._stop.is_set():
                wake.clear()
                polls.begin(self._due(polls), lambda one: self._poll(turn, one))
                guards.begin(self._unguarded(), lambda one: self._guard(keeper, one))
                wake.wait(LOOK_EVERY)

    def _unguarded(self) -> list[int]:
        try:
            return webhooks.due(self._runtime)
        except sa.exc.SQLAlchemyError:
            return []  # The next look at what is to be polled says it.

    def _guard(self, keeper: LeaseRenewer, instance_id: int) -> None:
        try:
            webhooks.guard(self._runtime, keeper, instance_id)
        except sa.exc.SQLAlchemyError:
            self._away("guard", instance_id)
        except Exception:
            extra = {"action": "guard", "instance": instance_id}
            _log.exception("looking at webhooks of instance %d failed", instance_id, extra=extra)
            self._pause()

    def _due(self, polls: InstanceThreadPool) -> list[int]:
        if not polls.free:
            return []
        try:
            # Those that have just begun may not have their lease yet.
            most = polls.free + len(polls.busy)
            return due_instances(self._runtime, most=most)
        except sa.exc.SQLAlchemyError:
            extra = {"action": "database_away"}
            _log.warning("the database does not answer; trying again", exc_info=True, extra=extra)
            return []

    def _poll(self, turn: InstancePoll, instance_id: int) -> list[PollReport]:
        try:
            return turn.run(instance_id)
        except sa.exc.SQLAlchemyError:
            self._away("poll", instance_id)
            return []
        except Exception:
            # The instance stays due and its lease ends by itself.
            extra = {"action": "poll", "instance": instance_id}
            _log.exception("polling instance %d failed", instance_id, extra=extra)
            self._pause()
            return []

    def _settle_all(self) -> None:
        """Look after arrivals at once; a store that is slow keeps only its own waiting."""
        wake = self._look(Work.ARRIVALS)
        with (
            self._keeper() as keeper,
            InstanceThreadPool(self._runtime.settings.settle_threads, "woo-settle", wake) as crew,
        ):
            settlement = HintProcessor(self._runtime, keeper, self._stop.is_set)
            while not self._stop.is_set():
                wake.wait(SETTLE_EVERY)
                wake.clear()
                crew.begin(self._in_doubt(settlement), lambda one: self._settle(settlement, one))

    def _in_doubt(self, settlement: HintProcessor) -> list[int]:
        try:
            return settlement.due()
        except sa.exc.SQLAlchemyError:
            extra = {"action": "database_away"}
            _log.warning("the database does not answer; trying again", exc_info=True, extra=extra)
            return []

    def _settle(self, settlement: HintProcessor, instance_id: int) -> None:
        try:
            settlement.run(instance_id)
        except sa.exc.SQLAlchemyError:
            self._away("settle", instance_id)
        except Exception:
            # The arrivals stay; the next look takes them up again.
            extra = {"action": "settle", "instance": instance_id}
            _log.exception("looking after webhooks of instance %d failed", instance_id, extra=extra)
            self._pause()

    def _away(self, action: str, instance_id: int) -> None:
        """The lease ends by itself, and then it is tried again, here or elsewhere."""
        extra = {"action": action, "instance": instance_id}
        _log.warning("the database does not answer; trying again", exc_info=True, extra=extra)
        self._pause()

    def _pause(self) -> None:
        """Keep the thread: what failed at once is still due, and would fail again at once."""
        self._stop.wait(LOOK_EVERY)

    def _watch_all(self) -> None:
        watch = Watch(self._runtime)
        while not self._stop.is_set():
            try:
                watch.look()
            except Exception:
                extra = {"action": "watch"}
                _log.exception("looking whether stores reach us failed", extra=extra)
            self._stop.wait(WATCH_EVERY)

    def _deliver_all(self) -> None:
        with self._keeper() as keeper:
            while not self._stop.is_set():
                dispatch = Dispatch(self._runtime, keeper, stopped=self._stop.is_set)
                self._wakes[Work.DELIVERIES] = dispatch.wake
                try:
                    dispatch.run(forever=True)
                except Exception:
                    # Claims end with their leases; the next look takes them up again.
                    _log.exception("delivering failed", extra={"action": "deliver"})
                    self._stop.wait(LOOK_EVERY)

    def _purge_all(self) -> None:
        pause = PURGE_AFTER
        while not self._stop.wait(pause):
            pause = PURGE_EVERY
            try:
                purged = retention.purge(self._runtime, self._stop.is_set)
                extra = {"action": "purge", **dataclasses.asdict(purged)}
                _log.info("purged %d old notifications", purged.notifications, extra=extra)
            except sa.exc.SQLAlchemyError:
                extra = {"action": "purge"}
                _log.warning("purging failed; trying again later", exc_info=True, extra=extra)

    def _keeper(self) -> LeaseRenewer:
        length = dt.timedelta(seconds=self._runtime.settings.lease_seconds)
        return LeaseRenewer(self._runtime.database, self._runtime.clock, length)

    def _turn(
        self, keeper: LeaseRenewer, only: str | None, *, forced: bool = False
    ) -> InstancePoll:
        return InstancePoll(
            self._runtime,
            keeper,
            only=only,
            forced=forced,
            progress=self._progress,
            stopped=self._stop.is_set,
        )


@contextlib.contextmanager
def stopping_on_signals(worker: Worker) -> cabc.Iterator[None]:
    """End a worker on SIGINT and SIGTERM while the block runs; a second signal ends at once."""
    before: dict[int, t.Any] = {}

    def stop(number: int, frame: types.FrameType | None) -> None:
        worker.stop()
        signal.signal(number, before[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
