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


def _copy(line: StoreToCallback, url: str) -> str:
    result = line.app.test_cli_runner().invoke(args=["woo", "db", "copy", "--to", url])
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


def _happen(line: StoreToCallback) -> None:
    line.store.acts.stock(line.first("products"), 3)
    line.store.acts.status(line.first("orders"), "completed")


def test_an_installation_goes_on_elsewhere(
    line: StoreToCallback, any_url: str, tmp_path: pathlib.Path
) -> None:
    """Ids continue, no event is sent again, and waiting deliveries are sent from the copy."""
    _happen(line)
    assert line.arrivals()
    line.receiver.answer = lambda _received: 500
    line.store.acts.new_product("Waits")
    line.poll()
    Worker(runtime_of(line.app)).deliver_once()
    line.receiver.answer = lambda _received: 200
    line.receiver.clear()
    url = any_url.replace("woo.sqlite3", "moved.sqlite3")
    assert _copy(line, url).startswith("0: "), _copy(line, url)
    before = _rows(str(line.app.config["SQLALCHEMY_DATABASE_URI"]))
    assert _rows(url) == before
    assert before["woo_event"]
    keys = line.app.config["WOO_EVENTS_ENCRYPTION_KEYS"]
    moved = make_app(
        tmp_path,
        SQLALCHEMY_DATABASE_URI=url,
        WOO_EVENTS_ENCRYPTION_KEYS=keys,
        WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS=True,
    )
    there = StoreToCallback(moved, line.store, line.receiver, line.api, line.instance_id)
    runtime = runtime_of(moved)
    runtime.clock = lambda: utc_now() + dt.timedelta(hours=1)
    assert there.delivered() == {("products", str(max(line.store.truth("products"))), "CREATED")}
    assert there.arrivals() == set()
    _happen(there)
    line.store.acts.stock(line.first("products"), 4)
    there.poll()
    with runtime.database.read() as session:
        ids = session.scalars(sa.select(StoredEvent.id).order_by(StoredEvent.id)).all()
    assert ids[: len(before["woo_event"])] == [row[0] for row in before["woo_event"]]
    assert len(ids) > len(before["woo_event"])
    dispose(moved)


def test_a_filled_database_is_refused(line: StoreToCallback, any_url: str) -> None:
    """A second copy would mix two installations up."""
    url = any_url.replace("woo.sqlite3", "moved.sqlite3")
    assert _copy(line, url).startswith("0: ")
    before = _rows(url)
    assert "is not empty: woo_organization" in _copy(line, url)
    assert _rows(url) == before


def test_a_running_worker_is_noticed(line: StoreToCallback, tmp_path: pathlib.Path) -> None:
    """What it would write while it is copied would be lost."""
    with runtime_of(line.app).database.write() as session:
        session.execute(sa.update(Instance).values(lease_until=utc_now() + dt.timedelta(seconds=5)))
    said = _copy(line, f"sqlite:///{tmp_path}/moved.sqlite3")
    assert said.startswith("1: ")
    assert "Stop flask woo poll" in said


@pytest.mark.parametrize("url", ["nonsense", "oracle+nothing://x", "sqlite:////nowhere/at/all"])
def test_a_database_that_cannot_be_used(line: StoreToCallback, url: str) -> None:
    """The message is one sentence."""
    said = _copy(line, url)
    assert said.startswith("1: Error: ")
    assert "Traceback" not in said
