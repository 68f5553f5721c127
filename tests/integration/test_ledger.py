"""The ledger: which observations become events, on every database."""

from __future__ import annotations

import orjson
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Delivery, Notification, Object, StoredEvent, Wait
from flask_woo_events.db.states import Source
from flask_woo_events.events import outbox
from flask_woo_events.sync.ledger import lookup, observation, record
from tests.examples import examples
from tests.integration.ledger_env import NOW, LedgerEnv, at, build


@pytest.fixture
def ledger_env(any_database: Database) -> LedgerEnv:
    return build(any_database)


def events(ledger_env: LedgerEnv) -> list[tuple[str, str, int]]:
    with ledger_env.database.read() as session:
        rows = session.execute(
            sa.select(StoredEvent.object_id, StoredEvent.event_type, StoredEvent.version).order_by(
                StoredEvent.id
            )
        )
        return [(object_id, kind, version) for object_id, kind, version in rows]


@pytest.mark.parity(18, 20, 24, 27)
def test_unknown_is_created(ledger_env: LedgerEnv) -> None:
    """An object that the ledger does not hold is new."""
    ledger_env.see({"id": 1, "total": "5"})
    assert events(ledger_env) == [("1", "CREATED", 1)]


@pytest.mark.parity(26)
def test_the_same_content_is_no_event(ledger_env: LedgerEnv) -> None:
    """Reading an unchanged object again emits no event."""
    ledger_env.see({"id": 1, "total": "5"})
    ledger_env.see({"id": 1, "total": "5"})
    assert len(events(ledger_env)) == 1


@pytest.mark.parity(18, 20, 25, 27)
def test_other_content_is_updated(ledger_env: LedgerEnv) -> None:
    """Each change of content is a new version."""
    ledger_env.see({"id": 1, "total": "5"})
    ledger_env.see({"id": 1, "total": "6"})
    assert events(ledger_env)[1:] == [("1", "UPDATED", 2)]


def test_changed_fields_are_kept(ledger_env: LedgerEnv) -> None:
    """An UPDATED event names the fields that differ."""
    ledger_env.see({"id": 1, "total": "5", "status": "pending"})
    ledger_env.see({"id": 1, "total": "5", "status": "completed"})
    with ledger_env.database.read() as session:
        event = session.scalars(sa.select(StoredEvent).where(StoredEvent.version == 2)).one()
    assert event.changed_fields == ["status"]


@pytest.mark.parity(28)
def test_a_deletion_is_emitted_once(ledger_env: LedgerEnv) -> None:
    """An object that is trashed and then deleted emits one DELETED event."""
    ledger_env.see({"id": 1})
    ledger_env.see(gone=("1",))
    ledger_env.see(gone=("1",))
    assert events(ledger_env)[1:] == [("1", "DELETED", 2)]


def test_a_deleted_unknown_object_emits_nothing(ledger_env: LedgerEnv) -> None:
    """An object that was never read emits no DELETED event."""
    ledger_env.see(gone=("1",))
    assert events(ledger_env) == []


@pytest.mark.parity(24)
def test_a_restored_object_is_created(ledger_env: LedgerEnv) -> None:
    """An object restored from the trash emits CREATED, even with the same content."""
    ledger_env.see({"id": 1, "total": "5"})
    ledger_env.see(gone=("1",))
    ledger_env.see({"id": 1, "total": "5"})
    assert events(ledger_env)[2:] == [("1", "CREATED", 3)]


def test_an_object_older_than_the_baseline_emits_nothing(ledger_env: LedgerEnv) -> None:
    """A baseline emits no event for objects older than itself."""
    ledger_env.see({"id": 1, "created": at(-60), "modified": at(-30)}, since=NOW)
    ledger_env.see({"id": 1, "created": at(-60), "modified": at(-30)})
    assert events(ledger_env) == []


def test_created_during_the_baseline_is_emitted(ledger_env: LedgerEnv) -> None:
    """An object that was created while the baseline ran emits CREATED."""
    ledger_env.see({"id": 1, "created": at(5), "modified": at(5)}, since=NOW)
    assert events(ledger_env) == [("1", "CREATED", 1)]


def test_modified_during_the_baseline_is_emitted(ledger_env: LedgerEnv) -> None:
    """An older object that was modified while the baseline ran emits UPDATED."""
    ledger_env.see({"id": 1, "created": at(-60), "modified": at(5)}, since=NOW)
    assert events(ledger_env) == [("1", "UPDATED", 1)]


