"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from flask_woo_events.db import models

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "woo_organization",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("name", sa.String(length=190), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("created_at", models.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_organization")),
        sa.UniqueConstraint("name", name=op.f("uq_woo_organization_name")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_woo_organization_secret_hash")),
    )
    op.create_table(
        "woo_user",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "organization_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("name", sa.String(length=190), nullable=False),
        sa.Column("secret_hash", sa.String(length=64), nullable=False),
        sa.Column("ended_sessions", sa.JSON(), nullable=False),
        sa.Column("created_at", models.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["woo_organization.id"],
            name=op.f("fk_woo_user_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_user")),
        sa.UniqueConstraint(
            "organization_id", "name", name=op.f("uq_woo_user_organization_id_name")
        ),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_woo_user_secret_hash")),
    )
    op.create_table(
        "woo_instance",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "organization_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("tags", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("vendor_type", sa.String(length=16), nullable=False),
        sa.Column("events_enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("refresh_minutes", sa.Integer(), nullable=False),
        sa.Column("created_at", models.UtcDateTime(), nullable=False),
        sa.Column("store_facts", sa.JSON(), nullable=False),
        sa.Column("notices", sa.JSON(), nullable=False),
        sa.Column("hooks", sa.JSON(), nullable=False),
        sa.Column("hooks_base", sa.Text(), nullable=True),
        sa.Column("hooks_epoch", sa.Integer(), nullable=False),
        sa.Column("hooks_due_at", models.UtcDateTime(), nullable=True),
        sa.Column("journal", sa.JSON(), nullable=False),
        sa.Column("pinged_at", models.UtcDateTime(), nullable=True),
        sa.Column("next_poll_at", models.UtcDateTime(), nullable=True),
        sa.Column("regular_poll_at", models.UtcDateTime(), nullable=True),
        sa.Column("lease_until", models.UtcDateTime(), nullable=True),
        sa.Column("lease_fence", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["woo_organization.id"],
            name=op.f("fk_woo_instance_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["woo_user.id"], name=op.f("fk_woo_instance_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_instance")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_woo_instance_token_hash")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("woo_instance", schema=None) as batch_op:
        batch_op.create_index("ix_woo_instance_due", ["next_poll_at", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_woo_instance_hooks_due_at"), ["hooks_due_at"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_woo_instance_organization_id"), ["organization_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_woo_instance_user_id"), ["user_id"], unique=False)

    op.create_table(
        "woo_arrival",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("topic", sa.String(length=190), nullable=False),
        sa.Column("collection", sa.String(length=40), nullable=True),
        sa.Column("object_id", sa.BigInteger(), nullable=True),
        sa.Column("parent", sa.BigInteger(), nullable=True),
        sa.Column("received_at", models.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["woo_instance.id"],
            name=op.f("fk_woo_arrival_instance_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_arrival")),
    )
    with op.batch_alter_table("woo_arrival", schema=None) as batch_op:
        batch_op.create_index("ix_woo_arrival_instance", ["instance_id", "id"], unique=False)

    op.create_table(
        "woo_tally",
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("resource", sa.String(length=190), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.Column("late", sa.Integer(), nullable=False),
        sa.Column("repeated", sa.Integer(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("since", models.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["woo_instance.id"],
            name=op.f("fk_woo_tally_instance_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("instance_id", "resource", name=op.f("pk_woo_tally")),
    )

    op.create_table(
        "woo_configuration",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("key", sa.String(length=190), nullable=False),
        sa.Column(
            "value",
            sa.Text()
            .with_variant(mysql.LONGTEXT(), "mariadb")
            .with_variant(mysql.LONGTEXT(), "mysql"),
            nullable=False,
        ),
        sa.Column("sealed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["woo_instance.id"],
            name=op.f("fk_woo_configuration_instance_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_configuration")),
        sa.UniqueConstraint(
            "instance_id", "key", name=op.f("uq_woo_configuration_instance_id_key")
        ),
    )
    op.create_table(
        "woo_poller",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("resource", sa.String(length=190), nullable=False),
        sa.Column("configuration", sa.JSON(), nullable=False),
        sa.Column("selected", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("backfill", sa.Boolean(), nullable=False),
        sa.Column("cursor_at", models.UtcDateTime(), nullable=True),
        sa.Column("baseline_at", models.UtcDateTime(), nullable=True),
        sa.Column("baseline_offset", sa.Integer(), nullable=False),
        sa.Column("baseline_id", sa.BigInteger(), nullable=True),
        sa.Column("baseline_total", sa.Integer(), nullable=True),
        sa.Column("compare_offset", sa.Integer(), nullable=False),
        sa.Column("compare_id", sa.BigInteger(), nullable=True),
        sa.Column("memory", sa.JSON(), nullable=False),
        sa.Column("stamp", sa.BigInteger(), nullable=False),
        sa.Column("polled_at", models.UtcDateTime(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("retry_at", models.UtcDateTime(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", models.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["woo_instance.id"],
            name=op.f("fk_woo_poller_instance_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_poller")),
        sa.UniqueConstraint(
            "instance_id", "resource", name=op.f("uq_woo_poller_instance_id_resource")
        ),
    )
    op.create_table(
        "woo_subscription",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("channel", sa.String(length=16), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("next_due_at", models.UtcDateTime(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", models.UtcDateTime(), nullable=True),
        sa.Column("held_until", models.UtcDateTime(), nullable=True),
        sa.Column("created_at", models.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["woo_instance.id"],
            name=op.f("fk_woo_subscription_instance_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_subscription")),
    )
    with op.batch_alter_table("woo_subscription", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_woo_subscription_instance_id"), ["instance_id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_woo_subscription_next_due_at"), ["next_due_at"], unique=False
        )

    op.create_table(
        "woo_usage",
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("hour", models.UtcDateTime(), nullable=False),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["woo_instance.id"],
            name=op.f("fk_woo_usage_instance_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("instance_id", "hour", name=op.f("pk_woo_usage")),
    )
    with op.batch_alter_table("woo_usage", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_woo_usage_hour"), ["hour"], unique=False)

    op.create_table(
        "woo_connection",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "organization_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state_hash", sa.String(length=64), nullable=False),
        sa.Column("store_url", sa.Text(), nullable=False),
        sa.Column(
            "request", sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb"), nullable=False
        ),
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True
        ),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", models.UtcDateTime(), nullable=False),
        sa.Column("expires_at", models.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["woo_organization.id"],
            name=op.f("fk_woo_connection_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["woo_user.id"], name=op.f("fk_woo_connection_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_connection")),
        sa.UniqueConstraint("state_hash", name=op.f("uq_woo_connection_state_hash")),
    )
    with op.batch_alter_table("woo_connection", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_woo_connection_expires_at"), ["expires_at"])
        batch_op.create_index(batch_op.f("ix_woo_connection_organization_id"), ["organization_id"])
        batch_op.create_index(batch_op.f("ix_woo_connection_user_id"), ["user_id"])

    op.create_table(
        "woo_notification",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column(
            "poller_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("event_id", sa.String(length=20), nullable=False),
        sa.Column("resource", sa.String(length=190), nullable=False),
        sa.Column("poll_date", models.UtcDateTime(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("created_at", models.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["woo_instance.id"],
            name=op.f("fk_woo_notification_instance_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["poller_id"],
            ["woo_poller.id"],
            name=op.f("fk_woo_notification_poller_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_notification")),
        sa.UniqueConstraint("event_id", name=op.f("uq_woo_notification_event_id")),
    )
    with op.batch_alter_table("woo_notification", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_woo_notification_created_at"), ["created_at"], unique=False
        )
        batch_op.create_index("ix_woo_notification_instance", ["instance_id", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_woo_notification_poller_id"), ["poller_id"], unique=False
        )

    op.create_table(
        "woo_object",
        sa.Column(
            "poller_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("object_id", sa.String(length=190), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("parent", sa.BigInteger(), nullable=True),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column(
            "fields",
            sa.LargeBinary()
            .with_variant(mysql.LONGBLOB(), "mariadb")
            .with_variant(mysql.LONGBLOB(), "mysql"),
            nullable=False,
        ),
        sa.Column("modified_at", models.UtcDateTime(), nullable=True),
        sa.Column("created_at", models.UtcDateTime(), nullable=True),
        sa.Column("seen_at", models.UtcDateTime(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("stamp", sa.BigInteger(), nullable=False),
        sa.Column("notification_id", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["poller_id"],
            ["woo_poller.id"],
            name=op.f("fk_woo_object_poller_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("poller_id", "object_id", name=op.f("pk_woo_object")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("woo_object", schema=None) as batch_op:
        batch_op.create_index("ix_woo_object_modified", ["poller_id", "modified_at"], unique=False)
        batch_op.create_index("ix_woo_object_parent", ["poller_id", "parent"], unique=False)
        batch_op.create_index("ix_woo_object_number", ["poller_id", "live", "number"], unique=False)

    op.create_table(
        "woo_delivery",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "notification_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column(
            "subscription_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", models.UtcDateTime(), nullable=True),
        sa.Column("first_failed_at", models.UtcDateTime(), nullable=True),
        sa.Column("handled", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("lease_token", sa.String(length=32), nullable=True),
        sa.Column("lease_until", models.UtcDateTime(), nullable=True),
        sa.Column("created_at", models.UtcDateTime(), nullable=False),
        sa.Column("updated_at", models.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["woo_notification.id"],
            name=op.f("fk_woo_delivery_notification_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["subscription_id"],
            ["woo_subscription.id"],
            name=op.f("fk_woo_delivery_subscription_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_delivery")),
        sa.UniqueConstraint(
            "notification_id",
            "subscription_id",
            name=op.f("uq_woo_delivery_notification_id_subscription_id"),
        ),
    )
    with op.batch_alter_table("woo_delivery", schema=None) as batch_op:
        batch_op.create_index(
            "ix_woo_delivery_due", ["subscription_id", "status", "due_at", "id"], unique=False
        )
        batch_op.create_index(
            "ix_woo_delivery_lease", ["subscription_id", "lease_until"], unique=False
        )
        batch_op.create_index(
            "ix_woo_delivery_unsettled",
            ["status", "id"],
            unique=False,
            sqlite_where=sa.text("status <> 'delivered'"),
            postgresql_where=sa.text("status <> 'delivered'"),
        )
        batch_op.create_index(
            batch_op.f("ix_woo_delivery_lease_token"), ["lease_token"], unique=False
        )

    op.create_table(
        "woo_event",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "instance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column(
            "poller_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column(
            "notification_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("resource", sa.String(length=190), nullable=False),
        sa.Column("object_id", sa.String(length=190), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("event_type", sa.String(length=16), nullable=False),
        sa.Column("date", models.UtcDateTime(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("changed_fields", sa.JSON(none_as_null=True), nullable=True),
        sa.Column(
            "body",
            sa.LargeBinary()
            .with_variant(mysql.LONGBLOB(), "mariadb")
            .with_variant(mysql.LONGBLOB(), "mysql"),
            nullable=False,
        ),
        sa.Column("created_at", models.UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"],
            ["woo_instance.id"],
            name=op.f("fk_woo_event_instance_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["notification_id"],
            ["woo_notification.id"],
            name=op.f("fk_woo_event_notification_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["poller_id"],
            ["woo_poller.id"],
            name=op.f("fk_woo_event_poller_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_event")),
    )
    with op.batch_alter_table("woo_event", schema=None) as batch_op:
        batch_op.create_index("ix_woo_event_instance", ["instance_id", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_woo_event_notification_id"), ["notification_id"], unique=False
        )
        batch_op.create_index(
            "ix_woo_event_object", ["poller_id", "object_id", "version"], unique=False
        )

    op.create_table(
        "woo_attempt",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column(
            "delivery_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("at", models.UtcDateTime(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["woo_delivery.id"],
            name=op.f("fk_woo_attempt_delivery_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_woo_attempt")),
    )
    with op.batch_alter_table("woo_attempt", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_woo_attempt_delivery_id"), ["delivery_id"], unique=False
        )

    op.create_table(
        "woo_wait",
        sa.Column(
            "delivery_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False
        ),
        sa.Column("after_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["after_id"], ["woo_delivery.id"], name=op.f("fk_woo_wait_after_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["woo_delivery.id"],
            name=op.f("fk_woo_wait_delivery_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("delivery_id", "after_id", name=op.f("pk_woo_wait")),
    )
    with op.batch_alter_table("woo_wait", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_woo_wait_after_id"), ["after_id"], unique=False)


def downgrade() -> None:
    # Their indexes go with them; MariaDB refuses to drop one that a foreign key needs.
    op.drop_table("woo_wait")
    op.drop_table("woo_attempt")
    op.drop_table("woo_event")
    op.drop_table("woo_delivery")
    op.drop_table("woo_object")
    op.drop_table("woo_notification")
    op.drop_table("woo_subscription")
    op.drop_table("woo_usage")
    op.drop_table("woo_connection")
    op.drop_table("woo_poller")
    op.drop_table("woo_configuration")
    op.drop_table("woo_tally")
    op.drop_table("woo_arrival")
    op.drop_table("woo_instance")
    op.drop_table("woo_user")
    op.drop_table("woo_organization")
