"""Handlers get events as callbacks do: at least once, in order, with retries."""

from __future__ import annotations

import collections
import types
import typing as t

import flask
import pytest
import sqlalchemy as sa

import flask_woo_events
from flask_woo_events import (
    ConfigurationError,
    Event,
    WooEvents,
    event_sent,
    poller_disabled,
    signals,
    subscription_stopped,
)
from flask_woo_events.db.models import Attempt, Delivery, Subscription
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import StoreToCallback


def _woo(env: StoreToCallback) -> WooEvents:
    """Return an extension object whose handlers are those of the application."""
    woo = WooEvents()
    runtime_of(env.app).handlers = woo._handlers
    return woo


def _deliver(env: StoreToCallback) -> None:
    assert [one.error for one in env.poll() if one.error] == []
    Worker(runtime_of(env.app)).deliver_once()


def _due(env: StoreToCallback) -> None:
    """Make retries due now."""
    with runtime_of(env.app).database.write() as session:
        now = runtime_of(env.app).clock()
        session.execute(sa.update(Delivery).where(Delivery.due_at.is_not(None)).values(due_at=now))
        session.execute(sa.update(Subscription).values(next_due_at=now, held_until=None))


def test_a_handler_gets_the_events_it_selected(env: StoreToCallback) -> None:
    """Only its resource and types, with the object, in the application's context."""
    woo, got = _woo(env), list[Event]()

    @woo.on("orders", "UPDATED")
    def pack(event: Event) -> None:
        assert flask.current_app.name == env.app.name
        got.append(event)

    env.store.acts.status(env.first("orders"), "completed")
    env.store.acts.new_coupon("spring")
    _deliver(env)
    (event,) = got
    assert (event.resource, event.type, event.version) == ("orders", "UPDATED", 2)
    assert event.body["status"] == "completed" and "status" in event.changed_fields
    assert event.changes is not None and not event.truncated
    assert event.changes["status"] == {"before": "processing", "after": "completed"}
    assert event.names == ("order.status_changed",)
    assert (event.instance_id, event.attempt) == (env.instance_id, 1)
    # The callback gets both.
    assert {("orders", "UPDATED"), ("discounts", "CREATED")} <= {
        (one[0], one[2]) for one in env.receiver.events
    }


def test_a_handler_that_raises_is_called_again(env: StoreToCallback) -> None:
    """Only with the events for which it raised; the attempt keeps the reason."""
    woo, calls, broken = _woo(env), collections.Counter[str](), True

    @woo.on("discounts", name="coupons")
    def count(event: Event) -> None:
        calls[event.body["code"]] += 1
        if broken and event.body["code"] == "bad":
            raise ValueError("no such campaign")

    for code in ("good", "bad", "fine"):
        env.store.acts.new_coupon(code)
    _deliver(env)
    assert calls == {"good": 1, "bad": 1, "fine": 1}
    with runtime_of(env.app).database.read() as session:
        attempt = session.scalars(
            sa.select(Attempt).where(Attempt.reason.contains("campaign"))
        ).one()
    assert attempt.reason == "1 of 3 events: ValueError: no such campaign"
    assert "Traceback" in attempt.answer
    broken = False
    _due(env)
    Worker(runtime_of(env.app)).deliver_once()
    assert calls == {"good": 1, "bad": 2, "fine": 1}


def test_a_handler_keeps_the_order_of_versions(env: StoreToCallback) -> None:
    """A later version waits until the earlier one was accepted."""
    woo, got, broken = _woo(env), list[int](), True

    @woo.on("orders")
    def follow(event: Event) -> None:
        if broken:
            raise RuntimeError
        got.append(event.version)

    number = env.first("orders")
    for status in ("on-hold", "completed", "processing"):
        env.store.acts.status(number, status)
        _deliver(env)
    broken = False
    for _ in range(4):
        _due(env)
        Worker(runtime_of(env.app)).deliver_once()
    assert got == [2, 3, 4]


