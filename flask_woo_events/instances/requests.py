"""Requests for instances, with the configuration keys, and their validation."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import re
import typing as t
import urllib.parse

import orjson
import pydantic

from ..errors import InputError
from ..values.cloud_elements import Format
from ..values.validation import (
    KEY_LENGTH,
    NAME_LENGTH,
    TAG_LENGTH,
    TAGS_MOST,
    URL_LENGTH,
    Flag,
    Lenient,
    Printable,
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
    """Check the URL of a callback.

    :raises ValueError: the text is not a URL, or holds a password, which logs would show.
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
        raise ValueError("webhook is expected; there is no other channel")
    return value


def _format(value: str) -> str:
    try:
        return Format(value.strip().lower())
    except ValueError:
        raise ValueError(f"{' or '.join(Format)} is expected") from None


def user_name(value: str) -> str:
    """Check the user name of a callback's Basic authentication."""
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
        raise ValueError(
            "WooCommerce's keys begin with ck_ or cs_ and hold no spaces or angle brackets"
        )
    return value


def _header_text(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise ValueError("printable ASCII is expected, as in any header")
    return value


CallbackUrl = t.Annotated[
    str,
    pydantic.StringConstraints(max_length=URL_LENGTH, strip_whitespace=True),
    pydantic.AfterValidator(printable),
    pydantic.AfterValidator(web_address),
]
Secret = t.Annotated[
    str, pydantic.StringConstraints(max_length=1000), pydantic.AfterValidator(printable)
]
Credential = t.Annotated[Secret, pydantic.AfterValidator(_credential)]
UserAgent = t.Annotated[
    str,
    pydantic.StringConstraints(max_length=500, strip_whitespace=True),
    pydantic.AfterValidator(_header_text),
]
Minutes = t.Annotated[int, pydantic.BeforeValidator(_minutes), pydantic.Field(le=527_040)]


def stored_text(value: object) -> str:
    """Return the text of a configuration value, as it is stored and returned."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    return orjson.dumps(value).decode()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Definition:
    """How a form shows a configuration key (Cloud Elements, element export of 2020)."""

    name: str
    type: str = "TEXTFIELD_128"
    secret: bool = False
    required: bool = False
    default: str = ""
    description: str = ""
    #: Position in a form (``displayOrder``).
    order: int = 0
    #: One of the optional fields, which a form shows on request (``hideFromConsole``).
    hidden: bool = False


#: The definitions of the keys of ``InstanceConfiguration``, in the order of the documented form.
DEFINITIONS: dict[str, Definition] = {}


def _key(key: str, default: object, name: str, description: str, **form: t.Any) -> t.Any:
    """Declare a configuration key: its name, its default and how a form shows it."""
    DEFINITIONS[key] = Definition(
        name=name, description=description, default=stored_text(default), **form
    )
    return pydantic.Field(default, alias=key)


class InstanceConfiguration(pydantic.BaseModel):
    """The configuration keys that the extension uses; other keys are stored as they are."""

    model_config = pydantic.ConfigDict(extra="allow")

    # fmt: off
    store_url: t.Annotated[
        Printable, pydantic.StringConstraints(min_length=1, max_length=URL_LENGTH)
    ] = _key(
        "store.url", "", "Store URL", "The url of your WooCommerce Storefront",
        type="TEXTFIELD_1000", required=True, order=1,
    )
    api_key: Credential = _key(
        "oauth.api.key", "", "OAuth API Key",
        "The Consumer Key of WooCommerce > Settings > Advanced > REST API",
        type="PASSWORD", secret=True, required=True, order=2,
    )
    api_secret: Credential = _key(
        "oauth.api.secret", "", "OAuth API Secret", "The Consumer Secret that belongs to it",
        type="PASSWORD", secret=True, required=True, order=3,
    )
    user_agent: UserAgent = _key(
        "store.user.agent", "", "Store Request User-Agent",
        "The User-Agent of requests to the store, if its firewall refuses ours",
        type="TEXTFIELD_1000", order=4, hidden=True,
    )
    store_headers: t.Any = _key(
        "store.headers", "", "Store Request Headers",
        "Headers to send with each request to the store, lines of Name: value",
        type="TEXTFIELD_1000", secret=True, order=5, hidden=True,
    )
    filter_nulls: Flag = _key(
        "filter.response.nulls", True, "Filter null values from the response",
        "Leaves null fields out of the raw records and the answers of the hub",
        type="BOOLEAN", order=51,
    )
    enabled: Flag = _key(
        "event.notification.enabled", False, "Events Enabled",
        "Identifies that events are enabled for the element instance",
        type="BOOLEAN", order=102,
    )
    vendor_type: t.Annotated[str, pydantic.AfterValidator(_vendor_type)] = _key(
        "event.vendor.type", "polling", "Event Type",
        "The type of event, either polling or webhook",
        type="TEXTFIELD_32", order=100,
    )
    channel: t.Annotated[str, pydantic.AfterValidator(_channel)] = _key(
        "event.notification.type", "webhook", "Event Notification Type",
        "How notifications go out; webhook is the only way",
        type="TEXTFIELD_32", order=108, hidden=True,
    )
    callback_url: CallbackUrl = _key(
        "event.notification.callback.url", "", "Event Notification Callback URL",
        "The URL where the events are sent",
        type="TEXTFIELD_1000", order=103,
    )
    signature_key: Secret = _key(
        "event.notification.signature.key", "", "Callback Notification Signature Key",
        "A key that signs the event notifications",
        secret=True, order=104, hidden=True,
    )
    format: t.Annotated[str, pydantic.AfterValidator(_format)] = _key(
        "event.notification.format", Format.CLOUD_ELEMENTS, "Event Notification Format",
        "cloud-elements for the documented members only, extended for version and changedFields",
        type="TEXTFIELD_32", order=109, hidden=True,
    )
    refresh_minutes: t.Annotated[Minutes, pydantic.Field(ge=1)] = _key(
        "event.poller.refresh_interval", 15, "Event poller refresh interval (mins)",
        "How often the poller checks for changes, in minutes",
        order=101,
    )
    reconcile_minutes: t.Annotated[Minutes, pydantic.Field(ge=0)] = _key(
        "event.webhook.reconcile_interval", 60, "Event webhook reconcile interval (mins)",
        "How often an instance with webhooks is also polled, in minutes; 0 for never",
        order=107, hidden=True,
    )
    poller_configuration: t.Any = _key(
        "event.poller.configuration", None, "Configure Polling", "The resources to poll, as JSON",
        type="TEXTAREA", order=105,
    )
    poller_urls: str | None = _key(
        "event.poller.urls", None, "Event poller URLs", "The older form of the resources to poll",
        type="TEXTAREA", order=106, hidden=True,
    )
    callback_headers: t.Any = _key(
        "event.notification.callback.headers", "", "Event Notification Callback Headers",
        "Headers to send with each notification, lines of Name: value",
        type="TEXTFIELD_1000", secret=True, order=12,
    )
    basic_username: t.Annotated[Secret, pydantic.AfterValidator(user_name)] = _key(
        "event.notification.basic.username", "",
        "Event Notification Basic Authentication UserName", "User name for the callback",
        type="TEXTFIELD_1000", order=110,
    )
    basic_password: Secret = _key(
        "event.notification.basic.password", "",
        "Event Notification Basic Authentication Password", "Password for the callback",
        type="PASSWORD", secret=True, order=112,
    )
    # fmt: on


def format_of(stored: cabc.Mapping[str, str]) -> Format:
    """Return the format of an instance's notifications.

    :param stored: its configuration. Releases that knew only the extended format stored none.
    """
    return Format(stored.get(key_of("format")) or Format.EXTENDED)


def key_of(field: str) -> str:
    """Return the documented key of a field of ``InstanceConfiguration``."""
    return str(InstanceConfiguration.model_fields[field].alias)


def _listed(value: object) -> object:
    # The documentation's table says that tags are a string; its examples send a list.
    return [value] if isinstance(value, str) else value


def _without_markup(text: str, what: str) -> str:
    clean = sanitized(text)
    if not clean and "<" in text:
        raise ValueError(
            "this still has the angle brackets of the documentation's placeholder; "
            f"write the {what} there"
        )
    return clean


class ElementReference(Lenient):
    """The element of an instance."""

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
        clean = _without_markup(value, "name of the instance")
        if not clean or len(clean) > NAME_LENGTH:
            raise ValueError(f"a name of 1 to {NAME_LENGTH} characters is expected")
        return clean

    @pydantic.field_validator("tags")
    @classmethod
    def _clean_tags(cls, value: list[str] | None) -> list[str] | None:
        if value is None:
            return None
        clean = [_without_markup(tag, "tag") for tag in value]
        if any(not tag or len(tag) > TAG_LENGTH for tag in clean):
            raise ValueError(f"tags of 1 to {TAG_LENGTH} characters are expected")
        return list(dict.fromkeys(clean))


def pollers_of(configuration: InstanceConfiguration) -> tuple[PollerConfiguration, ...]:
    """Return the resources that a configuration names, by default the documented four."""
    if configuration.poller_configuration not in (None, ""):
        return parse_poller_configuration(configuration.poller_configuration)
    path: tuple[str, ...] = ("configuration", URLS_KEY)
    if configuration.poller_urls:
        return parse_poller_configuration(parse_legacy_urls(configuration.poller_urls), path)
    return parse_poller_configuration(default_configuration())


_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
#: Headers that an instance must not set: the connection or the extension sets them.
_CONNECTION = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
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
    }
)
_OURS = _CONNECTION | {
    "elements-webhook-id",
    "elements-webhook-signature",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
}


def parse_headers(
    value: object, field: str = "callback_headers", name: str | None = None
) -> dict[str, str]:
    """Read additional headers: an object, or ``Name: value`` lines.

    :param field: ``callback_headers`` or ``store_headers``.
    :param name: where the headers are in the request, by default the key of the configuration.
    :raises InputError: a name or value that no header can have, or a name that is ours.
    """
    name = name or "configuration." + key_of(field)
    ours = _OURS if field == "callback_headers" else _CONNECTION
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
            # The message does not quote the name, which may be a part of a secret value.
            raise InputError(f"{name} holds a name or value that no HTTP header can have", name)
        if header.lower() in ours:
            raise InputError(f"{name} must not set {header}, which the extension sets", name)
        headers[header] = text
    return headers


def texts(configuration: cabc.Mapping[str, t.Any]) -> dict[str, str]:
    """Return a flat configuration as it is stored.

    :raises InputError: there are too many keys, or one is too long or not printable ASCII.
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
