"""The specification of an instance: a request, checked and completed."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses

from ..errors import InputError
from ..values.cloud_elements import ELEMENT_ID, ELEMENT_KEY
from ..values.validation import MASK, TAG_LENGTH, validated
from ..woocommerce.access import RequestOptions, StoreAccess
from ..woocommerce.client import store_root
from . import configuration as configurations
from .polled_resources import PollerConfiguration, refuse_ignored_filters
from .requests import (
    DEFINITIONS,
    InstanceConfiguration,
    InstanceRequest,
    format_of,
    key_of,
    parse_headers,
    pollers_of,
    stored_text,
    texts,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceSpec:
    """A checked request: the instance as it will be."""

    name: str
    tags: tuple[str, ...]
    configuration: InstanceConfiguration = dataclasses.field(repr=False)
    texts: cabc.Mapping[str, str] = dataclasses.field(repr=False)
    pollers: tuple[PollerConfiguration, ...]
    #: The store or its keys change.
    reconnects: bool
    #: The store, its keys or the resources change, so that the store must be checked.
    asks: bool
    #: Keys of stored secrets that stay and cannot be decrypted; their text is ``********``.
    unreadable: frozenset[str] = frozenset()

    @property
    def refresh_minutes(self) -> int:
        """Minutes between two polls; 0 for none. With webhooks, the reconcile interval."""
        if self.configuration.vendor_type == "webhook":
            return self.configuration.reconcile_minutes
        return self.configuration.refresh_minutes

    @property
    def access(self) -> StoreAccess:
        """The address and the keys of the store, without those that cannot be decrypted."""
        return access_of({key: self.texts[key] for key in self.texts.keys() - self.unreadable})

    def require_access(self) -> None:
        """Check that the keys for a request to the store are there.

        :raises InputError: names those that have to be sent again.
        """
        if lost := [key for key in CONNECTION_KEYS if key in self.unreadable]:
            raise InputError(
                f"the stored {' and '.join(lost)} cannot be decrypted; send them in this request, "
                "which has to be checked with the store, or add the key that encrypted them to "
                "WOO_EVENTS_ENCRYPTION_KEYS",
                f"configuration.{lost[0]}",
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurrentSpec:
    """An instance before a change, with decrypted secrets."""

    name: str
    tags: tuple[str, ...]
    texts: cabc.Mapping[str, str] = dataclasses.field(repr=False)
    #: Keys of secrets that cannot be decrypted; their text is ``********``.
    unreadable: frozenset[str] = frozenset()
    #: Its store was checked.
    connected: bool = True


def _known_urls(old: cabc.Mapping[str, str]) -> set[str]:
    """Return the urls of the resources that an instance polls already."""
    keys = (key_of("poller_configuration"), key_of("poller_urls"))
    stored = {key: old[key] for key in keys if old.get(key)}
    if not stored:
        return set()
    try:
        return {one.url for one in pollers_of(InstanceConfiguration.model_validate(stored))}
    except (InputError, ValueError):
        return set()


def plan(
    request: InstanceRequest, before: CurrentSpec | None = None, *, partial: bool = False
) -> InstanceSpec:
    """Check a request, and return the instance as it will be.

    :param before: the instance to change; ``None`` for a new one.
    :param partial: keep what the request leaves out (PATCH).
    :raises InputError: names the field that is wrong or missing.
    """
    _check_element(request)
    given = sent = texts(request.configuration or {})
    old = before.texts if before is not None else {}
    given = {
        key: old.get(key, "") if text == MASK and configurations.is_secret(key) else text
        for key, text in given.items()
    }
    _prefer_given_pollers(given)
    wanted = texts({**_without_pollers(old, given), **given} if partial else given)
    if not wanted.get("store.url") and wanted.get("oauth.callback.url"):
        # The documentation's table uses this key for the store's address; its examples do not.
        wanted["store.url"] = wanted["oauth.callback.url"]
    # Forms send untouched fields as empty texts.
    filled = {key: text for key, text in wanted.items() if text != ""}
    checked = validated(InstanceConfiguration, filled, ("configuration",))
    _require(checked, request, partial)
    _require_secrets_for_new_address(checked.store_url, old, sent)
    lost = before.unreadable if before is not None else frozenset()
    unreadable = frozenset(key for key in lost if wanted.get(key) == MASK)
    for field in ("callback_headers", "store_headers"):
        if key_of(field) not in unreadable:
            parse_headers(getattr(checked, field) or "", field)
    wanted[key_of("vendor_type")] = checked.vendor_type
    for field, declared in InstanceConfiguration.model_fields.items():
        if DEFINITIONS[key := str(declared.alias)].type == "BOOLEAN" and key in filled:
            wanted[key] = stored_text(getattr(checked, field))
    for key in _ALWAYS_THERE:
        wanted.setdefault(key, DEFINITIONS[key].default)
    wanted[_FORMAT] = checked.format if filled.get(_FORMAT) else _kept_format(before)
    pollers = pollers_of(checked)
    refuse_ignored_filters(pollers, _known_urls(old))
    return InstanceSpec(
        name=request.name or (before.name if before is not None else ""),
        tags=_tags(request, before),
        configuration=checked,
        texts=wanted,
        pollers=pollers,
        reconnects=before is None or _differ(wanted, old, CONNECTION_KEYS),
        asks=before is None
        or _differ(wanted, old, (*CONNECTION_KEYS, *_POLLER_KEYS))
        # The same keys sent again: the caller expects an answer to whether they work.
        or (not before.connected and any(key in sent for key in CONNECTION_KEYS)),
        unreadable=unreadable,
    )


def _kept_format(before: CurrentSpec | None) -> str:
    """Return the format of a request without one: a receiver keeps what it uses."""
    if before is None:
        return DEFINITIONS[_FORMAT].default
    return format_of(before.texts)


def _tags(request: InstanceRequest, before: CurrentSpec | None) -> tuple[str, ...]:
    """Return the tags; a new instance without any has its name as its only one (Cloud Elements)."""
    if before is None:
        return tuple(request.tags or [(request.name or "")[:TAG_LENGTH].rstrip()])
    return tuple(before.tags if request.tags is None else request.tags)


#: Keys that every instance has, so that each is an entry that can be changed.
_ALWAYS_THERE = (key_of("filter_nulls"), key_of("enabled"), key_of("refresh_minutes"))
_FORMAT = key_of("format")


def _differ(
    new: cabc.Mapping[str, str], old: cabc.Mapping[str, str], keys: cabc.Iterable[str]
) -> bool:
    return any(new.get(key, "") != old.get(key, "") for key in keys)


def _require_secrets_for_new_address(
    url: str, old: cabc.Mapping[str, str], sent: cabc.Mapping[str, str]
) -> None:
    """Refuse to send stored secrets to another address than before, also of the same host.

    The API masks secrets; a changed store URL must not be a way to read them, for example by
    another site of a shared host.
    """
    before = old.get("store.url")
    if before is None or _is_same_address(url, before):
        return
    missing = [key for key in _KEYS if sent.get(key) in (None, "", MASK)]
    if missing:
        raise InputError(
            f"store.url is another address than before; send {' and '.join(missing)} with it, "
            "because stored keys are not sent to another address",
            f"configuration.{missing[0]}",
        )
    if old.get("store.headers") and sent.get("store.headers") in (None, MASK):
        raise InputError(
            "store.url is another address than before; send store.headers with it, also if empty, "
            "because stored headers are not sent to another address",
            "configuration.store.headers",
        )


def _is_same_address(url: str, before: str) -> bool:
    root = store_root(url)
    try:
        return root == store_root(before)
    except InputError:
        return False  # A damaged row.


_POLLER_KEYS = (key_of("poller_configuration"), key_of("poller_urls"))
_KEYS = (key_of("api_key"), key_of("api_secret"))
#: Keys that say where the store is and how to log in there.
CONNECTION_KEYS = tuple(
    key_of(field) for field in ("store_url", "api_key", "api_secret", "user_agent", "store_headers")
)


def access_of(texts: cabc.Mapping[str, str], rest: str = "") -> StoreAccess:
    """Return how the store of a configuration is reached.

    :param texts: the configuration, with decrypted secrets.
    :param rest: where the REST API is, if the store was asked.
    """
    url, key, secret, agent, headers = (texts.get(name, "") for name in CONNECTION_KEYS)
    options = RequestOptions(agent.strip(), parse_headers(headers, "store_headers"), rest)
    return StoreAccess(url, key, secret, options)


def _prefer_given_pollers(given: cabc.MutableMapping[str, str]) -> None:
    # The newer form holds more than the older one.
    newer, older = _POLLER_KEYS
    if given.get(newer):
        given.pop(older, None)
    elif given.get(older):
        given.pop(newer, None)


def _without_pollers(
    old: cabc.Mapping[str, str], given: cabc.Mapping[str, str]
) -> cabc.Mapping[str, str]:
    """Return the old configuration without the pollers if the new one has pollers."""
    if not any(given.get(key) for key in _POLLER_KEYS):
        return old
    return {key: text for key, text in old.items() if key not in _POLLER_KEYS}


def _check_element(request: InstanceRequest) -> None:
    element = request.element
    if element is None:
        return
    if element.key is None and element.id is None:
        raise InputError(f"element.key is missing; it is {ELEMENT_KEY}", "element.key")
    if element.key not in (None, ELEMENT_KEY) or element.id not in (None, ELEMENT_ID):
        raise InputError(f"the only element here is {ELEMENT_KEY} ({ELEMENT_ID})", "element.key")


def _require(checked: InstanceConfiguration, request: InstanceRequest, partial: bool) -> None:
    fields = InstanceConfiguration.model_fields
    missing = [
        key_of(field) for field in fields
        if DEFINITIONS[key_of(field)].required and not getattr(checked, field)
    ]  # fmt: skip
    if missing:
        raise InputError(f"configuration lacks {', '.join(missing)}", f"configuration.{missing[0]}")
    if not partial and request.name is None:
        raise InputError("name is missing", "name")
