"""The upgrade of a database in which ids were assigned twice: what waits is sent, in order."""

from __future__ import annotations

import pathlib

import alembic.command
import pytest
import sqlalchemy as sa

from flask_woo_events.db import sequences, upgrade
from flask_woo_events.db.models import Base, Organization
from tests.integration import tables
from tests.integration.frozen_installation import FrozenInstallation, open_installation

#: The last migration under which SQLite assigned ids twice.
BEFORE = "0003"
#: Far above all ids of the dump.
PURGED_ID = 70_000
COUNTED = [one.name for one in Base.metadata.sorted_tables if one.autoincrement_column is not None]


def _migrate(installed: FrozenInstallation, revision: str) -> None:
    engine = installed.runtime.database.engine.execution_options(woo_writing=True)
    with engine.begin() as connection:
        alembic.command.upgrade(upgrade._config(connection), revision)


def _change(installed: FrozenInstallation, *statements: str) -> None:
    with installed.runtime.database.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def test_blocked_deliveries_are_sent_after_the_upgrade(
    any_url: str, tmp_path: pathlib.Path
) -> None:
    """Deliveries that wait for themselves or for another object's are sent in order."""
    with open_installation(any_url, tmp_path, "0001") as installed:
        _migrate(installed, BEFORE)
        waiting = "SELECT id FROM woo_delivery WHERE status IN ('created', 'retry')"
        order = (
            f"SELECT delivery_id, after_id FROM woo_wait WHERE delivery_id IN ({waiting}) "
            f"AND after_id IN ({waiting}) ORDER BY delivery_id, after_id"
        )
        true_order = installed.query(order)
        assert true_order
        first, second = (row["id"] for row in installed.query(f"{waiting} ORDER BY id")[:2])
        _change(
            installed,
            # The true order was lost, and ids that were assigned twice made up another one.
            "DELETE FROM woo_wait",
            f"INSERT INTO woo_wait (delivery_id, after_id) SELECT id, id FROM ({waiting}) blocked",
            f"INSERT INTO woo_wait VALUES ({first}, {second}), ({second}, {first})",
            "UPDATE woo_subscription SET next_due_at = NULL",
            f"UPDATE woo_object SET notification_id = {PURGED_ID}",
        )
        installed.woo("db", "upgrade")
        assert installed.query(order) == true_order
        installed.woo("deliver", "--once")
        assert installed.deliveries("created", "retry") == []
        versions = [
            event["version"]
            for one in installed.receivers["one"].received
            for event in one.events
            if event["objectId"] == "24"
        ]
        assert versions == [3, 4]
        _check_counters(installed)


def _check_counters(installed: FrozenInstallation) -> None:
    """Check that new ids are above all that were assigned, which the ledger no longer names."""
    with installed.runtime.database.engine.connect() as connection:
        last = {name: sequences.last(connection, name) for name in COUNTED}
    assert last["woo_notification"] >= PURGED_ID
    # Each event is a version of its object.
    (versions,) = installed.query("SELECT SUM(version) AS most FROM woo_object")
    assert last["woo_event"] >= versions["most"]
    assert installed.query(f"SELECT 1 FROM woo_object WHERE notification_id = {PURGED_ID}") == []


@pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)
def test_process_that_runs_during_the_upgrade(any_url: str, tmp_path: pathlib.Path) -> None:
    """A connection that was opened before the upgrade reads during it and writes after it."""
    with open_installation(any_url, tmp_path, "0001") as installed:
        _migrate(installed, BEFORE)
        names, engine = sa.select(Organization.name), installed.runtime.database.engine
        with installed.runtime.database.read() as session:
            before = session.scalars(names).all()
            installed.woo("db", "upgrade")
            assert session.scalars(names).all() == before
        with engine.connect() as one, engine.connect() as other:
            enforced = [each.scalar(sa.text("PRAGMA foreign_keys")) for each in (one, other)]
        assert enforced == [1, 1]
        with installed.runtime.database.write() as session:
            session.execute(sa.delete(Organization))
        assert not any(tables.keys(engine).values())


@pytest.mark.parametrize("any_url", ["sqlite"], indirect=True)
def test_sqlite_counts_every_id(any_url: str) -> None:
    """Every table with a generated id counts its ids, in new databases as in upgraded ones."""
    engine = sa.create_engine(any_url)
    upgrade.upgrade(engine)
    query = sa.text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")
    with engine.connect() as connection:
        assert sorted(connection.scalars(query)) == sorted(COUNTED)
    assert all(one.dialect_options["sqlite"]["autoincrement"] for one in map(_table, COUNTED))
    engine.dispose()


def _table(name: str) -> sa.Table:
    return Base.metadata.tables[name]
