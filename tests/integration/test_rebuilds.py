"""Upgrades while workers run: expansions are applied, others wait until the workers stop."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import pathlib
import shutil

import alembic.script
import pytest
import sqlalchemy as sa

from flask_woo_events.db import upgrade
from flask_woo_events.db.clock import utc_now
from flask_woo_events.db.presence import Presence
from flask_woo_events.errors import SchemaError
from flask_woo_events.worker.worker import Worker
from tests.integration import tables
from tests.integration.frozen_installation import FrozenInstallation, open_installation

#: Adds a migration with this body after the newest one, and returns its revision.
AddMigration = cabc.Callable[..., str]

EXPANSION = """
    op.create_table("woo_heartbeat", sa.Column("id", sa.BigInteger(), primary_key=True))
    for name in ("woo_instance", "woo_poller", "woo_object", "woo_event", "woo_delivery"):
        with op.batch_alter_table(name) as batch_op:
            batch_op.add_column(sa.Column("added", sa.String(8), nullable=False, server_default=""))
            batch_op.add_column(sa.Column("added_at", sa.DateTime()))
            batch_op.create_index(f"ix_{name}_added_at", ["added_at"])
"""
REBUILD = """
    with op.batch_alter_table("woo_event") as batch_op:
        batch_op.alter_column(
            "event_type", new_column_name="type", existing_type=sa.String(16), nullable=False
        )
"""


@pytest.fixture
def add_migration(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> AddMigration:
    """Return a function that adds a migration to this release."""
    folder = tmp_path / "migrations"
    shutil.copytree(upgrade.MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))

    def add(body: str, *, rebuilds: bool = False) -> str:
        after = alembic.script.ScriptDirectory(str(folder)).get_current_head()
        revision = f"{after}a"
        folder.joinpath("versions", f"{revision}.py").write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n\n"
            f"revision, down_revision = {revision!r}, {after!r}\nREBUILDS = {rebuilds}\n\n"
            f"def upgrade() -> None:{body}"
        )
        monkeypatch.setattr(upgrade, "MIGRATIONS", folder)
        return revision

    return add


@pytest.fixture
def installation(any_url: str, tmp_path: pathlib.Path) -> cabc.Iterator[FrozenInstallation]:
    """Upgrade an installation that has run to the newest migration."""
    with open_installation(any_url, tmp_path, "0001") as installed:
        installed.woo("db", "upgrade")
        yield installed


def _lease_one_row(installation: FrozenInstallation, table: str, seconds: float) -> None:
    """Set the lease of one row of this table to end in so many seconds, and clear others."""
    until = (utc_now() + dt.timedelta(seconds=seconds)).replace(tzinfo=None)
    with installation.runtime.database.begin() as connection:
        for name in ("woo_instance", "woo_delivery"):
            leased = sa.table(name, sa.column("id"), sa.column("lease_until", sa.DateTime()))
            connection.execute(sa.update(leased).values(lease_until=None))
            if name == table:
                one = sa.update(leased).where(leased.c.id == 2)
                connection.execute(one.values(lease_until=until))


@pytest.mark.parametrize("table", ["woo_instance", "woo_delivery"])
def test_rebuilding_waits_for_workers(
    installation: FrozenInstallation, add_migration: AddMigration, table: str
) -> None:
    """A rebuilding upgrade is refused while a worker holds a lease, and changes nothing."""
    add_migration(EXPANSION)
    revision = add_migration(REBUILD, rebuilds=True)
    add_migration("\n    pass\n", rebuilds=True)
    engine = installation.runtime.database.engine
    before = tables.structure(engine)
    _lease_one_row(installation, table, 300)
    refused = installation.woo("db", "upgrade", code=1)
    assert refused.startswith(f"Error: Migration {revision} rebuilds tables, and a worker holds")
    assert "Stop the workers, then run flask woo db upgrade again." in refused
    assert tables.structure(engine) == before
    _lease_one_row(installation, table, -1)
    installation.woo("db", "upgrade")
    columns = {one["name"] for one in sa.inspect(engine).get_columns("woo_event")}
    assert {"type", "added"} <= columns
    assert tables.keys(engine)["woo_event"] == installation.before["woo_event"]


def test_rebuilding_waits_for_idle_workers(
    installation: FrozenInstallation, add_migration: AddMigration
) -> None:
    """Also for a worker that holds no lease, since nothing is due."""
    revision = add_migration(REBUILD, rebuilds=True)
    _lease_one_row(installation, "woo_instance", -1)
    database = installation.runtime.database
    presence = Presence(database, database.clock)
    presence.renew()
    refused = installation.woo("db", "upgrade", code=1)
    assert refused.startswith(f"Error: Migration {revision} rebuilds tables, and a worker runs: ")
    presence.end()
    installation.woo("db", "upgrade")


def test_running_worker_goes_on_after_an_expansion(
    installation: FrozenInstallation, add_migration: AddMigration
) -> None:
    """An expansion needs no stop of the workers, and an older worker still reads and writes."""
    worker = Worker(installation.runtime)
    worker.settle_once()
    worker.poll_once([1, 2, 3])
    worker.deliver_once()
    add_migration(EXPANSION)
    _lease_one_row(installation, "woo_instance", 300)
    installation.woo("db", "upgrade")
    _lease_one_row(installation, "woo_instance", -1)
    installation.wait(dt.timedelta(minutes=20))
    for receiver in installation.receivers.values():
        receiver.clear()
    known = installation.new_events()
    installation.stores["one"].change("orders", 24, status="on-hold")
    assert [one.error for one in worker.poll_once([1]) if one.error] == []
    assert worker.deliver_once().failed == 0
    assert installation.receivers["one"].events == [("orders", "24", "UPDATED")]
    assert len(installation.new_events()) == len(known) + 1


def test_new_installation_has_no_workers(any_url: str, add_migration: AddMigration) -> None:
    """The first upgrade of a database runs all migrations, also those that rebuild."""
    revision = add_migration(REBUILD, rebuilds=True)
    engine = sa.create_engine(any_url, poolclass=sa.pool.NullPool)
    upgrade.upgrade(engine)
    assert upgrade.check(engine) == revision


def test_tables_of_a_newer_release(
    any_url: str, add_migration: AddMigration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older release refuses tables of a newer migration, and the error says so."""
    engine = sa.create_engine(any_url, poolclass=sa.pool.NullPool)
    revision = add_migration(EXPANSION)
    upgrade.upgrade(engine)
    monkeypatch.undo()
    for refusing in (upgrade.upgrade, upgrade.check):
        with pytest.raises(
            SchemaError, match=f"at version {revision}, which this release does not know"
        ):
            refusing(engine)


def test_tables_without_their_version(any_url: str) -> None:
    """A first upgrade that was interrupted between two tables is not taken for no tables."""
    engine = sa.create_engine(any_url, poolclass=sa.pool.NullPool)
    upgrade.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(sa.delete(sa.table(upgrade.VERSION_TABLE)))
    for refusing in (upgrade.upgrade, upgrade.check):
        with pytest.raises(SchemaError, match="woo_version does not hold their version"):
            refusing(engine)
