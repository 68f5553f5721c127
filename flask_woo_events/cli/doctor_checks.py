"""The check-up: what is wrong with an installation and its stores, and what would put it right."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..api import metrics
from ..db.clock import DatabaseClock
from ..db.models import Arrival, Delivery, DeliveryStatus, Instance, Subscription
from ..errors import (
    StoreAccessError,
    StoreError,
    StoreRejectedError,
    TransportError,
    WooEventsError,
)
from ..http.address_guard import AddressGuard
from ..http.exchange import reach
from ..instances import access as profiles
from ..instances import pollers, webhooks
from ..instances.views import InstanceView
from ..runtime import Runtime
from ..sync.webhooks import reachability
from ..woocommerce import endpoints, plugin_journal
from ..woocommerce.access import StoreAccess
from ..woocommerce.connection_check import check_store

#: Seconds by which a machine's clock may be off; more, and certificates and signatures suffer.
CLOCK_OFF = 30.0
#: Webhooks that wait before one asks why.
ARRIVALS = 1000
#: Changes that a webhook must have told too late, and their part of all, before one blames cron.
LATE, LATE_PART = 5, 0.2


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that is wrong."""

    what: str
    #: What puts it right, a command where there is one.
    fix: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class JournalReport:
    """Whether a store has the companion plugin's journal, and whether it is read."""

    #: The plugin's version; ``None`` where it did not tell.
    version: str | None = None
    #: The number of the newest row.
    head: int | None = None
    #: Every row up to this one was looked after; ``None`` when it is not read.
    read: int | None = None
    #: Resources that need no poll besides, and the others.
    covered: tuple[str, ...] = ()
    polled: tuple[str, ...] = ()
    #: Why resources that it tells of are polled besides.
    why: str = ""
    #: What puts that right; empty when nothing is wrong.
    fix: str = ""


def of_installation(runtime: Runtime) -> cabc.Iterator[Finding]:
    """What concerns all stores."""
    settings = runtime.settings
    if not settings.encryption_keys:
        yield Finding("WOO_EVENTS_ENCRYPTION_KEYS is empty", "flask woo keys generate")
    clock = runtime.clock
    if isinstance(clock, DatabaseClock) and abs(off := clock.offset().total_seconds()) > CLOCK_OFF:
        what = f"this machine's clock is {-off:+.0f} s off the database's"
        yield Finding(what, "timedatectl set-ntp true")
    with runtime.database.read() as session:
        late = session.scalars(metrics.late(runtime.clock())).one()
        hooked = session.scalars(
            sa.select(sa.func.count()).select_from(Instance).where(
                Instance.vendor_type == "webhook", Instance.hooks_base.is_(None)
            )
        ).one()  # fmt: skip
    if late:
        yield Finding(f"{late} instances are due and no worker takes them", "flask woo poll")
    if hooked and not settings.public_url:
        what = f"{hooked} instances have webhooks, and nobody said where stores reach the API"
        yield Finding(what, "set WOO_EVENTS_PUBLIC_URL")


def of_instance(
    runtime: Runtime, view: InstanceView, silent: cabc.Container[str]
) -> cabc.Iterator[Finding]:
    """What concerns one store: as the tables tell it, and asked now.

    :param silent: addresses of the API that do not answer.
    """
    yield from _polled(view)
    yield from _store(runtime, view)
    if view.vendor_type == "webhook":
        yield from _webhooks(runtime, view, silent)
    yield from _late(view)
    yield from _callback(runtime, view)
    with runtime.database.read() as session:
        yield from _waiting(session, view.id, runtime.clock())


def _polled(view: InstanceView) -> cabc.Iterator[Finding]:
    for one in view.pollers:
        if one.state == "disabled":
            yield Finding(f"{one.resource}: {one.error}", f"flask woo instances resume {view.id}")
        elif one.error:
            when = f" (tried again at {one.retry_at:%Y-%m-%d %H:%M:%S})" if one.retry_at else ""
            fix = f"flask woo poll --once --instance {view.id} --resource '{one.resource}'"
            yield Finding(f"{one.resource}: {one.error}{when}", fix)


def _store(runtime: Runtime, view: InstanceView) -> cabc.Iterator[Finding]:
    """Ask the store for one row of each collection, with its keys."""
    keys = f"make keys in WooCommerce > Settings > Advanced > REST API, PATCH /instances/{view.id}"
    try:
        access, collections = _access(runtime, view.id)
        with runtime.store_client(access) as client:
            facts = check_store(client, collections)
    except StoreAccessError as exc:
        yield Finding(f"the store refuses its keys: {exc}", keys)
    except TransportError as exc:
        yield Finding(
            f"the store cannot be used: {exc}", f"curl -I '{exc.url or 'https://store/wp-json/'}'"
        )
    except WooEventsError as exc:
        yield Finding(str(exc), "flask woo keys rotate")
    else:
        if not facts.get("version"):
            what = "the keys' user may not read system_status; two requests more are made"
            yield Finding(what, "give the keys to a user who is a shop manager or administrator")
        if view.vendor_type == "webhook" and not _may_write(runtime, access):
            what = "the keys may only read: webhooks cannot be registered or put right"
            yield Finding(what, keys.replace("make keys", "make keys with Read/Write"))


