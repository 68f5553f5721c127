"""Backlogs: what happens meanwhile is delivered before the changes of a restored backup."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import pathlib

import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Base
from flask_woo_events.delivery import claims
from flask_woo_events.delivery.claims import ClaimedDelivery
from flask_woo_events.delivery.queues import CLAIMED_AT_ONCE, SubscriptionQueues
from flask_woo_events.delivery.retry import AttemptOutcome
from tests.integration.ledger_env import NOW, LedgerEnv, at, build

LEASE = dt.timedelta(minutes=5)
#: The date to which a restored backup sets the objects.
BACK = NOW - dt.timedelta(days=3)


@pytest.fixture
def database(tmp_path: pathlib.Path) -> cabc.Iterator[Database]:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/woo.sqlite3")
    Base.metadata.create_all(engine)
    opened = Database(engine)
    yield opened
    opened.dispose()
    engine.dispose()


def _restored(database: Database) -> LedgerEnv:
    """Return a ledger in which a restored backup has changed 200 orders."""
    env = build(database)
    orders = range(1, 201)
    env.see(*({"id": one, "v": 1, "modified": BACK} for one in orders), since=NOW)
    for start in range(0, 200, 100):
        page = orders[start : start + 100]
        recorded = env.see(*({"id": one, "v": 2, "modified": BACK} for one in page), seconds=60)
        assert len(recorded.emitted) == 100
    return env


def _claim(env: LedgerEnv, seconds: float, limit: int) -> list[ClaimedDelivery]:
    with env.database.write() as session:
        return claims.claim(session, at(seconds), LEASE, limit)


def _objects(claimed: list[ClaimedDelivery]) -> list[list[str]]:
    return [[event.object_id for event in one.notification.events] for one in claimed]


def test_a_new_order_goes_before_a_backlog(any_database: Database) -> None:
    """A new order is delivered before the orders that a restored backup has changed."""
    env = _restored(any_database)
    first = _claim(env, 60, 5)
    env.see({"id": 900, "modified": at(70)}, seconds=75)
    then = _claim(env, 75, 100)
    assert _objects(then)[0] == ["900"]
    assert len(first) + len(then) == 21


def test_new_orders_on_a_restored_page(database: Database) -> None:
    """An order that is found among a hundred restored ones goes before them."""
    env = _restored(database)
    page = ({"id": one, "v": 3, "modified": BACK} for one in range(901, 999))
    env.see(*page, {"id": 999, "modified": at(70)}, seconds=75)
    assert "999" in _objects(_claim(env, 75, 5))[0]


def test_a_change_of_a_restored_order_keeps_its_place(database: Database) -> None:
    """A later change of an order in the backlog is delivered after the backlog's."""
    env = _restored(database)
    env.see({"id": 195, "v": 3, "modified": at(70)}, seconds=75)
    claimed = _objects(_claim(env, 75, 100))
    assert sum("195" in one for one in claimed) == 1
    assert ["195"] not in claimed


def test_a_backlog_is_not_passed_for_ever(database: Database) -> None:
    """After an hour, a delivery of a backlog has its turn before new ones."""
    env = _restored(database)
    env.see({"id": 900, "modified": at(4000)}, seconds=4000)
    assert ["900"] not in _objects(_claim(env, 4000, 20))


def _claimed(env: LedgerEnv, seconds: float) -> ClaimedDelivery:
    [one] = _claim(env, seconds, 1)
    return one


def test_queue_of_claimed_deliveries(database: Database) -> None:
    """A new order also goes before deliveries of the backlog that are claimed already."""
    env = _restored(database)
    queues: SubscriptionQueues[None] = SubscriptionQueues(4, 100)
    queues.add((one, None) for one in _claim(env, 60, 20))
    env.see({"id": 900, "modified": at(70)}, seconds=75)
    queues.add([(_claimed(env, 75), None)])
    taken, _more = queues.take()
    assert taken is not None
    assert _objects([taken[0]]) == [["900"]]


@pytest.mark.parametrize(("seconds", "expected"), [(0.01, CLAIMED_AT_ONCE), (1.0, 16), (30.0, 8)])
def test_slow_callback(database: Database, seconds: float, expected: int) -> None:
    """Of a slow callback only what it takes within some seconds is claimed ahead."""
    env = _restored(database)
    queues: SubscriptionQueues[None] = SubscriptionQueues(4, 100)
    assert queues.claim_size == CLAIMED_AT_ONCE
    one = _claimed(env, 60)
    queues.add([(one, None)] * 50)
    for _ in range(50):
        queues.take()
        outcome = AttemptOutcome(delivered=True, reason="200 OK", seconds=seconds)
        queues.attempt_ended(one, outcome)
    assert queues.claim_size == pytest.approx(expected, abs=1)
