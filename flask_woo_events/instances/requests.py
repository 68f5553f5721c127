"""Requests for instances as clients send them, checked."""

from __future__ import annotations

import collections.abc as cabc
import re
import typing as t
import urllib.parse

import orjson
import pydantic

from ..errors import InputError
from ..values.validation import (
    KEY_LENGTH,
    NAME_LENGTH,
    TAG_LENGTH,
    TAGS_MOST,
    URL_LENGTH,
    Flag,
    Lenient,
    StoreToCallback,
    load_json,
    not_a_flag,
    printable,
    refuse_twins,
    sanitized,
)
from .polled_resources import (
    URLS_KEY,
    PollerConfiguration,
    default_configuration,
    parse_legacy_urls,
    parse_poller_configuration,
)


def web_address(value: str) -> str:
    """Check the address of a callback.

    :raises ValueError: it is none, or holds what would be shown in logs.
    """
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
    value = not_a_flag(value)
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
    pydantic.AfterValidator(printable),
    pydantic.AfterValidator(web_address),
]
Secret = t.Annotated[StoreToCallback, pydantic.StringConstraints(max_length=1000)]
Credential = t.Annotated[Secret, pydantic.AfterValidator(_credential)]


class InstanceConfiguration(pydantic.BaseModel):
    """The keys of an instance's ``configuration`` that mean something to us; others are kept."""

    model_config = pydantic.ConfigDict(extra="allow")

    store_url: t.Annotated[
        StoreToCallback, pydantic.StringConstraints(min_length=1, max_length=URL_LENGTH)
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
    reconcile_minutes: t.Annotated[
        int, pydantic.BeforeValidator(_minutes), pydantic.Field(ge=0, le=527_040)
    ] = pydantic.Field(60, alias="event.webhook.reconcile_interval")
    poller_configuration: t.Any = pydantic.Field(None, alias="event.poller.configuration")
    poller_urls: str | None = pydantic.Field(None, alias="event.poller.urls")
    basic_username: t.Annotated[Secret, pydantic.AfterValidator(_user_name)] = pydantic.Field(
        "", alias="event.notification.basic.username"
    )
    basic_password: Secret = pydantic.Field("", alias="event.notification.basic.password")
    callback_headers: t.Any = pydantic.Field("", alias="event.notification.callback.headers")
    filter_nulls: Flag = pydantic.Field(True, alias="filter.response.nulls")


def key_of(field: str) -> str:
    """The documented key of a field of ``InstanceConfiguration``."""
    return str(InstanceConfiguration.model_fields[field].alias)


def _listed(value: object) -> object:
    # The documentation's table calls tags a string, its examples send a list.
    return [value] if isinstance(value, str) else value


class ElementReference(Lenient):
    """Which element an instance is of."""

    key: str | None = None
    id: int | None = None


class InstanceRequest(Lenient):
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


def pollers_of(configuration: InstanceConfiguration) -> tuple[PollerConfiguration, ...]:
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
    refuse_twins(configuration, "configuration")
    return {key: stored_text(value) for key, value in configuration.items()}