def journal_of(runtime: Runtime, view: InstanceView) -> JournalReport:
    """Ask a store for the companion plugin, and tell whether its journal is read."""
    with runtime.database.read() as session:
        access = profiles.load_access(session, runtime.cipher, view.id)
        kept = session.get_one(Instance, view.id).journal
        chosen = [one for one in pollers.of_instance(session, view.id) if one.selected]
        names = {one.id: one.resource for one in chosen}
    covered = tuple(sorted(names[one] for one in kept.get("covered", ()) if one in names))
    polled = tuple(sorted(set(names.values()) - set(covered)))
    try:
        with runtime.store_client(access) as client:
            status = plugin_journal.status(client)
    except TransportError as exc:
        return dataclasses.replace(_no_journal(exc), polled=tuple(sorted(names.values())))
    read, why = view.journal["head"], ""
    if read is None:
        why = "the next poll asks for it"
        if view.journal["reason"]:
            why = f"{view.journal['reason']}; it is asked for once an hour"
    elif not covered:
        why = "it is believed once an ordinary poll ended that began ten minutes after it did"
    return JournalReport(
        version=status.version,
        head=status.head,
        read=read,
        covered=covered,
        polled=polled,
        why=why,
    )


def _no_journal(exc: TransportError) -> JournalReport:
    if isinstance(exc, StoreRejectedError) and exc.status == 404:
        what = "make plugin builds what Plugins > Add New takes, and polls become cheaper"
        return JournalReport(why=f"the plugin is not installed; {what}")
    if isinstance(exc, StoreAccessError) and exc.status == 403:
        what = "give the keys to a user who is a shop manager or administrator"
        return JournalReport(why=f"the keys may not read it: {exc}", fix=what)
    if isinstance(exc, StoreError) and exc.code == "flask_woo_events_no_journal":
        what = "deactivate and activate the plugin Flask Woo Events in the store"
        return JournalReport(why=f"its table cannot be made: {exc}", fix=what)
    return JournalReport(why=str(exc))


def _access(runtime: Runtime, instance_id: int) -> tuple[StoreAccess, list[endpoints.Collection]]:
    with runtime.database.read() as session:
        access = profiles.load_access(session, runtime.cipher, instance_id)
        chosen = [one for one in pollers.of_instance(session, instance_id) if one.selected]
        return access, [endpoints.resolve(one.configuration["url"]) for one in chosen]


def _may_write(runtime: Runtime, access: StoreAccess) -> bool:
    """Whether the keys may write; asked with a change of a webhook that cannot be."""
    try:
        with runtime.store_client(access) as client:
            client.put("webhooks/0", {})
    except StoreAccessError:
        return False
    except StoreError:
        pass  # There is no such webhook: the key was good for asking.
    return True


def _webhooks(
    runtime: Runtime, view: InstanceView, silent: cabc.Container[str]
) -> cabc.Iterator[Finding]:
    register = f"flask woo webhooks register {view.id}"
    try:
        for what in webhooks.check(runtime, view.id):
            yield Finding(what, register)
    except WooEventsError as exc:
        yield Finding(f"webhooks could not be looked at: {exc}", register)
    with runtime.database.read() as session:
        hooks_base = session.get_one(Instance, view.id).hooks_base
    base = reachability.base_of(runtime.settings, hooks_base)
    if base in silent:
        yield Finding(
            f"{base} does not answer from here: short outages of the intake are not noticed",
            "let the machine of flask woo poll reach WOO_EVENTS_PUBLIC_URL, and the web server run",
        )


def _late(view: InstanceView) -> cabc.Iterator[Finding]:
    """Webhooks leave a store with its WP-Cron, which runs when somebody visits the shop."""
    counts = [counts for counts, _since in view.tally.values()]
    late = sum(one.late for one in counts)
    changes = sum(one.told + one.missed + one.late for one in counts)
    if late >= LATE and late >= changes * LATE_PART:
        yield Finding(
            f"of {changes} changes {late} were told by polling before their webhook came: the "
            "store's WP-Cron runs late",
            "in the store: define('DISABLE_WP_CRON', true), and in its crontab: "
            "* * * * * wp cron event run --due-now",
        )


def _callback(runtime: Runtime, view: InstanceView) -> cabc.Iterator[Finding]:
    if not view.events_enabled:
        return
    if not view.callback_url:
        fix = "set event.notification.callback.url"
        yield Finding("nobody is told: there is no callback", fix)
        return
    guard = AddressGuard(allow_private=runtime.settings.allow_private_callbacks)
    try:
        reach(view.callback_url, guard=guard, timeouts=runtime.callback_timeouts)
    except TransportError as exc:
        yield Finding(f"the callback cannot be reached: {exc}", "let its host be reached from here")


def _waiting(session: orm.Session, instance_id: int, now: dt.datetime) -> cabc.Iterator[Finding]:
    redeliver = f"flask woo deliveries redeliver --instance {instance_id}"
    stopped = sa.select(Subscription.reason).where(
        Subscription.instance_id == instance_id, Subscription.current, sa.not_(Subscription.active)
    )
    for reason in session.scalars(stopped):
        yield Finding(f"the callback is not tried any more: {reason}", redeliver)
    waiting = (
        sa.select(Delivery.status, sa.func.count(), sa.func.min(Delivery.created_at))
        .join(Subscription, Subscription.id == Delivery.subscription_id)
        .where(
            Subscription.instance_id == instance_id,
            Delivery.status.in_([DeliveryStatus.RETRY, DeliveryStatus.QUEUED]),
        )
        .group_by(Delivery.status)
    )
    for status, count, oldest in session.execute(waiting):
        what = f"{count} notifications wait for the callback ({status}), the oldest for "
        yield Finding(what + _age(now - oldest), redeliver)
    arrived = session.scalars(
        sa.select(sa.func.count()).select_from(Arrival).where(Arrival.instance_id == instance_id)
    ).one()
    if arrived > ARRIVALS:
        yield Finding(f"{arrived} webhooks were not looked after yet", "flask woo poll")


def _age(age: dt.timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
