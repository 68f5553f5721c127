"""Persons who were erased, and the key of the hashes by which they are recognized."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa
from alembic import op

from flask_woo_events.db import base

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_OPTIONS: dict[str, t.Any] = {
    f"{dialect}_{name}": value
    for dialect in ("mysql", "mariadb")
    for name, value in (("charset", "utf8mb4"), ("collate", "utf8mb4_nopad_bin"))
}


def _of_organization(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_{table}_organization_id")
    return sa.ForeignKeyConstraint(
        ["organization_id"], ["woo_organization.id"], name=name, ondelete="CASCADE"
    )


def upgrade() -> None:
    op.create_table(
        "woo_suppression",
        sa.Column("id", base.BIG, autoincrement=True, nullable=False),
        sa.Column("organization_id", base.BIG, nullable=False),
        sa.Column("address_hash", sa.String(length=64), nullable=False),
        sa.Column("customers", sa.JSON(), nullable=False),
        sa.Column("created_at", base.UtcDateTime(), nullable=False),
        _of_organization("woo_suppression"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_suppression")),
        sa.UniqueConstraint(
            "organization_id",
            "address_hash",
            name=op.f("uq_woo_suppression_organization_id_address_hash"),
        ),
        sqlite_autoincrement=True,
        **_OPTIONS,
    )
    op.create_table(
        "woo_erasure",
        sa.Column("id", base.BIG, autoincrement=True, nullable=False),
        sa.Column("organization_id", base.BIG, nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("address_hash", sa.String(length=64), nullable=False),
        sa.Column("asked_by", sa.String(length=255), nullable=False),
        sa.Column("began_at", base.UtcDateTime(), nullable=False),
        sa.Column("ended_at", base.UtcDateTime(), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("position", sa.JSON(), nullable=False),
        _of_organization("woo_erasure"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_erasure")),
        sqlite_autoincrement=True,
        **_OPTIONS,
    )
    op.create_index(op.f("ix_woo_erasure_organization_id"), "woo_erasure", ["organization_id"])
    # An older worker does not know them: no person is erased while one runs.
    op.add_column("woo_organization", sa.Column("privacy", sa.JSON(), nullable=True))
    op.add_column("woo_poller", sa.Column("erasure_id", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("woo_poller", "erasure_id")
    op.drop_column("woo_organization", "privacy")
    op.drop_table("woo_erasure")
    op.drop_table("woo_suppression")
