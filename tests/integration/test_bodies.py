"""The bodies of the ledger: which changes have values, and what is kept for them."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Object, ObjectBody, Poller, StoredEvent
from flask_woo_events.db.states import Source
from flask_woo_events.events.changes import Changes, Value
from flask_woo_events.sync.ledger import bodies, lookup, screening
from flask_woo_events.sync.ledger.observation import Observation, ObservationBatch
from flask_woo_events.sync.ledger.representation import StoreState
from tests.integration.ledger_env import NOW, LedgerEnv, at, build

Values = cabc.Mapping[str, Value] | None

ORDER: dict[str, t.Any] = {"id": 1, "status": "processing", "total": "5.00"}
COMPLETED = ORDER | {"status": "completed"}
STATUS: Values = {"status": {"before": "processing", "after": "completed"}}


@pytest.fixture
def env(any_database: Database) -> LedgerEnv:
    """A ledger with one order, of which no event was sent."""
    env = build(any_database)
    env.see(ORDER, since=NOW)
    return env


def keeping(env: LedgerEnv, *watched: str, all_fields: bool = False) -> LedgerEnv:
    """Return the ledger under another setting."""
    stream = dataclasses.replace(env.stream, keeps_bodies=all_fields, watched=frozenset(watched))
    return dataclasses.replace(env, stream=stream)


def last(env: LedgerEnv) -> Values:
    """Return the values of the last event's changes."""
    with env.database.read() as session:
        query = sa.select(StoredEvent.event_type, StoredEvent.changes)
        kind, data = session.execute(query.order_by(StoredEvent.id.desc()).limit(1)).one()
        found = Changes.from_json(data)
    assert kind == "UPDATED" or found is None
    return None if found is None else found.values


def kept(env: LedgerEnv) -> int:
    """Return the number of stored bodies."""
    with env.database.read() as session:
        return session.scalars(sa.select(sa.func.count()).select_from(ObjectBody)).one()


def holds(env: LedgerEnv, body: dict[str, t.Any]) -> bool:
    """Return whether the ledger needs nothing more of what it knows already."""
    seen = Observation(object_id="1", body=body, seen_at=NOW)
    with env.database.read() as session:
        revision = lookup.revision(session, env.stream.poller_id)
        batch = ObservationBatch(
            source=Source.COMPARE, observations=[seen], read_revision=revision, poll_date=NOW
        )
        return screening.screen(session, env.stream, batch, env.stream.store).unrecorded is None


def test_first_change_after_the_baseline_has_values(env: LedgerEnv) -> None:
    """So have the later ones, each compared with the version before."""
    assert holds(env, ORDER)
    env.see(COMPLETED)
    assert last(env) == STATUS
    env.see(COMPLETED | {"total": "6.00"})
    assert last(env) == {"total": {"before": "5.00", "after": "6.00"}}
    env.see({"id": 1, "total": "6.00"})
    assert last(env) == {"status": {"before": "completed"}}
    assert kept(env) == 1


def test_what_does_not_count_is_not_listed(env: LedgerEnv) -> None:
    """Neither volatile fields, nor those that a date in UTC repeats, nor ignored ones."""
    ignoring = dataclasses.replace(env.stream, ignored=frozenset({"hits", "gone"}))
    env = dataclasses.replace(env, stream=ignoring)
    dates = {"date_paid": "2026-01-01T01:00:00", "date_paid_gmt": "2026-01-01T00:00:00"}
    before = ORDER | dates | {"hits": 1, "gone": 1, "price_html": "a"}
    env.see(before)
    later = {"date_paid": "2026-01-02T01:00:00", "date_paid_gmt": "2026-01-02T00:00:00"}
    env.see(COMPLETED | later | {"hits": 2, "price_html": "b"})
    assert set(last(env) or ()) == {"status", "date_paid_gmt"}


def test_names_keep_no_values(env: LedgerEnv) -> None:
    """The bodies of a setting before are deleted when the objects are read."""
    names = keeping(env)
    assert not holds(names, ORDER)
    names.see(ORDER)
    assert kept(env) == 0 and holds(names, ORDER)
    names.see(COMPLETED)
    assert last(env) is None and kept(env) == 0


def test_watched_fields_keep_their_values(env: LedgerEnv) -> None:
    """Only they are kept and listed; a change of others alone has no values."""
    watched = keeping(env, "status", "line_items[].quantity")
    watched.see(ORDER)
    assert holds(watched, ORDER)
    watched.see(COMPLETED | {"total": "6.00"})
    assert last(env) == STATUS
    watched.see(COMPLETED | {"total": "7.00", "line_items": [{"id": 1}]})
    assert last(env) == {"line_items": {"after": [{"id": 1}]}}
    watched.see(COMPLETED | {"total": "8.00", "line_items": [{"id": 1}]})
    assert last(env) is None


