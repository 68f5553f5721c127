"""Leases: read under their lock, renewed while work runs, and given back on every way out."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import threading
import types
import typing as t

import pytest
import sqlalchemy as sa
from sqlalchemy import event, orm

from flask_woo_events.db import limits
from flask_woo_events.db.database import Database
from flask_woo_events.db.leases import (
    GuardLease,
    InstanceLease,
    Lease,
    LeaseRenewer,
    claim_instance,
)
from flask_woo_events.db.models import Delivery, Instance, Subscription
from flask_woo_events.db.states import DeliveryStatus
from flask_woo_events.delivery import claims, dispatcher, send
from flask_woo_events.delivery.dispatcher import Dispatch
from flask_woo_events.delivery.retry import AttemptOutcome
from flask_woo_events.errors import LeaseLostError, SchemaError
from flask_woo_events.events.delivery_states import DeliveryLease
from flask_woo_events.instances import restored, webhooks
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Settings
from flask_woo_events.sync.instance_poll import InstancePoll
from flask_woo_events.values.crypto import Cipher
from tests.conftest import BACKENDS
from tests.integration.ledger_env import NOW, LedgerEnv, at, build
from tests.waiting import HANG_SECONDS, wait_until

LENGTH = dt.timedelta(seconds=10)
#: How long a lock is waited for.
LOCKED = dt.timedelta(seconds=60)


class Env:
    """A ledger with one delivery, and a clock that moves while a lock is waited for."""

    def __init__(self, database: Database) -> None:
        self.ledger: LedgerEnv = build(database)
        self.instance_id = self.ledger.stream.instance_id
        self.database = database
        self.now = NOW
        settings = Settings(encryption_keys=(Cipher.generate_key(),), poll_threads=1)
        self.runtime = Runtime(settings, database, lambda: self.now)
        self.renewer = LeaseRenewer(database, self.runtime.clock, LENGTH)

    def wait_for_locks(self) -> None:
        """From now on, let a minute pass between the request for a lock and the lock."""
        if self.database.engine.dialect.name == "sqlite":
            # Taken by BEGIN, when the connection has left the pool.
            event.listen(self.database.engine, "checkout", self._wait)
        else:
            event.listen(self.database.engine, "before_cursor_execute", self._wait_for_row)

    def _wait(self, *_: object) -> None:
        self.now += LOCKED

    def _wait_for_row(self, _: object, __: object, statement: str, *rest: object) -> None:
        if " FOR UPDATE" in statement or " FOR NO KEY UPDATE" in statement:
            self._wait()

    def instance(self) -> Instance:
        with self.database.read() as session:
            return session.get_one(Instance, self.instance_id)

    def set(self, **values: t.Any) -> None:
        with self.database.write() as session:
            session.execute(sa.update(Instance).values(**values))

    def claim(self, length: dt.timedelta = LENGTH) -> claims.ClaimedDelivery:
        """Claim the delivery for another process."""
        with self.database.write() as session:
            (claimed,) = claims.claim(session, self.now, length, 10)
        return claimed

    def claim_instance(self) -> InstanceLease:
        with self.database.write() as session:
            lease = claim_instance(session, self.instance_id, self.runtime.clock, LENGTH)
        assert lease is not None
        return lease

    def delivery(self) -> Delivery:
        with self.database.read() as session:
            return session.scalars(sa.select(Delivery)).one()


@pytest.fixture
def env(any_database: Database) -> Env:
    return Env(any_database)


@pytest.fixture
def sqlite_env(tmp_path: t.Any, tables: t.Any) -> cabc.Iterator[Env]:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/host.sqlite3")
    (tmp_path / "host.sqlite3").write_bytes(tables.read_bytes())
    database = Database(engine)
    yield Env(database)
    database.dispose()
    engine.dispose()


def test_an_instance_is_claimed_from_the_time_of_the_lock(
    env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long a claim waits for the lock, its lease has the full length."""
    left: list[dt.timedelta] = []

    def work(*_: object) -> None:
        until = env.instance().lease_until
        assert until is not None
        left.append(until - claimed_at)

    monkeypatch.setattr(InstancePoll, "_work", work)
    monkeypatch.setattr(InstancePoll, "_release", lambda *_: None)
    # It would take one of SQLite's connections before the claim does.
    monkeypatch.setattr(restored, "look", lambda _: None)
    env.wait_for_locks()
    claimed_at = env.now + LOCKED
    InstancePoll(env.runtime, env.renewer).run(env.instance_id)
    assert left == [LENGTH]


