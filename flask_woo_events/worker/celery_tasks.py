"""The worker's loops as Celery tasks, for installations on several machines.

Needs the extra ``celery``. The state stays in the database: a message only says "instance 12 is
due". After a lost message the next check sends another; a repeated message finds nothing to do.
"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import logging
import math
import os
import threading
import time
import typing as t
import weakref

import flask
import sqlalchemy as sa

from ..db.database import Work
from ..db.presence import RENEW_EVERY, Presence
from ..delivery.dispatcher import Dispatch
from ..errors import ConfigurationError, SchemaError
from ..instances import circuit, restored, webhooks
from ..runtime import EXTENSION, Runtime
from ..sync.instance_poll import InstancePoll, due_instances
from ..sync.webhooks.process import HintProcessor
from ..sync.webhooks.reachability import Watch
from . import operations, retention
from .worker import CHECK_EVERY, OPERATIONAL_EVERY, PURGE_EVERY, lease_renewer

try:
    import celery
except ImportError as exc:  # pragma: no cover
    raise ConfigurationError(
        "flask_woo_events.tasks needs: pip install 'flask-woo-events[celery]'"
    ) from exc

_log = logging.getLogger(__name__)

#: Seconds between two checks for instances whose webhooks are to be checked at the store.
GUARD_EVERY = 2.0
#: Seconds between two checks of whether stores reach the intake.
WATCH_EVERY = 10.0
#: Seconds after which a message about an instance is dropped: the next check sends another.
STALE_AFTER = 30.0
#: Seconds after which a task that delivers hands over to another, so that workers can be stopped.
DELIVER_SECONDS = 20.0
#: Seconds in which several commits send one message.
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
    "woo_events.operational": "woo_deliver",
    "woo_events.purge": "woo_deliver",
}
#: The task that does the work of a commit.
_TASK_OF = {
    Work.ARRIVALS: "woo_events.settle_due",
    Work.DELIVERIES: "woo_events.deliver",
    Work.OPERATIONAL: "woo_events.operational",
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
            # Wait for the broker however long it is unreachable.
            "broker_connection_max_retries": None,
            # Tasks wait at the broker, where every worker can get them.
            "worker_prefetch_multiplier": 1,
            **app.config.get("CELERY", {}),
        }
    )
    made.set_default()
    init_celery(made, app)
    return made


def init_celery(made: celery.Celery, app: flask.Flask) -> None:
    """Give a Celery application the tasks' queues and schedule, and send it messages at commits.

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
    """Return the schedule of Celery's beat: checks of what is due, which replace lost messages."""
    every = {
        "poll_due": CHECK_EVERY,
        "settle_due": CHECK_EVERY,
        "deliver": CHECK_EVERY,
        "guard_due": GUARD_EVERY,
        "watch": WATCH_EVERY,
        "operational": OPERATIONAL_EVERY,
        "purge": PURGE_EVERY,
    }
    return {
        f"woo-events-{name}": {
            "task": f"woo_events.{name}",
            "schedule": seconds,
            # Without a running worker the messages do not accumulate.
            "options": {"expires": max(seconds, 5.0)},
        }
        for name, seconds in every.items()
    }


class Waker:
    """Sends messages after commits, from a thread of its own: a slow broker delays no commit."""

    def __init__(self, made: celery.Celery) -> None:
        self._celery = made
        self._wanted: set[Work] = set()
        self._ready = threading.Event()
        self._starting = threading.Lock()
        #: The process in which the thread runs: a fork does not copy it.
        self._pid = 0

    def wake(self, work: Work) -> None:
        """Send a message soon; return immediately."""
        self._wanted.add(work)
        self._ready.set()
        if self._pid != os.getpid():
            with self._starting:
                if self._pid != os.getpid():
                    threading.Thread(target=self._run, name="woo-waker", daemon=True).start()
                    self._pid = os.getpid()

    def _run(self) -> None:
        while True:
            self._ready.wait()
            time.sleep(TOGETHER)
            self._ready.clear()
            while self._wanted:
                self._send(self._wanted.pop())

    def _send(self, work: Work) -> None:
        name = _TASK_OF[work]
        try:
            self._celery.send_task(name, queue=QUEUES[name], expires=STALE_AFTER, retry=False)
        except Exception as exc:
            # Any error of the broker's client: the next check finds the work.
            extra = {"action": "broker_away"}
            _log.warning("the broker accepted no message: %s", exc, extra=extra)


class _Shared:
    """What the tasks of one process share, for one application."""

    def __init__(self, runtime: Runtime) -> None:
        self.pid = os.getpid()
        self.runtime = runtime
        self.renewer = lease_renewer(runtime).__enter__()
        self.processor = HintProcessor(runtime, self.renewer)
        self.watch = Watch(runtime)
        self._presence = Presence(runtime.database, runtime.clock)
        self._noted = -math.inf

    def note(self) -> None:
        """Note from time to time that this process runs."""
        if time.monotonic() - self._noted < RENEW_EVERY:
            return
        self._noted = time.monotonic()
        # The task itself meets the same error, and decides what to do then.
        with contextlib.suppress(sa.exc.SQLAlchemyError, SchemaError):
            self._presence.renew()


