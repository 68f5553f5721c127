"""The webhooks of instances: registered at their stores, checked regularly, and removed."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import logging
import urllib.parse

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.leases import LeaseRenewer, claim_guard, is_enabled
from ..db.models import Instance
from ..db.states import PollerState
from ..errors import (
    ConfigurationError,
    ConflictError,
    InputError,
    LeaseLostError,
    NotFoundError,
    OutOfPatienceError,
    SecretError,
    TransportError,
)
from ..events import operational
from ..events.operational import Occurrence
from ..http.patience import waiting_with
from ..runtime import Runtime
from ..woocommerce import endpoints
from ..woocommerce.access import StoreAccess
from ..woocommerce.webhooks import Registrar, Webhook, WebhookCheck, topics
from . import access, circuit, notices, pollers, webhook_urls
from .webhook_urls import Hook

_log = logging.getLogger(__name__)

#: How long after a failure the webhooks are checked again.
RETRY_AFTER = dt.timedelta(minutes=2)


@dataclasses.dataclass(frozen=True, slots=True)
class _Wanted:
    """The webhooks that an instance needs."""

    vendor_type: str
    access: StoreAccess
    hook: Hook
    url: str
    topics: tuple[str, ...]
    distrusted: frozenset[int]


def url(runtime: Runtime, instance_id: int) -> tuple[str, str]:
    """Return URL and secret for a webhook that an administrator creates in WooCommerce.

    :raises ConfigurationError: the URL of the API is not known.
    """
    with runtime.database.read() as session:
        instance = session.get_one(Instance, instance_id)
        hook = Hook(instance_id, instance.hooks_epoch)
        base = require_base(runtime.settings.public_url or instance.hooks_base)
    keys = runtime.settings.encryption_keys
    return webhook_urls.url(base, keys, hook), webhook_urls.secrets(keys, hook)[-1]


def reconcile(runtime: Runtime, instance_id: int) -> WebhookCheck:
    """Register or repair the webhooks of an instance, and make it due if any were missing.

    :raises ConfigurationError: the URL of the API is not known.
    :raises TransportError: the store does not answer, or the key may not read webhooks.
    """
    wanted = _read_wanted(runtime, instance_id)
    try:
        found = _registrar(runtime, wanted).reconcile(wanted.topics, wanted.distrusted)
    except OutOfPatienceError:
        raise
    except TransportError as exc:
        reason = getattr(exc, "said", "") or str(exc)
        found = WebhookCheck(tuple(Webhook(topic, error=reason) for topic in wanted.topics))
        _keep(runtime, instance_id, wanted, found)
        raise
    if not _keep(runtime, instance_id, wanted, found):
        # The instance was deleted, or went over to polling, while they were registered.
        _registrar(runtime, wanted).remove()
    return found


def read_registered(runtime: Runtime, instance_id: int) -> list[Webhook]:
    """Read our webhooks from the store.

    :raises TransportError: the store does not answer, or the key may not read webhooks.
    """
    rows = _registrar(runtime, _read_wanted(runtime, instance_id)).read()
    return [
        Webhook(str(row.get("topic", "")), int(row["id"]), str(row.get("status"))) for row in rows
    ]


def check(runtime: Runtime, instance_id: int) -> list[str]:
    """Return descriptions of what is wrong with our webhooks, without changing them.

    :raises TransportError: the store does not answer, or the key may not read webhooks.
    """
    wanted = _read_wanted(runtime, instance_id)
    return _registrar(runtime, wanted).check(wanted.topics, wanted.distrusted)


def remove(runtime: Runtime, instance_id: int) -> int:
    """Remove our webhooks from the store for good, and return their number.

    :raises TransportError: the store does not answer.
    """
    with runtime.database.read() as session:
        due_before = _find(session, instance_id).hooks_due_at
    removed = remove_from_store(runtime, instance_id)
    with runtime.database.write() as session:
        instance = session.get(Instance, instance_id, with_for_update={"key_share": True})
        if instance is not None:
            instance.hooks = []
            if instance.hooks_due_at == due_before:
                instance.hooks_due_at = None
    return removed


def remove_from_store(runtime: Runtime, instance_id: int) -> int:
    """Remove our webhooks from the store; the next check would register them again.

    :raises TransportError: the store does not answer.
    """
    return _registrar(runtime, _read_wanted(runtime, instance_id)).remove()


def rotate(runtime: Runtime, instance_id: int) -> WebhookCheck:
    """Give the webhooks a new secret; the previous one stays valid until the next change."""
    with runtime.database.write() as session:
        _find(session, instance_id, lock=True).hooks_epoch += 1
    return reconcile(runtime, instance_id)


def due(runtime: Runtime, *, slow: bool | None = None) -> list[int]:
    """Return the instances whose webhooks are due for a check.

    :param slow: only those whose stores did not answer promptly, or only the others.
    """
    query = sa.select(Instance.id).where(
        Instance.hooks_due_at <= runtime.clock(), is_enabled(), circuit.chosen(slow)
    )
    with runtime.database.read() as session:
        return list(session.scalars(query.order_by(Instance.hooks_due_at)))


def guard(runtime: Runtime, keeper: LeaseRenewer, instance_id: int, *, slow: bool = True) -> None:
    """Check and repair the webhooks of an instance that is due.

    :param keeper: renews the claim, so that another worker takes over if this one is killed.
    :param slow: also if its store did not answer promptly before.
    """
    with runtime.database.write() as session:
        lease = claim_guard(session, instance_id, runtime.clock, keeper.length, slow=slow)
    if lease is None:
        return
    patience, wait = circuit.patience(runtime.settings, limited=not lease.slow), RETRY_AFTER
    try:
        with keeper.hold(lease), waiting_with(patience):
            reconcile(runtime, instance_id)
    except OutOfPatienceError as exc:
        wait = dt.timedelta()
        extra = {"action": "slow_store", "instance": instance_id}
        _log.warning(
            "webhooks of instance %d: its store is slow: %s", instance_id, exc, extra=extra
        )
    except (
        TransportError, ConfigurationError, ConflictError, InputError, SecretError, NotFoundError
    ) as exc:  # fmt: skip
        extra = {"action": "guard", "instance": instance_id}
        _log.warning("webhooks of instance %d: %s", instance_id, exc, extra=extra)
    finally:
        with runtime.database.write() as session:
            instance = session.get(Instance, instance_id, with_for_update={"key_share": True})
            if instance is not None:
                circuit.note(instance, patience, runtime.settings, runtime.clock())
            # Without effect if the result was written, because that set the next due time.
            with contextlib.suppress(LeaseLostError):
                lease.release(session, lambda: runtime.clock() + wait)


def _read_wanted(runtime: Runtime, instance_id: int) -> _Wanted:
    with runtime.database.read() as session:
        return _wanted(session, runtime, _find(session, instance_id))


def _find(session: orm.Session, instance_id: int, *, lock: bool = False) -> Instance:
    """Return the row of an instance.

    :raises NotFoundError: it was deleted.
    """
    instance = session.get(Instance, instance_id, with_for_update=lock)
    if instance is None:
        raise NotFoundError("No instance found")
    return instance


def _wanted(session: orm.Session, runtime: Runtime, instance: Instance) -> _Wanted:
    names = [
        endpoints.resolve(poller.configuration["url"]).hub_name
        for poller in pollers.of_instance(session, instance.id)
        if poller.selected and poller.state != PollerState.DISABLED
    ]
    hook = Hook(instance.id, instance.hooks_epoch)
    base = require_base(runtime.settings.public_url or instance.hooks_base)
    return _Wanted(
        vendor_type=instance.vendor_type,
        access=access.load_access(session, runtime.cipher, instance.id),
        hook=hook,
        url=webhook_urls.url(base, runtime.settings.encryption_keys, hook),
        topics=topics(names),
        distrusted=frozenset(
            int(one["id"]) for one in instance.hooks if one.get("distrusted") and one.get("id")
        ),
    )


def _registrar(runtime: Runtime, wanted: _Wanted) -> Registrar:
    keys = runtime.settings.encryption_keys

    def is_ours(address: str) -> bool:
        path = urllib.parse.urlsplit(address).path
        head, _slash, last = path.rpartition("/")
        found = webhook_urls.read(keys, last) if head.endswith(webhook_urls.PATH) else None
        return found is not None and found.instance_id == wanted.hook.instance_id

    return Registrar(
        runtime.store_client(wanted.access),
        wanted.url,
        webhook_urls.secrets(keys, wanted.hook)[-1],
        is_ours=is_ours,
        name=f"flask_woo_events {wanted.hook.instance_id}",
        reached=_Reached(runtime, wanted.hook.instance_id),
    )


class _Reached:
    """Reports whether the store's ping has arrived since the previous call."""

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


