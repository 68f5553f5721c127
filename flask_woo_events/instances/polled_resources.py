"""The resources that an instance polls: the blocks of ``event.poller.configuration``."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import typing as t

import pydantic

from ..errors import DatePatternError, InputError
from ..values.dates import DEFAULT_FORMAT
from ..values.java_dates import DatePattern
from ..values.time_zones import parse_zone
from ..values.validation import (
    KEY_LENGTH,
    URL_LENGTH,
    Flag,
    Lenient,
    Rows,
    Seconds,
    Text,
    load_json,
    refuse_twins,
    validated,
)
from ..woocommerce import endpoints
from ..woocommerce.list_filters import ABILITIES
from ..woocommerce.poller_filters import Filters, check_where, read_filters

#: Most resources per instance; each costs requests to the store.
RESOURCES_MOST = 100
#: Most fields of a resource that are ignored.
IGNORED_MOST = 100
#: Any date, to check filters.
_ANY_DATE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class PollerConfiguration(Lenient):
    """One resource to poll, as stored in ``woo_poller.configuration``."""

    resource: str
    #: Hub path or ``/wp-json/...``, with query and macros.
    url: str
    #: Dotted path of the id in an object.
    id_field: str = "id"
    updated_field: str | None = None
    updated_format: str | None = None
    updated_zone: str = "UTC"
    created_field: str | None = None
    created_format: str | None = None
    created_zone: str = "UTC"
    filter_by_updated_date: bool = True
    filter_by_current_date: bool = False
    #: Seconds from created to updated that still count as CREATED.
    created_check_tolerance: int = 0
    page_size: int | None = None
    #: Seconds by which a poll reads further back.
    poll_delay: int = 0
    #: Fields that never count as a change; ``None``: those that are found to differ at every read.
    ignored_fields: tuple[str, ...] | None = None

    def filters(self, *, last_poll: dt.datetime, now: dt.datetime, url: str = "") -> Filters:
        """Return the query of ``url``, with its macros expanded.

        A macro without a format is written as ``updatedDateField`` is. WooCommerce's own routes
        take one form alone, in UTC.

        :param url: another url than that of the configuration.
        """
        url = url or self.url
        if endpoints.resolve(url).is_woocommerce:
            return read_filters(url, last_poll=last_poll, now=now)
        return read_filters(
            url,
            last_poll=last_poll,
            now=now,
            default_format=self.updated_format or DEFAULT_FORMAT,
            zone=parse_zone(self.updated_zone),
        )


def _pattern(value: str) -> str:
    try:
        DatePattern(value)
    except DatePatternError as exc:
        raise ValueError(str(exc)) from exc
    return value


def _zone(value: str) -> str:
    try:
        parse_zone(value)
    except InputError as exc:
        raise ValueError(str(exc)) from exc
    return value


Pattern = t.Annotated[Text, pydantic.AfterValidator(_pattern)]
Zone = t.Annotated[Text, pydantic.AfterValidator(_zone)]


class DatesConfiguration(Lenient):
    """``datesConfiguration``, which may be empty."""

    updated_field: Text | None = pydantic.Field(None, alias="updatedDateField")
    updated_format: Pattern | None = pydantic.Field(None, alias="updatedDateFormat")
    updated_zone: Zone | None = pydantic.Field(None, alias="updatedDateTimezone")
    created_field: Text | None = pydantic.Field(None, alias="createdDateField")
    created_format: Pattern | None = pydantic.Field(None, alias="createdDateFormat")
    created_zone: Zone | None = pydantic.Field(None, alias="createdDateTimezone")
    tolerance: Seconds | None = pydantic.Field(None, alias="createdCheckTolerance")


class PollerBlock(Lenient):
    """One resource of ``event.poller.configuration``."""

    url: t.Annotated[str, pydantic.StringConstraints(max_length=URL_LENGTH)]
    id_field: t.Annotated[Text, pydantic.StringConstraints(min_length=1)] = pydantic.Field(
        "id", alias="idField"
    )
    dates: DatesConfiguration | None = pydantic.Field(None, alias="datesConfiguration")
    updated_zone: Zone | None = pydantic.Field(None, alias="updatedDateTimezone")
    created_zone: Zone | None = pydantic.Field(None, alias="createdDateTimezone")
    filter_by_updated_date: Flag = pydantic.Field(
        True, validation_alias=pydantic.AliasChoices("filterByUpdatedDate", "filterByUpdateDate")
    )
    filter_by_current_date: Flag = pydantic.Field(False, alias="filterByCurrentDate")
    tolerance: Seconds | None = pydantic.Field(None, alias="createdCheckTolerance")
    page_size: Rows | None = pydantic.Field(None, alias="pageSize")
    poll_delay: Seconds = pydantic.Field(0, alias="pollDelay")
    ignored_fields: t.Annotated[list[Text], pydantic.Field(max_length=IGNORED_MOST)] | None = (
        pydantic.Field(None, alias="ignoredFields")
    )

    @pydantic.field_validator("ignored_fields")
    @classmethod
    def _no_identity(cls, value: list[str] | None) -> list[str] | None:
        for name in value or ():
            if name in ("", "id", "status") or "." in name:
                raise ValueError(
                    f"{name!r} cannot be ignored: name top-level fields, without id and status"
                )
        return value

    @pydantic.field_validator("url")
    @classmethod
    def _known_path(cls, value: str) -> str:
        try:
            endpoints.resolve(value)
            read_filters(value, last_poll=_ANY_DATE, now=_ANY_DATE)
        except InputError as exc:
            raise ValueError(str(exc)) from exc
        return value

    @pydantic.field_validator("id_field")
    @classmethod
    def _readable(cls, value: str, info: pydantic.ValidationInfo) -> str:
        url = info.data.get("url")
        if value == "id" or url is None:
            return value
        collection = endpoints.resolve(url)
        if collection.orders_by_id or collection.below is not None:
            # Pages, deletions and webhooks use WooCommerce's own id.
            raise ValueError(
                f"must be id for {collection.hub_name}; any other field needs the store's own path "
                "as url, /wp-json/wc/v3/..., which is read completely at each poll"
            )
        return value

    def configuration(self, resource: str) -> PollerConfiguration:
        """Return the block as it is stored."""
        dates = self.dates or DatesConfiguration.model_validate({})
        return PollerConfiguration(
            resource=resource,
            url=self.url,
            id_field=self.id_field,
            updated_field=dates.updated_field,
            updated_format=dates.updated_format,
            updated_zone=dates.updated_zone or self.updated_zone or "UTC",
            created_field=dates.created_field,
            created_format=dates.created_format,
            created_zone=dates.created_zone or self.created_zone or "UTC",
            filter_by_updated_date=self.filter_by_updated_date,
            filter_by_current_date=self.filter_by_current_date,
            created_check_tolerance=(
                self.tolerance if self.tolerance is not None else dates.tolerance or 0
            ),
            page_size=self.page_size,
            poll_delay=self.poll_delay,
            ignored_fields=None if self.ignored_fields is None else tuple(self.ignored_fields),
        )


CONFIGURATION_KEY = "event.poller.configuration"
URLS_KEY = "event.poller.urls"
_DOCUMENTED_FORMAT = "yyyy-MM-dd'T'HH:mm:ss"


def default_configuration(
    names: cabc.Iterable[str] = endpoints.DEFAULT_RESOURCES,
) -> dict[str, t.Any]:
    """Return the documented configuration of resources, by default of the four."""
    dates = {
        "updatedDateField": "date_modified_gmt",
        "updatedDateFormat": _DOCUMENTED_FORMAT,
        "updatedDateTimezone": "GMT",
        "createdDateField": "date_created_gmt",
        "createdDateFormat": _DOCUMENTED_FORMAT,
        "createdDateTimezone": "GMT",
    }
    return {
        name: {"url": f"/hubs/ecommerce/{name}", "idField": "id", "datesConfiguration": dates}
        for name in names
    }


def parse_poller_configuration(
    value: object, path: tuple[str, ...] = ("configuration", CONFIGURATION_KEY)
) -> tuple[PollerConfiguration, ...]:
    """Read ``event.poller.configuration``: an object, or one as a JSON string.

    :raises InputError: names the wrong field.
    """
    name = ".".join(path)
    if isinstance(value, str):
        try:
            value = load_json(value.encode())
        except InputError as exc:
            raise InputError(f"{name} is a string that is not JSON: {exc}", name) from exc
    if not isinstance(value, dict) or not value:
        raise InputError(f"{name} must be an object of resources to poll", name)
    if len(value) > RESOURCES_MOST:
        raise InputError(f"{name} has more than {RESOURCES_MOST} resources", name)
    refuse_twins(value, name)
    configurations = []
    for resource, block in value.items():
        if not resource.strip() or len(resource) > KEY_LENGTH or not resource.isprintable():
            raise InputError(f"{name} has a resource without a usable name", name)
        checked = validated(PollerBlock, block, (*path, resource))
        configurations.append(configuration := checked.configuration(resource))
        try:
            configuration.filters(last_poll=_ANY_DATE, now=_ANY_DATE)
        except InputError as exc:
            field = ".".join((*path, resource, "url"))
            raise InputError(f"{field} with updatedDateFormat: {exc}", field) from exc
    return tuple(configurations)


def refuse_ignored_filters(
    configurations: cabc.Iterable[PollerConfiguration], known: cabc.Collection[str]
) -> None:
    """Refuse each ``where`` that the store would ignore.

    :param known: urls that the instance has already: a change of something else is not refused.
    :raises InputError: names the url.
    """
    for one in configurations:
        support = ABILITIES.get(endpoints.resolve(one.url).hub_name)
        if support is None or one.url in known:
            continue
        try:
            check_where(one.url, support, now=_ANY_DATE)
        except InputError as exc:
            name = f"configuration.{CONFIGURATION_KEY}.{one.resource}.url"
            raise InputError(f"{name}: {exc}", name) from exc


def parse_legacy_urls(text: str) -> dict[str, t.Any]:
    """Turn ``event.poller.urls`` into ``event.poller.configuration``.

    It is either lines of nine fields separated by ``|`` (resource, url, filter, then field, format
    and zone of the updated and of the created date), or names of resources.
    """
    name = f"configuration.{URLS_KEY}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not any("/" in line for line in lines):
        names = [one.strip() for line in lines for one in line.split("|") if one.strip()]
        defaults = default_configuration()
        return {one: defaults.get(one, {"url": f"/hubs/ecommerce/{one}"}) for one in names}
    blocks: dict[str, t.Any] = {}
    for line in lines:
        fields = [field.strip() for field in line.split("|")] + [""] * 9
        if not fields[0] or not fields[1]:
            raise InputError(f"{name} needs lines of resource|url|...", name)
        dates = dict(
            zip(
                (
                    "updatedDateField",
                    "updatedDateFormat",
                    "updatedDateTimezone",
                    "createdDateField",
                    "createdDateFormat",
                    "createdDateTimezone",
                ),
                fields[3:9],
                strict=True,
            )
        )
        blocks[fields[0]] = {
            "url": fields[1],
            "datesConfiguration": {key: value for key, value in dates.items() if value},
        }
    return blocks
