"""The operations of which pairs are interleaved, each as its process calls it."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import pathlib
import tempfile

import sqlalchemy as sa

from flask_woo_events.db import copy
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Base, Configuration, Instance, Poller
from flask_woo_events.delivery import redelivery, replay
from flask_woo_events.delivery.redelivery import DeliverySelection
from flask_woo_events.delivery.replay import ReplaySelection
from flask_woo_events.errors import ConfigurationError, ConflictError, NotFoundError, WooEventsError
from flask_woo_events.instances import (
    configuration,
    lifecycle,
    provisioning,
    subscriptions,
    webhooks,
)
from flask_woo_events.instances.subscription_requests import SubscriptionRequest
from flask_woo_events.runtime import Runtime
from flask_woo_events.sync.instance_poll import InstancePoll, due_instances
from flask_woo_events.sync.webhooks.reachability import Watch
from flask_woo_events.values.crypto import Cipher
from flask_woo_events.values.validation import validated
from flask_woo_events.worker import retention
from flask_woo_events.worker.worker import lease_renewer
from tests.interleavings import environment
from tests.interleavings.environment import CALLBACK, NEW_KEY, Environment

OTHER_CALLBACK = "https://other.test/events"
SECOND = "https://second.test/events"
CALLBACK_KEY = "event.notification.callback.url"
POLLERS_KEY = "event.poller.configuration"
SIGNATURE_KEY = "event.notification.signature.key"

Work = cabc.Callable[[Environment, Runtime], object]
Check = cabc.Callable[[Environment], cabc.Iterable[str]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation, what it promises, and how its effect is taken back."""

    name: str
    work: Work
    #: Returns what of the promise does not hold after both operations.
    check: Check = lambda env: ()
    #: Takes back what keeps events from receivers.
    undo: cabc.Callable[[Environment], object] = lambda env: None
    #: Errors that a user may see when another operation came first.
    allowed: tuple[type[Exception], ...] = ()
    #: What it sets; the last one of two wins.
    sets: str = ""
    #: Events that are recorded meanwhile are not for the callback, because there is none.
    silent: bool = False
    #: Notifications may be sent again.
    repeats: bool = False


def _poll(env: Environment, runtime: Runtime) -> None:
    for number in due_instances(runtime, instance_id=env.instance_id):
        InstancePoll(runtime, lease_renewer(runtime)).run(number)


def _settle(env: Environment, runtime: Runtime) -> None:
    env.settle(runtime)


def _deliver(env: Environment, runtime: Runtime) -> None:
    env.deliver(runtime)


def _deliver_in_vain(env: Environment, runtime: Runtime) -> None:
    env.answers[runtime] = 500
    env.deliver(runtime)


def _deliver_but_one(env: Environment, runtime: Runtime) -> None:
    env.refuses.add(runtime)
    for _ in range(3):
        env.deliver(runtime)
        env.points.request("time passes", "time", writes=True)
        env.pass_time(dt.timedelta(seconds=env.settings.lease_seconds / 4))


def _deliver_to_gone(env: Environment, runtime: Runtime) -> None:
    env.answers[runtime] = 410
    env.deliver(runtime)


def _redeliver(env: Environment, runtime: Runtime) -> None:
    wanted = DeliverySelection(
        organization_id=env.caller.organization_id, instance_id=env.instance_id
    )
    with runtime.database.write() as session:
        redelivery.redeliver(session, wanted, runtime.clock())


def _replay(env: Environment, runtime: Runtime) -> None:
    with runtime.database.read() as session:
        planned = replay.plan(session, ReplaySelection(instance_id=env.instance_id), 1000)
    with runtime.database.write() as session:
        replay.to_callbacks(session, planned, runtime.clock())


def _purge(env: Environment, runtime: Runtime) -> None:
    retention.purge(runtime)


def _pause(env: Environment, runtime: Runtime) -> None:
    with runtime.database.write() as session:
        lifecycle.set_enabled(session, env.caller, env.instance_id, False, runtime.clock())
        env.notes["paused"] = session.get_one(Instance, env.instance_id).lease_fence


def _resume(env: Environment, runtime: Runtime | None = None) -> None:
    runtime = runtime or env.own
    with runtime.database.write() as session:
        lifecycle.set_enabled(session, env.caller, env.instance_id, True, runtime.clock())


def _is_paused(env: Environment) -> cabc.Iterator[str]:
    row = env.instance()
    if row is not None and (not row.disabled or row.next_poll_at is not None):
        yield "the paused instance is due again"
    if row is not None and "add" not in env.operations:
        if row.lease_fence > env.notes.get("paused", row.lease_fence):
            yield "the paused instance was claimed again"


def _poll_now(env: Environment, runtime: Runtime) -> None:
    with runtime.database.write() as session:
        lifecycle.poll_now(session, env.caller, env.instance_id, runtime.clock())
        env.notes["wanted"] = session.get_one(Instance, env.instance_id).lease_fence


