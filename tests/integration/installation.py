"""An application on a database that was dumped, with the stores and callbacks of that time."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import pathlib
import typing as t

import flask
import sqlalchemy as sa

from flask_woo_events.runtime import Runtime
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.worker.worker import Worker
from tests.integration import tables
from tests.integration.frozen import Frozen, FrozenStore
from tests.integration.host_app import dispose, make_app, runtime_of

#: Later than every retry that waits in a dump, and sooner than anything expires.
LATER = dt.timedelta(hours=1)

Change = tuple[str, str, str, str]
Rows = list[dict[str, t.Any]]


@dataclasses.dataclass
class Installation:
    """An application, its stores and its callbacks."""

    app: flask.Flask
    frozen: Frozen
    stores: dict[str, FrozenStore]
    receivers: dict[str, CallbackReceiver]
    #: Primary keys of all rows before the upgrade.
    before: dict[str, set[tuple[t.Any, ...]]]
    #: Our own clock.
    now: dt.datetime
    #: Ids of events that the application's handler was called with.
    handled: list[int] = dataclasses.field(default_factory=list)

    @property
    def runtime(self) -> Runtime:
        return runtime_of(self.app)

    def wait(self, time: dt.timedelta) -> None:
        """Let time pass, here and at the stores."""
        self.now += time
        for store in self.stores.values():
            store.date += time

    def settle(self) -> None:
        """Process the webhooks that wait."""
        assert [one.error for one in Worker(self.runtime).settle_once() if one.error] == []

    def woo(self, *args: str, code: int = 0) -> str:
        """Run a command that ends with this exit status; returns what it printed."""
        result = self.app.test_cli_runner().invoke(args=["woo", *args])
        assert result.exit_code == code, result.output
        return str(result.output)

    def query(self, statement: str, **values: t.Any) -> Rows:
        """Read rows."""
        with self.runtime.database.engine.connect() as connection:
            rows = connection.execute(sa.text(statement), values)
            return [dict(row) for row in rows.mappings()]

    def new_events(self) -> list[Change]:
        """Events that were recorded since the upgrade, as instance, resource, object and type."""
        rows = self.query(
            "SELECT e.id, i.name, e.resource, e.object_id, e.event_type FROM woo_event e "
            "JOIN woo_instance i ON i.id = e.instance_id ORDER BY e.id"
        )
        return sorted(
            (row["name"], row["resource"], row["object_id"], row["event_type"])
            for row in rows
            if (row["id"],) not in self.before["woo_event"]
        )

    def deliveries(self, *statuses: str) -> Rows:
        """Deliveries in one of these states, with their instance and what they deliver."""
        rows = self.query(
            "SELECT d.status, d.handled, s.channel, i.name, n.id AS notification, n.event_id "
            "FROM woo_delivery d JOIN woo_subscription s ON s.id = d.subscription_id "
            "JOIN woo_instance i ON i.id = s.instance_id "
            "JOIN woo_notification n ON n.id = d.notification_id ORDER BY d.id"
        )
        return [row for row in rows if row["status"] in statuses]

    def received(self, name: str) -> list[str]:
        """Ids of the notifications that a callback got."""
        return sorted(one.json["message"]["eventId"] for one in self.receivers[name].received)


@contextlib.contextmanager
def install(url: str, folder: pathlib.Path, revision: str) -> cabc.Iterator[Installation]:
    """Load a dump into an empty database, and serve its stores and callbacks.

    :param folder: for files of the application.
    """
    frozen = Frozen.read(revision)
    stores, receivers = frozen.stores(), {"one": CallbackReceiver(), "two": CallbackReceiver()}
    with contextlib.ExitStack() as stack:
        hosts = {
            f"store-{name}.invalid": stack.enter_context(store.serve())
            for name, store in stores.items()
        }
        for name, receiver in receivers.items():
            callback = stack.enter_context(receiver.serve())
            hosts[f"callback-{name}.invalid"] = callback.split("/")[2]
        frozen.load(url, hosts)
        app = make_app(
            folder,
            SQLALCHEMY_DATABASE_URI=url,
            WOO_EVENTS_ENCRYPTION_KEYS=[frozen.key],
            WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS=True,
        )
        stack.callback(dispose, app)
        before = tables.keys(runtime_of(app).database.engine)
        one = Installation(app, frozen, stores, receivers, before, frozen.date)
        one.runtime.clock = lambda: one.now
        one.runtime.handlers.on("products", ("UPDATED",), "stock-keeper")(
            lambda event: one.handled.append(event.id)
        )
        one.wait(LATER)
        yield one
