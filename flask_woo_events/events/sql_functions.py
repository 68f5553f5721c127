"""SQL functions of dates, which each database writes in its own way."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class EpochSeconds(FunctionElement[int]):
    """Whole seconds since 1970 of a date that is stored without a zone."""

    type = sa.BigInteger()
    inherit_cache = True


class Hour(FunctionElement[t.Any]):
    """The hour of a date, in the fastest way of each database: a date, or ``2026-11-24 20``."""

    inherit_cache = True


class _Seconds(FunctionElement[float]):
    """Seconds from one date to another, aggregated."""

    type = sa.Double()
    inherit_cache = True
    aggregate = ""


class AverageSeconds(_Seconds):
    """The average of the seconds from one date to another."""

    inherit_cache = True
    aggregate = "avg"


class MostSeconds(_Seconds):
    """The largest number of seconds from one date to another."""

    inherit_cache = True
    aggregate = "max"


def _dates(element: FunctionElement[t.Any], compiler: t.Any, options: t.Any) -> list[str]:
    return [compiler.process(one, **options) for one in element.clauses]


@compiles(EpochSeconds)
def _epoch(element: t.Any, compiler: t.Any, **options: t.Any) -> str:
    (date,) = _dates(element, compiler, options)
    return f"CAST(FLOOR(EXTRACT(EPOCH FROM {date})) AS BIGINT)"


@compiles(EpochSeconds, "sqlite")
def _epoch_sqlite(element: t.Any, compiler: t.Any, **options: t.Any) -> str:
    (date,) = _dates(element, compiler, options)
    return f"CAST(STRFTIME('%s', {date}) AS INTEGER)"


@compiles(EpochSeconds, "mysql", "mariadb")
def _epoch_mysql(element: t.Any, compiler: t.Any, **options: t.Any) -> str:
    (date,) = _dates(element, compiler, options)
    return f"TIMESTAMPDIFF(SECOND, '1970-01-01', {date})"


@compiles(Hour)
def _hour(element: t.Any, compiler: t.Any, **options: t.Any) -> str:
    (date,) = _dates(element, compiler, options)
    return f"substr({date}, 1, 13)"


@compiles(Hour, "postgresql")
def _hour_postgresql(element: t.Any, compiler: t.Any, **options: t.Any) -> str:
    (date,) = _dates(element, compiler, options)
    return f"date_trunc('hour', {date})"


@compiles(_Seconds)
def _seconds(element: t.Any, compiler: t.Any, **options: t.Any) -> str:
    begin, end = _dates(element, compiler, options)
    # Of the interval and not of its seconds, which are numeric and slow.
    return f"EXTRACT(EPOCH FROM {element.aggregate}({end} - {begin}))"


@compiles(_Seconds, "sqlite")
def _seconds_sqlite(element: t.Any, compiler: t.Any, **options: t.Any) -> str:
    begin, end = _dates(element, compiler, options)
    return f"({element.aggregate}(julianday({end}) - julianday({begin})) * 86400.0)"


@compiles(_Seconds, "mysql", "mariadb")
def _seconds_mysql(element: t.Any, compiler: t.Any, **options: t.Any) -> str:
    begin, end = _dates(element, compiler, options)
    return f"({element.aggregate}(TIMESTAMPDIFF(MICROSECOND, {begin}, {end})) / 1000000)"
