"""Several subscriptions of one instance, each with a filter, credentials and limits of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from flask_woo_events.db.base import UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    add = op.add_column
    add("woo_subscription", sa.Column("options", sa.JSON(), nullable=True))
    add(
        "woo_subscription",
        sa.Column("paused", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    add("woo_subscription", sa.Column("rate_used_until", UtcDateTime(), nullable=True))
    add("woo_delivery", sa.Column("wanted", sa.JSON(), nullable=True))
    add("woo_event", sa.Column("only_for", sa.BigInteger(), nullable=True))
    # An older worker sends all events to every subscription, so a second one waits for its end.
    add(
        "woo_worker",
        sa.Column("revision", sa.String(length=32), nullable=False, server_default=""),
    )


def downgrade() -> None:
    op.drop_column("woo_worker", "revision")
    op.drop_column("woo_event", "only_for")
    op.drop_column("woo_delivery", "wanted")
    op.drop_column("woo_subscription", "rate_used_until")
    op.drop_column("woo_subscription", "paused")
    op.drop_column("woo_subscription", "options")
