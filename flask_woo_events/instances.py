"""Instances: connected stores, as they are created, changed, switched and deleted."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import typing as t
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy import orm

from . import configuration as configurations
from .accounts import Caller
from .configuration import Entry
from .crypto import Cipher, hash_token, new_token
from .errors import ConflictError, InputError, NotFoundError
from .flow.delivery import Target
from .flow.notification import ELEMENT_ID, ELEMENT_KEY
from .models import (
    UNSETTLED,
    Delivery,
    DeliveryStatus,
    Instance,
    Object,
    Poller,
    PollerState,
    Subscription,
    User,
)
from .runtime import StoreAccess
from .schemas import (
    MASK,
    Configuration,
    InstanceRequest,
    PollerConfiguration,
    folded,
    key_of,
    parse_headers,
    pollers_of,
    texts,
    validated,
)
from .store.client import store_root

#: Names of the element in a path.
ELEMENT_NAMES = (ELEMENT_KEY, str(ELEMENT_ID))


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceProfile:
    """What the flow needs to know of an instance."""

    id: int
    organization_id: int
    user_id: int
    name: str
    tags: tuple[str, ...]
    filter_nulls: bool
    refresh_minutes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class PollerView:
    """How the poller of one resource is doing."""

    resource: str
    url: str
    state: str
    failures: int
    error: str | None
    polled_at: dt.datetime | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceView:
    """An instance as it is shown."""

    id: int
    name: str
    tags: tuple[str, ...]
    created_at: dt.datetime
    disabled: bool
    events_enabled: bool
    vendor_type: str
    user_id: int
    user_name: str
    callback_url: str
    subscription_id: int | None
    configuration: tuple[Entry, ...]
    pollers: tuple[PollerView, ...]
    store_facts: cabc.Mapping[str, t.Any]
    next_poll_at: dt.datetime | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """A checked request: what an instance is to be."""

    name: str
    tags: tuple[str, ...]
    configuration: Configuration = dataclasses.field(repr=False)
    texts: cabc.Mapping[str, str] = dataclasses.field(repr=False)
    pollers: tuple[PollerConfiguration, ...]
    #: The store or its keys are others than before.
    reconnects: bool

    @property
    def access(self) -> StoreAccess:
        """Where the store is, and the keys for it."""
        return StoreAccess(
            self.configuration.store_url,
            self.configuration.api_key,
            self.configuration.api_secret,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Before:
    """An instance as it is before a change, secrets in clear."""

    name: str
    tags: tuple[str, ...]
    texts: cabc.Mapping[str, str] = dataclasses.field(repr=False)


def plan(request: InstanceRequest, before: Before | None = None, *, partial: bool = False) -> Plan:
    """Check what a request asks for.

    :param before: the instance to change; ``None`` for a new one.
    :param partial: what the request leaves out stays (PATCH).
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
        # The documentation's table names the store's address so, its examples do not.
        wanted["store.url"] = wanted["oauth.callback.url"]
    # Forms send their untouched fields as empty texts.
    filled = {key: text for key, text in wanted.items() if text != ""}
    checked = validated(Configuration, filled, ("configuration",))
    _require(checked, request, partial)
    _keep_keys_at_home(checked.store_url, old.get("store.url"), sent.get("oauth.api.secret"))
    parse_headers(checked.callback_headers or "")
    wanted[key_of("vendor_type")] = checked.vendor_type
    return Plan(
        name=request.name or (before.name if before is not None else ""),
        tags=tuple(
            request.tags if request.tags is not None else before.tags if before is not None else ()
        ),
        configuration=checked,
        texts=wanted,
        pollers=pollers_of(checked),
        reconnects=before is None
        or any(wanted.get(key) != old.get(key) for key in _CONNECTION_KEYS),
    )


def _keep_keys_at_home(url: str, before: str | None, secret: str | None) -> None:
    """Refuse to send a stored secret to another host than the one that it was given for.

    A token reads secrets back as ``********``; moving the store would be a way around that.
    """
    if before is None or secret not in (None, "", MASK):
        return
    if urlsplit(store_root(url))[:2] != urlsplit(store_root(before))[:2]:
        raise InputError(
            "store.url is another host than before; send oauth.api.key and oauth.api.secret "
            "with it, the stored ones are not sent there",
            "configuration.oauth.api.secret",
        )


_POLLER_KEYS = ("event.poller.configuration", "event.poller.urls")
_CONNECTION_KEYS = ("store.url", "oauth.api.key", "oauth.api.secret")


def _prefer_given_pollers(given: cabc.MutableMapping[str, str]) -> None:
    # The older form beside the newer one says the same with fewer words.
    if given.get("event.poller.configuration"):
        given.pop("event.poller.urls", None)
    elif given.get("event.poller.urls"):
        given.pop("event.poller.configuration", None)


