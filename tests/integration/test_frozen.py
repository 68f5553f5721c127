"""A database that migration 0001 made goes on with this release: nothing is lost or invented."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import json
import pathlib
import typing as t

import alembic.command
import flask
import pytest
import sqlalchemy as sa

from flask_woo_events import schema
from flask_woo_events.callback import CallbackReceiver
from flask_woo_events.runtime import Runtime
from flask_woo_events.worker import Worker
from tests.integration import tables
from tests.integration.frozen import Frozen, FrozenStore
from tests.integration.host import PREFIX, Account, dispose, make_app, runtime_of

REVISIONS = ["0001"]
#: Later than every retry that waits in a dump, and sooner than anything expires.
LATER = dt.timedelta(hours=1)

#: Changes of which a webhook had come that was not processed yet.
ARRIVED = [("hooked", "orders", "16", "UPDATED"), ("hooked", "products", "10", "UPDATED")]

Change = tuple[str, str, str, str]
Rows = list[dict[str, t.Any]]


@dataclasses.dataclass
class Installation:
    """An application on a database that was dumped, with the stores and callbacks of that time."""

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

    def woo(self, *args: str) -> str:
        """Run a command that has to succeed."""
        result = self.app.test_cli_runner().invoke(args=["woo", *args])
        assert result.exit_code == 0, result.output
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


@pytest.fixture(params=REVISIONS)
def installation(
    request: pytest.FixtureRequest, any_url: str, tmp_path: pathlib.Path
) -> cabc.Iterator[Installation]:
    """Load a dump and upgrade it as an administrator does."""
    frozen = Frozen.read(request.param)
    stores, receivers = frozen.stores(), {"one": CallbackReceiver(), "two": CallbackReceiver()}
    with contextlib.ExitStack() as stack:
        hosts = {
            f"store-{name}.invalid": stack.enter_context(store.serve())
            for name, store in stores.items()
        }
        for name, receiver in receivers.items():
            url = stack.enter_context(receiver.serve())
            hosts[f"callback-{name}.invalid"] = url.split("/")[2]
        frozen.load(any_url, hosts)
        app = make_app(
            tmp_path,
            SQLALCHEMY_DATABASE_URI=any_url,
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
        one.woo("db", "upgrade")
        yield one


def test_migration_makes_what_it_made(any_url: str) -> None:
    """A new installation has the tables of the dump before it is upgraded."""
    engine = sa.create_engine(any_url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        alembic.command.upgrade(schema._config(connection), "0001")
    made, metadata = tables.structure(engine), sa.MetaData()
    metadata.reflect(engine)
    metadata.drop_all(engine)
    Frozen.read("0001").load(any_url, {})
    assert tables.structure(engine) == made


def test_no_row_is_lost(installation: Installation) -> None:
    """Every table has the rows that it had, and is what the models say."""
    engine = installation.runtime.database.engine
    after = tables.keys(engine)
    for name, rows in installation.before.items():
        assert rows, f"the dump has no row in {name}"
        assert after[name] == rows, name
    assert tables.differences(engine) == []
    installation.woo("db", "check")


def test_users_and_tokens_are_good(installation: Installation) -> None:
    """The API knows who calls, and shows each organization its instances."""
    client, frozen = installation.app.test_client(), installation.frozen
    owners = {"ann": {"polled", "hooked", "paused"}, "bob": {"queued", "halfway"}}
    for name, own in owners.items():
        account = Account(*frozen.users[name])
        shown = client.get(f"{PREFIX}/instances", headers=account.headers).json
        assert {one["name"]: one["id"] for one in shown} == {
            instance: frozen.instances[instance] for instance in own
        }
        for instance in frozen.instances:
            headers = account.element(frozen.tokens[instance])
            status = client.get(f"{PREFIX}/instances", headers=headers).status_code
            assert status == (200 if instance in own else 401), instance


def test_unchanged_stores_cause_no_event(installation: Installation) -> None:
    """Polls go on where they were; what webhooks had named is recorded once."""
    installation.settle()
    assert installation.new_events() == ARRIVED
    assert installation.query("SELECT id FROM woo_arrival") == []
    installation.woo("poll", "--once")
    assert installation.new_events() == ARRIVED
    states = installation.query(
        "SELECT p.state, COUNT(*) AS pollers FROM woo_poller p "
        "JOIN woo_instance i ON i.id = p.instance_id WHERE i.name <> 'paused' GROUP BY p.state"
    )
    assert states == [{"state": "active", "pollers": 13}]
    read = installation.query(
        "SELECT o.object_id FROM woo_object o JOIN woo_poller p ON p.id = o.poller_id "
        "JOIN woo_instance i ON i.id = p.instance_id WHERE i.name = 'halfway'"
    )
    assert len(read) == 15


def test_waiting_deliveries_are_sent(installation: Installation) -> None:
    """What was due is sent once, under the id that it had, signed, and in order."""
    waiting = installation.deliveries("created", "retry")
    assert {(one["status"], one["channel"]) for one in waiting} == {
        ("created", "webhook"), ("retry", "webhook"), ("created", "handler"), ("retry", "handler"),
    }  # fmt: skip
    installation.woo("deliver", "--once")
    assert installation.received("one") == _ids(waiting)
    assert sorted(installation.handled) == _for_handler(installation, waiting)
    assert installation.received("two") == []
    assert installation.deliveries("created", "retry") == []
    versions = []
    for one in installation.receivers["one"].received:
        polled = one.json["message"]["instanceName"] == "polled"
        assert one.is_signed_with("new-key-of-polled" if polled else "key-of-hooked")
        versions += [event["version"] for event in one.events if event["objectId"] == "24"]
    assert versions == [3, 4]


def test_queued_deliveries_can_be_sent(installation: Installation) -> None:
    """They wait for a person, and then go out under the ids that they had."""
    queued = installation.deliveries("queued")
    assert {one["channel"] for one in queued} == {"webhook", "handler"}
    installation.woo("deliver", "--once")
    assert installation.deliveries("queued") == queued
    installation.handled.clear()
    instance = str(installation.frozen.instances["queued"])
    installation.woo("deliveries", "redeliver", "--instance", instance)
    installation.woo("deliver", "--once")
    assert installation.received("two") == _ids(queued)
    assert installation.handled == _for_handler(installation, queued)
    assert installation.deliveries("queued", "created", "retry") == []


def test_change_causes_one_event(installation: Installation) -> None:
    """Each instance of the store records the next version of the order, and nothing else."""
    installation.settle()
    installation.woo("poll", "--once")
    for receiver in installation.receivers.values():
        receiver.clear()
    installation.wait(dt.timedelta(minutes=20))
    installation.stores["one"].change("orders", 24, status="on-hold")
    for _ in range(2):
        installation.woo("poll", "--once")
    instances = ("halfway", "polled", "queued")
    changes = [(name, "orders", "24", "UPDATED") for name in instances]
    assert installation.new_events() == sorted([*ARRIVED, *changes])
    for receiver in installation.receivers.values():
        assert receiver.events == [("orders", "24", "UPDATED")]
    versions = installation.query(
        "SELECT e.version FROM woo_event e JOIN woo_instance i ON i.id = e.instance_id "
        "WHERE i.name = 'polled' AND e.resource = 'orders' AND e.object_id = '24' ORDER BY e.id"
    )
    assert [one["version"] for one in versions] == [2, 3, 4, 5]


def _ids(deliveries: Rows) -> list[str]:
    return sorted(one["event_id"] for one in deliveries if one["channel"] == "webhook")


def _for_handler(installation: Installation, deliveries: Rows) -> list[int]:
    """Ids of events that the handler wants and has not had."""
    wanted: list[int] = []
    for one in deliveries:
        if one["channel"] == "handler":
            kept = one["handled"] or []
            handled = json.loads(kept) if isinstance(kept, str) else kept
            rows = installation.query(
                "SELECT id FROM woo_event WHERE notification_id = :id AND event_type = 'UPDATED'",
                id=one["notification"],
            )
            wanted += [row["id"] for row in rows if row["id"] not in handled]
    return sorted(wanted)
