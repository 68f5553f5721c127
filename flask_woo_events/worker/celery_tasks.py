"""The worker's work as Celery tasks, for those who outgrow one machine.

Needs the extra ``celery``. State stays in the database: a message says no more than "instance 12 is
due". One that is lost costs the time until the next look, one that comes twice finds nothing to do.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import logging
import os
import threading
import time
import typing as t
import weakref

import flask

from ..db.database import Work
from ..db.leases import LeaseRenewer
from ..delivery.dispatcher import Dispatch
from ..errors import ConfigurationError
from ..instances import webhooks
from ..runtime import EXTENSION, Runtime
from ..sync.instance_poll import InstancePoll, due_instances
from ..sync.webhooks.process import HintProcessor
from ..sync.webhooks.reachability import Watch
from . import retention

try:
    import celery
    import celery.signals
except ImportError as exc:  # pragma: no cover
    raise ConfigurationError(
        "flask_woo_events.tasks needs: pip install 'flask-woo-events[celery]'"
    ) from exc

_log = logging.getLogger(__name__)

#: Seconds between two looks at what is due, at webhooks to be guarded, and between two purges.
LOOK_EVERY, GUARD_EVERY, PURGE_EVERY = 1.0, 2.0, 3600.0
#: Seconds between two looks whether stores reach the intake.
WATCH_EVERY = 10.0
#: Seconds after which a message about an instance is dropped: the next look sends another.
STALE_AFTER = 30.0
#: Seconds after which one task that delivers lets another go on, so that workers can be stopped.
DELIVER_SECONDS = 20.0
#: Seconds in which what is committed at the same time wakes a queue once.
TOGETHER = 0.02
#: The queues, by task; one worker may serve all of them.
QUEUES = {
    "woo_events.poll_due": "woo_poll",
    "woo_events.poll_instance": "woo_poll",
    "woo_events.guard_due": "woo_poll",
    "woo_events.guard": "woo_poll",
    "woo_events.settle_due": "woo_settle",
    "woo_events.settle": "woo_settle",
    "woo_events.watch": "woo_settle",
    "woo_events.deliver": "woo_deliver",
    "woo_events.purge": "woo_deliver",
}
_applications: weakref.WeakKeyDictionary[celery.Celery, flask.Flask] = weakref.WeakKeyDictionary()


def make_celery(app: flask.Flask) -> celery.Celery:
    """Make a Celery application that serves a Flask application's stores.

    ``app.config["CELERY"]`` holds Celery's own settings, of which ``broker_url`` is needed::

        app = create_app()
        celery = flask_woo_events.tasks.make_celery(app)

    An application that has a Celery already passes it to :func:`init_celery`.
    """
    made = celery.Celery(app.name)
    made.config_from_object(
        {
            "task_ignore_result": True,
            "broker_connection_retry_on_startup": True,
            # A broker that is away for long is waited for.
            "broker_connection_max_retries": None,
            # What waits shall wait where every worker can get it.
            "worker_prefetch_multiplier": 1,
            **app.config.get("CELERY", {}),
        }
    )
    made.set_default()
    init_celery(made, app)
    return made


def init_celery(made: celery.Celery, app: flask.Flask) -> None:
    """Have a Celery application do the work: its queues, its schedule, and waking it at commits.

    :raises ConfigurationError: the extension was not initialised for the Flask application.
    """
    runtime = _runtime_of(app)
    _applications[made] = app
    made.conf.task_routes = {
        **(made.conf.task_routes or {}),
        **{name: {"queue": queue} for name, queue in QUEUES.items()},
    }
    made.conf.beat_schedule = {**(made.conf.beat_schedule or {}), **beat_schedule()}
    runtime.database.listeners.append(Waker(made).wake)


def beat_schedule() -> dict[str, dict[str, t.Any]]:
    """What Celery's beat sends: a look at what is due, which is how lost messages are made good."""
    every = {
        "poll_due": LOOK_EVERY,
        "settle_due": LOOK_EVERY,
        "deliver": LOOK_EVERY,
        "guard_due": GUARD_EVERY,
        "watch": WATCH_EVERY,
        "purge": PURGE_EVERY,
    }
    return {
        f"woo-events-{name}": {
            "task": f"woo_events.{name}",
            "schedule": seconds,
            # Where nobody works, looks shall not pile up.
            "options": {"expires": max(seconds, 5.0)},
        }
        for name, seconds in every.items()
    }


