"""The checks of ``flask woo doctor``: problems of an installation and its stores, and fixes."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt

import sqlalchemy as sa
from sqlalchemy import orm

from ..db.clock import DatabaseClock
from ..db.models import Arrival, Delivery, Instance, Subscription
from ..db.states import DeliveryStatus
from ..errors import (
    ConfigurationError,
    InputError,
    SecretError,
    StoreAccessError,
    StoreError,
    StoreFirewallError,
    StoreRejectedError,
    TransportError,
    WooEventsError,
)
from ..http.address_guard import AddressGuard
from ..http.exchange import reach
from ..instances import access as instance_access
from ..instances import configuration, health, pollers, problems, stops, subscriptions, webhooks
from ..instances.views import InstanceView
from ..runtime import Runtime
from ..sync.webhooks import reachability
from ..woocommerce import endpoints, plugin_journal
from ..woocommerce.access import StoreAccess
from ..woocommerce.connection_check import check_store
from ..worker import consistency

#: Seconds by which the machine's clock may differ from the database's before it is a problem.
CLOCK_OFF = 30.0
#: Number of unprocessed webhooks that is a problem.
ARRIVALS = 1000
#: Number of changes that webhooks reported late, and their share of all, that point to WP-Cron.
LATE, LATE_PART = 5, 0.2


#: Problems that the command checks itself, for the installation or by requests.
_CHECKED_AGAIN = ("late", "webhooks-inactive", "callback-stopped", problems.NEEDS_KEYS)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One problem."""

    what: str
    #: How to fix it: a command where there is one.
    fix: str
    #: What is late or missing while it lasts; empty if ``what`` says it.
    costs: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class JournalReport:
    """Whether a store has the companion plugin's journal, and how far it has been read."""

    #: The plugin's version; ``None`` if the plugin cannot be used.
    version: str | None = None
    #: The number of the newest row.
    head: int | None = None
    #: The last row that was processed; ``None`` if the journal is not read.
    read: int | None = None
    #: Resources that the journal covers, and resources that are polled.
    covered: tuple[str, ...] = ()
    polled: tuple[str, ...] = ()
    #: Why the journal is not used, or not yet.
    why: str = ""
    #: How to fix that; empty if there is nothing to fix.
    fix: str = ""


def of_installation(runtime: Runtime) -> cabc.Iterator[Finding]:
    """Check what concerns all stores."""
    settings = runtime.settings
    try:
        _ = runtime.cipher
    except ConfigurationError as exc:
        yield Finding(str(exc), "flask woo keys generate")
    clock = runtime.clock
    if isinstance(clock, DatabaseClock) and abs(off := clock.offset().total_seconds()) > CLOCK_OFF:
        what = f"this machine's clock differs by {-off:+.0f} s from the database's"
        yield Finding(what, "timedatectl set-ntp true")
    with runtime.database.read() as session:
        late = session.scalars(health.count_late(runtime.clock())).one()
        hooked = session.scalars(
            sa.select(sa.func.count()).select_from(Instance).where(
                Instance.vendor_type == "webhook", Instance.hooks_base.is_(None)
            )
        ).one()  # fmt: skip
    if late:
        yield Finding(f"{late} instances are due, and no worker polls them", "flask woo poll")
    if hooked and not settings.public_url:
        what = f"{hooked} instances use webhooks, but the public URL of the API is not set"
        yield Finding(what, "set WOO_EVENTS_PUBLIC_URL")


def of_restore(sign: str | None) -> cabc.Iterator[Finding]:
    """Check whether a backup was restored.

    :param sign: what shows it.
    """
    if sign is not None:
        what = f"the database looks restored from a backup: {sign}"
        costs = "receivers may drop events as repetitions"
        yield Finding(what, "flask woo db restored", costs)


def of_tables(runtime: Runtime) -> cabc.Iterator[Finding]:
    """Check the tables for rows that contradict each other."""
    for one in consistency.contradictions(runtime.database, runtime.clock):
        yield Finding(str(one), "flask woo doctor --repair")


def of_instance(
    runtime: Runtime, view: InstanceView, silent: cabc.Container[str]
) -> cabc.Iterator[Finding]:
    """Check one store, by its rows in the tables and by requests to it.

    :param silent: base URLs of the API that do not respond.
    """
    yield from of_problems(view)
    yield from _secrets(runtime, view)
    yield from _store(runtime, view)
    if view.vendor_type == "webhook":
        yield from _webhooks(runtime, view, silent)
    yield from _late_webhooks(view)
    yield from _callbacks(runtime, view)
    with runtime.database.read() as session:
        yield from _deliveries(session, view.id, runtime.clock())