def test_events_wait_for_a_missing_handler(env: StoreToCallback) -> None:
    """Its deliveries fail with that reason; it gets the events when it is registered again."""
    woo = _woo(env)
    woo.on("orders", name="billing")(lambda event: None)
    env.store.acts.status(env.first("orders"), "completed")
    env.poll()
    _woo(env)
    Worker(runtime_of(env.app)).deliver_once()
    with runtime_of(env.app).database.read() as session:
        reasons = session.scalars(sa.select(Attempt.reason)).all()
    assert "this application has no handler 'billing' any more" in reasons
    got: list[Event] = []
    _woo(env).on("orders", name="billing")(got.append)
    _due(env)
    Worker(runtime_of(env.app)).deliver_once()
    assert [one.type for one in got] == ["UPDATED"]


def test_the_signal_is_sent_for_every_event(env: StoreToCallback) -> None:
    """A Blinker receiver gets the same events, and again after it raised."""
    got: list[Event] = []

    def listen(app: flask.Flask, event: Event) -> None:
        got.append(event)
        if len(got) == 1:
            raise RuntimeError("not now")

    with event_sent.connected_to(listen):
        env.store.acts.status(env.first("orders"), "completed")
        _deliver(env)
        first = len(got)
        assert {(one.resource, one.object_id, one.type) for one in got} == set(env.receiver.events)
        _due(env)
        Worker(runtime_of(env.app)).deliver_once()
    assert len(got) == first + 1 and got[-1] == _again(got[0])


@pytest.mark.parametrize("module", [flask_woo_events, signals], ids=["package", "signals"])
def test_the_old_name_of_the_signal_warns(env: StoreToCallback, module: types.ModuleType) -> None:
    """A receiver that is connected to ``event_told`` gets the events of ``event_sent``."""
    got: list[Event] = []

    def listen(app: flask.Flask, event: Event) -> None:
        got.append(event)

    with pytest.warns(DeprecationWarning, match="use flask_woo_events.event_sent") as caught:
        old = module.event_told
    assert caught[0].filename == __file__
    with old.connected_to(listen):
        env.store.acts.status(env.first("orders"), "completed")
        _deliver(env)
    assert {(one.resource, one.object_id, one.type) for one in got} == set(env.receiver.events)


def test_other_names_are_unknown() -> None:
    """The old name is the only one that the modules resolve."""
    for module in (flask_woo_events, signals):
        with pytest.raises(AttributeError, match="event_tolled"):
            getattr(module, "event_tolled")  # noqa: B009


def _again(event: Event) -> Event:
    return type(event)(**{**vars(event), "attempt": 2})


def test_a_stopped_subscription_is_signalled(env: StoreToCallback) -> None:
    """A receiver gets the reason, once."""
    got: list[dict[str, t.Any]] = []

    def listen(app: flask.Flask, **values: t.Any) -> None:
        assert app is env.app
        got.append(values)

    env.receiver.answer = lambda _: 410
    with subscription_stopped.connected_to(listen):
        env.store.acts.status(env.first("orders"), "completed")
        _deliver(env)
    (values,) = got
    assert values["instance_id"] == env.instance_id and "410" in values["reason"]


@pytest.mark.parity(87)
def test_a_disabled_poller_is_signalled(env: StoreToCallback) -> None:
    """The same for a resource after repeated failures."""
    got: list[str] = []

    def listen(app: flask.Flask, **values: t.Any) -> None:
        got.append(values["resource"])

    runtime = runtime_of(env.app)
    runtime.settings = type(runtime.settings)(
        **{**vars(runtime.settings), "poll_failures_allowed": 1}
    )
    env.store.faults.add("status", code=500, times=1000)
    with poller_disabled.connected_to(listen):
        env.poll()
    assert set(got) == {"customers", "discounts", "orders", "products"}


def test_wrong_handlers_are_refused() -> None:
    """An unknown type, and a name that another handler has, raise when they are registered."""
    woo = WooEvents()
    with pytest.raises(ConfigurationError, match="DELETE is no type"):
        woo.on("orders", "DELETE")
    woo.on("orders", name="one")(print)
    with pytest.raises(ConfigurationError, match="'one' already"):
        woo.on("products", name="one")(print)
