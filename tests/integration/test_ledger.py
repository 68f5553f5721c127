"""The door: what becomes an event and what does not, on every database."""

from __future__ import annotations

import orjson
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Delivery, Notification, Object, Source, StoredEvent, Wait
from flask_woo_events.events import outbox
from flask_woo_events.sync.ledger import lookup, observation, record
from tests.integration.ledger_env import NOW, LedgerEnv, at, build


@pytest.fixture
def stage(any_database: Database) -> LedgerEnv:
    return build(any_database)


def events(stage: LedgerEnv) -> list[tuple[str, str, int]]:
    with stage.database.read() as session:
        rows = session.execute(
            sa.select(StoredEvent.object_id, StoredEvent.event_type, StoredEvent.version).order_by(
                StoredEvent.id
            )
        )
        return [(object_id, kind, version) for object_id, kind, version in rows]


@pytest.mark.parity(18, 20, 24, 27)
def test_unknown_is_created(stage: LedgerEnv) -> None:
    """What the ledger does not know is new."""
    stage.see({"id": 1, "total": "5"})
    assert events(stage) == [("1", "CREATED", 1)]


@pytest.mark.parity(26)
def test_the_same_content_is_no_event(stage: LedgerEnv) -> None:
    """Reading an object again tells nothing."""
    stage.see({"id": 1, "total": "5"})
    stage.see({"id": 1, "total": "5"})
    assert len(events(stage)) == 1


@pytest.mark.parity(18, 20, 25, 27)
def test_other_content_is_updated(stage: LedgerEnv) -> None:
    """Each change of content is one more version."""
    stage.see({"id": 1, "total": "5"})
    stage.see({"id": 1, "total": "6"})
    assert events(stage)[1:] == [("1", "UPDATED", 2)]


def test_changed_fields_are_kept(stage: LedgerEnv) -> None:
    """An UPDATED names what differs."""
    stage.see({"id": 1, "total": "5", "status": "pending"})
    stage.see({"id": 1, "total": "5", "status": "completed"})
    with stage.database.read() as session:
        event = session.scalars(sa.select(StoredEvent).where(StoredEvent.version == 2)).one()
    assert event.changed_fields == ["status"]


@pytest.mark.parity(28)
def test_gone_is_deleted_once(stage: LedgerEnv) -> None:
    """Trashed and then deleted for good is one DELETED."""
    stage.see({"id": 1})
    stage.see(gone=("1",))
    stage.see(gone=("1",))
    assert events(stage)[1:] == [("1", "DELETED", 2)]


def test_unknown_and_gone_is_silent(stage: LedgerEnv) -> None:
    """What nobody ever saw is not deleted."""
    stage.see(gone=("1",))
    assert events(stage) == []


@pytest.mark.parity(24)
def test_back_again_is_created(stage: LedgerEnv) -> None:
    """Restored from the trash, or back in the role, is CREATED, even with the same content."""
    stage.see({"id": 1, "total": "5"})
    stage.see(gone=("1",))
    stage.see({"id": 1, "total": "5"})
    assert events(stage)[2:] == [("1", "CREATED", 3)]


def test_what_was_there_before_us_is_silent(stage: LedgerEnv) -> None:
    """A baseline tells nothing of what is older than itself."""
    stage.see({"id": 1, "created": at(-60), "modified": at(-30)}, since=NOW)
    stage.see({"id": 1, "created": at(-60), "modified": at(-30)})
    assert events(stage) == []


def test_created_during_the_baseline_is_told(stage: LedgerEnv) -> None:
    """What the store made while the baseline ran is new."""
    stage.see({"id": 1, "created": at(5), "modified": at(5)}, since=NOW)
    assert events(stage) == [("1", "CREATED", 1)]


def test_modified_during_the_baseline_is_told(stage: LedgerEnv) -> None:
    """What existed and was modified while the baseline ran is an update."""
    stage.see({"id": 1, "created": at(-60), "modified": at(5)}, since=NOW)
    assert events(stage) == [("1", "UPDATED", 1)]


