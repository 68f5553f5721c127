"""Errors of databases are recognised whatever driver the application uses."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa

from flask_woo_events.db import database


class _DriverError(Exception):
    """An error with the attributes of a driver."""

    def __init__(self, *args: object, **attributes: object) -> None:
        super().__init__(*args)
        self.__dict__ |= attributes


@pytest.mark.parametrize(
    ("deadlock", "no_table"),
    [
        pytest.param({"sqlstate": "40P01"}, {"sqlstate": "42P01"}, id="psycopg"),
        pytest.param({"pgcode": "40P01"}, {"pgcode": "42P01"}, id="psycopg2"),
        pytest.param({"errno": 1213}, {"errno": 1146}, id="mariadb"),
    ],
)
def test_codes_of_drivers(deadlock: dict[str, object], no_table: dict[str, object]) -> None:
    """A deadlock and a missing table have a code, in an attribute that drivers name differently."""
    ended = sa.exc.OperationalError("", None, _DriverError("a translated text", **deadlock))
    missing = sa.exc.ProgrammingError("", None, _DriverError("does not exist", **no_table))
    assert database.is_deadlock(ended) and not database.is_deadlock(missing)
    assert database._is_schema_missing(missing) and not database._is_schema_missing(ended)


def test_numbers_of_pymysql() -> None:
    """PyMySQL and mysqlclient have the number as the first argument, and perhaps a state."""
    ended = sa.exc.OperationalError("", None, _DriverError(1213, "Deadlock", sqlstate="40001"))
    missing = sa.exc.ProgrammingError("", None, _DriverError(1146, "no table", sqlstate="42S02"))
    assert database.is_deadlock(ended) and database._is_schema_missing(missing)


def test_messages_count_only_for_sqlite() -> None:
    """A text of a server, such as a value that it quotes, does not look like a missing table."""
    text = "invalid input: no such table"
    assert database._is_schema_missing(sa.exc.OperationalError("", None, sqlite3.Error(text)))
    server = _DriverError(text, sqlstate="22P02")
    assert not database._is_schema_missing(sa.exc.DataError("", None, server))
