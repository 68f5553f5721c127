"""The lives of the database, so that a restored backup repeats no id and no version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flask_woo_events.db import models

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "woo_epoch",
        sa.Column("number", big, autoincrement=False, nullable=False),
        sa.Column("token", sa.String(length=4), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("table_oid", big, nullable=True),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("began_at", models.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_woo_epoch")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_nopad_bin",
    )


def downgrade() -> None:
    op.drop_table("woo_epoch")
