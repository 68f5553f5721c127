"""Redaction: errors of databases without the values that they quote, which may be customers'."""

from __future__ import annotations

import re

import sqlalchemy as sa

_QUOTED = (
    # PostgreSQL: invalid input syntax for type json: "..."
    (re.compile(r': ".*"?$', re.DOTALL), ""),
    # MariaDB: Duplicate entry '...' for key, Incorrect string value: '...' for column
    (re.compile(r"(entry|value):? '.*'(?= for )", re.DOTALL), r"\1"),
    (re.compile(r"(entry|value):? '.*'$", re.DOTALL), r"\1"),
)


def redact(exc: sa.exc.StatementError) -> None:
    """Remove from an error, in place, what its message quotes of rows and parameters.

    The names of tables, columns and constraints remain.
    """
    exc.hide_parameters = True
    exc.params = None
    driver = exc.orig
    if driver is None or not any(isinstance(one, str) for one in driver.args):
        return
    postgresql = getattr(driver, "sqlstate", None) or getattr(driver, "pgcode", None)
    driver.args = tuple(
        _without_values(one, first_line=bool(postgresql)) if isinstance(one, str) else one
        for one in driver.args
    )
    kind = type(driver)
    exc.args = (f"({kind.__module__}.{kind.__name__}) {driver}",)


def _without_values(message: str, *, first_line: bool) -> str:
    if first_line:
        # PostgreSQL's detail, context and statement follow on lines of their own.
        message = message.strip().partition("\n")[0]
    for pattern, shorter in _QUOTED:
        message = pattern.sub(shorter, message)
    return message
