"""The settings of the extension: ``WOO_EVENTS_*`` read once into a frozen ``Settings``."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import json
import typing as t

from .errors import ConfigurationError

PREFIX = "WOO_EVENTS_"

Schedule = t.Literal["standard", "cloud-elements"]
FailurePolicy = t.Literal["retry", "queue"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What can be set for one deployment; each field is the key ``WOO_EVENTS_<NAME>``."""

    #: Where the API is mounted. The default is the path of the documented service.
    url_prefix: str = "/elements/api-v2"
    #: Fernet keys, oldest first; the last one encrypts. ``flask woo keys generate`` makes one.
    encryption_keys: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    #: Flask-SQLAlchemy bind for our tables; ``None`` is the application's own database.
    bind_key: str | None = None
    #: How far behind its cursor a poll reads again, seconds. Two hours cover a late commit and
    #: the hour that a site's daylight saving shifts.
    poll_overlap: int = 7200
    #: Rows a page, at most the 100 that WooCommerce allows.
    poll_page_size: int = 100
    #: Where the API is to be reached by stores, with its prefix; empty: as the caller reaches it.
    public_url: str | None = None
    #: Bytes of a store's webhook.
    hook_max_bytes: int = 8 * 1024 * 1024
    #: Minutes between two looks at the webhooks of an instance.
    hook_check_minutes: int = 10
    #: Instances whose webhooks are looked after at once in one worker process.
    settle_threads: int = 16
    #: Pages of the rolling comparison of one resource in one poll, at least.
    compare_pages: int = 1
    #: Hours in which the rolling comparison has compared every object once.
    compare_hours: int = 24
    #: Hours between two ordinary polls of a store whose companion plugin keeps a journal.
    journal_reconcile_hours: int = 24
    #: Failures of one resource in a row after which its poller is disabled.
    poll_failures_allowed: int = 50
    #: Seconds to connect to a store.
    store_connect_timeout: float = 10.0
    #: Seconds between two bytes of a store's answer.
    store_read_timeout: float = 60.0
    #: Seconds for one whole answer of a store.
    store_total_timeout: float = 180.0
    #: Bytes of one answer of a store, after decompression.
    store_max_bytes: int = 64 * 1024 * 1024
    #: Whether stores at private, loopback and link-local addresses are allowed; ``None``: where
    #: callbacks are.
    allow_private_stores: bool | None = None
    #: Seconds to connect to a callback.
    callback_connect_timeout: float = 5.0
    #: Seconds between two bytes of a callback's answer.
    callback_read_timeout: float = 15.0
    #: Seconds for one whole delivery attempt.
    callback_total_timeout: float = 30.0
    #: Whether callbacks at private, loopback and link-local addresses are allowed.
    allow_private_callbacks: bool = False
    #: Retry schedule of deliveries.
    retry_schedule: Schedule = "standard"
    #: What happens to a notification whose delivery failed: ``retry`` or ``queue``.
    failure_policy: FailurePolicy = "retry"
    #: Hours in which a signature key that was replaced signs notifications too.
    signature_overlap_hours: int = 24
    #: Whether only the newest version of an object is sent that waits for a failing callback.
    coalesce: bool = False
    #: Seconds that a claimed poll or delivery belongs to its worker unless renewed. With the look
    #: that finds it and the work itself, another worker has taken over within ten.
    lease_seconds: float = 7.0
    #: Polls at once in one worker process.
    poll_threads: int = 16
    #: Deliveries at once in one worker process.
    deliver_threads: int = 16
    #: Bytes of one request to the API.
    max_body_bytes: int = 1024 * 1024
    #: Days that events, notifications and attempts are kept once they are delivered.
    retention_days: int = 7
    #: What reads ``/metrics`` must send as ``Authorization: Bearer``; without it there are none.
    metrics_token: str | None = dataclasses.field(default=None, repr=False)
    #: Whether the console, HTML pages for people, is there; needs the extra ``console``.
    console: bool = False
    #: Where the console is mounted.
    console_prefix: str = "/woo"
    #: Minutes without a request after which a person signs in again.
    console_idle_minutes: int = 30
    #: Hours after which a person signs in again in any case.
    console_hours: int = 12


