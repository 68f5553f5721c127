"""The dates of an object that ``datesConfiguration`` names, read from its representation."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t

from ...errors import DatePatternError
from ...instances.polled_resources import PollerConfiguration
from ...values.dates import DEFAULT_FORMAT, DatePattern, in_calendar, parse_store_date, parse_zone
from ...woocommerce.endpoints import Collection

#: A field that a representation does not have.
_ABSENT = object()

Row = cabc.Mapping[str, t.Any]


class _Mismatch(Exception):
    """A value is no date in the configured form; the text says why, without the value."""


@dataclasses.dataclass(frozen=True, slots=True)
class _DateField:
    """One date of an object: where it is, and how it is written."""

    parameter: str
    #: Its dotted path.
    path: str
    pattern: str
    zone: str
    #: It is the date of WooCommerce's own that is read in any case, or the local twin of it.
    own: bool
    #: The collection is known by its path alone, so that every object must have the field.
    custom: bool

    def read(self, row: Row) -> dt.datetime | None:
        """Return the date in UTC; ``None`` if the object has none.

        :raises _Mismatch: the value does not match the pattern.
        """
        twin = _at(row, f"{self.path}_gmt")
        date = parse_store_date(twin)
        if date is not None or (twin is None and not self.custom):
            return date  # A draft's is null, and the local one has no zone.
        value = _at(row, self.path)
        if value is _ABSENT and self.custom:
            raise _Mismatch("does not exist")
        if value is _ABSENT or value is None or value == "":
            return None
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise _Mismatch("is neither text nor a whole number")
        try:
            return in_calendar(DatePattern(self.pattern).parse(value, parse_zone(self.zone)))
        except DatePatternError as exc:
            raise _Mismatch(f"is not a date in the form {self.pattern}") from exc


@dataclasses.dataclass(frozen=True, slots=True)
class ConfiguredDates:
    """The fields of ``datesConfiguration``, as far as the resource has any."""

    resource: str
    updated: _DateField | None
    created: _DateField | None

    @classmethod
    def of(cls, configuration: PollerConfiguration, collection: Collection) -> ConfiguredDates:
        """Return those of a resource."""

        def field(
            name: str, path: str | None, form: str | None, zone: str, own: str
        ) -> _DateField | None:
            if not path:
                return None
            return _DateField(
                name,
                path,
                form or DEFAULT_FORMAT,
                zone,
                own=not collection.is_custom and path in (own, own.removesuffix("_gmt")),
                custom=collection.is_custom,
            )

        one = configuration
        return cls(
            one.resource,
            field(
                "updatedDateField", one.updated_field, one.updated_format, one.updated_zone,
                collection.modified_field,
            ),
            field(
                "createdDateField", one.created_field, one.created_format, one.created_zone,
                collection.created_field,
            ),
        )  # fmt: skip

    def read(
        self,
        row: Row,
        object_id: str,
        own: tuple[dt.datetime | None, dt.datetime | None],
        report: cabc.Callable[[str], None],
    ) -> tuple[dt.datetime | None, dt.datetime | None]:
        """Return when an object was updated and created, ``None`` for what is not known.

        A value that does not match its pattern is reported, and no date.

        :param own: these dates in WooCommerce's own fields.
        :param report: is called with what is wrong, without the value.
        """
        dates: list[dt.datetime | None] = []
        for field, known in zip((self.updated, self.created), own, strict=True):
            if field is None or field.own:
                dates.append(None if field is None else known)
                continue
            try:
                dates.append(field.read(row))
            except _Mismatch as exc:
                where = f"{field.parameter} {field.path} of {self.resource} {object_id}"
                report(f"{where} {exc}")
                dates.append(None)
        return dates[0], dates[1]


def _at(row: Row, path: str) -> t.Any:
    """Return the value at a dotted path; ``None`` below one that is null."""
    value: t.Any = row
    for name in path.split("."):
        if value is None:
            return None
        if not isinstance(value, cabc.Mapping) or name not in value:
            return _ABSENT
        value = value[name]
    return value
