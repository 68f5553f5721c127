"""What the ledger knows of how its content was read: by which function, of which store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("digest_version", sa.SmallInteger(), "1"),
    ("store_version", sa.String(40), ""),
    ("store_zone", sa.String(64), ""),
    ("described_revision", sa.BigInteger(), "0"),
)


def upgrade() -> None:
    with op.batch_alter_table("woo_object", schema=None) as batch_op:
        for name, kind, default in _COLUMNS:
            batch_op.add_column(sa.Column(name, kind, server_default=default, nullable=False))


def downgrade() -> None:
    table = {"sqlite_with_rowid": False}  # SQLite copies the table to drop a column.
    with op.batch_alter_table("woo_object", schema=None, table_kwargs=table) as batch_op:
        for name, _kind, _default in _COLUMNS:
            batch_op.drop_column(name)
