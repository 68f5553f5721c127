"""Stores that a request could not check in time: the worker checks them, and shows the result."""

from __future__ import annotations

import datetime as dt
import typing as t

import flask
import sqlalchemy as sa

from flask_woo_events.db.models import Instance, StoredEvent
from flask_woo_events.signals import problem_began
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.sync.report import PollReport
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import Api, Body, StubStore, all_calls_taken, runtime_of


def create_later(app: flask.Flask, api: Api, **keys: t.Any) -> Body:
    """Create an instance while other requests hold all places for calls."""
    with all_calls_taken(app):
        created = api.create(**keys)
    assert created["state"] == "connecting"
    return created


def poll(app: flask.Flask, created: Body) -> list[PollReport]:
    """Poll as the worker does, also what waits after a failure."""
    return Worker(runtime_of(app)).poll_once([created["id"]])


def shown(api: Api, created: Body) -> Body:
    body: Body = api.call("GET", f"/instances/{created['id']}").json
    return body


def codes(body: Body) -> list[str]:
    return [one["code"] for one in body["problems"]]


def test_the_worker_checks_a_store_before_its_first_poll(
    app: flask.Flask, api: Api, store_server: StubStore
) -> None:
    """Afterwards the instance is as if the request had checked it."""
    created = create_later(app, api)
    store_server.asked.clear()
    assert not [one.error for one in poll(app, created) if one.error]
    body, same = shown(api, created), shown(api, api.create(name="checked at once"))
    assert body["state"] == "connected" and "connecting" not in codes(body)
    # They were checked at different times.
    assert body["store"] | {"date": ""} == same["store"] | {"date": ""}
    assert body["store"]["version"] == "9.4.2"
    with runtime_of(app).database.read() as session:
        beliefs = session.scalars(sa.select(Instance.belief)).all()
    assert beliefs[0] == beliefs[1]
    # It is checked once.
    before = len(store_server.asked)
    poll(app, created)
    assert "/wp-json/" not in store_server.asked[before:]


def test_what_happens_before_the_check_is_sent(app: flask.Flask, api: Api) -> None:
    """The baseline is that of the time at which the instance was created."""
    store = SimulatedStore("11.0", consumer_key="ck_test", consumer_secret="cs_test")
    store.populate(orders=2, products=1, coupons=0, customers=1)
    runtime = runtime_of(app)
    with store.serve() as url:
        orders = {"orders": {"url": "/hubs/ecommerce/orders"}}
        keys = {"store.url": url, "event.poller.configuration": orders}
        created = create_later(app, api, **keys)
        customer, product = min(store.truth("customers")), min(store.truth("products"))
        order = store.acts.place_order(customer, [product], [])
        # The worker comes later, and meanwhile another request has changed the keys.
        now = runtime.clock() + dt.timedelta(minutes=5)
        runtime.clock = lambda: now
        store.clock.set(now)
        with all_calls_taken(app):
            changed = {"configuration": {"oauth.api.secret": "cs_test"}}
            api.call("PATCH", f"/instances/{created['id']}", changed)
        assert [(one.error, one.events) for one in poll(app, created)] == [(None, 1)]
    with runtime.database.read() as session:
        event = session.scalars(sa.select(StoredEvent)).one()
    assert (event.object_id, event.event_type) == (str(order), "CREATED")


def test_refused_keys_show_as_state_problem_notice_and_signal(
    app: flask.Flask, api: Api, store_server: StubStore
) -> None:
    """Nothing else is read; other keys are checked by the request that brings them."""
    created = create_later(app, api)
    collection = store_server._collection
    store_server.refuse_keys()
    began: list[dict[str, t.Any]] = []

    def note(sender: object, **values: t.Any) -> None:
        began.append(values)

    with problem_began.connected_to(note):
        errors = [one.error for one in poll(app, created)]
    assert len(errors) == 4 and all("signature does not match" in (one or "") for one in errors)
    body = shown(api, created)
    assert body["state"] == "refused"
    assert codes(body) == ["refused"]
    assert [one["kind"] for one in body["notices"]] == ["refused"]
    assert [one["code"] for one in began] == ["refused"]

    path, same_keys = f"/instances/{created['id']}", {"oauth.api.secret": "cs_test"}
    assert api.call("PATCH", path, {"configuration": same_keys}).status_code == 400
    assert shown(api, created)["state"] == "refused"
    store_server._collection = collection
    assert api.call("PATCH", path, {"configuration": same_keys}).json["state"] == "connected"
    assert not [one.error for one in poll(app, created) if one.error]
    body = shown(api, created)
    assert not {"refused", "failing"} & {*codes(body)}
    assert "refused ended" in [one["kind"] for one in body["notices"]]


def test_change_that_cannot_be_checked_is_checked_by_the_worker(
    app: flask.Flask, api: Api, store_server: StubStore
) -> None:
    """A change of the keys is stored; what does not concern the store leaves the state as it is."""
    created = api.create()
    assert created["state"] == "connected"
    path = f"/instances/{created['id']}"
    with all_calls_taken(app):
        assert api.call("PATCH", path, {"name": "renamed"}).json["state"] == "connected"
        keys = {"oauth.api.secret": "cs_another"}
        assert api.call("PATCH", path, {"configuration": keys}).json["state"] == "connecting"
    assert api.call("PATCH", path, {"name": "again"}).json["state"] == "connecting"
    assert not [one.error for one in poll(app, created) if one.error]
    assert shown(api, created)["state"] == "connected"


def test_store_that_does_not_answer_the_worker_stays_connecting(
    app: flask.Flask, api: Api, store_server: StubStore
) -> None:
    """The problem gives the reason, and the check is repeated later and later."""
    created = create_later(app, api)
    store_server.say_html("/wp-json/", 503)
    assert len([one.error for one in poll(app, created) if one.error]) == 4
    body = shown(api, created)
    assert body["state"] == "connecting"
    problem = next(one for one in body["problems"] if one["code"] == "connecting")
    assert "503" in problem["text"]
    assert {one["failures"] for one in body["pollers"]} == {1}
