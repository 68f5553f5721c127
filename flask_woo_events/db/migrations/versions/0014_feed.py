"""Positions of events in a feed, and which of them retention has deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flask_woo_events.db import base

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "woo_feed",
        sa.Column("organization_id", base.BIG, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("lives", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["woo_organization.id"],
            name=op.f("fk_woo_feed_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", name=op.f("pk_woo_feed")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_nopad_bin",
    )
    op.create_table(
        "woo_feed_purge",
        sa.Column("instance_id", base.BIG, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["woo_instance.id"],
            name=op.f("fk_woo_feed_purge_instance_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("instance_id", name=op.f("pk_woo_feed_purge")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_nopad_bin",
    )
    # Null until the feed is read, also for what a worker of an earlier release writes.
    op.add_column("woo_event", sa.Column("feed_position", sa.BigInteger(), nullable=True))
    op.create_index("ix_woo_event_feed", "woo_event", ["instance_id", "feed_position", "id"])


def downgrade() -> None:
    op.drop_index("ix_woo_event_feed", "woo_event")
    op.drop_column("woo_event", "feed_position")
    op.drop_table("woo_feed_purge")
    op.drop_table("woo_feed")
