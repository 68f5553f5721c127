"""Operators, purges and deletions while deliveries are claimed and attempted."""

from __future__ import annotations

import collections.abc as cabc
import concurrent.futures
import datetime as dt
import time
import types

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Delivery, Instance, Notification, Subscription
from flask_woo_events.db.states import DeliveryStatus
from flask_woo_events.delivery import claims, redelivery, replay, results
from flask_woo_events.delivery.claims import ClaimedDelivery
from flask_woo_events.delivery.redelivery import DeliverySelection
from flask_woo_events.delivery.replay import ReplaySelection
from flask_woo_events.delivery.results import AttemptResult
from flask_woo_events.events import delivery_states
from flask_woo_events.instances import access, callback_subscription, lifecycle
from flask_woo_events.settings import Settings
from flask_woo_events.worker import retention
from tests.conftest import BACKENDS
from tests.integration.ledger_env import NOW, LedgerEnv, at, build
from tests.integration.test_outbox import FAILED, LEASE, OK, claim, statuses
from tests.waiting import wait_until

# A SQLite file has one writer at a time: nothing happens between two statements.
on_servers = pytest.mark.parametrize("any_url", BACKENDS[1:], indirect=True)
on_sqlite = pytest.mark.parametrize("any_url", BACKENDS[:1], indirect=True)
on_mariadb = pytest.mark.parametrize("any_url", BACKENDS[2:], indirect=True)
DAYS = 86_400.0


@pytest.fixture
def ledger(any_database: Database) -> LedgerEnv:
    """A ledger with one notification to its callback."""
    ledger = build(any_database)
    ledger.see({"id": 1})
    return ledger


def _update(ledger: LedgerEnv, status: DeliveryStatus, attempts: int = 0) -> None:
    due = at(0) if status in delivery_states.TRYABLE else None
    with ledger.database.write() as session:
        session.execute(sa.update(Delivery).values(status=status, due_at=due, attempts=attempts))


def _write(ledger: LedgerEnv, *claimed: ClaimedDelivery, outcome: object = FAILED) -> None:
    with ledger.database.begin() as connection:
        found = [AttemptResult(one, outcome) for one in claimed]  # type: ignore[arg-type]
        results.write(connection, found, at(2))


def _redeliver(ledger: LedgerEnv) -> int:
    with ledger.database.write() as session:
        organization_id = session.scalars(sa.select(Instance.organization_id)).one()
        selection = DeliverySelection(organization_id=organization_id)
        return redelivery.redeliver(session, selection, at(1))


def _remove_callback(ledger: LedgerEnv) -> None:
    with ledger.database.write() as session:
        instance = session.get_one(Instance, ledger.stream.instance_id)
        callback_subscription.synchronize(session, instance, "", at(1))


def _replay(ledger: LedgerEnv, meanwhile: cabc.Callable[[], object] = lambda: None) -> int:
    with ledger.database.read() as session:
        planned = replay.plan(session, ReplaySelection(), 100)
    meanwhile()
    with ledger.database.write() as session:
        return replay.to_callbacks(session, planned, at(8 * DAYS))


def _purge(ledger: LedgerEnv) -> int:
    runtime = types.SimpleNamespace(
        clock=lambda: at(8 * DAYS), database=ledger.database, settings=Settings(retention_days=7)
    )
    return retention.purge(runtime).notifications  # type: ignore[arg-type]


def _before_lock(monkeypatch: pytest.MonkeyPatch, act: cabc.Callable[[], object]) -> None:
    """Act in another transaction before subscriptions are next locked."""
    lock = delivery_states.lock_subscriptions

    def act_and_lock(
        session: orm.Session, *conditions: sa.ColumnElement[bool]
    ) -> cabc.Sequence[Subscription]:
        monkeypatch.setattr(delivery_states, "lock_subscriptions", lock)
        act()
        return lock(session, *conditions)

    monkeypatch.setattr(delivery_states, "lock_subscriptions", act_and_lock)