def of_problems(view: InstanceView) -> cabc.Iterator[Finding]:
    """Repeat what the polls have found, but for what is checked again here."""
    for one in view.problems:
        if one.code in _CHECKED_AGAIN:
            continue
        what = str(one)
        if one.code == "held" and (hold := view.hold) is not None:
            sent = ", ".join(f"{each.objects} {each.resource} as {each.event_type}"
                             for each in hold.resources)  # fmt: skip
            what = f"{hold.kind} held since {hold.since:%Y-%m-%d %H:%M} UTC: {hold.reason}"
            what = f"{what} (accepting it sends {sent})" if sent else what
        yield Finding(what, one.command or one.ends, one.costs)


def _secrets(runtime: Runtime, view: InstanceView) -> cabc.Iterator[Finding]:
    """Check that the secrets can be decrypted, also those of a paused instance."""
    if runtime.cipher_or_none is None:
        return  # of_installation reports it.
    with runtime.database.read() as session:
        lost = configuration.unreadable(session, runtime.cipher, view.id)
        token_lost = configuration.token_is_lost(session, runtime.cipher, view.id)
    if token_lost and runtime.settings.keep_tokens:
        yield Finding(
            "the kept token cannot be decrypted with WOO_EVENTS_ENCRYPTION_KEYS",
            "add the key that encrypted it, before the newest one; if it is lost, make a new "
            f"token: flask woo instances token {view.id}",
            "The instance is shown without it. Calls with the token work.",
        )
    for one in problems.needs_keys(view.id, lost, runtime.clock()):
        fix = "add the key that encrypted them to WOO_EVENTS_ENCRYPTION_KEYS, before the newest one"
        fix = f"{fix}; if it is lost, send them again: PATCH /instances/{view.id}, or {one.command}"
        yield Finding(str(one), fix, one.costs)


def _store(runtime: Runtime, view: InstanceView) -> cabc.Iterator[Finding]:
    """Request one row of each collection from the store, with its keys."""
    keys = (
        f"create keys in WooCommerce > Settings > Advanced > REST API, PATCH /instances/{view.id}"
    )
    try:
        access, collections = _access(runtime, view.id)
        with runtime.store_client(access) as client:
            facts = check_store(client, collections)
    except StoreFirewallError as exc:
        fix = f"allow this server there, or PATCH /instances/{view.id} with store.user.agent"
        yield Finding(str(exc), fix)
    except StoreAccessError as exc:
        yield Finding(f"the store rejects its keys: {exc}", keys)
    except TransportError as exc:
        yield Finding(
            f"the store cannot be reached: {exc}",
            f"curl -I '{exc.url or 'https://store/wp-json/'}'",
        )
    except InputError as exc:
        yield Finding(f"the stored configuration cannot be used: {exc}", keys)
    except (SecretError, ConfigurationError):
        pass  # They are reported for the instance, and the keys for the installation.
    else:
        if not facts.get("version"):
            what = "the keys' user may not read system_status, which costs two more requests"
            yield Finding(what, "use keys of a shop manager or an administrator")
        if view.vendor_type == "webhook" and not _may_write(runtime, access):
            what = "the keys are read-only: webhooks cannot be registered or repaired"
            yield Finding(what, keys.replace("create keys", "create keys with Read/Write"))


def journal_of(runtime: Runtime, view: InstanceView) -> JournalReport:
    """Ask a store for the companion plugin; return the state of its journal."""
    with runtime.database.read() as session:
        kept = session.get_one(Instance, view.id).journal
        chosen = [one for one in pollers.of_instance(session, view.id) if one.selected]
        names = {one.id: one.resource for one in chosen}
    covered = tuple(sorted(names[one] for one in kept.get("covered", ()) if one in names))
    polled = tuple(sorted(set(names.values()) - set(covered)))
    try:
        access, _collections = _access(runtime, view.id)
        with runtime.store_client(access) as client:
            status = plugin_journal.status(client)
    except WooEventsError as exc:
        return dataclasses.replace(_no_journal(exc), polled=tuple(sorted(names.values())))
    read, why = view.journal["head"], ""
    if read is None:
        why = "the next poll checks for it"
        if view.journal["reason"]:
            why = f"{view.journal['reason']}; polls check for it once an hour"
    elif not covered:
        why = "it is used after a complete poll that starts ten minutes after its installation"
    return JournalReport(
        version=status.version,
        head=status.head,
        read=read,
        covered=covered,
        polled=polled,
        why=why,
    )


def _no_journal(exc: WooEventsError) -> JournalReport:
    if isinstance(exc, StoreRejectedError) and exc.status == 404:
        what = "to save requests, build it with make plugin and upload it at Plugins > Add New"
        return JournalReport(why=f"the plugin is not installed; {what}")
    if isinstance(exc, StoreAccessError) and exc.status == 403:
        what = "use keys of a shop manager or an administrator"
        return JournalReport(why=f"the keys may not read it: {exc}", fix=what)
    if isinstance(exc, StoreError) and exc.code == "flask_woo_events_no_journal":
        what = "deactivate and activate the plugin Flask Woo Events in the store"
        return JournalReport(why=f"its table cannot be created: {exc}", fix=what)
    return JournalReport(why=str(exc))