def test_a_reading_that_was_overtaken_changes_nothing(stage: LedgerEnv) -> None:
    """An old body that arrives after a newer one is not told as a change back."""
    with stage.database.read() as session:
        before = lookup.ticket(session, stage.stream.poller_id)
    stage.see({"id": 1, "total": "6"})
    recorded = stage.see({"id": 1, "total": "5"}, stamp=before)
    assert recorded.stale == ("1",)
    assert len(events(stage)) == 1


@pytest.mark.parity(33)
@pytest.mark.parametrize(("count", "notifications"), [(1, 1), (10, 1), (11, 2), (25, 3)])
def test_ten_events_a_notification(stage: LedgerEnv, count: int, notifications: int) -> None:
    """A notification of a poll holds at most ten events."""
    stage.see(*({"id": number} for number in range(1, count + 1)))
    with stage.database.read() as session:
        assert session.scalar(sa.select(sa.func.count(Notification.id))) == notifications
        assert session.scalar(sa.select(sa.func.count(Delivery.id))) == notifications


def test_a_later_version_waits_for_an_earlier_one(stage: LedgerEnv) -> None:
    """The delivery of version 2 stands behind that of version 1, and behind nothing else."""
    stage.see({"id": 1, "v": 1})
    stage.see({"id": 2, "v": 1})
    stage.see({"id": 1, "v": 2})
    with stage.database.read() as session:
        first, _, third = session.scalars(sa.select(Delivery.id).order_by(Delivery.id))
        waits = session.execute(sa.select(Wait.delivery_id, Wait.after_id)).all()
    assert [tuple(row) for row in waits] == [(third, first)]


@pytest.mark.parity(4)
def test_without_a_callback_events_are_kept(any_database: Database) -> None:
    """An empty callback URL is allowed: events are logged and nothing is sent."""
    stage = build(any_database, callback=None)
    stage.see({"id": 1})
    assert len(events(stage)) == 1
    with stage.database.read() as session:
        assert session.scalar(sa.select(sa.func.count(Delivery.id))) == 0


def test_a_crash_leaves_nothing_half_written(stage: LedgerEnv) -> None:
    """Ledger, event and notification are one transaction."""
    with pytest.raises(RuntimeError), stage.database.write() as session:
        seen = observation.Observation(object_id="1", body={"id": 1}, seen_at=NOW)
        sighting = observation.ObservationBatch(
            source=Source.POLL, observations=[seen], ticket=0, poll_date=NOW
        )
        record.record(session, stage.stream, sighting, outbox.Rules(now=NOW))
        raise RuntimeError("the process dies here")
    with stage.database.read() as session:
        for table in (Object, StoredEvent, Notification, Delivery):
            assert session.scalar(sa.select(sa.func.count()).select_from(table)) == 0


BODY = st.one_of(st.none(), st.integers(0, 3))
HISTORY = st.lists(st.dictionaries(st.sampled_from("12345"), BODY, max_size=5), max_size=8)


@pytest.mark.parity(29)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(HISTORY)
def test_folding_the_events_gives_the_last_state(
    any_database: Database, history: list[dict[str, int | None]]
) -> None:
    """Whatever is seen in whatever order, the events retold one by one give what was seen last."""
    stage = build(any_database)
    truth: dict[str, int] = {}
    for sight in history:
        stage.see(
            *({"id": int(key), "v": value} for key, value in sight.items() if value is not None),
            gone=tuple(key for key, value in sight.items() if value is None),
        )
        for key, value in sight.items():
            if value is None:
                truth.pop(key, None)
            else:
                truth[key] = value
    folded: dict[str, int] = {}
    versions: dict[str, int] = {}
    with stage.database.read() as session:
        query = sa.select(StoredEvent).where(StoredEvent.poller_id == stage.stream.poller_id)
        for event in session.scalars(query.order_by(StoredEvent.id)):
            assert event.version == versions.get(event.object_id, 0) + 1
            versions[event.object_id] = event.version
            assert (event.event_type == "CREATED") == (event.object_id not in folded)
            if event.event_type == "DELETED":
                del folded[event.object_id]
            else:
                folded[event.object_id] = orjson.loads(event.body)["v"]
    assert folded == truth
