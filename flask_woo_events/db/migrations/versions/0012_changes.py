"""The last known bodies of objects, and the values that each event changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flask_woo_events.db import base

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "woo_object_body",
        sa.Column("poller_id", base.BIG, nullable=False),
        sa.Column("object_id", base.OBJECT_ID, nullable=False),
        sa.Column("dictionary", sa.SmallInteger(), nullable=False),
        sa.Column("data", base.LONG_BLOB, nullable=False),
        sa.ForeignKeyConstraint(
            ["poller_id"],
            ["woo_poller.id"],
            name=op.f("fk_woo_object_body_poller_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("poller_id", "object_id", name=op.f("pk_woo_object_body")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_nopad_bin",
    )
    # A worker of an earlier release does not write them; they are null for what it writes.
    op.add_column("woo_object", sa.Column("body_revision", sa.BigInteger(), nullable=True))
    op.add_column("woo_object", sa.Column("body_fields", sa.BigInteger(), nullable=True))
    op.add_column("woo_event", sa.Column("changes", base.LONG_BLOB, nullable=True))


def downgrade() -> None:
    op.drop_column("woo_event", "changes")
    op.drop_column("woo_object", "body_fields")
    op.drop_column("woo_object", "body_revision")
    op.drop_table("woo_object_body")