@on_servers
def test_nothing_is_redelivered_to_a_callback_that_was_removed(
    ledger: LedgerEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner removes it while an operator redelivers: its URL gets no request."""
    _update(ledger, DeliveryStatus.QUEUED)
    _before_lock(monkeypatch, lambda: _remove_callback(ledger))
    assert _redeliver(ledger) == 0
    assert claim(ledger, seconds=10) == []
    assert statuses(ledger) == ["queued"]


@on_sqlite
def test_a_failure_does_not_undo_a_redelivery(ledger: LedgerEnv) -> None:
    """The tenth attempt fails after an operator redelivered; it counts as the first."""
    _update(ledger, DeliveryStatus.RETRY, attempts=9)
    claimed = claim(ledger, seconds=1)
    assert _redeliver(ledger) == 1
    _write(ledger, *claimed)
    with ledger.database.read() as session:
        delivery = session.scalars(sa.select(Delivery)).one()
        assert session.scalars(sa.select(Subscription.active)).one()
    assert (delivery.status, delivery.attempts, delivery.first_failed_at) == ("retry", 1, at(2))
    assert delivery.due_at == at(2) + dt.timedelta(seconds=5)


@on_sqlite
def test_a_success_ends_a_redelivery(ledger: LedgerEnv) -> None:
    """The attempt that an operator overtook is not repeated when it succeeds."""
    _update(ledger, DeliveryStatus.RETRY, attempts=9)
    claimed = claim(ledger, seconds=1)
    _redeliver(ledger)
    _write(ledger, *claimed, outcome=OK)
    assert statuses(ledger) == ["delivered"]


@on_sqlite
def test_an_old_failure_does_not_stop_a_redelivery(ledger: LedgerEnv) -> None:
    """A first attempt fails for a subscription that had failed for days before the redelivery."""
    ledger.see({"id": 2})
    with ledger.database.write() as session:
        session.execute(sa.update(Subscription).values(failing_since=at(-9 * DAYS)))
    claimed = claim(ledger, seconds=1, limit=1)
    with ledger.database.write() as session:
        others = Delivery.id != claimed[0].delivery_id
        session.execute(sa.update(Delivery).where(others).values(status=DeliveryStatus.RETRY))
    assert _redeliver(ledger) == 1
    _write(ledger, *claimed)
    assert statuses(ledger) == ["retry", "created"]


@on_servers
def test_a_purge_leaves_what_is_replayed(
    ledger: LedgerEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replay between a purge's look and its deletion is delivered."""
    _write(ledger, *claim(ledger), outcome=OK)
    _before_lock(monkeypatch, lambda: _replay(ledger))
    assert _purge(ledger) == 0
    assert len(claim(ledger, seconds=9 * DAYS)) == 1


@on_sqlite
def test_a_replay_leaves_out_what_was_purged(ledger: LedgerEnv) -> None:
    """Notifications that were deleted after they were selected are not an error."""
    _write(ledger, *claim(ledger), outcome=OK)
    assert _replay(ledger, lambda: _purge(ledger)) == 0
    with ledger.database.read() as session:
        assert session.scalars(sa.select(Notification.id)).all() == []


@on_mariadb
def test_a_deletion_and_a_claim_wait_for_each_other(
    ledger: LedgerEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is ended as the victim of a deadlock."""
    database, lease = ledger.database, delivery_states.lease
    ledger.see({"id": 2})
    pool = concurrent.futures.ThreadPoolExecutor(1)
    deletions: list[concurrent.futures.Future[None]] = []

    def delete() -> None:
        number = ledger.stream.instance_id
        with database.write() as session:
            lifecycle.delete(session, access.owner(session, number), number)

    def waits() -> bool:
        query = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'"
        time.sleep(0.11)  # The server fills that table again after 0.1 s without a query.
        with database.engine.connect() as connection:
            return bool(connection.scalar(sa.text(query)))

    def delete_and_lease(*args: object) -> None:
        deletions.append(pool.submit(delete))
        wait_until(waits)
        lease(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(delivery_states, "lease", delete_and_lease)
    with database.write() as session:
        claimed = claims.claim(session, NOW, LEASE, 10)
    deletions[0].result()
    pool.shutdown()
    assert len(claimed) == 2
    assert statuses(ledger) == []