def _keep(runtime: Runtime, instance_id: int, checked: _Wanted, found: WebhookCheck) -> bool:
    """Store the state of the webhooks and the time of the next check.

    :param checked: what the instance needed when the check began.
    :return: whether the instance still uses webhooks.
    """
    with runtime.database.write() as session:
        instance = session.get(Instance, instance_id, with_for_update={"key_share": True})
        if instance is None or "webhook" == checked.vendor_type != instance.vendor_type:
            return False
        now, wanted = runtime.clock(), _wanted(session, runtime, instance)
        distrusted = wanted.distrusted - checked.distrusted
        before = {str(one.get("topic")): one for one in instance.hooks}
        instance.hooks = [
            dataclasses.asdict(one) | ({"distrusted": True} if one.id in distrusted else {})
            for one in found.webhooks
        ]
        if instance.disabled or not instance.events_enabled:
            instance.hooks_due_at = None
        elif wanted != checked:
            # A change, or a wrong signature, since the check began.
            instance.hooks_due_at = now
        else:
            minutes = dt.timedelta(minutes=runtime.settings.hook_check_minutes)
            instance.hooks_due_at = now + (minutes if found.healthy else RETRY_AFTER)
        if before and found.repaired:
            notices.add(instance, "webhooks", _notice(found), now)
            operational.begin(session, instance, _disabled(instance, found), now)
        if found.healthy:
            text = "all webhooks are active; missed changes are polled"
            repaired = Occurrence(kind="webhooks.repaired", text=text)
            operational.end(session, instance, repaired, now)
        if found.repaired:
            # Also at the first registration: a poll may have run before it.
            poll_missed(session, now, Instance.id == instance_id)
    return True


