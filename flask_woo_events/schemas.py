"""JSON as clients send it: requests for instances and poller configurations, checked."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import re
import typing as t
import unicodedata
import urllib.parse

import orjson
import pydantic

from .date_patterns import DatePattern
from .errors import DatePatternError, InputError
from .store import catalogue
from .store.listing import read_filters
from .zones import parse_zone

_TAGS = re.compile(r"<[^>]*>")
#: Longest texts that are accepted, characters.
NAME_LENGTH = 255
TAG_LENGTH = 190
TAGS_MOST = 100
#: Most resources of one instance, each of which costs its store requests.
RESOURCES_MOST = 100
#: Deepest nesting of a body; Python and the database have less patience than the parser.
DEPTH_MOST = 64
KEY_LENGTH = 190
URL_LENGTH = 2000
#: What a secret reads back as; sent to us it means "as it is".
MASK = "********"

#: For filters that are only checked.
_ANY_DATE = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

M = t.TypeVar("M", bound=pydantic.BaseModel)


def load_json(data: bytes) -> object:
    """Parse a request's body.

    :raises InputError: it is not JSON, not UTF-8, nested too deeply, or holds what no database
        can keep.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise InputError(f"the body is not JSON: {exc.msg}") from exc
    _refuse_unkeepable(value, ())
    return value


def _refuse_unkeepable(value: object, path: tuple[str, ...]) -> None:
    if len(path) > DEPTH_MOST:
        raise InputError(f"{path[0]} is nested more than {DEPTH_MOST} levels deep", path[0])
    if isinstance(value, str) and "\0" in value:
        name = ".".join(path) or "the body"
        raise InputError(f"{name}: a text holds the character NUL", ".".join(path) or None)
    if isinstance(value, dict):
        for name, one in value.items():
            _refuse_unkeepable(name, path)
            _refuse_unkeepable(one, (*path, name))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            _refuse_unkeepable(one, (*path, str(index)))


def validated(model: type[M], value: object, path: tuple[str, ...] = ()) -> M:
    """Check a value against a model.

    :raises InputError: names the first wrong field as the caller wrote it, and never its value.
    """
    try:
        return model.model_validate(value)
    except pydantic.ValidationError as exc:
        # Not exc.json(): that fails on bytes that are not UTF-8, and repeats secrets.
        first = exc.errors(include_input=False, include_url=False, include_context=False)[0]
        field = ".".join((*path, *(str(part) for part in first["loc"])))
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] in ("model_type", "dict_type"):
            message = "a JSON object is expected"
        raise InputError(f"{field or 'the body'}: {message}", field or None) from exc


def sanitized(text: str) -> str:
    """A name or tag without markup (``<a href=...>x</a>`` is ``x``)."""
    while (plain := _TAGS.sub("", text)) != text:
        text = plain  # What is left of nested tags may be one again.
    return re.sub(r"\s+", " ", text).strip()


def folded(name: str) -> str:
    """A name as the least exact of our databases compares it: without case and accents."""
    decomposed = unicodedata.normalize("NFKD", name.casefold())
    return "".join(one for one in decomposed if not unicodedata.combining(one)).strip()


def _refuse_twins(names: cabc.Iterable[str], field: str) -> None:
    seen: dict[str, str] = {}
    for name in names:
        twin = seen.setdefault(folded(name), name)
        if twin != name:
            message = f"{field} has both {twin[:KEY_LENGTH]!r} and {name[:KEY_LENGTH]!r}"
            raise InputError(f"{message}, which some databases take for the same", field)


