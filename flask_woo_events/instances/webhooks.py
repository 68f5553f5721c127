"""The webhooks of instances: registered at their stores, guarded, and removed with them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import logging
import urllib.parse

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.leases import GuardLease, LeaseRenewer
from ..db.models import Instance, PollerState
from ..errors import ConfigurationError, ConflictError, LeaseLostError, TransportError
from ..runtime import Runtime
from ..woocommerce import endpoints
from ..woocommerce.access import StoreAccess
from ..woocommerce.webhooks import Registrar, Webhook, WebhookCheck, topics
from . import access as profiles
from . import notices, pollers, webhook_urls
from .webhook_urls import Hook

_log = logging.getLogger(__name__)

#: How long after a failure the webhooks are checked again.
RETRY_AFTER = dt.timedelta(minutes=2)


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    """What the webhooks of an instance should be."""

    access: StoreAccess
    hook: Hook
    url: str
    topics: tuple[str, ...]
    distrusted: frozenset[int]


def url(runtime: Runtime, instance_id: int) -> tuple[str, str]:
    """The address and the secret for a webhook that a person makes in WooCommerce.

    :raises ConfigurationError: nobody said where the API is to be reached from outside.
    """
    with runtime.database.read() as session:
        instance = session.get_one(Instance, instance_id)
        hook = Hook(instance_id, instance.hooks_epoch)
        base = require_base(runtime.settings.public_url or instance.hooks_base)
    keys = runtime.settings.encryption_keys
    return webhook_urls.url(base, keys, hook), webhook_urls.secrets(keys, hook)[-1]


def reconcile(runtime: Runtime, instance_id: int) -> WebhookCheck:
    """Make the store's webhooks what the instance needs; polls what was missed meanwhile.

    :raises ConfigurationError: nobody said where that is.
    :raises TransportError: the store does not answer, or the key may not read webhooks.
    """
    plan = _plan(runtime, instance_id)
    try:
        found = _registrar(runtime, plan).reconcile(plan.topics, plan.distrusted)
    except TransportError as exc:
        reason = getattr(exc, "said", "") or str(exc)
        found = WebhookCheck(tuple(Webhook(topic, error=reason) for topic in plan.topics))
        _keep(runtime, instance_id, found)
        raise
    _keep(runtime, instance_id, found)
    return found


def look(runtime: Runtime, instance_id: int) -> list[Webhook]:
    """Our webhooks as the store shows them now.

    :raises TransportError: the store does not answer, or the key may not read webhooks.
    """
    rows = _registrar(runtime, _plan(runtime, instance_id)).look()
    return [
        Webhook(str(row.get("topic", "")), int(row["id"]), str(row.get("status"))) for row in rows
    ]


def check(runtime: Runtime, instance_id: int) -> list[str]:
    """What is wrong with our webhooks at the store, for people; changes nothing.

    :raises TransportError: the store does not answer, or the key may not read webhooks.
    """
    plan = _plan(runtime, instance_id)
    return _registrar(runtime, plan).check(plan.topics, plan.distrusted)


def remove(runtime: Runtime, instance_id: int) -> int:
    """Remove ours from the store and forget them; tell how many there were.

    :raises TransportError: the store does not answer.
    """
    removed = _registrar(runtime, _plan(runtime, instance_id)).remove()
    with runtime.database.write() as session:
        instance = session.get(Instance, instance_id)
        if instance is not None:
            instance.hooks, instance.hooks_due_at = [], None
    return removed


def rotate(runtime: Runtime, instance_id: int) -> WebhookCheck:
    """Give the webhooks another secret; the one before is good until the next change."""
    with runtime.database.write() as session:
        session.get_one(Instance, instance_id, with_for_update=True).hooks_epoch += 1
    return reconcile(runtime, instance_id)


def due(runtime: Runtime) -> list[int]:
    """Instances whose webhooks are to be looked at now."""
    query = sa.select(Instance.id).where(
        Instance.hooks_due_at <= runtime.clock(),
        Instance.events_enabled,
        sa.not_(Instance.disabled),
    )
    with runtime.database.read() as session:
        return list(session.scalars(query.order_by(Instance.hooks_due_at)))


def guard(runtime: Runtime, keeper: LeaseRenewer, instance_id: int) -> None:
    """Look at an instance's webhooks, and put them right; what was missed is polled at once."""
    # Moved on first, and again while it lasts: another worker leaves it alone meanwhile, and
    # takes it over when this one is killed.
    until = keeper.until()
    with runtime.database.write() as session:
        taken = session.connection().execute(
            sa.update(Instance)
            .where(Instance.id == instance_id, Instance.hooks_due_at <= runtime.clock())
            .values(hooks_due_at=until)
        )
    if taken.rowcount != 1:
        return
    lease = GuardLease(instance_id, until)
    try:
        with keeper.hold(lease):
            reconcile(runtime, instance_id)
    except (TransportError, ConfigurationError, ConflictError) as exc:
        extra = {"action": "guard", "instance": instance_id}
        _log.warning("webhooks of instance %d: %s", instance_id, exc, extra=extra)
    finally:
        # Who has written down how they are has also said when they are due.
        with contextlib.suppress(LeaseLostError), runtime.database.write() as session:
            lease.renew(session, runtime.clock() + RETRY_AFTER)