def test_webhooks_are_claimed_from_the_time_of_the_lock(
    env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of an instance's webhooks has a lease of the full length."""
    left: list[dt.timedelta] = []

    def reconcile(*_: object) -> None:
        until = env.instance().hooks_due_at
        assert until is not None
        left.append(until - claimed_at)

    monkeypatch.setattr(webhooks, "reconcile", reconcile)
    env.set(hooks_due_at=NOW)
    env.wait_for_locks()
    claimed_at = env.now + LOCKED
    webhooks.guard(env.runtime, env.renewer, env.instance_id)
    assert left == [LENGTH]


def test_deliveries_are_claimed_from_the_time_of_the_lock(
    sqlite_env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery is not claimed for a time that is already past; servers never wait for it."""
    env = sqlite_env
    left: list[dt.timedelta] = []

    def attempt(*_: object, **__: object) -> AttemptOutcome:
        until = env.delivery().lease_until
        assert until is not None
        left.append(until - claimed_at)
        return AttemptOutcome(delivered=True, reason="200")

    monkeypatch.setattr(send, "attempt", attempt)
    env.ledger.see({"id": 1})
    env.wait_for_locks()
    claimed_at = env.now + LOCKED
    Dispatch(env.runtime, env.renewer).run()
    assert left == [LENGTH]


def test_a_lease_is_renewed_from_the_time_of_the_lock(env: Env) -> None:
    """However long a renewal waits for the lock, the lease then has the full length."""
    env.ledger.see({"id": 1})
    lease = env.claim_instance()
    delivery = DeliveryLease(env.claim().token)
    env.wait_for_locks()
    renewer = LeaseRenewer(env.database, env.runtime.clock, LENGTH)
    for one in (lease, delivery):
        with env.database.write() as session:
            one.renew(session, renewer.until)
        locked_at = env.now
        ended = env.instance().lease_until if one is lease else env.delivery().lease_until
        assert ended == locked_at + LENGTH


def test_a_process_does_not_claim_what_it_is_sending(
    sqlite_env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows its own attempts, also when their lease could not be renewed in time."""
    env = sqlite_env
    looks = threading.Semaphore(0)
    sent: list[None] = []
    claim = claims.claim

    def look(*given: t.Any, **named: t.Any) -> list[claims.ClaimedDelivery]:
        found = claim(*given, **named)
        looks.release()
        return found

    def attempt(*_: object, **__: object) -> AttemptOutcome:
        sent.append(None)
        looks.acquire(timeout=HANG_SECONDS)
        env.now += LOCKED
        dispatch.wake.set()
        looks.acquire(timeout=HANG_SECONDS)
        return AttemptOutcome(delivered=True, reason="200")

    monkeypatch.setattr(claims, "claim", look)
    monkeypatch.setattr(send, "attempt", attempt)
    env.ledger.see({"id": 1})
    dispatch = Dispatch(env.runtime, env.renewer)
    assert dispatch.run().delivered == len(sent) == 1


def test_a_claim_after_a_long_lock_lets_others_renew_first(
    sqlite_env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process is sending is left to it, though its lease ended during the lock."""
    env = sqlite_env
    env.ledger.see({"id": 1})
    other = env.claim()
    ticks = [0.0]

    class Pause:
        def wait(self, seconds: float) -> None:
            assert seconds == dispatcher.AFTER_OUTAGE
            with env.database.write() as session:
                DeliveryLease(other.token).renew(session, lambda: env.now + LENGTH)

    def wait(*_: object) -> None:
        if not ticks[0]:
            env.now += LOCKED
            ticks[0] += LOCKED.total_seconds()

    clock = types.SimpleNamespace(monotonic=lambda: ticks[0])
    monkeypatch.setattr(dispatcher, "time", clock)
    dispatch = Dispatch(env.runtime, env.renewer)
    monkeypatch.setattr(dispatch, "_pause", Pause())
    event.listen(env.database.engine, "checkout", wait)
    assert dispatch.run().delivered == 0
    assert env.delivery().lease_token == other.token


def test_a_released_instance_is_not_revived(env: Env) -> None:
    """A renewal that waited for the release finds that the lease is over."""
    lease = env.claim_instance()
    with env.database.write() as session:
        lease.release(session, at(900), at(900))
    with pytest.raises(LeaseLostError), env.database.write() as session:
        lease.renew(session, env.renewer.until)
    found = env.instance()
    assert (found.lease_until, found.next_poll_at, found.regular_poll_at) == (
        None,
        at(900),
        at(900),
    )


def test_a_guard_lease_survives_a_failed_commit(sqlite_env: Env) -> None:
    """A time that was not committed is not the lease's; one that may be committed is."""
    env = sqlite_env
    env.set(hooks_due_at=at(10))
    lease = GuardLease(env.instance_id, at(10))

    def renew(seconds: float, *, fails: bool = False) -> None:
        with env.database.write() as session:
            lease.renew(session, lambda: at(seconds))
            if fails:
                raise sa.exc.OperationalError("COMMIT", None, Exception("connection lost"))

    for seconds in (20, 30):
        with pytest.raises(sa.exc.OperationalError):
            renew(seconds, fails=True)
    renew(40)
    assert env.instance().hooks_due_at == at(40)
    with pytest.raises(sa.exc.OperationalError):
        renew(50, fails=True)
    env.set(hooks_due_at=at(50))  # The commit was made before the connection was lost.
    renew(60)
    env.set(hooks_due_at=at(20))
    with pytest.raises(LeaseLostError):
        renew(70)


def test_released_webhooks_are_not_revived(sqlite_env: Env) -> None:
    """A renewal that waited for the end of the check leaves the next due time as it is."""
    env = sqlite_env
    env.set(hooks_due_at=at(10))
    lease = GuardLease(env.instance_id, at(10))
    with env.database.write() as session:
        lease.release(session, lambda: at(120))
    with pytest.raises(LeaseLostError), env.database.write() as session:
        lease.renew(session, env.renewer.until)
    assert env.instance().hooks_due_at == at(120)


class FailingLease:
    """A lease whose first renewal fails."""

    def __init__(self, error: Exception) -> None:
        self.errors = [error]
        self.renewals = 0

    @property
    def extra(self) -> dict[str, object]:
        return {}

    def renew(self, session: orm.Session, until: cabc.Callable[[], dt.datetime]) -> None:
        if self.errors:
            raise self.errors.pop()
        self.renewals += 1


def test_the_renewer_survives_every_error(sqlite_env: Env) -> None:
    """A renewal that fails is tried again, and the other leases are renewed."""
    leases = [
        FailingLease(SchemaError("the tables are missing")),
        FailingLease(sa.exc.OperationalError("UPDATE", None, Exception("locked"))),
        FailingLease(RuntimeError("can't start new thread")),
    ]
    length = dt.timedelta(seconds=0.03)
    with LeaseRenewer(sqlite_env.database, sqlite_env.runtime.clock, length) as renewer:
        for one in leases:
            renewer.add(t.cast(Lease, one))
        wait_until(lambda: all(one.renewals for one in leases))


class _CountedLease:
    """A lease that can always be renewed."""

    extra: t.ClassVar[dict[str, object]] = {}
    renewals = 0

    def renew(self, session: orm.Session, until: t.Any) -> None:
        self.renewals += 1


@pytest.mark.parametrize("any_url", BACKENDS[1:], indirect=True)
def test_a_locked_row_does_not_stop_the_other_renewals(
    env: Env, any_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suspended process may hold the lock for longer than leases last."""
    monkeypatch.setattr(limits, "LOCK_SECONDS", 3600)
    locked, other = env.claim_instance(), _CountedLease()
    engine = sa.create_engine(any_url)
    length = dt.timedelta(seconds=0.3)
    with engine.begin() as connection:
        connection.execute(sa.update(Instance).values(name="of a suspended process"))
        with LeaseRenewer(env.database, env.runtime.clock, length) as renewer:
            with renewer.hold(locked), renewer.hold(other):
                wait_until(lambda: other.renewals >= 3)
    engine.dispose()


@pytest.mark.parametrize("any_url", BACKENDS[1:], indirect=True)  # SQLite has one lock.
def test_a_renewal_holds_the_subscriptions_of_its_deliveries(env: Env) -> None:
    """Results, which lock them first, wait for it; in another order both would wait for ever."""
    env.ledger.see({"id": 1})
    lease = DeliveryLease(env.claim().token)
    free = sa.select(Subscription.id).with_for_update(skip_locked=True)
    with env.database.write() as session, env.database.write() as other:
        assert len(other.scalars(free).all()) == 1
        other.rollback()
        lease.renew(session, env.renewer.until)
        assert other.scalars(free).all() == []


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (KeyError("an error of this package"), dt.timedelta(minutes=1)),
        (sa.exc.OperationalError("SELECT", None, Exception("away")), LENGTH),
    ],
    ids=["unexpected", "database"],
)
def test_a_poll_that_fails_gives_its_instance_back(
    sqlite_env: Env, error: Exception, wait: dt.timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The instance is free immediately, and due again after a pause."""
    env = sqlite_env

    def work(*_: object) -> None:
        raise error

    monkeypatch.setattr(InstancePoll, "_work", work)
    with pytest.raises(type(error)):
        InstancePoll(env.runtime, env.renewer).run(env.instance_id)
    found = env.instance()
    assert (found.lease_until, found.next_poll_at) == (None, NOW + wait)
    assert env.renewer.held == frozenset()


def test_deliveries_are_given_back_if_no_thread_can_be_started(
    sqlite_env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any worker may send them immediately, and this one does when it is started again."""
    env = sqlite_env
    env.ledger.see({"id": 1})
    monkeypatch.setattr(
        send, "attempt", lambda *_, **__: AttemptOutcome(delivered=True, reason="200")
    )
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _refuse)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            Dispatch(env.runtime, env.renewer).run()
    assert (env.delivery().lease_token, env.renewer.held) == (None, frozenset())
    assert Dispatch(env.runtime, env.renewer).run().delivered == 1


def _refuse(*_: object) -> None:
    raise RuntimeError("can't start new thread")


def test_running_threads_go_on_if_no_other_can_be_started(
    sqlite_env: Env, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Deliveries wait for the threads that there are."""
    env = sqlite_env
    env.ledger.see(*({"id": number} for number in range(1, 31)))
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_one(thread: threading.Thread) -> None:
        if started:
            refused.set()
            _refuse()
        started.append(thread)
        start(thread)

    refused = threading.Event()

    def attempt(*_: object, **__: object) -> AttemptOutcome:
        assert refused.wait(HANG_SECONDS)
        return AttemptOutcome(delivered=True, reason="200")

    monkeypatch.setattr(send, "attempt", attempt)
    monkeypatch.setattr(threading.Thread, "start", start_one)
    report = Dispatch(env.runtime, env.renewer).run()
    assert report.delivered == 3
    assert "no thread could be started" in caplog.text
    with env.database.read() as session:
        statuses = set(session.scalars(sa.select(Delivery.status)))
    assert statuses == {DeliveryStatus.DELIVERED}