def _is_polled(env: Environment) -> cabc.Iterator[str]:
    row, wanted = env.instance(), env.notes.get("wanted")
    if row is None or wanted is None or row.disabled:
        return
    due = row.next_poll_at is not None and row.next_poll_at <= env.now
    if not due and ("poll" not in env.operations or row.lease_fence == wanted):
        yield "the poll that was asked for does not come"


def _move(env: Environment, runtime: Runtime) -> None:
    env.change(runtime, **{CALLBACK_KEY: OTHER_CALLBACK})


def _take_callback(env: Environment, runtime: Runtime) -> None:
    env.change(runtime, **{CALLBACK_KEY: ""})


def _change_first(env: Environment, runtime: Runtime, **members: object) -> None:
    """Change the subscription of the callback URL."""
    request = validated(SubscriptionRequest, members)
    with runtime.database.read() as session:
        mine = subscriptions.of_instance(session, None, env.caller, env.instance_id)
    first = next((one.id for one in mine if one.is_first), None)
    if first is None:
        raise NotFoundError("No subscription found")
    with runtime.database.write() as session:
        subscriptions.change(
            session, runtime.cipher, env.caller, env.instance_id, first, request, runtime.clock()
        )


def _limit(env: Environment, runtime: Runtime) -> None:
    _change_first(env, runtime, concurrentRequests=1)


def _hold(env: Environment, runtime: Runtime) -> None:
    _change_first(env, runtime, paused=True)


def _let_go(env: Environment) -> None:
    with contextlib.suppress(NotFoundError):
        _change_first(env, env.own, paused=False)


def _subscribe(env: Environment, runtime: Runtime) -> None:
    url = f"{SECOND}/{env.runtimes.index(runtime)}"
    request = validated(SubscriptionRequest, {"callbackUrl": url, "eventTypes": ["UPDATED"]})
    with runtime.database.write() as session:
        number = subscriptions.create(
            session, runtime.cipher, env.caller, env.instance_id, request, runtime.clock()
        )
        env.notes.setdefault("subscribed", set()).add(number)


def _unsubscribe(env: Environment, runtime: Runtime) -> None:
    _subscribe(env, runtime)
    number = max(env.notes["subscribed"])
    with runtime.database.write() as session:
        subscriptions.delete(session, env.caller, env.instance_id, number)
        env.notes["subscribed"].discard(number)


def _are_subscribed(env: Environment) -> cabc.Iterator[str]:
    if env.instance() is None:
        return
    with env.own.database.read() as session:
        mine = subscriptions.of_instance(session, None, env.caller, env.instance_id)
    if {one.id for one in mine if not one.is_first} != env.notes["subscribed"]:
        yield "there are other subscriptions than were made"


def _set_callback_again(env: Environment) -> None:
    env.change(env.own, **{CALLBACK_KEY: CALLBACK})


def _add_resource(env: Environment, runtime: Runtime) -> None:
    env.change(
        runtime,
        **{POLLERS_KEY: environment.pollers(*environment.RESOURCES, environment.ADDED)},
    )


def _change_key(env: Environment, runtime: Runtime) -> None:
    env.change(runtime, **{SIGNATURE_KEY: "another secret"})


def _stored(env: Environment, key: str) -> str | None:
    with env.own.database.read() as session:
        return configuration.read(session, env.own.cipher, env.instance_id).texts.get(key)


def _stays(key: str, value: str) -> Check:
    def check(env: Environment) -> cabc.Iterator[str]:
        if env.instance() is not None and _stored(env, key) != value:
            yield f"the change of {key} was lost"

    return check


def _polls_the_resource(env: Environment) -> cabc.Iterator[str]:
    with env.own.database.read() as session:
        query = sa.select(Poller.resource).where(
            Poller.instance_id == env.instance_id, Poller.selected
        )
        found = set(session.scalars(query))
    if env.instance() is not None and environment.ADDED not in found:
        yield "the resource that was added is not polled"
    row = env.instance()
    if row is not None and not row.disabled and row.hooks_due_at is not None:
        registered = any(str(one.get("topic")).startswith("customer.") for one in row.hooks)
        if not registered and row.hooks_due_at > env.now:
            yield "the webhooks of the resource that was added are not registered soon"


def _delete(env: Environment, runtime: Runtime) -> None:
    provisioning.remove(runtime, env.caller, env.instance_id)


def _is_gone(env: Environment) -> cabc.Iterator[str]:
    with env.own.database.read() as session:
        for table in Base.metadata.sorted_tables:
            for name in ("instance_id",) if "instance_id" in table.c else ():
                query = sa.select(sa.func.count()).where(table.c[name] == env.instance_id)
                if table.name != "woo_connection" and session.scalar(query):
                    yield f"rows of the deleted instance stay in {table.name}"
        if session.get(Instance, env.instance_id) is not None:
            yield "the deleted instance is there"


def _rotate_keys(env: Environment, runtime: Runtime) -> None:
    with runtime.database.write() as session:
        configuration.rotate(session, runtime.cipher, env.instance_id)


def _are_rotated(env: Environment) -> cabc.Iterator[str]:
    new = Cipher([NEW_KEY])
    with env.own.database.read() as session:
        for row in session.scalars(sa.select(Configuration).where(Configuration.sealed)):
            try:
                new.decrypt(row.value)
            except WooEventsError:
                yield f"{row.key} is encrypted with the old key"


