"""Filters of a poller: the parameters that the query of its ``url`` means."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import urllib.parse

from ..errors import InputError
from ..values.dates import DEFAULT_FORMAT, expand_macros
from .ceql import Condition, read_where
from .list_filters import FilterSupport

#: Conditions of a ``where`` that have another name in WooCommerce.
_NATIVE = {"created_date": "after", "date_created": "after", "after": "after"}
#: Parameters of paging, which only the poller sets.
_OURS = {"page", "per_page", "offset", "_fields", "pageSize", "nextPage"}
#: Parameters of order, used only where the poller cannot set its own.
_ORDER = ("orderby", "order")
#: An offset that changes every field of a date.
_STEP = dt.timedelta(days=400, hours=1, minutes=1, seconds=1, milliseconds=1)
#: Lower bounds of the modified date, which the poller's window replaces.
_MODIFIED = {"date_modified", "date_modified_gmt", "modified_after", "updated_date"}


@dataclasses.dataclass(frozen=True)
class Filters:
    """The query of a poller's ``url``."""

    params: cabc.Mapping[str, str]
    #: The query depends on the last poll's date, so it never lists the whole collection.
    feed: bool
    #: The order that the query names.
    order: cabc.Mapping[str, str] = dataclasses.field(default_factory=dict)


def read_filters(
    url: str,
    *,
    last_poll: dt.datetime,
    now: dt.datetime,
    default_format: str = DEFAULT_FORMAT,
    zone: dt.tzinfo = dt.UTC,
) -> Filters:
    """Expand the macros of a poller's ``url``, and return its query as native parameters.

    :param last_poll: the value of ``${date}``, aware.
    :param default_format: the format of macros that name none.
    :param zone: the zone of ``${date}``.
    :raises InputError: the ``where`` is not supported.
    """

    def params_at(last_poll: dt.datetime, now: dt.datetime) -> dict[str, str]:
        expanded = expand_macros(
            url, last_poll=last_poll, now=now, default_format=default_format, zone=zone
        )
        return _native_params(expanded)

    params = params_at(last_poll, now)
    # Compared for two dates, because a macro may be in a part that has no effect.
    moved = params_at(last_poll - _STEP, now - _STEP)
    order = {name: params.pop(name) for name in _ORDER if name in params}
    filters = {name: moved[name] for name in moved if name not in _ORDER}
    return Filters(params, params != filters, order)


def _native_params(url: str) -> dict[str, str]:
    params: dict[str, str] = {}
    for name, value in urllib.parse.parse_qsl(url.partition("?")[2], keep_blank_values=True):
        if name == "where":
            pairs = [_native_condition(condition) for condition in read_where(value, "url")]
            params.update(pair for pair in pairs if pair is not None)
        elif name.endswith("[]"):
            # The client sends lists joined with commas.
            listed = name.removesuffix("[]")
            params[listed] = f"{params[listed]},{value}" if listed in params else value
        elif name not in _OURS:
            params[name] = value
    return params


def check_where(url: str, support: FilterSupport, *, now: dt.datetime) -> None:
    """Check that the store filters by each condition of the ``where`` of a poller's ``url``.

    :raises InputError: it would ignore one, so that the poller would read more than was asked.
    """
    query = expand_macros(url, last_poll=now, now=now).partition("?")[2]
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    given = {name: value for name, value in pairs if name != "where"}
    for text in (value for name, value in pairs if name == "where"):
        for condition in read_where(text, "url"):
            pair = _native_condition(condition)
            if pair is None:
                continue
            support.check_sent(*pair)
            if given.setdefault(*pair) != pair[1]:
                raise InputError(f"the store takes {pair[0]} once, with one value", "url")


def _native_condition(condition: Condition) -> tuple[str, str] | None:
    field, op, value = condition.field, condition.op, condition.value
    if field in _MODIFIED and op in (">", ">="):
        return None
    if field in _NATIVE and op in (">", ">=", "="):
        return _NATIVE[field], value
    if op == "=":
        return field, value
    raise InputError(f"the store cannot filter by {condition.text!r}", "url")