@pytest.mark.parametrize("watched", [(), ("total",), ("status",)])
def test_after_another_setting_a_body_is_read_once(
    env: LedgerEnv, watched: tuple[str, ...]
) -> None:
    """Before that, a change has no values but those that were kept; none is called added."""
    before = keeping(env, *watched)
    before.see(ORDER)
    if watched != ("status",):
        changed = env.see(COMPLETED)
        assert changed.emitted and last(env) is None
        env.see(ORDER)
    assert not holds(before, ORDER) or watched == ("status",)
    env.see(ORDER)
    assert holds(env, ORDER)
    env.see(COMPLETED)
    assert last(env) == STATUS


def test_upgraded_row_is_filled_in(env: LedgerEnv) -> None:
    """A row of a release without bodies has no values until it is read, then all."""
    with env.database.write() as session:
        session.execute(sa.delete(ObjectBody))
        session.execute(sa.update(Object).values(body_revision=None, body_fields=None))
    recorded = env.see(COMPLETED)
    assert recorded.emitted == ("1",) and last(env) is None
    with env.database.write() as session:
        session.execute(sa.delete(ObjectBody))
        session.execute(sa.update(Object).values(body_revision=None, body_fields=None))
    assert not holds(env, COMPLETED)
    assert env.see(COMPLETED).emitted == () and holds(env, COMPLETED)
    env.see(COMPLETED | {"total": "9.00"})
    assert last(env) == {"total": {"before": "5.00", "after": "9.00"}}


def test_change_by_an_older_worker(env: LedgerEnv) -> None:
    """It leaves the body as it was, which then counts no more: no difference is wrong."""
    with env.database.read() as session:
        columns = session.execute(sa.select(Object.body_revision, Object.body_fields)).one()
        data = session.scalars(sa.select(ObjectBody.data)).one()
    env.see(COMPLETED)
    with env.database.write() as session:
        session.execute(sa.update(ObjectBody).values(data=data))
        session.execute(sa.update(Object).values(body_revision=columns[0], body_fields=columns[1]))
    env.see(COMPLETED | {"total": "6.00"})
    assert last(env) is None
    env.see(COMPLETED | {"total": "7.00"})
    assert last(env) == {"total": {"before": "6.00", "after": "7.00"}}


def test_body_of_a_newer_release(env: LedgerEnv) -> None:
    """A dictionary that is not known is no error, and gives no values."""
    with env.database.write() as session:
        session.execute(sa.update(ObjectBody).values(dictionary=999))
    assert env.see(COMPLETED).emitted == ("1",)
    assert last(env) is None
    env.see(ORDER)
    assert last(env) == {"status": {"before": "completed", "after": "processing"}}


def test_damaged_body(env: LedgerEnv) -> None:
    """What cannot be read gives no values."""
    with env.database.write() as session:
        session.execute(sa.update(ObjectBody).values(data=b"\xff\xff"))
    env.see(COMPLETED)
    assert last(env) is None


def test_deleted_object_drops_its_body(env: LedgerEnv) -> None:
    """What is recorded again is new."""
    env.see(gone=("1",))
    assert kept(env) == 0
    env.see(COMPLETED)
    assert last(env) is None and kept(env) == 1


def test_bodies_are_deleted_with_their_resource(env: LedgerEnv) -> None:
    """Nothing is left of an instance that is deleted."""
    with env.database.write() as session:
        session.execute(sa.delete(StoredEvent))
        session.execute(sa.delete(Poller))
    assert kept(env) == 0


def test_too_large_body_is_not_kept(env: LedgerEnv, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is it read again and again for it."""
    monkeypatch.setattr(bodies, "MOST_BYTES", 100)
    large = ORDER | {"note": "x" * 100}
    env.see(large)
    assert kept(env) == 0 and holds(env, large)
    env.see(COMPLETED)
    assert last(env) is None
    env.see(ORDER)
    assert last(env) == {"status": {"before": "completed", "after": "processing"}}


def test_another_representation_renews_the_body(env: LedgerEnv) -> None:
    """A field that a new version of WooCommerce shows is no change, then or later."""
    old, new = (
        dataclasses.replace(
            env, stream=dataclasses.replace(env.stream, store=StoreState(version=version))
        )
        for version in ("9.0", "10.0")
    )
    old.see(ORDER)
    shown: dict[str, t.Any] = {"brands": []}
    assert new.see(ORDER | shown, seconds=60).emitted == ()
    assert new.see(COMPLETED | shown, seconds=120).emitted == ("1",)
    assert last(env) == STATUS


def test_object_under_the_id_of_another(env: LedgerEnv) -> None:
    """It is deleted and created, so nothing is compared."""
    one = {"id": 1, "order_key": "wc_1", "status": "processing", "created": at(-900)}
    env.see(one)
    recorded = env.see({"id": 1, "order_key": "wc_2", "status": "completed", "created": at(-60)})
    assert recorded.deleted == 1 and last(env) is None and kept(env) == 1
