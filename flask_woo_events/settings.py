"""The settings of the extension: ``WOO_EVENTS_*``, read once into a frozen ``Settings``."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import functools
import json
import re
import typing as t
import urllib.parse

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field

from .errors import ConfigurationError

PREFIX = "WOO_EVENTS_"
#: Settings whose values no message may quote.
_SECRET = ("encryption_keys", "metrics_token")

Schedule = t.Literal["standard", "cloud-elements"]
FailurePolicy = t.Literal["retry", "queue"]
KeptChanges = t.Literal["names", "watched", "full"]


def _strip(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _refuse_bool(value: object) -> object:
    # Python and pydantic take True for 1.
    if isinstance(value, bool):
        raise ValueError("Input should be a number")
    return _strip(value)


def _split(value: object, noun: str) -> object:
    if isinstance(value, str) and value.lstrip().startswith("["):
        with contextlib.suppress(json.JSONDecodeError):
            value = json.loads(value)
    elif isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"Input should be a list of {noun}, or {noun} separated by commas")
    return tuple(one.strip() for one in value if one.strip())


def _split_keys(value: object) -> object:
    return _split(value, "keys")


def _split_fields(value: object) -> object:
    return _split(value, "fields")


def _check_url(value: str) -> str:
    with contextlib.suppress(ValueError):  # a host such as [x
        parts = urllib.parse.urlsplit(value)
        if not value or (parts.scheme in ("http", "https") and parts.hostname):
            return value
    raise ValueError("Input should be a URL that begins with http:// or https://")


def _check_prefix(value: str) -> str:
    # Flask would take <x> for a variable; no request has the others in its path.
    if re.search(r"[\s<>?#]", value):
        raise ValueError("Input should be a path such as /woo")
    return value


Keys = t.Annotated[tuple[str, ...], BeforeValidator(_split_keys)]
Names = t.Annotated[tuple[str, ...], BeforeValidator(_split_fields)]
Url = t.Annotated[str, AfterValidator(_check_url)]
Prefix = t.Annotated[str, AfterValidator(_check_prefix)]
Flag = t.Annotated[bool, BeforeValidator(_strip)]
Number = t.Annotated[int, BeforeValidator(_refuse_bool)]
Threads = t.Annotated[Number, Field(ge=1, le=256)]
Hours = t.Annotated[Number, Field(ge=1, le=24 * 365)]
Bytes = t.Annotated[Number, Field(ge=1024, le=2**31)]
Real = t.Annotated[float, BeforeValidator(_refuse_bool)]
Seconds = t.Annotated[Real, Field(ge=0.001, le=86400)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one application; each field is the key ``WOO_EVENTS_<NAME>``.

    Made by :func:`read_settings`, which checks the values; the constructor does not.
    """

    #: URL prefix of the API. The default is the path of the Cloud Elements service.
    url_prefix: Prefix = "/elements/api-v2"
    #: Fernet keys, oldest first; the last one encrypts. ``flask woo keys generate`` makes one.
    encryption_keys: Keys = dataclasses.field(default=(), repr=False)
    #: Store the tokens of instances encrypted, beside their hashes, and show them to callers. The
    #: Cloud Elements service showed them.
    keep_tokens: Flag = False
    #: Flask-SQLAlchemy bind key of the extension's tables; ``None`` is the default database.
    bind_key: str | None = None
    #: Folder of the file by which workers notice a restored database; ``None``: beside a SQLite
    #: file, and the application's instance folder for a server.
    state_folder: str | None = None
    #: Seconds that a poll reads again before its cursor. Two hours cover a late commit and the
    #: hour by which a change of daylight saving time shifts a site's dates.
    poll_overlap: t.Annotated[Number, Field(ge=0, le=7 * 86400)] = 7200
    #: Rows per page of a poll; WooCommerce allows at most 100.
    poll_page_size: t.Annotated[Number, Field(ge=2, le=100)] = 100
    #: URL at which stores reach the API, with its prefix; ``None``: the address of the request.
    public_url: Url | None = None
    #: Largest body of a store's webhook, bytes.
    hook_max_bytes: Bytes = 8 * 1024 * 1024
    #: Minutes between two checks of an instance's webhooks at its store.
    hook_check_minutes: t.Annotated[Number, Field(ge=1, le=10_080)] = 10
    #: Instances whose webhooks one worker process handles at the same time.
    settle_threads: Threads = 16
    #: Fewest pages of one resource that the rolling comparison reads in a poll.
    compare_pages: t.Annotated[Number, Field(ge=1, le=10_000)] = 1
    #: Hours in which the rolling comparison compares every object once.
    compare_hours: Hours = 24
    #: Hours between two ordinary polls of a store whose companion plugin keeps a journal.
    journal_reconcile_hours: Hours = 24
    #: Consecutive failures of one resource after which its poller is disabled.
    poll_failures_allowed: t.Annotated[Number, Field(ge=1, le=1_000_000)] = 50
    #: Seconds to connect to a store.
    store_connect_timeout: Seconds = 10.0
    #: Seconds between two bytes of a store's answer.
    store_read_timeout: Seconds = 60.0
    #: Seconds for one whole answer of a store.
    store_total_timeout: Seconds = 180.0
    #: Seconds that a run waits in all for answers that take longer than one second. A store that
    #: needs more is left to ``slow_threads``.
    store_patience: Seconds = 5.0
    #: Stores that did not answer promptly, which one worker process polls at the same time; as many
    #: whose webhooks it processes, and as many whose registered webhooks it checks.
    slow_threads: Threads = 8
    #: Largest answer of a store, bytes after decompression.
    store_max_bytes: t.Annotated[Number, Field(ge=1024 * 1024, le=2**31)] = 64 * 1024 * 1024
    #: Allow stores at private, loopback and link-local addresses; ``None``: as for callbacks.
    allow_private_stores: Flag | None = None
    #: Seconds to connect to a callback.
    callback_connect_timeout: Seconds = 5.0
    #: Seconds between two bytes of a callback's answer.
    callback_read_timeout: Seconds = 15.0
    #: Seconds for one whole delivery attempt.
    callback_total_timeout: Seconds = 30.0
    #: Allow callbacks at private, loopback and link-local addresses.
    allow_private_callbacks: Flag = False
    #: Retry schedule of deliveries.
    retry_schedule: Schedule = "standard"
    #: What happens to a notification whose delivery failed: ``retry`` or ``queue``.
    failure_policy: FailurePolicy = "retry"
    #: Hours in which a replaced signature key still signs notifications.
    signature_overlap_hours: t.Annotated[Number, Field(ge=0, le=24 * 365)] = 24
    #: Send only the newest version of an object that waits for a failing callback.
    coalesce: Flag = False
    #: Seconds after which another worker may take over a claimed poll or delivery, unless the
    #: claim is renewed. The default keeps a takeover within ten seconds.
    lease_seconds: t.Annotated[Real, Field(ge=1, le=3600)] = 7.0
    #: Seconds that a worker waits for running requests after SIGTERM, before it abandons them.
    stop_seconds: Seconds = 8.0
    #: Polls that one worker process runs at the same time.
    poll_threads: Threads = 16
    #: Deliveries that one worker process sends at the same time.
    deliver_threads: Threads = 16
    #: Requests to the API and the console that may call stores or callbacks at the same time in one
    #: process; fewer than it has threads, so that webhooks and health checks are answered.
    web_calls: Threads = 6
    #: Those of one organization.
    web_calls_of_organization: Threads = 4
    #: Seconds for all calls of one of these requests; a worker checks a store that takes longer.
    web_call_seconds: Seconds = 10.0
    #: Requests to feeds that wait for events at the same time in one process; fewer than it has
    #: threads, with those above.
    feed_waits: Threads = 8
    #: Those of one organization.
    feed_waits_of_organization: Threads = 6
    #: Largest body of a request to the API, bytes.
    max_body_bytes: Bytes = 1024 * 1024
    #: Days that events, notifications and attempts are kept after their delivery.
    retention_days: t.Annotated[Number, Field(ge=1, le=3650)] = 7
    #: What of objects is kept to say what changed: ``names`` of fields only, the values of the
    #: ``watched`` fields, or the ``full`` objects, compressed.
    changes: KeptChanges = "full"
    #: Fields whose values are kept with ``watched``, and whose changes are kept first with
    #: ``full``.
    watched_fields: Names = (
        "price",
        "refunds",
        "regular_price",
        "sale_price",
        "status",
        "stock_quantity",
        "stock_status",
        "total",
    )
    #: Fields of objects whose values are never stored nor sent, such as ``billing.phone``, of one
    #: resource as ``orders:billing.phone``.
    redact: Names = ()
    #: Token that ``/metrics`` requires as ``Authorization: Bearer``; ``None``: no metrics.
    metrics_token: str | None = dataclasses.field(default=None, repr=False)
    #: Serve the console, HTML pages for operators; needs the extra ``console``.
    console: Flag = False
    #: URL prefix of the console.
    console_prefix: Prefix = "/woo"
    #: Minutes without a request after which a user of the console must sign in again.
    console_idle_minutes: t.Annotated[Number, Field(ge=1, le=1440)] = 30
    #: Hours after which a user of the console must sign in again in any case.
    console_hours: t.Annotated[Number, Field(ge=1, le=168)] = 12


