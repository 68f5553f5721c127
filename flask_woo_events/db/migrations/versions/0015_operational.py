"""Operational events: their waiting records, their kinds, and what was reported of an instance."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flask_woo_events.db import base

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "woo_operational",
        sa.Column("id", base.BIG, autoincrement=True, nullable=False),
        sa.Column("instance_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("subject", base.OBJECT_ID, nullable=False),
        sa.Column("subscription_id", sa.BigInteger(), nullable=True),
        sa.Column("record", sa.JSON(), nullable=False),
        sa.Column("created_at", base.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_operational")),
        sqlite_autoincrement=True,
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_nopad_bin",
    )
    op.create_index(op.f("ix_woo_operational_instance_id"), "woo_operational", ["instance_id"])
    # Null for all events of stores.
    op.add_column("woo_event", sa.Column("kind", sa.String(length=40), nullable=True))
    op.add_column("woo_notification", sa.Column("kind", sa.String(length=40), nullable=True))
    op.add_column("woo_instance", sa.Column("reported", sa.JSON(), nullable=True))
    op.add_column("woo_instance", sa.Column("checkpoint_at", base.UtcDateTime(), nullable=True))
    op.create_index(op.f("ix_woo_instance_checkpoint_at"), "woo_instance", ["checkpoint_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_woo_instance_checkpoint_at"), "woo_instance")
    op.drop_column("woo_instance", "checkpoint_at")
    op.drop_column("woo_instance", "reported")
    op.drop_column("woo_notification", "kind")
    op.drop_column("woo_event", "kind")
    op.drop_table("woo_operational")
