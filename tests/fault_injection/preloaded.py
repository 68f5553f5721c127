"""Imports what each process of the application needs, in the process that forks it.

Otherwise every process would begin with half a second of imports. gunicorn imports this module as
its configuration.
"""

from __future__ import annotations

import importlib

from sqlalchemy import orm

for _name in (
    "alembic.command",
    "flask_woo_events.api",
    "flask_woo_events.cli.poll",
    "psycopg",
    "pymysql",
    "sqlalchemy.dialects.mysql.pymysql",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
):
    importlib.import_module(_name)
orm.configure_mappers()