def read_settings(config: cabc.Mapping[str, object]) -> Settings:
    """Read ``WOO_EVENTS_*`` from an application's configuration.

    Values may be Python's, or text as an environment variable holds it.

    :raises ConfigurationError: a value is wrong or a key is unknown; the message quotes the key.
    """
    fields = [field.name for field in dataclasses.fields(Settings)]
    values = {}
    for key, value in config.items():
        name = key.removeprefix(PREFIX).lower()
        if key.startswith(PREFIX) and name not in fields:
            known = ", ".join(sorted(PREFIX + field.upper() for field in fields))
            raise ConfigurationError(f"{key} is not a setting. Known settings: {known}.")
        if key.startswith(PREFIX):
            values[name] = value
    try:
        return _normalise(_checks().validate_python(values))
    except pydantic.ValidationError as exc:
        error = exc.errors(include_url=False, include_context=False)[0]
    name = str(error["loc"][0])
    expected = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)
    shown = "" if name in _SECRET else f", not {values[name]!r}"
    raise ConfigurationError(f"{PREFIX}{name.upper()} {expected}{shown}.")


@functools.cache
def _checks() -> pydantic.TypeAdapter[Settings]:
    return pydantic.TypeAdapter(Settings)


def _normalise(settings: Settings) -> Settings:
    prefix = "/" + settings.url_prefix.strip("/")
    console_prefix = "/" + settings.console_prefix.strip("/")
    if settings.console and console_prefix in ("/", prefix):
        raise ConfigurationError(
            f"WOO_EVENTS_CONSOLE_PREFIX must be a path of its own, not {console_prefix!r}."
        )
    return dataclasses.replace(
        settings, url_prefix="" if prefix == "/" else prefix, console_prefix=console_prefix
    )