def _without_pollers(
    old: cabc.Mapping[str, str], given: cabc.Mapping[str, str]
) -> cabc.Mapping[str, str]:
    """What was there before, without the form of pollers that a PATCH replaces by the other."""
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


def _require(checked: Configuration, request: InstanceRequest, partial: bool) -> None:
    missing = [
        key_of(field) for field in ("store_url", "api_key", "api_secret")
        if not getattr(checked, field)
    ]  # fmt: skip
    if missing:
        raise InputError(f"configuration lacks {', '.join(missing)}", f"configuration.{missing[0]}")
    if not partial and request.name is None:
        raise InputError("name is missing", "name")


def create(
    session: orm.Session,
    cipher: Cipher,
    caller: Caller,
    wanted: Plan,
    facts: cabc.Mapping[str, t.Any],
    now: dt.datetime,
) -> tuple[int, str]:
    """Create an instance whose store has been checked; returns its id and its token.

    Only the token's hash is kept: this is the one time that it can be told.
    """
    token = new_token()
    instance = Instance(
        organization_id=caller.organization_id,
        user_id=caller.user_id,
        name=wanted.name,
        token_hash=hash_token(token),
        tags=list(wanted.tags),
        vendor_type=wanted.configuration.vendor_type,
        events_enabled=wanted.configuration.enabled,
        refresh_minutes=wanted.configuration.refresh_minutes,
        created_at=now,
        store_facts=dict(facts),
    )
    session.add(instance)
    session.flush()
    _apply(session, cipher, instance, wanted, now)
    return instance.id, token


def change(
    session: orm.Session,
    cipher: Cipher,
    caller: Caller,
    instance_id: int,
    wanted: Plan,
    facts: cabc.Mapping[str, t.Any] | None,
    now: dt.datetime,
) -> None:
    """Make an instance what a plan says; the next delivery and the next poll go by it.

    A poll under way ends if the plan concerns it.

    :param facts: what the store told, if it was asked again.
    """
    instance = _find(session, caller, instance_id, lock=True)
    instance.name = wanted.name
    instance.tags = list(wanted.tags)
    instance.vendor_type = wanted.configuration.vendor_type
    instance.events_enabled = wanted.configuration.enabled
    instance.refresh_minutes = wanted.configuration.refresh_minutes
    if facts is not None:
        instance.store_facts = dict(facts)
    if wanted.reconnects or not instance.events_enabled:
        _interrupt(instance)
    _apply(session, cipher, instance, wanted, now)


def plan_again(
    session: orm.Session,
    cipher: Cipher,
    caller: Caller,
    instance_id: int,
    request: InstanceRequest,
    checked: Plan,
    *,
    partial: bool,
) -> Plan:
    """A plan on what the instance is by now; nobody else changes it until the commit.

    The store is asked outside of any transaction and may take minutes, in which another request
    may have changed what the first plan would put back.

    :param checked: the first plan, whose store answered.
    :raises ConflictError: the store or its keys are not those that were checked.
    """
    _find(session, caller, instance_id, lock=True)
    latest = plan(request, before(session, cipher, caller, instance_id), partial=partial)
    if latest.reconnects and latest.access != checked.access:
        raise ConflictError(
            f"Another request changed {', '.join(_CONNECTION_KEYS)} of this instance meanwhile; "
            "send it again"
        )
    return latest


def set_enabled(
    session: orm.Session, caller: Caller, instance_id: int, enabled: bool, now: dt.datetime
) -> None:
    """Switch an instance on or off; what is off is neither polled nor asked."""
    instance = _find(session, caller, instance_id, lock=True)
    instance.disabled = not enabled
    if not enabled:
        _interrupt(instance)
    _schedule(instance, now)
    session.flush()


def enable_pollers(
    session: orm.Session, caller: Caller, instance_id: int, now: dt.datetime
) -> None:
    """Let pollers that were disabled after failures try again."""
    instance = _find(session, caller, instance_id, lock=True)
    for poller in _pollers(session, instance_id):
        if poller.state == PollerState.DISABLED:
            _interrupt(instance)
            done = poller.polled_at is not None
            poller.state = PollerState.ACTIVE if done else PollerState.BASELINE
            poller.failures, poller.error, poller.retry_at = 0, None, None
    _schedule(instance, now)
    session.flush()


def backfill(session: orm.Session, caller: Caller, instance_id: int, now: dt.datetime) -> None:
    """Forget what is known and tell everything that the store holds as CREATED."""
    instance = _find(session, caller, instance_id, lock=True)
    _interrupt(instance)
    for poller in _pollers(session, instance_id):
        _start_over(session, poller)
        poller.backfill = True
    _schedule(instance, now)
    session.flush()


