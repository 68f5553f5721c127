"""Text that MariaDB compares by its bytes: "Ann" is not "ann", and "red" is not "Red"."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0003"
branch_labels = None
depends_on = None

# MariaDB locks each table for as long as it copies it.
REBUILDS = True


def upgrade() -> None:
    bind = op.get_bind()
    if bind.dialect.name not in ("mysql", "mariadb"):
        return
    collation = (
        "utf8mb4_nopad_bin" if getattr(bind.dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
    )
    for name in sa.inspect(bind).get_table_names():
        if name.startswith("woo_"):
            op.execute(f"ALTER TABLE {name} CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}")


def downgrade() -> None:
    """Keep the collation: there may be names by now that differ only in case."""
