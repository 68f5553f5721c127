"""Errors of databases are recognised whatever driver the application uses."""

from __future__ import annotations

import sqlite3
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db import database
from flask_woo_events.db.redaction import redact


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


@pytest.mark.parametrize(
    "driver",
    [
        pytest.param(
            {"args": (1153, "Got a packet bigger than 'max_allowed_packet' bytes")}, id="p"
        ),
        pytest.param({"args": (1300, "Invalid utf8mb3 character string")}, id="characters"),
        pytest.param({"args": ("row is too big",), "sqlstate": "54000"}, id="row"),
    ],
)
def test_a_refused_value_is_no_outage(driver: dict[str, t.Any]) -> None:
    """Drivers report some of them as they report a server that is down."""
    args = driver.pop("args")
    for kind in (sa.exc.OperationalError, sa.exc.InternalError):
        error = kind("", None, _DriverError(*args, **driver))
        assert database.refuses_value(error) and not database.is_away(error)


#: A value that only a customer has.
ANN = "ann@shop.example"


@pytest.mark.parametrize(
    ("driver", "shown"),
    [
        (
            _DriverError(
                'duplicate key value violates unique constraint "uq_woo_user_name"\n'
                f"DETAIL:  Key (name)=({ANN}) already exists.",
                sqlstate="23505",
            ),
            "uq_woo_user_name",
        ),
        (
            _DriverError(
                f'invalid input syntax for type bigint: "{ANN}"\nCONTEXT:  unnamed portal: {ANN}',
                sqlstate="22P02",
            ),
            "type bigint",
        ),
        (_DriverError(1062, f"Duplicate entry '{ANN}-5' for key 'uq_woo_user'"), "uq_woo_user"),
        (
            _DriverError(1366, f"Incorrect string value: '{ANN}' for column `woo`.`a` at row 1"),
            "`woo`.`a`",
        ),
        (_DriverError(1292, f"Incorrect datetime value: '{ANN}'"), "datetime"),
        (sqlite3.IntegrityError("UNIQUE constraint failed: woo_user.name"), "woo_user.name"),
    ],
    ids=["key", "syntax", "entry", "string", "date", "sqlite"],
)
def test_errors_quote_no_values(driver: Exception, shown: str) -> None:
    """What a server quotes of a row or a parameter is removed; what it names remains."""
    error = sa.exc.IntegrityError(
        "INSERT INTO woo_user (name) VALUES (%(name)s)", {"name": ANN}, driver
    )
    redact(error)
    for text in (str(error), repr(error), str(driver), database.words(error)):
        assert ANN not in text
        assert shown in text
    assert "INSERT INTO woo_user" in str(error) and error.params is None


def test_a_failed_connection_keeps_its_details() -> None:
    """Without a code, the lines of a message name servers and what was tried."""
    text = "connection failed: refused\n\tIs the server running on that host?"
    error = sa.exc.OperationalError("", None, _DriverError(text))
    redact(error)
    assert "Is the server running" in str(error)
