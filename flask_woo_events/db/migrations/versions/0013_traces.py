"""The trace contexts of webhooks and notifications."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLES = ("woo_arrival", "woo_notification")


def upgrade() -> None:
    # A worker of an earlier release does not write them; they are null for what it writes.
    for name in TABLES:
        op.add_column(name, sa.Column("trace", sa.String(568), nullable=True))


def downgrade() -> None:
    for name in TABLES:
        op.drop_column(name, "trace")