def _flag(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _not_a_flag(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a number is expected")
    return value.strip() if isinstance(value, str) else value


def _printable(value: str) -> str:
    if not all(character.isprintable() for character in value):
        raise ValueError("control characters are not allowed")
    return value


Flag = t.Annotated[bool, pydantic.BeforeValidator(_flag)]
Text = t.Annotated[str, pydantic.StringConstraints(max_length=KEY_LENGTH, strip_whitespace=True)]
Line = t.Annotated[str, pydantic.AfterValidator(_printable)]
Rows = t.Annotated[int, pydantic.BeforeValidator(_not_a_flag), pydantic.Field(ge=1, le=1_000_000)]
Seconds = t.Annotated[int, pydantic.BeforeValidator(_not_a_flag), pydantic.Field(ge=0, le=604800)]


class _Lenient(pydantic.BaseModel):
    """Clients of the documented service send more than is documented; it is no error."""

    model_config = pydantic.ConfigDict(extra="ignore", frozen=True)


class PollerConfiguration(_Lenient):
    """One resource to poll, as it is kept in ``woo_poller.configuration``."""

    resource: str
    #: Hub path or ``/wp-json/...``, with query and macros.
    url: str
    #: Dotted path of the id in a row.
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
    #: Seconds that a poll reaches further back.
    poll_delay: int = 0


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


class DatesConfiguration(_Lenient):
    """``datesConfiguration``, which may be empty."""

    updated_field: Text | None = pydantic.Field(None, alias="updatedDateField")
    updated_format: Pattern | None = pydantic.Field(None, alias="updatedDateFormat")
    updated_zone: Zone | None = pydantic.Field(None, alias="updatedDateTimezone")
    created_field: Text | None = pydantic.Field(None, alias="createdDateField")
    created_format: Pattern | None = pydantic.Field(None, alias="createdDateFormat")
    created_zone: Zone | None = pydantic.Field(None, alias="createdDateTimezone")
    tolerance: Seconds | None = pydantic.Field(None, alias="createdCheckTolerance")


class PollerBlock(_Lenient):
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

    @pydantic.field_validator("url")
    @classmethod
    def _known_path(cls, value: str) -> str:
        try:
            catalogue.resolve(value)
            read_filters(value, last_poll=_ANY_DATE, now=_ANY_DATE)
        except InputError as exc:
            raise ValueError(str(exc)) from exc
        return value

    def configuration(self, resource: str) -> PollerConfiguration:
        """The block as it is kept."""
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
        )


CONFIGURATION_KEY = "event.poller.configuration"
URLS_KEY = "event.poller.urls"
_DOCUMENTED_FORMAT = "yyyy-MM-dd'T'HH:mm:ss"


def default_configuration() -> dict[str, t.Any]:
    """The block of the documentation for the four resources."""
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
        for name in catalogue.DEFAULT_RESOURCES
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
            raise InputError(f"{name} is a string, but no JSON: {exc}", name) from exc
    if not isinstance(value, dict) or not value:
        raise InputError(f"{name} must be an object of resources to poll", name)
    if len(value) > RESOURCES_MOST:
        raise InputError(f"{name} has more than {RESOURCES_MOST} resources", name)
    _refuse_twins(value, name)
    configurations = []
    for resource, block in value.items():
        if not resource.strip() or len(resource) > KEY_LENGTH or not resource.isprintable():
            raise InputError(f"{name} has a resource without a usable name", name)
        checked = validated(PollerBlock, block, (*path, resource))
        configurations.append(checked.configuration(resource))
    return tuple(configurations)


def parse_legacy_urls(text: str) -> dict[str, t.Any]:
    """Turn ``event.poller.urls`` into ``event.poller.configuration``.

    Either lines of nine fields separated by ``|`` (resource, url, filter, then field, format and
    zone of the updated and of the created date), or just names of resources.
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


def _web_address(value: str) -> str:
    if not value:
        return value
    try:
        parts = urllib.parse.urlsplit(value)
        port = parts.port
    except ValueError as exc:
        raise ValueError("this is not a URL") from exc
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("a URL that begins with http:// or https:// is expected")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "a URL must not hold a user name or password; "
            "use event.notification.basic.username and event.notification.basic.password"
        )
    if any(character.isspace() or character in "<>\"'\\" for character in value):
        raise ValueError("a URL must not hold spaces, quotes or angle brackets")
    return value


def _vendor_type(value: str) -> str:
    named = {"polling": "polling", "webhook": "webhook", "webhooks": "webhook"}
    try:
        return named[value.strip().lower()]
    except KeyError:
        raise ValueError("polling or webhook is expected") from None


def _channel(value: str) -> str:
    if value.strip().lower() != "webhook":
        raise ValueError("webhook is expected; notifications go nowhere else")
    return value


def _user_name(value: str) -> str:
    if ":" in value:
        raise ValueError("a user name with a colon cannot be sent (RFC 7617)")
    return value


def _minutes(value: object) -> object:
    value = _not_a_flag(value)
    if isinstance(value, str) and not value.isdigit():
        raise ValueError('a number of minutes is expected, for example "15"')
    return value


def _credential(value: str) -> str:
    if not value.strip().isascii() or set(value.strip()) & set("<>: "):
        raise ValueError("this is not one of WooCommerce's keys, which begin with ck_ or cs_")
    return value


CallbackUrl = t.Annotated[
    str,
    pydantic.StringConstraints(max_length=URL_LENGTH, strip_whitespace=True),
    pydantic.AfterValidator(_printable),
    pydantic.AfterValidator(_web_address),
]
Secret = t.Annotated[Line, pydantic.StringConstraints(max_length=1000)]
Credential = t.Annotated[Secret, pydantic.AfterValidator(_credential)]


class Configuration(pydantic.BaseModel):
    """The keys of an instance's ``configuration`` that mean something to us; others are kept."""

    model_config = pydantic.ConfigDict(extra="allow")

    store_url: t.Annotated[
        Line, pydantic.StringConstraints(min_length=1, max_length=URL_LENGTH)
    ] = pydantic.Field("", alias="store.url")
    api_key: Credential = pydantic.Field("", alias="oauth.api.key")
    api_secret: Credential = pydantic.Field("", alias="oauth.api.secret")
    enabled: Flag = pydantic.Field(False, alias="event.notification.enabled")
    vendor_type: t.Annotated[str, pydantic.AfterValidator(_vendor_type)] = pydantic.Field(
        "polling", alias="event.vendor.type"
    )
    channel: t.Annotated[str, pydantic.AfterValidator(_channel)] = pydantic.Field(
        "webhook", alias="event.notification.type"
    )
    callback_url: CallbackUrl = pydantic.Field("", alias="event.notification.callback.url")
    signature_key: Secret = pydantic.Field("", alias="event.notification.signature.key")
    refresh_minutes: t.Annotated[
        int, pydantic.BeforeValidator(_minutes), pydantic.Field(ge=1, le=527_040)
    ] = pydantic.Field(15, alias="event.poller.refresh_interval")
    poller_configuration: t.Any = pydantic.Field(None, alias="event.poller.configuration")
    poller_urls: str | None = pydantic.Field(None, alias="event.poller.urls")
    basic_username: t.Annotated[Secret, pydantic.AfterValidator(_user_name)] = pydantic.Field(
        "", alias="event.notification.basic.username"
    )
    basic_password: Secret = pydantic.Field("", alias="event.notification.basic.password")
    callback_headers: t.Any = pydantic.Field("", alias="event.notification.callback.headers")
    filter_nulls: Flag = pydantic.Field(True, alias="filter.response.nulls")


def key_of(field: str) -> str:
    """The documented key of a field of ``Configuration``."""
    return str(Configuration.model_fields[field].alias)


def _listed(value: object) -> object:
    # The documentation's table calls tags a string, its examples send a list.
    return [value] if isinstance(value, str) else value


class ElementReference(_Lenient):
    """Which element an instance is of."""

    key: str | None = None
    id: int | None = None


class InstanceRequest(_Lenient):
    """The body of ``POST``, ``PUT`` and ``PATCH /instances``; PATCH may leave out anything."""

    element: ElementReference | None = None
    name: str | None = None
    tags: t.Annotated[
        t.Annotated[list[str], pydantic.Field(max_length=TAGS_MOST)] | None,
        pydantic.BeforeValidator(_listed),
    ] = None
    configuration: dict[str, t.Any] | None = None

    @pydantic.field_validator("name")
    @classmethod
    def _clean_name(cls, value: str | None) -> str | None:
        if value is None:
            return None
        clean = sanitized(value)
        if not clean or len(clean) > NAME_LENGTH:
            raise ValueError(f"a name of 1 to {NAME_LENGTH} characters is expected")
        return clean

    @pydantic.field_validator("tags")
    @classmethod
    def _clean_tags(cls, value: list[str] | None) -> list[str] | None:
        if value is None:
            return None
        clean = [sanitized(tag) for tag in value]
        if any(not tag or len(tag) > TAG_LENGTH for tag in clean):
            raise ValueError(f"tags of 1 to {TAG_LENGTH} characters are expected")
        return list(dict.fromkeys(clean))


def pollers_of(configuration: Configuration) -> tuple[PollerConfiguration, ...]:
    """The resources that a configuration wants polled; the four defaults when it names none."""
    if configuration.poller_configuration not in (None, ""):
        return parse_poller_configuration(configuration.poller_configuration)
    path: tuple[str, ...] = ("configuration", URLS_KEY)
    if configuration.poller_urls:
        return parse_poller_configuration(parse_legacy_urls(configuration.poller_urls), path)
    return parse_poller_configuration(default_configuration())


_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
#: Headers that an instance must not set: they belong to the connection or to us.
_OURS = frozenset(
    {
        "connection",
        "content-length",
        "content-type",
        "elements-webhook-id",
        "elements-webhook-signature",
        "expect",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "webhook-id",
        "webhook-signature",
        "webhook-timestamp",
    }
)


def parse_headers(value: object) -> dict[str, str]:
    """Read ``event.notification.callback.headers``: an object, or ``Name: value`` lines.

    :raises InputError: a name or value that no header can have, or a name that is ours.
    """
    name = "configuration." + key_of("callback_headers")
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = load_json(value.encode())
        except InputError as exc:
            raise InputError(f"{name}: {exc}", name) from exc
    if isinstance(value, str):
        lines = [line for line in re.split(r"[\n,;]", value) if line.strip()]
        if not all(":" in line for line in lines):
            raise InputError(
                f"{name} needs lines of Name: value; values with , or ; need an object", name
            )
        pairs = [(key.strip(), one.strip()) for key, _, one in (x.partition(":") for x in lines)]
    elif isinstance(value, dict) and all(isinstance(one, str | int) for one in value.values()):
        pairs = [(key, str(one)) for key, one in value.items()]
    else:
        raise InputError(f"{name} must be an object or lines of Name: value", name)
    headers: dict[str, str] = {}
    for header, text in pairs:
        if not _HEADER.match(header) or not text.isprintable() or not text.isascii():
            # Not which one: what stands for a name may be a piece of a secret value.
            raise InputError(f"{name} holds a name or value that no HTTP header can have", name)
        if header.lower() in _OURS:
            raise InputError(f"{name} must not set {header}, which is set by us", name)
        headers[header] = text
    return headers


def stored_text(value: object) -> str:
    """A value of the configuration as it is kept and read back: always text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return orjson.dumps(value).decode()


def texts(configuration: cabc.Mapping[str, t.Any]) -> dict[str, str]:
    """A flat configuration as it is kept.

    :raises InputError: a key is too long or there are too many.
    """
    if len(configuration) > 200 or any(len(key) > KEY_LENGTH or not key for key in configuration):
        raise InputError(
            f"configuration has more than 200 keys, or one over {KEY_LENGTH} characters",
            "configuration",
        )
    for key in configuration:
        if not key.isascii() or not key.isprintable() or " " in key:
            raise InputError(
                f"configuration has a key with other than printable ASCII: {key!a}", "configuration"
            )
    _refuse_twins(configuration, "configuration")
    return {key: stored_text(value) for key, value in configuration.items()}