_shared_of: weakref.WeakKeyDictionary[flask.Flask, _Shared] = weakref.WeakKeyDictionary()
_creating = threading.Lock()


@contextlib.contextmanager
def _shared(task: celery.Task[t.Any, t.Any]) -> cabc.Iterator[_Shared]:
    """Yield what tasks share, in the context of the task's application."""
    app = _applications.get(task.app)
    if app is None:
        app = flask.current_app._get_current_object()  # type: ignore[attr-defined]
    with _creating:
        shared = _shared_of.get(app)
        if shared is None or shared.pid != os.getpid():
            shared = _shared_of[app] = _Shared(_runtime_of(app))
    shared.note()
    with app.app_context():
        yield shared


def _runtime_of(app: flask.Flask) -> Runtime:
    runtime = app.extensions.get(EXTENSION)
    if not isinstance(runtime, Runtime):
        raise ConfigurationError("WooEvents is not initialised for this application.")
    return runtime


def _few_slow(shared: _Shared, due: cabc.Callable[[bool], list[int]]) -> list[int]:
    """Return the instances that are due; of those with slow stores, as many as may begin."""
    runtime = shared.runtime
    with runtime.database.read() as session:
        places = circuit.free_places(session, runtime.settings, runtime.clock())
    return due(False) + due(True)[:places]


@celery.shared_task(name="woo_events.poll_due", bind=True)
def poll_due(self: celery.Task[t.Any, t.Any]) -> None:
    """Send a message for each instance that is due."""
    with _shared(self) as shared:
        for instance_id in _few_slow(shared, lambda slow: due_instances(shared.runtime, slow=slow)):
            poll_instance.apply_async((instance_id,), expires=STALE_AFTER)


@celery.shared_task(name="woo_events.poll_instance", bind=True)
def poll_instance(self: celery.Task[t.Any, t.Any], instance_id: int) -> None:
    """Poll an instance, if it is still due and no other worker polls it."""
    with _shared(self) as shared:
        if instance_id in due_instances(shared.runtime, instance_id=instance_id):
            InstancePoll(shared.runtime, shared.renewer).run(instance_id)


@celery.shared_task(name="woo_events.settle_due", bind=True)
def settle_due(self: celery.Task[t.Any, t.Any]) -> None:
    """Send a message for each instance with webhooks to process."""
    with _shared(self) as shared:
        for instance_id in _few_slow(shared, lambda slow: shared.processor.due(slow=slow)):
            settle.apply_async((instance_id,), expires=STALE_AFTER)


@celery.shared_task(name="woo_events.settle", bind=True)
def settle(self: celery.Task[t.Any, t.Any], instance_id: int) -> None:
    """Process the webhooks of an instance."""
    with _shared(self) as shared:
        if instance_id in shared.processor.due(instance_id=instance_id):
            shared.processor.run(instance_id)


@celery.shared_task(name="woo_events.deliver", bind=True)
def deliver(self: celery.Task[t.Any, t.Any]) -> None:
    """Deliver what is due, for at most ``DELIVER_SECONDS``.

    While the database is unreachable, the task goes on until the results of what it sent are
    written, at most ten minutes.
    """
    with _shared(self) as shared:
        end = time.monotonic() + DELIVER_SECONDS
        Dispatch(
            shared.runtime,
            shared.renewer,
            stopped=lambda: time.monotonic() > end,
            gives_up=lambda: False,
        ).run()
        if time.monotonic() > end:
            deliver.apply_async(expires=STALE_AFTER)


@celery.shared_task(name="woo_events.guard_due", bind=True)
def guard_due(self: celery.Task[t.Any, t.Any]) -> None:
    """Send a message for each instance whose registered webhooks are due to be checked."""
    with _shared(self) as shared:
        for instance_id in _few_slow(shared, lambda slow: webhooks.due(shared.runtime, slow=slow)):
            guard.apply_async((instance_id,), expires=STALE_AFTER)


@celery.shared_task(name="woo_events.guard", bind=True)
def guard(self: celery.Task[t.Any, t.Any], instance_id: int) -> None:
    """Check the webhooks that are registered for an instance, and repair them."""
    with _shared(self) as shared:
        webhooks.guard(shared.runtime, shared.renewer, instance_id)


@celery.shared_task(name="woo_events.operational", bind=True)
def operational(self: celery.Task[t.Any, t.Any]) -> None:
    """Record the checkpoints that are due, and make notifications of operational events."""
    with _shared(self) as shared:
        operations.post(shared.runtime)


@celery.shared_task(name="woo_events.purge", bind=True)
def purge(self: celery.Task[t.Any, t.Any]) -> None:
    """Delete what is older than its retention."""
    with _shared(self) as shared:
        # What it records of feeds belongs to the new life of a restored database.
        restored.look(shared.runtime)
        retention.purge(shared.runtime)


@celery.shared_task(name="woo_events.watch", bind=True)
def watch(self: celery.Task[t.Any, t.Any]) -> None:
    """Check whether stores reach the intake."""
    with _shared(self) as shared:
        shared.watch.check()