class _Kind:
    """How a value of the configuration becomes a value of ``Settings``."""

    @staticmethod
    def integer(value: object) -> int:
        if isinstance(value, bool):
            raise ValueError("a whole number")
        if isinstance(value, int):
            return value
        if isinstance(value, str) and value.strip().lstrip("-").isdigit():
            return int(value)
        raise ValueError("a whole number")

    @staticmethod
    def number(value: object) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        try:
            if isinstance(value, str):
                return float(value)
        except ValueError:
            pass
        raise ValueError("a number")

    @staticmethod
    def boolean(value: object) -> bool:
        if isinstance(value, bool):
            return value
        named = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        try:
            return named[str(value).strip().lower()]
        except KeyError:
            raise ValueError("true or false") from None

    @staticmethod
    def text(value: object) -> str:
        if isinstance(value, str):
            return value
        raise ValueError("text")

    @staticmethod
    def listed(text: str) -> object:
        if not text.lstrip().startswith("["):
            return text.split(",")
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return None

    @staticmethod
    def keys(value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            value = _Kind.listed(value)
        if isinstance(value, cabc.Sequence) and all(isinstance(key, str) for key in value):
            return tuple(key.strip() for key in value if key.strip())
        raise ValueError("a list of keys, or keys separated by commas")


_KINDS: dict[str, cabc.Callable[[object], object]] = {
    "int": _Kind.integer,
    "float": _Kind.number,
    "bool": _Kind.boolean,
    "bool | None": _Kind.boolean,
    "str": _Kind.text,
    "str | None": _Kind.text,
    "tuple[str, ...]": _Kind.keys,
    "Schedule": _Kind.text,
    "FailurePolicy": _Kind.text,
}

_CHOICES: dict[str, tuple[str, ...]] = {
    "retry_schedule": t.get_args(Schedule),
    "failure_policy": t.get_args(FailurePolicy),
}

#: The smallest and the largest value of each number.
_RANGES: dict[str, tuple[float, float]] = {
    "poll_overlap": (0, 7 * 86400),
    "poll_page_size": (2, 100),
    "compare_pages": (1, 10_000),
    "compare_hours": (1, 24 * 365),
    "journal_reconcile_hours": (1, 24 * 365),
    "poll_failures_allowed": (1, 1_000_000),
    "store_max_bytes": (1024 * 1024, 2**31),
    "hook_max_bytes": (1024, 2**31),
    "hook_check_minutes": (1, 10_080),
    "settle_threads": (1, 256),
    "lease_seconds": (1, 3600),
    "poll_threads": (1, 256),
    "deliver_threads": (1, 256),
    "signature_overlap_hours": (0, 24 * 365),
    "max_body_bytes": (1024, 2**31),
    "retention_days": (1, 3650),
    "console_idle_minutes": (1, 1440),
    "console_hours": (1, 168),
}
_POSITIVE_SECONDS = (0.001, 86400.0)


def read_settings(config: cabc.Mapping[str, object]) -> Settings:
    """Read ``WOO_EVENTS_*`` of an application's configuration.

    :raises ConfigurationError: a value is wrong or a key is unknown; the message quotes the key.
    """
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    values: dict[str, t.Any] = {}
    for key, value in config.items():
        if not key.startswith(PREFIX):
            continue
        name = key.removeprefix(PREFIX).lower()
        if name not in fields:
            known = ", ".join(sorted(PREFIX + field.upper() for field in fields))
            raise ConfigurationError(f"{key} is not a setting. Known settings: {known}.")
        if value is None and fields[name].default is None:
            continue
        values[name] = _read_value(key, name, str(fields[name].type), value)
    return _normalise(Settings(**values))


def _read_value(key: str, name: str, kind: str, value: object) -> object:
    try:
        result = _KINDS[kind](value)
    except ValueError as exc:
        # A key that is written wrongly is still a key.
        shown = "" if name in ("encryption_keys", "metrics_token") else f", not {value!r}"
        raise ConfigurationError(f"{key} must be {exc}{shown}.") from None
    if name in _CHOICES and result not in _CHOICES[name]:
        raise ConfigurationError(f"{key} must be one of {_CHOICES[name]}, not {value!r}.")
    if isinstance(result, int | float) and not isinstance(result, bool):
        low, high = _RANGES.get(name, _POSITIVE_SECONDS)
        if not low <= result <= high:
            raise ConfigurationError(f"{key} must be from {low:g} to {high:g}, not {value!r}.")
    return result


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
