"""The problems of an instance, to notice when one begins or ends."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("woo_instance", sa.Column("problems", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("woo_instance", "problems")
