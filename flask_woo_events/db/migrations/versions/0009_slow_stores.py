"""Since when a store has not answered promptly, and whether its first check is still to be made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flask_woo_events.db.base import UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("woo_instance", sa.Column("slow_since", UtcDateTime(), nullable=True))
    op.add_column("woo_instance", sa.Column("connecting", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("woo_instance", "connecting")
    op.drop_column("woo_instance", "slow_since")
