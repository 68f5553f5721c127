"""``flask woo doctor``: ``--deep`` finds contradictory rows, ``--repair`` mends them."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import json
import typing as t

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import (
    Delivery,
    Instance,
    Notification,
    Object,
    Poller,
    StoredEvent,
    Subscription,
    Wait,
)
from flask_woo_events.db.states import DeliveryStatus, EventType, Source
from flask_woo_events.sync.ledger import digest
from flask_woo_events.worker.consistency import contradictions
from tests.integration import ledger_env
from tests.integration.host_app import runtime_of
from tests.integration.ledger_env import NOW
from tests.integration.store_to_callback import StoreToCallback

#: As after a clock that was eleven years ahead.
FAR = dt.datetime.now(dt.UTC) + dt.timedelta(days=4020)


def _wait_for_itself(session: orm.Session) -> None:
    number = session.scalars(sa.select(sa.func.min(Delivery.id))).one()
    session.add(Wait(delivery_id=number, after_id=number))


def _wait_for_a_later_one(session: orm.Session) -> None:
    first = session.scalars(sa.select(Delivery).order_by(Delivery.id).limit(1)).one()
    last = session.get_one(Notification, first.notification_id)
    later = Notification(
        instance_id=last.instance_id, poller_id=last.poller_id, event_id="later",
        resource="products", poll_date=last.poll_date, size=1, created_at=last.created_at,
    )  # fmt: skip
    session.add(later)
    session.flush()
    session.add(
        StoredEvent(
            instance_id=last.instance_id, poller_id=last.poller_id, notification_id=later.id,
            resource="products", object_id="5000", version=1, event_type=EventType.CREATED,
            date=last.poll_date, source=Source.POLL, body=b"{}", created_at=last.created_at,
        )
    )  # fmt: skip
    behind = Delivery(
        notification_id=later.id, subscription_id=first.subscription_id,
        status=DeliveryStatus.QUEUED, created_at=last.created_at, updated_at=last.created_at,
    )  # fmt: skip
    session.add(behind)
    session.flush()
    session.add(Wait(delivery_id=first.id, after_id=behind.id))


def _set(table: type, **values: object) -> cabc.Callable[[orm.Session], None]:
    return lambda session: t.cast("None", session.execute(sa.update(table).values(**values)))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(_wait_for_itself, id="waits for itself"),
        pytest.param(_wait_for_a_later_one, id="waits for a later one"),
        pytest.param(_set(Delivery, status="retry", due_at=None), id="no due date"),
        pytest.param(_set(Delivery, status="retry", due_at=FAR), id="far due date"),
        pytest.param(_set(Delivery, lease_token="x", lease_until=FAR), id="endless claim"),
        pytest.param(_set(Subscription, held_until=FAR, next_due_at=FAR), id="held for ever"),
    ],
)
def test_a_stuck_delivery_is_sent_after_the_repair(
    env: StoreToCallback, spoil: cabc.Callable[[orm.Session], None]
) -> None:
    """A delivery that no worker would ever send is found, and sent once it is repaired."""
    number = env.store.acts.new_product("A teapot")
    assert [one.error for one in env.poll() if one.error] == []
    event = ("products", str(number), "CREATED")
    with runtime_of(env.app).database.write() as session:
        spoil(session)
    assert env.delivered() == set()
    assert _deep(env)
    assert _deep(env, "--repair")
    assert _deep(env) == []
    assert env.delivered() == {event}


@pytest.mark.parametrize(
    ("table", "values"),
    [
        pytest.param(Instance, {"lease_until": FAR}, id="endless lease"),
        pytest.param(Instance, {"next_poll_at": None}, id="not scheduled"),
        pytest.param(Instance, {"next_poll_at": FAR}, id="scheduled far away"),
        pytest.param(Poller, {"retry_at": FAR}, id="retried far away"),
    ],
)
def test_an_instance_is_polled_after_the_repair(
    env: StoreToCallback, table: type, values: dict[str, t.Any]
) -> None:
    """An instance or resource that is never due is found, and due once it is repaired."""
    with runtime_of(env.app).database.write() as session:
        session.execute(sa.update(table).values(**values))
    assert _deep(env)
    assert _deep(env, "--repair")
    assert _deep(env) == []
    number = env.store.acts.new_product("A teapot")
    assert ("products", str(number), "CREATED") in env.arrivals()


def test_the_ledger_follows_the_events(env: StoreToCallback) -> None:
    """An object of which receivers know something else is corrected by the next comparison."""
    kept = env.store.acts.new_product("A teapot")
    gone = env.store.acts.new_product("A teapot")
    env.arrivals()
    env.store.acts.delete_for_good("products", gone)
    assert ("products", str(gone), "DELETED") in env.arrivals()
    with runtime_of(env.app).database.write() as session:
        for number, live in ((kept, False), (gone, True)):
            session.execute(
                sa.update(Object)
                .where(Object.object_id == str(number), Object.version >= 1 + live)
                .values(live=live, digest=digest.NOTHING.digest, fields=digest.NOTHING.fields)
            )
    assert _deep(env, "--repair")
    assert _deep(env) == []
    assert env.arrivals() == set()


def test_versions_do_not_repeat(env: StoreToCallback) -> None:
    """A version that was sent is not given again after a ledger that went back."""
    number = env.store.acts.new_product("A teapot")
    env.arrivals()
    with runtime_of(env.app).database.write() as session:
        session.execute(sa.update(Object).where(Object.object_id == str(number)).values(version=0))
    assert _deep(env, "--repair")
    env.store.acts.post_update(number)
    env.arrivals()
    with runtime_of(env.app).database.read() as session:
        versions = session.scalars(
            sa.select(StoredEvent.version).where(
                StoredEvent.object_id == str(number), StoredEvent.resource == "products"
            )
        ).all()
    assert sorted(versions) == [1, 2]


def test_repairs_on_every_database(any_database: Database) -> None:
    """Each kind of contradictory row is found and repaired, and a sound database has none."""
    env = ledger_env.build(any_database)
    env.see(*({"id": number} for number in range(1, 13)))
    env.see({"id": 1, "total": "5"}, gone=("2",))
    assert contradictions(any_database, lambda: NOW) == []
    with any_database.write() as session:
        _wait_for_a_later_one(session)
        _wait_for_itself(session)
        for change in (
            _set(Delivery, status="retry", due_at=None, lease_token="x", lease_until=FAR),
            _set(Subscription, held_until=FAR),
            _set(Instance, lease_until=FAR, next_poll_at=None),
            _set(Poller, retry_at=FAR),
            _set(Object, version=0),
            _set(Notification, size=5),
        ):
            change(session)
    found = contradictions(any_database, lambda: NOW)
    assert contradictions(any_database, lambda: NOW, repair=True)
    assert len(found) >= 8
    # Versions had hidden what the events say.
    contradictions(any_database, lambda: NOW, repair=True)
    assert contradictions(any_database, lambda: NOW) == []


def _deep(env: StoreToCallback, option: str = "--deep") -> list[str]:
    """Return what the tables' check reports, or what its repair mends."""
    result = env.app.test_cli_runner().invoke(args=["woo", "doctor", option, "--json"])
    report = json.loads(result.output.splitlines()[0])
    if option == "--deep":
        return [one["what"] for one in report["findings"] if "--repair" in one["fix"]]
    return [one["what"] for one in report["repaired"]]
