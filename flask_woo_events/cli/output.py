"""Shared parts of commands: options, error messages, JSON and tables."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import functools
import json
import typing as t

import click
import orjson
import sqlalchemy as sa

from ..db.database import is_away, refuses_value, words
from ..errors import WooEventsError
from ..values.dates import parse_iso
from ..values.validation import LARGEST_ID
from ..values.wording import counted

P = t.ParamSpec("P")
R = t.TypeVar("R")


#: The type of ids in arguments and options.
ID = click.IntRange(1, LARGEST_ID)
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def errors_as_messages(command: cabc.Callable[P, R]) -> cabc.Callable[P, R]:
    """Turn an error of the extension or of the database into a message and exit status 1."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except WooEventsError as exc:
            said = "\n".join(map(plain, str(exc).split("\n")))
            raise click.ClickException(said) from exc
        except (sa.exc.SQLAlchemyError, UnicodeEncodeError) as exc:
            if refuses_value(exc):
                message = "the database cannot store a text of this command: use other characters"
                raise click.ClickException(message) from exc
            if not is_away(exc):
                raise
            said = words(exc).partition("\n")[0]
            raise click.ClickException(f"the database does not answer: {said}") from exc

    return wrapper


def as_date(ctx: click.Context, param: click.Parameter, value: str | None) -> dt.datetime | None:
    """Parse a date with or without a time; without an offset it is UTC."""
    if value is None:
        return None
    try:
        return parse_iso(value)
    except ValueError:
        raise click.BadParameter(
            "use a date such as 2026-11-23 or 2026-11-23T21:15:00", ctx, param
        ) from None


def plain(text: str) -> str:
    """Return a text of others on one line, with what a terminal would obey escaped."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def echo_json(value: object) -> None:
    """Print a value as one line of JSON."""
    click.echo(json_text(value))


def json_text(value: object, option: int = 0) -> str:
    """Return JSON in which what a terminal would obey is escaped, as JSON escapes it."""
    text = orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z | option).decode()
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text
    )


def echo_table(headings: cabc.Sequence[str], rows: cabc.Sequence[cabc.Sequence[object]]) -> None:
    """Print rows in aligned columns."""
    cells = [[plain(str(cell)) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        click.echo(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def echo_scheduled(count: int) -> None:
    """Print that deliveries are due, and which command sends them."""
    scheduled = counted(count, "delivery", "deliveries")
    click.echo(f"{scheduled} scheduled; flask woo poll or flask woo deliver sends them.")
