"""Names and ids that differ only in case, accents or trailing spaces are different ones."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from flask_woo_events.db import upgrade
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import TABLE_PREFIX, Base, Poller, StoredEvent
from flask_woo_events.errors import NotFoundError
from flask_woo_events.instances import accounts
from tests.integration import ledger_env
from tests.integration.ledger_env import NOW


def test_a_user_of_another_case_is_another_user(any_database: Database) -> None:
    """An application's user "Ann" or "änn" does not see the console of our user "ann"."""
    with any_database.write() as session:
        accounts.add_user(session, "ann", "acme", NOW)
    for user, organization in (("Ann", "acme"), ("änn", "acme"), ("ann ", "acme"), ("ann", "ACME")):
        with any_database.read() as session, pytest.raises(NotFoundError):
            accounts.named(session, accounts.ConsoleUser(user, organization))
    with any_database.write() as session:
        accounts.add_user(session, "Ann", "acme", NOW)
        assert {one.name for one in accounts.list_users(session)} == {"ann", "Ann"}


def test_ids_of_another_case_are_other_objects(any_database: Database) -> None:
    """Objects "red", "Red", "réd" and "red " of a custom resource do not become one."""
    env = ledger_env.build(any_database)
    ids = ("red", "Red", "réd", "red ")
    env.see(*({"id": one, "name": "x"} for one in ids))
    env.see({"id": "Red", "name": "y"}, gone=("red",))
    with any_database.read() as session:
        found = session.execute(
            sa.select(StoredEvent.event_type, StoredEvent.object_id).order_by(StoredEvent.id)
        )
        assert sorted(tuple(row) for row in found) == sorted(
            [*(("CREATED", one) for one in ids), ("UPDATED", "Red"), ("DELETED", "red")]
        )


def test_every_text_of_a_store_can_be_stored(any_database: Database) -> None:
    """A failure whose message no database accepts is stored, instead of failing the poll again."""
    ledger_env.build(any_database)
    with any_database.write() as session:
        session.scalars(sa.select(Poller)).one().error = (
            "no \ud83d: \0 \N{PARTY POPPER} " + "x" * 100_000
        )
    with any_database.read() as session:
        error = session.scalars(sa.select(Poller.error)).one()
    assert error is not None
    assert error.startswith("no \\ud83d: \\x00 \N{PARTY POPPER} xxx") and len(error) < 100_000


@pytest.mark.parametrize(
    "any_url", [pytest.param("mariadb", marks=pytest.mark.mariadb)], indirect=True
)
def test_the_upgrade_changes_every_text(any_url: str) -> None:
    """An upgrade converts all tables, also those of a database whose default is Latin 1."""
    engine = sa.create_engine(any_url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER DATABASE woo CHARACTER SET latin1")
    upgrade.upgrade(engine)
    # MariaDB has one collation for JSON, which is never compared.
    columns = [column for table in Base.metadata.sorted_tables for column in table.columns]
    json = ", ".join(f"'{one.name}'" for one in columns if isinstance(one.type, sa.JSON))
    with engine.begin() as connection:
        found = connection.exec_driver_sql(
            "SELECT DISTINCT collation_name FROM information_schema.columns "
            f"WHERE table_schema = 'woo' AND table_name LIKE '{TABLE_PREFIX}%%' "
            f"AND collation_name IS NOT NULL AND column_name NOT IN ({json})"
        )
        assert found.scalars().all() == ["utf8mb4_nopad_bin"]
