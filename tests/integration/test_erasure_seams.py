"""A person stays erased where an erasure meets operational events, reconciliation and attempts."""

from __future__ import annotations

import threading
import typing as t

import orjson
import pytest
import sqlalchemy as sa

from flask_woo_events.db import vacuum
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import (
    Attempt,
    Instance,
    Poller,
    StoredEvent,
    Subscription,
)
from flask_woo_events.events import operational
from flask_woo_events.events.operational import Occurrence
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import read_settings
from flask_woo_events.simulation.store.responses import SimulatedResponse
from flask_woo_events.sync.erasure import erasures, run, texts
from flask_woo_events.values.crypto import Cipher
from flask_woo_events.worker import operations
from flask_woo_events.worker.worker import Worker
from tests.conftest import BACKENDS
from tests.integration.host_app import NOW, PREFIX, runtime_of
from tests.integration.ledger_env import build
from tests.integration.store_to_callback import StoreToCallback
from tests.integration.test_erasure import (
    CANARY,
    NAME,
    ORDER,
    PHONE,
    _contents,
    _erase,
    _found,
    _plant,
)
from tests.integration.test_erasure import echo as echo
from tests.integration.test_erasure import shop as shop

TEXT = f"orders: disabled after 5 failures in a row; the last: Duplicate entry '{CANARY}'"


def _record(env: StoreToCallback, kind: str = "poller.disabled") -> None:
    """Record an operational event whose text quotes a store's error."""
    runtime = runtime_of(env.app)
    with runtime.database.write() as session:
        number = session.scalars(sa.select(Poller.id).where(Poller.resource == "orders")).one()
        what = Occurrence(kind=kind, number=number, resource="orders", text=TEXT)
        operational.record(session, env.instance_id, what, NOW)


@pytest.fixture
def operated(shop: StoreToCallback) -> StoreToCallback:
    """Give the store a receiver of operational events, which nobody answers."""
    path = f"/instances/{shop.instance_id}/subscriptions"
    asked = {"callbackUrl": "http://127.0.0.1:9/ops", "operational": True}
    answer = shop.api.call("POST", path, asked)
    assert answer.status_code == 200, answer.text
    return shop


def test_operational_events_forget(operated: StoreToCallback) -> None:
    """Those that wait, those that are notifications, and what the instance's row keeps of them."""
    _record(operated)
    runtime = runtime_of(operated.app)
    assert operations.post(runtime) == 1
    _record(operated, "poller.enabled")
    with runtime.database.write() as session:
        instance = session.get_one(Instance, operated.instance_id)
        instance.reported = {"store.failing": NOW.isoformat(), f"x {CANARY}": NOW.isoformat()}
        for subscription in session.scalars(sa.select(Subscription)):
            subscription.reason = f"410: {CANARY}"
    assert _found(_contents(runtime.database), CANARY)
    counts = _erase(operated)
    assert counts["events"] == 1 and counts["texts"] >= 3
    assert not _found(_contents(runtime.database), CANARY)
    operations.post(runtime)
    with runtime.database.read() as session:
        rows = session.scalars(sa.select(StoredEvent).where(StoredEvent.kind.is_not(None))).all()
    assert [(one.kind, orjson.loads(one.body)["text"]) for one in rows] == [
        ("poller.disabled", "[erased]"),
        ("poller.enabled", "[erased]"),
    ]


def test_record_that_becomes_an_event_meanwhile(
    operated: StoreToCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker makes an event of a record after the events were searched, before the records."""
    _record(operated)
    runtime = runtime_of(operated.app)
    instances, posted = run.ErasureRun._instances, list[int]()

    def between(self: run.ErasureRun, after: int) -> t.Any:
        posted.append(operations.post(runtime))
        return instances(self, after)

    monkeypatch.setattr(run.ErasureRun, "_instances", between)
    _erase(operated)
    assert posted == [1]
    assert not _found(_contents(runtime.database), CANARY)


def test_what_is_recorded_later_forgets(operated: StoreToCallback) -> None:
    """An error that quotes the address after the erasure becomes no event with it."""
    _erase(operated)
    _record(operated)
    runtime = runtime_of(operated.app)
    assert operations.post(runtime) == 1
    with runtime.database.read() as session:
        bodies = session.scalars(
            sa.select(StoredEvent.body).where(StoredEvent.kind.is_not(None))
        ).all()
    assert len(bodies) == 1 and not _found(bodies[0], CANARY)


# On SQLite, the copy cannot begin while the erasure writes.
@pytest.mark.parametrize("any_url", BACKENDS[1:], indirect=True)
def test_copy_of_an_event_forgets(any_url: str, any_database: Database) -> None:
    """An event that is copied while its object is erased, as reconcile does, is erased, too."""
    env = build(any_database)
    env.see(ORDER)
    env.see({"id": 2, "note": f"not {CANARY}"}, {"id": 3, "note": f"of {CANARY}"})
    settings = read_settings({"WOO_EVENTS_ENCRYPTION_KEYS": [Cipher.generate_key()]})
    runtime = Runtime(settings, any_database)
    with any_database.read() as session:
        organization = session.scalars(sa.select(Instance.organization_id)).one()
    gate, erase_objects = _Gate(), run.ErasureRun._erase_objects
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.ErasureRun, "_erase_objects", gate.before(erase_objects))
        thread = threading.Thread(
            target=erasures.erase, args=(runtime, organization, CANARY, "x"), daemon=True
        )
        thread.start()
        assert gate.reached.wait(60)
        with any_database.write() as session:
            session.scalars(sa.select(Poller.id).with_for_update()).all()
            rows = session.scalars(sa.select(StoredEvent).order_by(StoredEvent.id)).all()
            copies = [_copy(one) for one in rows]
            gate.open.set()
            # If it waits for the lock, as it should; a slower one would only show less.
            thread.join(1.0)
            session.add_all(copies)
        thread.join(60)
    assert not thread.is_alive()
    assert not _found(_contents(any_database), CANARY, NAME, PHONE)


class _Gate:
    """Holds a part of an erasure back until it is opened."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()

    def before(self, part: t.Any) -> t.Any:
        def waiting(*args: t.Any) -> t.Any:
            self.reached.set()
            assert self.open.wait(60)
            return part(*args)

        return waiting


def _copy(row: StoredEvent) -> StoredEvent:
    names = [one.key for one in sa.inspect(StoredEvent).column_attrs if one.key != "id"]
    return StoredEvent(**{name: getattr(row, name) for name in names})


def test_answers_of_receivers_forget(shop: StoreToCallback, echo: t.Any) -> None:
    """A receiver that knows the person from before may name them in any later answer."""
    shop.poll()
    _erase(shop)
    runtime = runtime_of(shop.app)
    shop.receiver.answer = lambda _: 200
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "flask_woo_events.delivery.send._shown",
            lambda *_: f'{{"error": "customer {CANARY} exists"}}',
        )
        shop.rest("PUT", f"coupons/{shop.first('coupons')}", description="changed")
        shop.poll()
        Worker(runtime).deliver_once()
    with runtime.database.read() as session:
        answers = session.scalars(sa.select(Attempt.answer)).all()
    assert any(answers) and not _found("".join(answers).encode(), CANARY)