def _rotate_secret(env: Environment, runtime: Runtime) -> None:
    webhooks.rotate(runtime, env.instance_id)


def _has_new_secret(env: Environment) -> cabc.Iterator[str]:
    row = env.instance()
    if row is not None and row.hooks_epoch < 2:
        yield "the new secret of the webhooks was lost"


def _guard(env: Environment, runtime: Runtime) -> None:
    for number in webhooks.due(runtime):
        webhooks.guard(runtime, lease_renewer(runtime), number)


def _watch(env: Environment, runtime: Runtime) -> None:
    Watch(runtime, lambda: 1000.0).check()


def _change(env: Environment, runtime: Runtime) -> None:
    env.change_store(runtime)


def _sleep(env: Environment, runtime: Runtime) -> None:
    """Let all leases end, as when their processes have stopped."""
    env.points.request("time passes", "time", writes=True)
    env.pass_time(dt.timedelta(seconds=2 * env.settings.lease_seconds))


def _copy(env: Environment, runtime: Runtime) -> None:
    from tests.interleavings import invariants

    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{pathlib.Path(folder).as_posix()}/copy.sqlite3"
        copy.copy(runtime.database, url, runtime.clock())
        engine = sa.create_engine(url)
        database = Database(engine)
        with database.read() as session:
            env.faults += [f"in the copy: {one}" for one in invariants.of_rows(session, env.now)]
        database.dispose()
        engine.dispose()


_GONE = (NotFoundError,)
OPERATIONS = {
    one.name: one
    for one in (
        Operation(name="poll", work=_poll),
        Operation(name="settle", work=_settle),
        Operation(name="deliver", work=_deliver),
        Operation(name="fail", work=_deliver_in_vain),
        Operation(name="refuse", work=_deliver_to_gone),
        Operation(name="poison", work=_deliver_but_one),
        Operation(name="redeliver", work=_redeliver, repeats=True),
        Operation(name="replay", work=_replay, repeats=True),
        Operation(name="purge", work=_purge),
        Operation(name="pause", work=_pause, check=_is_paused, undo=_resume, allowed=_GONE),
        Operation(
            name="poll-now", work=_poll_now, check=_is_polled, allowed=(*_GONE, ConflictError)
        ),
        Operation(
            name="move", work=_move, check=_stays(CALLBACK_KEY, OTHER_CALLBACK), allowed=_GONE,
            repeats=True, sets=CALLBACK_KEY,
        ),
        Operation(
            name="no-callback", work=_take_callback, check=_stays(CALLBACK_KEY, ""),
            undo=_set_callback_again, allowed=_GONE, repeats=True, sets=CALLBACK_KEY,
            silent=True,
        ),
        Operation(
            name="add", work=_add_resource, check=_polls_the_resource, allowed=_GONE
        ),
        Operation(
            name="sign", work=_change_key, check=_stays(SIGNATURE_KEY, "another secret"),
            allowed=_GONE,
        ),
        Operation(name="limit", work=_limit, allowed=_GONE),
        Operation(name="hold", work=_hold, undo=_let_go, allowed=_GONE),
        Operation(name="subscribe", work=_subscribe, check=_are_subscribed, allowed=_GONE),
        Operation(name="unsubscribe", work=_unsubscribe, check=_are_subscribed, allowed=_GONE),
        Operation(name="delete", work=_delete, check=_is_gone, allowed=_GONE),
        Operation(name="rotate-keys", work=_rotate_keys, check=_are_rotated),
        Operation(
            name="rotate-secret", work=_rotate_secret, check=_has_new_secret,
            allowed=_GONE,
        ),
        Operation(name="guard", work=_guard),
        Operation(name="watch", work=_watch),
        Operation(name="change", work=_change),
        Operation(name="sleep", work=_sleep, repeats=True),
        Operation(name="copy", work=_copy, allowed=(ConfigurationError,)),
    )
}  # fmt: skip
#: Three sessions: among them time in which leases end, whose owners still go on.
THREE = (
    ("poll", "sleep", "poll"),
    ("poll", "sleep", "settle"),
    ("settle", "sleep", "poll"),
    ("settle", "sleep", "settle"),
    ("deliver", "sleep", "deliver"),
    ("deliver", "sleep", "fail"),
    ("fail", "sleep", "deliver"),
    ("refuse", "sleep", "deliver"),
    ("guard", "sleep", "guard"),
    ("guard", "sleep", "rotate-secret"),
    ("settle", "change", "poll"),
    ("poll", "change", "deliver"),
    ("poll", "deliver", "purge"),
    ("poll", "deliver", "move"),
    ("settle", "deliver", "redeliver"),
    ("fail", "deliver", "redeliver"),
    ("poison", "poll", "redeliver"),
    ("poison", "sleep", "poison"),
    ("poison", "deliver", "move"),
    ("deliver", "move", "redeliver"),
    ("deliver", "no-callback", "redeliver"),
    ("poll", "pause", "watch"),
    ("poll", "guard", "add"),
)