def delete(session: orm.Session, caller: Caller, instance_id: int) -> None:
    """Delete an instance with all that belongs to it; its token is worth nothing any more."""
    session.delete(_find(session, caller, instance_id))
    session.flush()


def before(session: orm.Session, cipher: Cipher, caller: Caller, instance_id: int) -> Before:
    """An instance as it is before a change."""
    instance = _find(session, caller, instance_id)
    return Before(
        name=instance.name,
        tags=tuple(instance.tags),
        texts=configurations.read(session, cipher, instance_id),
    )


def get(session: orm.Session, caller: Caller, instance_id: int) -> InstanceView:
    """One instance as it is shown.

    :raises NotFoundError: there is none of this id in the caller's organisation.
    """
    return _view(session, _find(session, caller, instance_id))


def list_(
    session: orm.Session,
    caller: Caller,
    *,
    tags: cabc.Sequence[str] = (),
    search: str = "",
    after_id: int = 0,
    limit: int = 200,
) -> list[InstanceView]:
    """The caller's instances, by id.

    :param tags: only instances with all of these tags.
    :param search: only instances whose name holds this, in any case.
    :param after_id: only later ids, for paging.
    """
    query = sa.select(Instance).where(
        Instance.organization_id == caller.organization_id, Instance.id > after_id
    )
    if "\0" in search:
        return []  # PostgreSQL refuses it in a parameter, and no name holds it
    if search:
        query = query.where(sa.func.lower(Instance.name).contains(search.lower(), autoescape=True))
    found = []
    for instance in session.scalars(query.order_by(Instance.id)):
        if set(tags) <= set(instance.tags):
            found.append(_view(session, instance))
            if len(found) == limit:
                break
    return found


def load_access(session: orm.Session, cipher: Cipher, instance_id: int) -> StoreAccess:
    """Where an instance's store is, and the keys for it."""
    kept = configurations.read(session, cipher, instance_id)
    return StoreAccess(kept["store.url"], kept["oauth.api.key"], kept["oauth.api.secret"])


def load_profile(session: orm.Session, instance_id: int) -> InstanceProfile:
    """What the flow needs to know of an instance."""
    instance = session.get_one(Instance, instance_id)
    kept = {entry.key: entry.value for entry in configurations.entries(session, instance_id)}
    return InstanceProfile(
        id=instance.id,
        organization_id=instance.organization_id,
        user_id=instance.user_id,
        name=instance.name,
        tags=tuple(instance.tags),
        filter_nulls=kept.get("filter.response.nulls", "true").strip().lower() != "false",
        refresh_minutes=instance.refresh_minutes,
    )


def load_target(session: orm.Session, cipher: Cipher, instance_id: int) -> Target:
    """What an instance's callback is to be sent with."""
    kept = configurations.read(session, cipher, instance_id)
    key = kept.get(key_of("signature_key"), "")
    username = kept.get(key_of("basic_username"), "")
    return Target(
        signature_keys=(key,) if key else (),
        headers=parse_headers(kept.get(key_of("callback_headers"), "")),
        basic=(
            (_as_sent(username), _as_sent(kept.get(key_of("basic_password"), "")))
            if username
            else None
        ),
    )


def _as_sent(text: str) -> str:
    """A part of Basic credentials such that requests, which writes Latin-1, sends it as UTF-8."""
    return text.encode().decode("latin-1")


def owner(session: orm.Session, instance_id: int) -> Caller:
    """The caller that an instance belongs to, for commands.

    :raises NotFoundError: there is no such instance.
    """
    instance = session.get(Instance, instance_id)
    if instance is None:
        raise NotFoundError(f"There is no instance {instance_id}; see: flask woo instances list")
    return Caller(organization_id=instance.organization_id, user_id=instance.user_id)


def _find(
    session: orm.Session, caller: Caller, instance_id: int, *, lock: bool = False
) -> Instance:
    # Not the key: rows that refer to the instance may still be added on PostgreSQL.
    held = {"key_share": True} if lock else None
    instance = session.get(Instance, instance_id, with_for_update=held)
    # Another organisation's instance does not exist for the caller.
    if instance is None or instance.organization_id != caller.organization_id:
        raise NotFoundError("No instance found")
    return instance


def _apply(
    session: orm.Session, cipher: Cipher, instance: Instance, wanted: Plan, now: dt.datetime
) -> None:
    configurations.write(session, cipher, instance.id, wanted.texts)
    if _sync_pollers(session, instance.id, wanted.pollers, now):
        _interrupt(instance)
    _sync_subscription(session, instance, wanted.configuration.callback_url, now)
    _schedule(instance, now)
    session.flush()


def _interrupt(instance: Instance) -> None:
    """Take the instance from a worker that polls it by what was true before.

    Its next commit finds the fence raised and is rolled back; otherwise it would write the old
    cursor over the new one.
    """
    instance.lease_fence = Instance.lease_fence + 1
    instance.lease_until = None