def test_vacuum_rewrites_all_that_is_erased() -> None:
    """Otherwise bytes of the person stay in the files of PostgreSQL and MariaDB."""
    tables = {one.__tablename__ for one in texts._TEXTS}
    for statement in (vacuum.VACUUM, vacuum.OPTIMIZE):
        assert tables <= set(statement.replace(",", "").split())


def _reconciled(env: StoreToCallback) -> dict[str, str]:
    """Have a consumer that has nothing get all orders again; return what of each."""
    path = f"{PREFIX}/instances/{env.instance_id}/reconcile?resource=orders&send=true"
    headers = env.api.headers | {"Content-Type": "application/x-ndjson"}
    answer: t.Any = env.api.client.post(path, data=b"", headers=headers)
    assert answer.status_code == 200, answer.text
    body: t.Any = answer.json
    return {one["objectId"]: one["send"] for one in body["differences"]}


def test_feed_and_reconcile_after_an_erasure(shop: StoreToCallback, echo: t.Any) -> None:
    """A cursor from before goes on, and what is read or sent again is without the person."""
    ids = _plant(shop)
    shop.poll()
    runtime, feed = runtime_of(shop.app), "/events/feed"
    page: t.Any = shop.api.call("GET", f"{feed}?limit=3").json
    cursor = page["cursor"]
    with runtime.database.write() as session:
        # The event of this order is purged, so that the next poll reads it.
        known = sa.and_(
            StoredEvent.resource == "orders", StoredEvent.object_id == str(ids["known"])
        )
        session.execute(sa.delete(StoredEvent).where(known))
    _erase(shop)
    for path in (feed, f"{feed}?cursor={cursor}"):
        answer = shop.api.call("GET", path)
        assert answer.json["events"] and not _found(answer.data, CANARY, NAME, PHONE)
    Worker(runtime).deliver_once()
    sent = _reconciled(shop)
    assert (sent[str(ids["guest"])], sent[str(ids["known"])]) == ("recorded", "read")
    shop.poll()
    last = shop.api.call("GET", f"{feed}?cursor={cursor}")
    assert not _found(last.data, CANARY, NAME, PHONE)
    echo.bodies.clear()
    shop.receiver.clear()
    Worker(runtime).deliver_once()
    bodies = b"".join([*echo.bodies, *(one.body for one in shop.receiver.received)])
    assert b"[erased]" in bodies and not _found(bodies, CANARY, NAME, PHONE)
    assert not _found(_contents(runtime.database), CANARY, NAME, PHONE)


def test_errors_of_polls_forget(operated: StoreToCallback, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that quotes the address in an error after the erasure: in no column of it."""
    env, runtime = operated, runtime_of(operated.app)
    env.poll()
    _erase(env)
    said = {"code": "db", "message": f"Duplicate entry '{CANARY}'", "data": {"status": 400}}
    answer = env.store.routes.answer

    def failing(method: str, path: str, *more: t.Any) -> t.Any:
        found = answer(method, path, *more)
        return SimulatedResponse(400, orjson.dumps(said)) if path == "orders" else found

    monkeypatch.setattr(env.store.routes, "answer", failing)
    reports = env.poll()
    assert any("Duplicate entry" in (one.error or "") for one in reports)
    with runtime.database.read() as session:
        errors = session.scalars(sa.select(Poller.error).where(Poller.resource == "orders")).all()
        problems = session.get_one(Instance, env.instance_id).problems
    assert errors == ["[erased]"] and problems
    with runtime.database.write() as session:
        poller = session.scalars(sa.select(Poller).where(Poller.resource == "orders")).one()
        poller.failures = runtime.settings.poll_failures_allowed - 1
        poller.retry_at = None
    env.poll()
    operations.post(runtime)
    assert not _found(_contents(runtime.database), CANARY)