class Waker:
    """Sends the message that there is something to do, from a thread of its own.

    A broker that is slow or away keeps nobody from committing.
    """

    def __init__(self, made: celery.Celery) -> None:
        self._celery = made
        self._wanted: set[Work] = set()
        self._something = threading.Event()
        self._starting = threading.Lock()
        #: In which process the thread runs: it does not outlive a fork.
        self._pid = 0

    def wake(self, work: Work) -> None:
        """Send it soon; returns at once."""
        self._wanted.add(work)
        self._something.set()
        if self._pid != os.getpid():
            with self._starting:
                if self._pid != os.getpid():
                    self._pid = os.getpid()
                    threading.Thread(target=self._run, name="woo-waker", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._something.wait()
            time.sleep(TOGETHER)
            self._something.clear()
            while self._wanted:
                self._send(self._wanted.pop())

    def _send(self, work: Work) -> None:
        name = "woo_events.settle_due" if work is Work.ARRIVALS else "woo_events.deliver"
        try:
            self._celery.send_task(name, queue=QUEUES[name], expires=STALE_AFTER, retry=False)
        except Exception as exc:
            # Whatever the broker's client raises: the next look finds what there is to do.
            extra = {"action": "broker_away"}
            _log.warning("the broker could not be told of work: %s", exc, extra=extra)


class _Bench:
    """What the tasks of one process share: renewed leases, and stores that do not answer."""

    def __init__(self, runtime: Runtime) -> None:
        length = dt.timedelta(seconds=runtime.settings.lease_seconds)
        self.pid = os.getpid()
        self.runtime = runtime
        self.keeper = LeaseRenewer(runtime.database, runtime.clock, length).__enter__()
        self.settlement = HintProcessor(runtime, self.keeper)
        self.watch = Watch(runtime)


_benches: weakref.WeakKeyDictionary[flask.Flask, _Bench] = weakref.WeakKeyDictionary()
_making = threading.Lock()


@contextlib.contextmanager
def _bench(task: celery.Task[t.Any, t.Any]) -> cabc.Iterator[_Bench]:
    """The bench of the application that a task is for, in its context."""
    app = _applications.get(task.app)
    if app is None:
        app = flask.current_app._get_current_object()  # type: ignore[attr-defined]
    with _making:
        bench = _benches.get(app)
        if bench is None or bench.pid != os.getpid():
            bench = _benches[app] = _Bench(_runtime_of(app))
    with app.app_context():
        yield bench


def _runtime_of(app: flask.Flask) -> Runtime:
    runtime = app.extensions.get(EXTENSION)
    if not isinstance(runtime, Runtime):
        raise ConfigurationError("WooEvents is not initialised for this application.")
    return runtime


@celery.signals.worker_process_init.connect
def _forked(**_: t.Any) -> None:
    """A process of a worker does not use connections that its parent opened."""
    for app in _applications.values():
        _runtime_of(app).database.engine.dispose(close=False)


@celery.shared_task(name="woo_events.poll_due", bind=True)
def poll_due(self: celery.Task[t.Any, t.Any]) -> None:
    """Send a message for each instance that is due."""
    with _bench(self) as bench:
        for instance_id in due_instances(bench.runtime):
            poll_instance.apply_async((instance_id,), expires=STALE_AFTER)


@celery.shared_task(name="woo_events.poll_instance", bind=True)
def poll_instance(self: celery.Task[t.Any, t.Any], instance_id: int) -> None:
    """Poll an instance, if it is still due and nobody does."""
    with _bench(self) as bench:
        if instance_id in due_instances(bench.runtime, instance_id=instance_id):
            InstancePoll(bench.runtime, bench.keeper).run(instance_id)


@celery.shared_task(name="woo_events.settle_due", bind=True)
def settle_due(self: celery.Task[t.Any, t.Any]) -> None:
    """Send a message for each instance whose webhooks wait to be looked after."""
    with _bench(self) as bench:
        for instance_id in bench.settlement.due():
            settle.apply_async((instance_id,), expires=STALE_AFTER)


@celery.shared_task(name="woo_events.settle", bind=True)
def settle(self: celery.Task[t.Any, t.Any], instance_id: int) -> None:
    """Look after what the webhooks of an instance said."""
    with _bench(self) as bench:
        if instance_id in bench.settlement.due(instance_id=instance_id):
            bench.settlement.run(instance_id)


@celery.shared_task(name="woo_events.deliver", bind=True)
def deliver(self: celery.Task[t.Any, t.Any]) -> None:
    """Deliver what is due, for a while."""
    with _bench(self) as bench:
        end = time.monotonic() + DELIVER_SECONDS
        Dispatch(bench.runtime, bench.keeper, stopped=lambda: time.monotonic() > end).run()
        if time.monotonic() > end:
            deliver.apply_async(expires=STALE_AFTER)


@celery.shared_task(name="woo_events.guard_due", bind=True)
def guard_due(self: celery.Task[t.Any, t.Any]) -> None:
    """Send a message for each instance whose webhooks are to be looked at."""
    with _bench(self) as bench:
        for instance_id in webhooks.due(bench.runtime):
            guard.apply_async((instance_id,), expires=STALE_AFTER)


@celery.shared_task(name="woo_events.guard", bind=True)
def guard(self: celery.Task[t.Any, t.Any], instance_id: int) -> None:
    """Look at an instance's webhooks, and put them right."""
    with _bench(self) as bench:
        webhooks.guard(bench.runtime, bench.keeper, instance_id)


@celery.shared_task(name="woo_events.purge", bind=True)
def purge(self: celery.Task[t.Any, t.Any]) -> None:
    """Delete what is old."""
    with _bench(self) as bench:
        retention.purge(bench.runtime)


@celery.shared_task(name="woo_events.watch", bind=True)
def watch(self: celery.Task[t.Any, t.Any]) -> None:
    """Look whether stores reach the intake."""
    with _bench(self) as bench:
        bench.watch.look()
