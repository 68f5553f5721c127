"""No id is assigned twice, and deliveries that waited because of a repeated one are released."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flask_woo_events.db import sequences

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None
# SQLite copies each table; an older worker that has nothing to do survives it.
REBUILDS = True

_COUNTED = (
    "woo_organization", "woo_user", "woo_connection", "woo_instance", "woo_arrival",
    "woo_configuration", "woo_poller", "woo_subscription", "woo_notification", "woo_delivery",
    "woo_event", "woo_attempt",
)  # fmt: skip
# Ids that a table may have had, but no row has now. Each event is a version of its object,
# and each notification has an event, so that the versions bound them when they are purged.
_NAMED = {
    "woo_instance": sa.text("SELECT MAX(instance_id) FROM woo_connection"),
    "woo_event": sa.text("SELECT SUM(version) FROM woo_object"),
    "woo_notification": sa.text(
        "SELECT SUM(version) FROM woo_object UNION ALL SELECT MAX(notification_id) FROM woo_object"
    ),
}
# The ledger names the notification of each object's last event. A purged one may have been
# replaced by another notification with its id.
_NAME_AGAIN = """
    UPDATE woo_object SET notification_id = (
        SELECT notification_id FROM woo_event
        WHERE poller_id = woo_object.poller_id AND object_id = woo_object.object_id
        ORDER BY version DESC LIMIT 1
    )
    WHERE notification_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM woo_event WHERE notification_id = woo_object.notification_id
        AND poller_id = woo_object.poller_id AND object_id = woo_object.object_id
    )
"""
# A delivery waits for those with an earlier version of one of its objects, and for no other one.
_RELEASE = """
    DELETE FROM woo_wait
    WHERE delivery_id IN (SELECT id FROM woo_delivery WHERE status <> 'delivered')
    AND NOT EXISTS (
        SELECT 1 FROM woo_delivery later
        JOIN woo_event newer ON newer.notification_id = later.notification_id
        JOIN woo_event older ON older.poller_id = newer.poller_id
            AND older.object_id = newer.object_id AND older.version < newer.version
        JOIN woo_delivery earlier ON earlier.notification_id = older.notification_id
        WHERE later.id = woo_wait.delivery_id AND earlier.id = woo_wait.after_id
    )
"""
_HOLD_BACK = """
    INSERT INTO woo_wait (delivery_id, after_id)
    SELECT DISTINCT later.id, earlier.id FROM woo_delivery later
    JOIN woo_event newer ON newer.notification_id = later.notification_id
    JOIN woo_event older ON older.poller_id = newer.poller_id
        AND older.object_id = newer.object_id AND older.version = (
            SELECT MAX(prior.version) FROM woo_event prior
            JOIN woo_delivery waiting ON waiting.notification_id = prior.notification_id
            WHERE prior.poller_id = newer.poller_id AND prior.object_id = newer.object_id
            AND prior.version < newer.version
            AND waiting.subscription_id = later.subscription_id AND waiting.status <> 'delivered'
        )
    JOIN woo_delivery earlier ON earlier.notification_id = older.notification_id
        AND earlier.subscription_id = later.subscription_id
    WHERE later.status <> 'delivered' AND earlier.status <> 'delivered'
    AND earlier.id <> later.id AND NOT EXISTS (
        SELECT 1 FROM woo_wait WHERE delivery_id = later.id AND after_id = earlier.id
    )
"""
# A subscription without a due date would not be searched for what was released.
_WAKE = """
    UPDATE woo_subscription SET next_due_at = COALESCE(held_until, created_at)
    WHERE active AND (next_due_at IS NULL OR next_due_at > COALESCE(held_until, created_at))
    AND id IN (
        SELECT subscription_id FROM woo_delivery
        WHERE status <> 'delivered' AND status IN ('created', 'retry')
    )
"""


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        _count_on_sqlite(connection)
    for table in _COUNTED:
        named = connection.scalars(_NAMED[table]).all() if table in _NAMED else ()
        highest = max(sequences.last(connection, table), *(int(one or 0) for one in named), 0)
        sequences.skip_to(connection, table, highest)
    for statement in (_NAME_AGAIN, _RELEASE, _HOLD_BACK, _WAKE):
        op.execute(statement)


def _count_on_sqlite(connection: sa.Connection) -> None:
    """Copy the tables whose next id is one above their highest one, to count ids instead."""
    if connection.scalar(sa.text("PRAGMA foreign_keys")):
        raise RuntimeError("foreign keys must be off: a dropped table would delete from others")
    # Views of the application may name a table that is dropped and renamed.
    op.execute("PRAGMA legacy_alter_table = ON")
    for table in _COUNTED:
        created = sa.text("SELECT sql FROM sqlite_master WHERE name = :name")
        if "AUTOINCREMENT" not in str(connection.scalar(created, {"name": table})):
            with op.batch_alter_table(
                table,
                recreate="always",
                reflect_kwargs={"resolve_fks": False},
                table_kwargs={"sqlite_autoincrement": True},
            ):
                pass
    op.execute("PRAGMA legacy_alter_table = OFF")


def downgrade() -> None:
    """Leave the tables as they are: earlier releases use them, too."""
