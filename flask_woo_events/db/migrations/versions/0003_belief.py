"""What a store is recognized by, and what waits for a second reading."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flask_woo_events.db import models

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("woo_instance", sa.Column("belief", sa.JSON(), nullable=True))
    op.add_column(
        "woo_object",
        sa.Column("listed", sa.Boolean(), server_default=sa.true(), nullable=False),
    )
    op.add_column("woo_object", sa.Column("held_at", models.UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("woo_object", "held_at")
    op.drop_column("woo_object", "listed")
    op.drop_column("woo_instance", "belief")