def _plan(runtime: Runtime, instance_id: int) -> _Plan:
    with runtime.database.read() as session:
        instance = session.get_one(Instance, instance_id)
        names = [
            endpoints.resolve(poller.configuration["url"]).hub_name
            for poller in pollers.of_instance(session, instance_id)
            if poller.selected and poller.state != PollerState.DISABLED
        ]
        hook = Hook(instance_id, instance.hooks_epoch)
        where = require_base(runtime.settings.public_url or instance.hooks_base)
        return _Plan(
            access=profiles.load_access(session, runtime.cipher, instance_id),
            hook=hook,
            url=webhook_urls.url(where, runtime.settings.encryption_keys, hook),
            topics=topics(names),
            distrusted=frozenset(
                int(one["id"]) for one in instance.hooks if one.get("distrusted") and one.get("id")
            ),
        )


def _registrar(runtime: Runtime, plan: _Plan) -> Registrar:
    keys = runtime.settings.encryption_keys

    def is_ours(address: str) -> bool:
        path = urllib.parse.urlsplit(address).path
        head, _slash, last = path.rpartition("/")
        found = webhook_urls.read(keys, last) if head.endswith(webhook_urls.PATH) else None
        return found is not None and found.instance_id == plan.hook.instance_id

    return Registrar(
        runtime.store_client(plan.access),
        plan.url,
        webhook_urls.secrets(keys, plan.hook)[-1],
        is_ours=is_ours,
        name=f"flask_woo_events {plan.hook.instance_id}",
        reached=_Reached(runtime, plan.hook.instance_id),
    )


class _Reached:
    """Whether the store's ping has come since this was last asked."""

    def __init__(self, runtime: Runtime, instance_id: int) -> None:
        self._runtime = runtime
        self._instance_id = instance_id
        self._before: dt.datetime | None = None

    def __call__(self) -> bool:
        query = sa.select(Instance.pinged_at).where(Instance.id == self._instance_id)
        with self._runtime.database.read() as session:
            now = session.scalars(query).one_or_none()
        before, self._before = self._before, now
        return now is not None and now != before


def require_base(base: str | None) -> str:
    """Return the URL at which stores reach the API.

    :raises ConfigurationError: it is not known.
    """
    if not base:
        raise ConfigurationError(
            "WOO_EVENTS_PUBLIC_URL is empty; stores must know where to send webhooks, "
            "for example https://events.example.com/elements/api-v2"
        )
    return base


def _keep(runtime: Runtime, instance_id: int, found: WebhookCheck) -> None:
    """Write down how the webhooks are, and when to look again."""
    now = runtime.clock()
    with runtime.database.write() as session:
        instance = session.get(Instance, instance_id, with_for_update=True)
        if instance is None:
            return
        before = {str(one.get("topic")): one for one in instance.hooks}
        instance.hooks = [dataclasses.asdict(one) for one in found.webhooks]
        minutes = dt.timedelta(minutes=runtime.settings.hook_check_minutes)
        instance.hooks_due_at = now + (minutes if found.healthy else RETRY_AFTER)
        if before and found.repaired:
            notices.add(instance, "webhooks", _told(found), now)
        if found.repaired:
            # Also the first time: the store may have been read before they were there.
            fill_the_gap(session, now, Instance.id == instance_id)


def _told(found: WebhookCheck) -> str:
    wrong = "; ".join(found.repaired[:5])
    more = f"; and {len(found.repaired) - 5} more" if len(found.repaired) > 5 else ""
    if found.healthy:
        return f"webhooks were put right ({wrong}{more}), and what they did not tell is polled"
    why = next((one.error or one.status for one in found.webhooks if one.status != "active"), "")
    return (
        f"webhooks cannot be put right ({wrong}{more}): {why}; what they do not tell is polled, "
        "and they are tried again"
    )


def fill_the_gap(
    session: orm.Session,
    now: dt.datetime,
    *which: sa.ColumnElement[bool] | orm.InstrumentedAttribute[bool],
) -> None:
    """Have instances polled for what their webhooks did not tell, at once.

    One that is being polled is polled once more: it may have read before it was told.
    """
    at_once = sa.literal(now, Instance.next_poll_at.type)
    soon = sa.case((Instance.next_poll_at > now, at_once), else_=Instance.next_poll_at)
    session.execute(
        sa.update(Instance)
        .where(Instance.next_poll_at.is_not(None), *which)
        .values(next_poll_at=soon, regular_poll_at=now)
        .execution_options(synchronize_session=False)
    )


def look_soon(
    session: orm.Session,
    now: dt.datetime,
    lease: dt.timedelta,
    *which: sa.ColumnElement[bool] | orm.InstrumentedAttribute[bool],
) -> None:
    """Have the guardian look at once: a store that did not reach us may have disabled them.

    :param lease: of a guardian at work, which is left alone.
    """
    session.execute(
        sa.update(Instance)
        .where(Instance.hooks_due_at > now + lease, *which)
        .values(hooks_due_at=now)
        .execution_options(synchronize_session=False)
    )


def enroll(session: orm.Session, instance_id: int, base: str, due: dt.datetime) -> bool:
    """Have the webhooks of an instance checked regularly; return false if it uses none.

    :param base: URL at which stores reach the API.
    :param due: time of the first check by a worker.
    """
    instance = session.get_one(Instance, instance_id)
    if instance.vendor_type != "webhook" or not instance.events_enabled or instance.disabled:
        return False
    instance.hooks_due_at = due
    instance.hooks_base = base
    return True
