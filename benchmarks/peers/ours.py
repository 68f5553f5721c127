"""flask_woo_events as a peer: an application with default settings, a worker and a callback."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import importlib.metadata
import pathlib

import flask

from benchmarks.polling import application, create_instance
from flask_woo_events.runtime import EXTENSION, Runtime
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.worker.worker import Worker

from .judge import ReportedRow
from .shop import Shop

_RESOURCES = {"discounts": "coupons"}


class Ours:
    """Polls once and delivers once; the callback's notifications are the reports.

    The application uses the store's clock, so polls are 15 minutes apart, the default interval.
    The rows are those of the notifications as they arrived over HTTP.
    """

    def __init__(self, runtime: Runtime, receiver: CallbackReceiver, instance_id: int) -> None:
        self._runtime = runtime
        self._receiver = receiver
        self._instance_id = instance_id

    def sync(self) -> list[ReportedRow]:
        """Poll, deliver, and return the reports that arrived."""
        self._receiver.clear()
        worker = Worker(self._runtime)
        for report in worker.poll_once([self._instance_id]):
            if report.error is not None:
                raise RuntimeError(f"polling {report.resource}: {report.error}")
        worker.deliver_once()
        return [
            _row(resource, record)
            for received in self._receiver.received
            for resource, records in received.json["message"]["raw"].items()
            if isinstance(records, list)
            for record in records
        ]


def _row(resource: str, record: dict[str, object]) -> ReportedRow:
    kind = str(record["eventType"])
    key = (_RESOURCES.get(resource, resource), int(str(record["objectId"])))
    return ReportedRow(key, None if kind == "DELETED" else record, kind)


def version() -> str:
    """Return the installed version of the package."""
    return importlib.metadata.version("flask-woo-events")


@contextlib.contextmanager
def connect(
    shop: Shop, url: str, certificate: pathlib.Path, folder: pathlib.Path
) -> cabc.Iterator[Ours]:
    """Yield an application that is connected to the store and delivers to a callback."""
    receiver = CallbackReceiver()
    with application() as app, receiver.serve() as callback_url:
        runtime = _with_clock_of(shop, app)
        runtime.store_session.verify = str(certificate)
        app.extensions[EXTENSION] = runtime
        yield Ours(runtime, receiver, create_instance(app, url, callback_url))
        runtime.database.dispose()


def _with_clock_of(shop: Shop, app: flask.Flask) -> Runtime:
    original: Runtime = app.extensions[EXTENSION]
    return Runtime(original.settings, original.database, shop.store.clock.now)