def _schedule(instance: Instance, now: dt.datetime) -> None:
    wanted = instance.events_enabled and not instance.disabled
    instance.next_poll_at = now if wanted else None


def _pollers(session: orm.Session, instance_id: int) -> cabc.Sequence[Poller]:
    query = sa.select(Poller).where(Poller.instance_id == instance_id)
    return session.scalars(query.order_by(Poller.id)).all()


def _sync_pollers(
    session: orm.Session,
    instance_id: int,
    wanted: cabc.Sequence[PollerConfiguration],
    now: dt.datetime,
) -> bool:
    """Keep the cursors of resources that stay; what is new or points elsewhere starts afresh.

    Returns whether anything is to be polled otherwise than before.
    """
    changed = False
    rows = {folded(poller.resource): poller for poller in _pollers(session, instance_id)}
    named = {folded(configuration.resource) for configuration in wanted}
    for resource, poller in rows.items():
        changed |= poller.selected is not (resource in named)
        poller.selected = resource in named
    for configuration in wanted:
        kept = configuration.model_dump(mode="json")
        known = rows.get(folded(configuration.resource))
        if known is None:
            changed = True
            session.add(
                Poller(
                    instance_id=instance_id,
                    resource=configuration.resource,
                    configuration=kept,
                    state=PollerState.BASELINE,
                    memory={},
                    created_at=now,
                )
            )
            continue
        if any(known.configuration.get(key) != kept[key] for key in ("url", "id_field")):
            _start_over(session, known)
        changed |= (known.resource, known.configuration) != (configuration.resource, kept)
        known.resource, known.configuration = configuration.resource, kept
    return changed


def _start_over(session: orm.Session, poller: Poller) -> None:
    session.execute(
        sa.delete(Object)
        .where(Object.poller_id == poller.id)
        .execution_options(synchronize_session=False)
    )
    poller.state = PollerState.BASELINE
    poller.cursor_at = poller.baseline_at = poller.polled_at = poller.baseline_total = None
    poller.baseline_offset = poller.compare_offset = 0
    poller.baseline_id = poller.compare_id = None
    poller.memory = {}
    poller.failures, poller.error, poller.retry_at = 0, None, None
    poller.stamp += 1


def _sync_subscription(
    session: orm.Session, instance: Instance, callback_url: str, now: dt.datetime
) -> None:
    """One current subscription for the callback URL; what waits moves to a new one with it."""
    known = session.scalars(sa.select(Subscription).where(Subscription.instance_id == instance.id))
    earlier = known.all()
    current = next((one for one in earlier if one.current), None)
    if current is not None and current.url == callback_url:
        return
    if current is not None:
        current.current = False
    waiting: dict[str, t.Any] = {"status": DeliveryStatus.QUEUED.value, "due_at": None}
    if callback_url:
        fresh = Subscription(
            instance_id=instance.id, url=callback_url, active=True, current=True, created_at=now
        )
        session.add(fresh)
        session.flush()
        waiting = {
            "subscription_id": fresh.id,
            "status": DeliveryStatus.CREATED.value,
            "due_at": now,
            "attempts": 0,
            "first_failed_at": None,
        }
    session.execute(
        sa.update(Delivery)
        .where(
            Delivery.subscription_id.in_([one.id for one in earlier]),
            Delivery.status.in_(UNSETTLED),
        )
        # Who is delivering to the old URL at this moment loses the lease.
        .values(**waiting, lease_token=None, lease_until=None, updated_at=now)
        .execution_options(synchronize_session=False)
    )


def _view(session: orm.Session, instance: Instance) -> InstanceView:
    entries = tuple(configurations.entries(session, instance.id))
    subscription = session.scalars(
        sa.select(Subscription).where(Subscription.instance_id == instance.id, Subscription.current)
    ).one_or_none()
    kept = {entry.key: entry.value for entry in entries}
    user = session.get_one(User, instance.user_id)
    return InstanceView(
        id=instance.id,
        name=instance.name,
        tags=tuple(instance.tags),
        created_at=instance.created_at,
        disabled=instance.disabled,
        events_enabled=instance.events_enabled,
        vendor_type=instance.vendor_type,
        user_id=user.id,
        user_name=user.name,
        callback_url=kept.get(key_of("callback_url"), ""),
        subscription_id=subscription.id if subscription is not None else None,
        configuration=entries,
        pollers=tuple(
            PollerView(
                resource=poller.resource,
                url=poller.configuration["url"],
                state=poller.state,
                failures=poller.failures,
                error=poller.error,
                polled_at=poller.polled_at,
            )
            for poller in _pollers(session, instance.id)
            if poller.selected
        ),
        store_facts=instance.store_facts,
        next_poll_at=instance.next_poll_at,
    )
