"""Limits of our transactions: how long one may be idle, and wait for the locks of others.

A process that is suspended in a transaction keeps the locks of its rows. The limits hold for our
transactions only: a session of the server may belong to the application next, or, behind a pooler
such as PgBouncer, to another process. SQLite has no such limit; a busy time-out ends the wait.
"""

from __future__ import annotations

import functools
import typing as t

import sqlalchemy as sa
from sqlalchemy import event

#: Seconds without a statement after which the server ends a transaction.
IDLE_SECONDS = 10
#: Seconds that a statement waits for a lock: longer, as the holder may be idle until it is ended.
LOCK_SECONDS = 30
#: Option of connections whose transactions may take any time.
UNLIMITED = "woo_unlimited"
#: Option of connections whose transactions write.
WRITING = "woo_writing"

_OWN_MARIADB = sa.text(
    "SELECT @@SESSION.idle_transaction_timeout, @@SESSION.innodb_lock_wait_timeout"
)
_SET_MARIADB = sa.text(
    "SET SESSION idle_transaction_timeout = :idle, innodb_lock_wait_timeout = :lock"
)
#: Keys of a connection's ``info``: its own values of these variables, and that ours are set.
_OWN, _LIMITED = "woo_own_limits", "woo_limited"
#: Key of a connection's ``info``: it was used before, and may be lost since.
_USED = "woo_used"


def apply(host: sa.Engine, ours: sa.Engine) -> None:
    """Limit the transactions of our engine, which uses the connections of the host's engine.

    On PostgreSQL this also shows whether the connection was lost, as by a restart of the server.
    """
    if host.dialect.name == "postgresql":
        event.listen(ours, "begin", _limit_postgresql)
    elif host.dialect.name in ("mysql", "mariadb"):
        # The isolation level is set next, with errors that SQLAlchemy does not wrap.
        event.listen(ours, "engine_connect", _replace_lost)
        event.listen(ours, "begin", _limit_mariadb)
        event.listen(host, "checkin", _reset_mariadb)


def wait_at_most(connection: sa.Connection, seconds: int) -> None:
    """Let the statements of this transaction wait less for locks; not on SQLite."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(_set_local("lock_timeout", seconds)))
    elif connection.info.get(_LIMITED):
        connection.execute(_SET_MARIADB, {"idle": IDLE_SECONDS, "lock": seconds})


def _limit_postgresql(connection: sa.Connection) -> None:
    driver = t.cast("t.Any", connection.connection.dbapi_connection)
    if connection.get_execution_options().get(UNLIMITED) or getattr(driver, "autocommit", False):
        return
    if hasattr(driver, "pgconn"):
        # psycopg would send BEGIN by itself: in one request, the limits cost no time. It leaves a
        # transaction that has begun as it is. A lost connection fails below, for SQLAlchemy.
        driver.pgconn.exec_(_begin(IDLE_SECONDS, LOCK_SECONDS))
        if driver.info.transaction_status.name == "INTRANS":
            return
    limits = {"lock_timeout": LOCK_SECONDS, "idle_in_transaction_session_timeout": IDLE_SECONDS}
    connection.execute(sa.select(*(_set_local(*one) for one in limits.items())))


def _set_local(name: str, seconds: int) -> sa.Function[t.Any]:
    return sa.func.set_config(name, f"{seconds}s", sa.true())


@functools.lru_cache(maxsize=4)
def _begin(idle: int, lock: int) -> bytes:
    return (
        # The isolation level of our engine, which psycopg would name as well.
        "BEGIN ISOLATION LEVEL READ COMMITTED; "
        f"SET LOCAL lock_timeout = '{lock}s'; "
        f"SET LOCAL idle_in_transaction_session_timeout = '{idle}s'"
    ).encode()


def _replace_lost(connection: sa.Connection) -> None:
    """Replace connections of the pool that were lost since their last use."""
    while _USED in connection.info:
        driver = connection.connection.dbapi_connection
        try:
            connection.dialect.do_ping(t.cast("t.Any", driver))
            break
        except connection.dialect.loaded_dbapi.Error as exc:
            # The next use gets another one from the pool, or a new one.
            connection.invalidate(exc)
    connection.info[_USED] = True


def _limit_mariadb(connection: sa.Connection) -> None:
    options, info = connection.get_execution_options(), connection.info
    if options.get(UNLIMITED) or not options.get(WRITING):
        return  # What only reads holds no locks.
    if not getattr(connection.dialect, "is_mariadb", False):
        return
    if _OWN not in info:
        info[_OWN] = tuple(connection.execute(_OWN_MARIADB).one())
    # Before the statement, which may have been executed although it failed.
    info[_LIMITED] = True
    connection.execute(_SET_MARIADB, {"idle": IDLE_SECONDS, "lock": LOCK_SECONDS})


def _reset_mariadb(driver: t.Any, record: sa.pool.ConnectionPoolEntry) -> None:
    """Give a connection back to the pool as it was."""
    if driver is None or not record.info.pop(_LIMITED, False):
        return
    idle, lock = record.info[_OWN]
    # Drivers bind parameters in different ways.
    reset = str(_SET_MARIADB).replace(":idle", str(int(idle))).replace(":lock", str(int(lock)))
    try:
        with driver.cursor() as cursor:
            cursor.execute(reset)
    except Exception as exc:
        record.invalidate(exc)
