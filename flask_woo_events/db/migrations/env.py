"""Run our migrations on the connection of ``upgrade.upgrade``."""

from __future__ import annotations

from alembic import context

from flask_woo_events.db.models import TABLE_PREFIX, Base
from flask_woo_events.db.upgrade import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    user_module_prefix="models.",
    include_name=lambda name, kind, parents: kind != "table" or str(name).startswith(TABLE_PREFIX),
)
with context.begin_transaction():
    context.run_migrations()
