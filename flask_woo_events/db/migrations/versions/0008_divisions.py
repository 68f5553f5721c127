"""Divisions of notifications that keep failing, and deliveries whose attempts are exhausted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("woo_notification", sa.Column("origin_id", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_woo_notification_origin",
        "woo_notification",
        ["origin_id"],
        sqlite_where=sa.text("origin_id IS NOT NULL"),
        postgresql_where=sa.text("origin_id IS NOT NULL"),
    )
    for name in ("isolated", "exhausted"):
        op.add_column(
            "woo_delivery",
            sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false()),
        )


def downgrade() -> None:
    op.drop_column("woo_delivery", "exhausted")
    op.drop_column("woo_delivery", "isolated")
    op.drop_index("ix_woo_notification_origin", "woo_notification")
    op.drop_column("woo_notification", "origin_id")
