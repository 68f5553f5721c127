"""``flask woo db copy``: an installation goes on in another database as if nothing had been."""

from __future__ import annotations

import datetime as dt
import pathlib

import pytest
import sqlalchemy as sa

from flask_woo_events.db.clock import utc_now
from flask_woo_events.db.models import Base, Instance, StoredEvent
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import dispose, make_app, runtime_of
from tests.integration.store_to_callback import StoreToCallback


def _copy(env: StoreToCallback, url: str) -> str:
    result = env.app.test_cli_runner().invoke(args=["woo", "db", "copy", "--to", url])
    return f"{result.exit_code}: {result.output}"


def _rows(url: str) -> dict[str, list[tuple[object, ...]]]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = {
            one.name: [
                tuple(row)
                for row in connection.execute(sa.select(one).order_by(*one.primary_key.columns))
            ]
            for one in Base.metadata.sorted_tables
        }
    engine.dispose()
    return found


def _happen(env: StoreToCallback) -> None:
    env.store.acts.stock(env.first("products"), 3)
    env.store.acts.status(env.first("orders"), "completed")


def test_an_installation_goes_on_elsewhere(
    env: StoreToCallback, any_url: str, tmp_path: pathlib.Path
) -> None:
    """Ids continue, no event is sent again, and waiting deliveries are sent from the copy."""
    _happen(env)
    assert env.arrivals()
    env.receiver.answer = lambda _received: 500
    env.store.acts.new_product("Waits")
    env.poll()
    Worker(runtime_of(env.app)).deliver_once()
    env.receiver.answer = lambda _received: 200
    env.receiver.clear()
    url = any_url.replace("woo.sqlite3", "moved.sqlite3")
    assert _copy(env, url).startswith("0: "), _copy(env, url)
    before = _rows(str(env.app.config["SQLALCHEMY_DATABASE_URI"]))
    assert _rows(url) == before
    assert before["woo_event"]
    keys = env.app.config["WOO_EVENTS_ENCRYPTION_KEYS"]
    moved = make_app(
        tmp_path,
        SQLALCHEMY_DATABASE_URI=url,
        WOO_EVENTS_ENCRYPTION_KEYS=keys,
        WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS=True,
    )
    there = StoreToCallback(moved, env.store, env.receiver, env.api, env.instance_id)
    runtime = runtime_of(moved)
    runtime.clock = lambda: utc_now() + dt.timedelta(hours=1)
    assert there.delivered() == {("products", str(max(env.store.truth("products"))), "CREATED")}
    assert there.arrivals() == set()
    _happen(there)
    env.store.acts.stock(env.first("products"), 4)
    there.poll()
    with runtime.database.read() as session:
        ids = session.scalars(sa.select(StoredEvent.id).order_by(StoredEvent.id)).all()
    assert ids[: len(before["woo_event"])] == [row[0] for row in before["woo_event"]]
    assert len(ids) > len(before["woo_event"])
    dispose(moved)


def test_a_filled_database_is_refused(env: StoreToCallback, any_url: str) -> None:
    """A second copy would mix two installations up."""
    url = any_url.replace("woo.sqlite3", "moved.sqlite3")
    assert _copy(env, url).startswith("0: ")
    before = _rows(url)
    assert "is not empty: woo_organization" in _copy(env, url)
    assert _rows(url) == before


def test_a_running_worker_is_noticed(env: StoreToCallback, tmp_path: pathlib.Path) -> None:
    """What it would write while it is copied would be lost."""
    with runtime_of(env.app).database.write() as session:
        session.execute(sa.update(Instance).values(lease_until=utc_now() + dt.timedelta(seconds=5)))
    said = _copy(env, f"sqlite:///{tmp_path}/moved.sqlite3")
    assert said.startswith("1: ")
    assert "Stop flask woo poll" in said


@pytest.mark.parametrize("url", ["nonsense", "oracle+nothing://x", "sqlite:////nowhere/at/all"])
def test_a_database_that_cannot_be_used(env: StoreToCallback, url: str) -> None:
    """The message is one sentence."""
    said = _copy(env, url)
    assert said.startswith("1: Error: ")
    assert "Traceback" not in said