def test_a_stale_read_changes_nothing(ledger_env: LedgerEnv) -> None:
    """An older body that is recorded after a newer one emits no event."""
    with ledger_env.database.read() as session:
        before = lookup.revision(session, ledger_env.stream.poller_id)
    ledger_env.see({"id": 1, "total": "6"})
    recorded = ledger_env.see({"id": 1, "total": "5"}, read_revision=before)
    assert recorded.stale == ("1",)
    assert len(events(ledger_env)) == 1


@pytest.mark.parity(33)
@pytest.mark.parametrize(("count", "notifications"), [(1, 1), (10, 1), (11, 2), (25, 3)])
def test_a_notification_holds_ten_events(
    ledger_env: LedgerEnv, count: int, notifications: int
) -> None:
    """A notification of a poll holds at most ten events."""
    ledger_env.see(*({"id": number} for number in range(1, count + 1)))
    with ledger_env.database.read() as session:
        assert session.scalar(sa.select(sa.func.count(Notification.id))) == notifications
        assert session.scalar(sa.select(sa.func.count(Delivery.id))) == notifications


def test_a_later_version_waits_for_an_earlier_one(ledger_env: LedgerEnv) -> None:
    """The delivery of version 2 waits for that of version 1, and for no other."""
    ledger_env.see({"id": 1, "v": 1})
    ledger_env.see({"id": 2, "v": 1})
    ledger_env.see({"id": 1, "v": 2})
    with ledger_env.database.read() as session:
        first, _, third = session.scalars(sa.select(Delivery.id).order_by(Delivery.id))
        waits = session.execute(sa.select(Wait.delivery_id, Wait.after_id)).all()
    assert [tuple(row) for row in waits] == [(third, first)]


@pytest.mark.parity(4)
def test_without_a_callback_events_are_kept(any_database: Database) -> None:
    """Without a callback URL, events are stored and no delivery is made."""
    ledger_env = build(any_database, callback=None)
    ledger_env.see({"id": 1})
    assert len(events(ledger_env)) == 1
    with ledger_env.database.read() as session:
        assert session.scalar(sa.select(sa.func.count(Delivery.id))) == 0


def test_a_crash_leaves_nothing_half_written(ledger_env: LedgerEnv) -> None:
    """Ledger, event and notification are one transaction."""
    with pytest.raises(RuntimeError), ledger_env.database.write() as session:
        seen = observation.Observation(object_id="1", body={"id": 1}, seen_at=NOW)
        observed = observation.ObservationBatch(
            source=Source.POLL, observations=[seen], read_revision=0, poll_date=NOW
        )
        record.record(session, ledger_env.stream, observed, outbox.Rules(now=NOW))
        raise RuntimeError("the process dies here")
    with ledger_env.database.read() as session:
        for table in (Object, StoredEvent, Notification, Delivery):
            assert session.scalar(sa.select(sa.func.count()).select_from(table)) == 0


BODY = st.one_of(st.none(), st.integers(0, 3))
HISTORY = st.lists(st.dictionaries(st.sampled_from("12345"), BODY, max_size=5), max_size=8)


@pytest.mark.parity(29)
@settings(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(HISTORY)
def test_folding_the_events_gives_the_last_state(
    any_database: Database, history: list[dict[str, int | None]]
) -> None:
    """Applying all events in their order gives the state that was read last."""
    ledger_env = build(any_database)
    truth: dict[str, int] = {}
    for bodies in history:
        ledger_env.see(
            *({"id": int(key), "v": value} for key, value in bodies.items() if value is not None),
            gone=tuple(key for key, value in bodies.items() if value is None),
        )
        for key, value in bodies.items():
            if value is None:
                truth.pop(key, None)
            else:
                truth[key] = value
    folded: dict[str, int] = {}
    versions: dict[str, int] = {}
    with ledger_env.database.read() as session:
        query = sa.select(StoredEvent).where(StoredEvent.poller_id == ledger_env.stream.poller_id)
        for event in session.scalars(query.order_by(StoredEvent.id)):
            assert event.version == versions.get(event.object_id, 0) + 1
            versions[event.object_id] = event.version
            assert (event.event_type == "CREATED") == (event.object_id not in folded)
            if event.event_type == "DELETED":
                del folded[event.object_id]
            else:
                folded[event.object_id] = orjson.loads(event.body)["v"]
    assert folded == truth