def _access(runtime: Runtime, instance_id: int) -> tuple[StoreAccess, list[endpoints.Collection]]:
    with runtime.database.read() as session:
        access = instance_access.load_access(session, runtime.cipher, instance_id)
        chosen = [one for one in pollers.of_instance(session, instance_id) if one.selected]
        return access, [endpoints.resolve(one.configuration["url"]) for one in chosen]


def _may_write(runtime: Runtime, access: StoreAccess) -> bool:
    """Return whether the keys may write, by changing a webhook that cannot exist."""
    try:
        with runtime.store_client(access) as client:
            client.put("webhooks/0", {})
    except StoreAccessError:
        return False
    except StoreError:
        pass  # The store refuses the webhook, not the keys.
    return True


def _webhooks(
    runtime: Runtime, view: InstanceView, silent: cabc.Container[str]
) -> cabc.Iterator[Finding]:
    register = f"flask woo webhooks register {view.id}"
    try:
        for what in webhooks.check(runtime, view.id):
            yield Finding(what, register)
    except WooEventsError as exc:
        yield Finding(f"the webhooks cannot be checked: {exc}", register)
    with runtime.database.read() as session:
        hooks_base = session.get_one(Instance, view.id).hooks_base
    base = reachability.base_of(runtime.settings, hooks_base)
    if base in silent:
        yield Finding(
            f"{base} does not respond from here: short outages of the web server are not noticed",
            "run the web server, and let the worker's machine reach WOO_EVENTS_PUBLIC_URL",
        )


def _late_webhooks(view: InstanceView) -> cabc.Iterator[Finding]:
    """Check the store's WP-Cron, which sends webhooks and runs only when the shop is visited."""
    counts = [counts for counts, _since in view.tally.values()]
    late = sum(one.late for one in counts)
    changes = sum(one.told + one.missed + one.late for one in counts)
    if late >= LATE and late >= changes * LATE_PART:
        yield Finding(
            f"polling found {late} of {changes} changes before their webhook arrived: the store's "
            "WP-Cron runs late",
            "in the store: define('DISABLE_WP_CRON', true), and in its crontab: "
            "* * * * * wp cron event run --due-now",
        )


def _callbacks(runtime: Runtime, view: InstanceView) -> cabc.Iterator[Finding]:
    """Check the receivers: whether they can be reached, and that their secrets can be read."""
    if not view.events_enabled:
        return
    cipher = runtime.cipher_or_none
    with runtime.database.read() as session:
        caller = instance_access.owner(session, view.id)
        found = subscriptions.of_instance(session, cipher, caller, view.id)
    if not found:
        fix = "set event.notification.callback.url"
        yield Finding("events are not delivered: there is no callback URL", fix)
    guard = AddressGuard(allow_private=runtime.settings.allow_private_callbacks)
    for one in found:
        if one.is_feed:
            continue
        name = "the callback" if one.is_first else f"subscription {one.id}"
        if cipher is not None and one.credentials.is_lost and not one.is_first:
            path = f"PATCH /instances/{view.id}/subscriptions/{one.id}"
            yield Finding(
                f"the key and headers of {name} cannot be decrypted",
                f"add the key that encrypted them to WOO_EVENTS_ENCRYPTION_KEYS, or {path}",
            )
        try:
            reach(one.url, guard=guard, timeouts=runtime.callback_timeouts)
        except TransportError as exc:
            yield Finding(
                f"{name} cannot be reached: {exc}", "make its host reachable from this machine"
            )


def _deliveries(session: orm.Session, instance_id: int, now: dt.datetime) -> cabc.Iterator[Finding]:
    redeliver = f"flask woo deliveries redeliver --instance {instance_id}"
    stopped = sa.select(Subscription).where(
        Subscription.instance_id == instance_id, Subscription.current, sa.not_(Subscription.active)
    )
    for one in session.scalars(stopped.order_by(Subscription.id)):
        what = f"deliveries to {stops.receiver_of(one, one.id)} are stopped: {one.reason}"
        yield Finding(what, stops.redeliver_command(one, one.instance_id, one.id))
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
        what = f"undelivered notifications ({status}): {count}, the oldest for {_age(now - oldest)}"
        yield Finding(what, redeliver)
    arrived = session.scalars(
        sa.select(sa.func.count()).select_from(Arrival).where(Arrival.instance_id == instance_id)
    ).one()
    if arrived > ARRIVALS:
        yield Finding(f"{arrived} webhooks have not been processed", "flask woo poll")


def _age(age: dt.timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
