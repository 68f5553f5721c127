"""A week, a month or a year in which nothing happens: the next change is sent as any other."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib

import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Attempt, Delivery, Notification, StoredEvent
from flask_woo_events.delivery import following
from flask_woo_events.worker import retention
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import dispose, make_app, runtime_of
from tests.integration.store_to_callback import Event, OwnClock, StoreToCallback

SILENCES = {"a week": 7.5, "a month": 31.0, "a year": 366.0}
#: Tables whose ids the purge makes free.
PURGED = (Notification, StoredEvent, Delivery, Attempt)

Highest = dict[str, int]


def _change(env: StoreToCallback, name: str, product: int = 0) -> Event:
    number = [row.id for row in env.store.shop.tables["products"]][product]
    env.store.acts.post_update(number, name)
    return ("products", str(number), "UPDATED")


def _fall_silent(env: StoreToCallback, clock: OwnClock, days: float) -> Highest:
    """Poll after so many days and purge all events; return the highest ids until then."""
    with runtime_of(env.app).database.read() as session:
        highest = {
            one.__tablename__: session.scalars(sa.select(sa.func.max(one.id))).one()
            for one in PURGED
        }
    clock.advance(days=days)
    env.store.clock.advance(days * 86_400)
    assert env.arrivals() == set()
    retention.purge(runtime_of(env.app))
    with runtime_of(env.app).database.read() as session:
        assert [session.scalars(sa.select(one.id)).all() for one in PURGED] == [[]] * len(PURGED)
    return highest


def _check_ids(env: StoreToCallback, highest: Highest) -> None:
    with runtime_of(env.app).database.read() as session:
        for one in PURGED:
            lowest = session.scalars(sa.select(sa.func.min(one.id))).one()
            assert lowest > highest[one.__tablename__]


@contextlib.contextmanager
def _restarted(
    env: StoreToCallback, folder: pathlib.Path, url: str
) -> cabc.Iterator[StoreToCallback]:
    """Open another application with the same keys and time."""
    app = make_app(
        folder,
        SQLALCHEMY_DATABASE_URI=url,
        WOO_EVENTS_ENCRYPTION_KEYS=env.app.config["WOO_EVENTS_ENCRYPTION_KEYS"],
        WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS=True,
    )
    runtime_of(app).clock = runtime_of(env.app).clock
    yield StoreToCallback(app, env.store, env.receiver, env.api, env.instance_id)
    dispose(app)


@pytest.mark.parametrize("days", SILENCES.values(), ids=SILENCES)
def test_change_after_a_silence_is_sent(
    env: StoreToCallback, tmp_path: pathlib.Path, days: float
) -> None:
    """When all events are purged, the next versions are sent in order, with higher ids."""
    clock = OwnClock(runtime_of(env.app))
    runtime = runtime_of(env.app)
    places = following.begin(runtime, None)
    change = _change(env, "first")
    assert env.arrivals() == {change}
    *_, second = followed = list(following.read(runtime, places, None))
    assert [entry.version for one in followed for entry in one.entries] == [2]
    highest = _fall_silent(env, clock, days)
    change = _change(env, "second")
    assert env.arrivals() == {change}
    _check_ids(env, highest)
    followed = list(following.read(runtime, second.places, None))
    assert [entry.version for one in followed for entry in one.entries] == [3]
    highest = _fall_silent(env, clock, days)
    url = str(env.app.config["SQLALCHEMY_DATABASE_URI"])
    with _restarted(env, tmp_path, url) as again:
        again.receiver.answer = lambda _received: 500
        _change(again, "third")
        again.arrivals()
        again.receiver.answer = lambda _received: 200
        _change(again, "fourth")
        again.poll()
        again.receiver.clear()
        clock.advance(hours=1)
        Worker(runtime_of(again.app)).deliver_once()
        versions = [event["version"] for one in again.receiver.received for event in one.events]
        assert versions == [4, 5]
        _check_ids(again, highest)


def test_change_after_a_silence_waits_for_no_other_object(env: StoreToCallback) -> None:
    """A new notification of another object does not hold back the next version of a known one."""
    clock = OwnClock(runtime_of(env.app))
    _change(env, "first")
    env.arrivals()
    _fall_silent(env, clock, 31)
    env.receiver.answer = lambda _received: 500
    _change(env, "refused", 1)
    env.arrivals()
    env.receiver.answer = lambda _received: 200
    change = _change(env, "second")
    assert env.arrivals() == {change}


def test_change_after_a_silence_and_a_move_is_sent(
    env: StoreToCallback, any_url: str, tmp_path: pathlib.Path
) -> None:
    """A copy goes on above all ids that were assigned, though no row has one of them."""
    clock = OwnClock(runtime_of(env.app))
    _change(env, "first")
    env.arrivals()
    highest = _fall_silent(env, clock, 31)
    url = any_url.replace("woo.sqlite3", "moved.sqlite3")
    result = env.app.test_cli_runner().invoke(args=["woo", "db", "copy", "--to", url])
    assert result.exit_code == 0, result.output
    with _restarted(env, tmp_path, url) as moved:
        change = _change(moved, "second")
        assert moved.arrivals() == {change}
        _check_ids(moved, highest)
        highest = _fall_silent(moved, clock, 31)
        change = _change(moved, "third")
        assert moved.arrivals() == {change}
        _check_ids(moved, highest)
