"""The order of an object's versions, whatever lies between two of its deliveries."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Delivery, Instance, StoredEvent, Subscription, Wait
from flask_woo_events.delivery import claims, replay, results
from flask_woo_events.delivery.claims import ClaimedDelivery
from flask_woo_events.delivery.replay import ReplaySelection
from flask_woo_events.delivery.results import AttemptResult
from flask_woo_events.delivery.retry import AttemptOutcome
from flask_woo_events.events import delivery_order
from flask_woo_events.handlers import Route
from flask_woo_events.instances import callback_subscription
from tests.conftest import BACKENDS
from tests.integration.ledger_env import LedgerEnv, at, build
from tests.integration.test_outbox import FAILED, LEASE, OK

#: The order is decided in Python from plain queries, which all databases answer alike.
on_sqlite = pytest.mark.parametrize("any_url", BACKENDS[:1], indirect=True)
HOUR = 3600.0


@pytest.fixture(params=[delivery_order.FEW, 0], ids=["few", "many"])
def ledger(
    any_database: Database, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> LedgerEnv:
    """A ledger whose subscription has few unsettled deliveries, or many."""
    monkeypatch.setattr(delivery_order, "FEW", request.param)
    return build(any_database)


def _claim(ledger: LedgerEnv, hours: float) -> list[ClaimedDelivery]:
    with ledger.database.write() as session:
        return claims.claim(session, at(hours * HOUR), LEASE, 50)


def _write(ledger: LedgerEnv, one: ClaimedDelivery, outcome: AttemptOutcome, hours: float) -> None:
    with ledger.database.begin() as connection:
        results.write(connection, [AttemptResult(one, outcome)], at(hours * HOUR))


def _deliver(ledger: LedgerEnv, hours: float) -> list[list[int]]:
    """Deliver what may be claimed at some hour; return the versions that each claim holds."""
    claimed = _claim(ledger, hours)
    for one in claimed:
        _write(ledger, one, OK, hours)
    return [[event.version for event in one.notification.events] for one in claimed]


def _replay(ledger: LedgerEnv, hours: float, *versions: int) -> int:
    with ledger.database.write() as session:
        found = sa.select(StoredEvent.id).where(StoredEvent.version.in_(versions))
        selection = ReplaySelection(event_ids=tuple(session.scalars(found)))
        planned = replay.plan(session, selection, 100)
        return replay.to_callbacks(session, planned, at(hours * HOUR))


def _set_callback(ledger: LedgerEnv, url: str, hours: float) -> None:
    with ledger.database.write() as session:
        instance = session.get_one(Instance, ledger.stream.instance_id)
        callback_subscription.synchronize(session, instance, url, at(hours * HOUR))


@on_sqlite
def test_a_version_waits_past_one_that_its_handler_does_not_get(ledger: LedgerEnv) -> None:
    """DELETED waits for CREATED although the UPDATED between them has no delivery."""
    ledger.routes = (Route(name="h", resource=None, types=frozenset({"CREATED", "DELETED"})),)
    with ledger.database.write() as session:
        session.execute(sa.update(Subscription).values(current=False))
    ledger.see({"id": 7, "v": 1})
    ledger.see({"id": 7, "v": 2})
    ledger.see(gone=("7",))
    (first,) = _claim(ledger, 0)
    assert [event.event_type for event in first.notification.events] == ["CREATED"]
    _write(ledger, first, FAILED, 0)
    assert _deliver(ledger, 1) == [[1]]
    assert _deliver(ledger, 1) == [[3]]


@on_sqlite
def test_a_version_waits_past_one_that_had_no_callback(ledger: LedgerEnv) -> None:
    """A callback that is set again gets what waited for the old one before what follows."""
    ledger.see({"id": 7, "v": 1})
    (first,) = _claim(ledger, 0)
    _write(ledger, first, FAILED, 0)
    _set_callback(ledger, "", 1)
    ledger.see({"id": 7, "v": 2})
    _set_callback(ledger, "http://new.test/", 2)
    ledger.see({"id": 7, "v": 3}, seconds=2 * HOUR)
    (first,) = _claim(ledger, 3)
    assert (first.url, first.notification.events[0].version) == ("http://new.test/", 1)
    _write(ledger, first, FAILED, 3)
    assert _deliver(ledger, 4) == [[1]]
    assert _deliver(ledger, 4) == [[3]]


@on_sqlite
def test_a_replay_keeps_the_order(ledger: LedgerEnv) -> None:
    """A replayed version waits for an earlier one, and what is recorded later for both."""
    for version in (1, 2):
        ledger.see({"id": 7, "v": version}, {"id": 8, "v": version})
        assert _deliver(ledger, 0) == [[version, version]]
    assert _replay(ledger, 1, 1, 2) == 2
    ledger.see({"id": 7, "v": 3}, seconds=HOUR)
    (first,) = _claim(ledger, 1)
    _write(ledger, first, FAILED, 1)
    assert _claim(ledger, 1) == []
    assert [_deliver(ledger, 2) for _ in range(3)] == [[[1, 1]], [[2, 2]], [[3]]]


@on_sqlite
def test_a_replay_goes_before_later_versions(ledger: LedgerEnv) -> None:
    """Also when the version between them is being attempted, and is settled first."""
    ledger.see({"id": 7, "v": 1})
    _deliver(ledger, 0)
    ledger.see({"id": 7, "v": 2})
    ledger.see({"id": 7, "v": 3})
    (second,) = _claim(ledger, 0)
    assert _replay(ledger, 0, 1) == 1
    ledger.see({"id": 7, "v": 4})
    _write(ledger, second, OK, 0)
    (first,) = _claim(ledger, 0)
    assert first.notification.events[0].version == 1
    _write(ledger, first, FAILED, 0)
    assert [_deliver(ledger, 1) for _ in range(3)] == [[[1]], [[3]], [[4]]]


@on_sqlite
def test_a_replay_takes_what_is_being_attempted(ledger: LedgerEnv) -> None:
    """The newest version, whose attempt has begun, is sent again after the replayed ones."""
    ledger.see({"id": 7, "v": 1})
    _deliver(ledger, 0)
    ledger.see({"id": 7, "v": 2})
    (second,) = _claim(ledger, 0)
    assert _replay(ledger, 0, 1, 2) == 2
    _write(ledger, second, OK, 0)
    assert [_deliver(ledger, 0) for _ in range(3)] == [[[1]], [[2]], []]


@on_sqlite
def test_a_long_line_has_one_wait_for_each_delivery(ledger: LedgerEnv) -> None:
    """An object that changes every minute while its callback is down for days costs no more."""
    for version in range(12):
        ledger.see({"id": 7, "v": version})
    with ledger.database.read() as session:
        waits = session.execute(sa.select(Wait.delivery_id, Wait.after_id)).all()
        ids = session.scalars(sa.select(Delivery.id).order_by(Delivery.id)).all()
    assert {(later, earlier) for later, earlier in waits} == set(zip(ids[1:], ids, strict=False))


def test_every_database_keeps_the_order(any_database: Database) -> None:
    """Through retries, a change of the callback and a replay."""
    ledger = build(any_database)
    ledger.see({"id": 7, "v": 1})
    ledger.see({"id": 7, "v": 2})
    (first,) = _claim(ledger, 0)
    _write(ledger, first, FAILED, 0)
    _set_callback(ledger, "http://new.test/", 1)
    ledger.see({"id": 7, "v": 3}, seconds=HOUR)
    assert [_deliver(ledger, 2) for _ in range(3)] == [[[1]], [[2]], [[3]]]
    assert _replay(ledger, 3, 2, 3) == 2
    assert [_deliver(ledger, 3) for _ in range(3)] == [[[2]], [[3]], []]
