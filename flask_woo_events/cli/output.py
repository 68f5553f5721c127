"""What commands share: failures in words, and JSON for scripts."""

from __future__ import annotations

import collections.abc as cabc
import functools
import typing as t

import click
import orjson

from ..errors import WooEventsError

P = t.ParamSpec("P")
R = t.TypeVar("R")

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


def errors_as_messages(command: cabc.Callable[P, R]) -> cabc.Callable[P, R]:
    """Turn our exceptions into a message and exit status 1."""

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except WooEventsError as exc:
            raise click.ClickException(str(exc)) from exc

    return wrapper


def echo_json(value: object) -> None:
    """Print one value as one line of JSON."""
    click.echo(orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z))


def echo_table(headings: cabc.Sequence[str], rows: cabc.Sequence[cabc.Sequence[object]]) -> None:
    """Print rows in columns as wide as their widest cell."""
    cells = [[str(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        click.echo(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
