"""The worker processes that use the database, so that commands can refuse to disturb them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flask_woo_events.db import models

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "woo_worker",
        sa.Column("name", sa.String(length=190), nullable=False),
        sa.Column("seen_at", models.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_woo_worker")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_nopad_bin",
    )
    op.create_index(op.f("ix_woo_worker_seen_at"), "woo_worker", ["seen_at"])


def downgrade() -> None:
    op.drop_table("woo_worker")