def _wrong(found: WebhookCheck) -> str:
    more = f"; and {len(found.repaired) - 5} more" if len(found.repaired) > 5 else ""
    return f"{'; '.join(found.repaired[:5])}{more}"


def _disabled(instance: Instance, found: WebhookCheck) -> Occurrence:
    return Occurrence(
        kind="webhooks.disabled",
        text=f"webhooks at the store did not report changes: {_wrong(found)}",
        costs="The changes that they report are sent after the next poll.",
        ends="A check that finds all of them active; they are registered again.",
        command=f"flask woo webhooks register {instance.id}",
    )


def _notice(found: WebhookCheck) -> str:
    wrong = _wrong(found)
    if found.healthy:
        return f"webhooks were repaired ({wrong}); missed changes are polled"
    why = next((one.error or one.status for one in found.webhooks if one.status != "active"), "")
    return (
        f"webhooks cannot be repaired ({wrong}): {why}; missed changes are polled, "
        "and the repair is tried again"
    )


def poll_missed(
    session: orm.Session,
    now: dt.datetime,
    *which: sa.ColumnElement[bool] | orm.InstrumentedAttribute[bool],
) -> None:
    """Make instances due for what their webhooks missed.

    An instance that is being polled is polled once more, because it may have read too early.
    """
    due, immediately = Instance.next_poll_at, sa.literal(now, Instance.next_poll_at.type)
    _update(
        session,
        which,
        next_poll_at=sa.case((due > now, immediately), else_=due),
        regular_poll_at=sa.case((due.is_not(None), immediately), else_=Instance.regular_poll_at),
    )


def poll_named(session: orm.Session, instance_ids: cabc.Collection[int], now: dt.datetime) -> bool:
    """Make instances due; return false if none of them is polled."""
    which = Instance.id.in_(instance_ids)
    poll_missed(session, now, which)
    polled = sa.select(Instance.id).where(which, Instance.next_poll_at.is_not(None))
    return session.scalars(polled.limit(1)).first() is not None


def check_soon(
    session: orm.Session,
    now: dt.datetime,
    lease: dt.timedelta,
    *which: sa.ColumnElement[bool] | orm.InstrumentedAttribute[bool],
) -> None:
    """Make webhooks due for a check: a store that could not reach us may have disabled them.

    :param lease: length of a claim; webhooks that a worker is checking are left out.
    """
    due, immediately = Instance.hooks_due_at, sa.literal(now, Instance.hooks_due_at.type)
    _update(session, which, hooks_due_at=sa.case((due > now + lease, immediately), else_=due))


def _update(
    session: orm.Session,
    which: cabc.Sequence[sa.ColumnElement[bool] | orm.InstrumentedAttribute[bool]],
    **values: sa.ColumnElement[dt.datetime | None],
) -> None:
    """Update instances one after the other, by their ids.

    MariaDB would find them by the index of a date, and lock that before the row. A change of the
    row locks them the other way round.
    """
    ids = session.scalars(sa.select(Instance.id).where(*which).order_by(Instance.id)).all()
    table = Instance.__table__
    update = sa.update(table).where(table.c.id == sa.bindparam("instance_id")).values(values)  # type: ignore[arg-type]
    if ids:
        session.execute(update, [{"instance_id": one} for one in ids])


def enroll(session: orm.Session, instance_id: int, base: str, due: dt.datetime) -> bool:
    """Have the webhooks of an instance checked regularly; return false if it uses none.

    :param base: URL at which stores reach the API.
    :param due: time of the first check by a worker.
    """
    instance = session.get(Instance, instance_id, with_for_update={"key_share": True})
    if instance is None or instance.vendor_type != "webhook":
        return False
    if not instance.events_enabled or instance.disabled:
        return False
    instance.hooks_due_at = due
    instance.hooks_base = base
    return True
