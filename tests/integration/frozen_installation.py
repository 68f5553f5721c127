"""An application on a dumped database of an earlier release, with its stores and callbacks."""

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
from tests.integration.frozen import FrozenDatabase, FrozenStore
from tests.integration.host_app import dispose, make_app, runtime_of

#: Longer than every delay before a retry in a dump, and shorter than every retention.
LATER = dt.timedelta(hours=1)

Change = tuple[str, str, str, str]
Rows = list[dict[str, t.Any]]


@dataclasses.dataclass
class FrozenInstallation:
    """An application on a dumped database, its stores and its callbacks."""

    app: flask.Flask
    frozen: FrozenDatabase
    stores: dict[str, FrozenStore]
    receivers: dict[str, CallbackReceiver]
    #: Primary keys of all rows before the upgrade.
    before: dict[str, set[tuple[t.Any, ...]]]
    #: The application's clock.
    now: dt.datetime
    #: Ids of events that the application's handler was called with.
    handled: list[int] = dataclasses.field(default_factory=list)

    @property
    def runtime(self) -> Runtime:
        return runtime_of(self.app)

    def wait(self, time: dt.timedelta) -> None:
        """Advance the clocks of the application and the stores."""
        self.now += time
        for store in self.stores.values():
            store.date += time

    def process_webhooks(self) -> None:
        """Process the webhooks that are stored."""
        assert [one.error for one in Worker(self.runtime).settle_once() if one.error] == []

    def woo(self, *args: str, code: int = 0) -> str:
        """Run a command that ends with this exit status; return its output."""
        result = self.app.test_cli_runner().invoke(args=["woo", *args])
        assert result.exit_code == code, result.output
        return str(result.output)

    def query(self, statement: str, **values: t.Any) -> Rows:
        """Return the rows of a query."""
        with self.runtime.database.engine.connect() as connection:
            rows = connection.execute(sa.text(statement), values)
            return [dict(row) for row in rows.mappings()]

    def new_events(self) -> list[Change]:
        """Return events recorded since the upgrade, as instance, resource, object and type."""
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
        """Return the deliveries in one of these states, with instance and notification."""
        rows = self.query(
            "SELECT d.status, d.handled, s.channel, i.name, n.id AS notification, n.event_id "
            "FROM woo_delivery d JOIN woo_subscription s ON s.id = d.subscription_id "
            "JOIN woo_instance i ON i.id = s.instance_id "
            "JOIN woo_notification n ON n.id = d.notification_id ORDER BY d.id"
        )
        return [row for row in rows if row["status"] in statuses]

    def received(self, name: str) -> list[str]:
        """Return the ids of the notifications that a callback received."""
        return sorted(one.json["message"]["eventId"] for one in self.receivers[name].received)


@contextlib.contextmanager
def open_installation(
    url: str, folder: pathlib.Path, revision: str
) -> cabc.Iterator[FrozenInstallation]:
    """Load a dump into an empty database, and serve its stores and callbacks.

    :param folder: the application's instance folder.
    """
    frozen = FrozenDatabase.read(revision)
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
        installed = FrozenInstallation(app, frozen, stores, receivers, before, frozen.date)
        installed.runtime.clock = lambda: installed.now
        installed.runtime.handlers.on("products", ("UPDATED",), "stock-keeper")(
            lambda event: installed.handled.append(event.id)
        )
        installed.wait(LATER)
        yield installed
