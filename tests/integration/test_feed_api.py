"""The feed over HTTP: its formats, bad requests, other callers, and requests that wait."""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import pathlib
import shutil
import types
import typing as t
import urllib.parse

import pytest
import requests
import sqlalchemy as sa

from flask_woo_events.api import feed as feed_api
from flask_woo_events.db.models import Delivery, Instance, Organization, WorkerProcess
from flask_woo_events.delivery import replay
from flask_woo_events.delivery.replay import ReplaySelection
from flask_woo_events.errors import InputError
from flask_woo_events.events import feed_positions
from flask_woo_events.events.feed_cursor import FeedCursor, FeedScope
from flask_woo_events.instances.webhook_urls import Hook
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.values.crypto import Cipher
from flask_woo_events.worker.worker import Worker
from tests.integration.feed_env import open_feed
from tests.integration.host_app import PREFIX, add_account, dispose, make_app, runtime_of
from tests.integration.store_to_callback import StoreToCallback
from tests.integration.test_web_threads import check_that_it_answers, gunicorn
from tests.waiting import HANG_SECONDS, wait_until


def _events(bodies: list[t.Any]) -> set[tuple[str, str, int, str]]:
    """Return what notifications hold: resource, object, version and the whole object."""
    return {
        (event["objectType"], event["objectId"], event["version"], repr(row))
        for body in bodies
        for event in body["message"]["events"]
        for row in body["message"]["raw"][event["objectType"]]
        if row["objectId"] == event["objectId"]
    }


def _change(env: StoreToCallback) -> None:
    for number in sorted(env.store.truth("orders"))[:3]:
        env.store.acts.status(number, "completed")
    env.store.acts.post_update(env.first("products"), "Renamed")
    assert len(env.arrivals()) >= 4


def test_feed_has_what_the_callback_got(env: StoreToCallback) -> None:
    """A receiver without a callback gets the same events, one a notification."""
    _change(env)
    sent = _events([one.json for one in env.receiver.received])
    for path in ("/events/feed", f"/instances/{env.instance_id}/events/feed"):
        answer = env.api.call("GET", path)
        assert answer.status_code == 200, answer.text
        bodies = answer.json["events"]
        assert _events(bodies) == sent
        ids = {(one["id"], one["message"]["eventId"]) for one in bodies}
        assert len(ids) == len(bodies) == len(sent)
        assert env.api.call("GET", path).json == answer.json
        rest = env.api.call("GET", f"{path}?cursor={answer.json['cursor']}").json
        assert rest == {"events": [], "cursor": rest["cursor"], "truncated": False, "more": False}


@pytest.mark.parametrize("form", ["cloud-elements", "extended", "thin", "cloudevents"])
def test_subscription_has_its_choice_and_format(env: StoreToCallback, form: str) -> None:
    """Whatever its callback is sent, its feed has."""
    base = f"/instances/{env.instance_id}/subscriptions"
    receiver = CallbackReceiver()
    with receiver.serve() as url:
        members = {"callbackUrl": url, "resources": ["orders"], "format": form}
        number = env.api.call("POST", base, members | {"fields": ["status"]}).json["id"]
        _change(env)
        env.store.acts.order_meta(env.first("orders"), value="not wanted")
        env.arrivals()
        Worker(runtime_of(env.app)).deliver_once()
    bodies = env.api.call("GET", f"{base}/{number}/feed").json["events"]
    if form == "cloudevents":
        assert bodies == sorted((one.json for one in receiver.received), key=bodies.index)
        assert len(bodies) >= 2
        return
    shown = [event for one in bodies for event in one["message"]["events"]]
    sent = [event for one in receiver.received for event in one.json["message"]["events"]]
    assert shown == sorted(sent, key=shown.index)
    assert len(shown) >= 2
    assert ("version" in shown[0]) is (form != "cloud-elements")
    raw = [one["message"]["raw"] for one in bodies]
    assert all(("orders" in one) is (form != "thin") for one in raw)
    env.api.call("DELETE", f"{base}/{number}")
    assert env.api.call("GET", f"{base}/{number}/feed").status_code == 404


def test_subscription_without_a_callback_is_only_read(env: StoreToCallback) -> None:
    """It has what it chooses; nothing is sent or waits, and nothing can be said of a receiver."""
    base, runtime = f"/instances/{env.instance_id}/subscriptions", runtime_of(env.app)
    with runtime.database.write() as session:
        old = WorkerProcess(name="process 1 on old", seen_at=runtime.clock(), revision="0010")
        session.add(old)
    # An earlier release sends nothing to it.
    added = env.api.call("POST", base, {"feed": True, "fields": ["status"]}).json
    assert (added["feed"], added["callbackUrl"], added["active"]) == (True, "", True)
    assert env.api.call("POST", base, {"callbackUrl": "http://x.test/"}).status_code == 409
    one = f"{base}/{added['id']}"
    for name, value in SENDING.items():
        for answer in (
            env.api.call("POST", base, {"feed": True, name: value}),
            env.api.call("PATCH", one, {name: value}),
        ):
            assert (answer.status_code, name in answer.json["message"]) == (400, True), answer.text
    for path, body in ((one, {"feed": False}), (f"{base}/1", {"feed": True})):
        answer = env.api.call("PATCH", path, body)
        assert (answer.status_code, "cannot be changed" in answer.text) == (400, True)
    answer = env.api.call("POST", f"{one}/test")
    assert (answer.status_code, "only read" in answer.text) == (400, True)
    assert env.api.call("PATCH", one, added).json == added
    changed = env.api.call("PATCH", one, {"resources": ["orders"], "format": "thin"}).json
    _change(env)
    [first, *rest] = env.api.call("GET", f"{one}/feed").json["events"]
    assert rest and first["message"]["raw"].keys() == {"objectType", "pollDate"}
    assert env.api.call("GET", one).json == changed
    with runtime.database.read() as session:
        deliveries = sa.select(Delivery.subscription_id).distinct()
        assert session.scalars(deliveries).all() == [1]
        with pytest.raises(InputError, match="only read by its feed"):
            replay.for_subscription(session, ReplaySelection(), added["id"])
    assert env.api.call("DELETE", one).status_code == 200
    assert env.api.call("GET", f"{one}/feed").status_code == 404
    listed = env.api.call("GET", base).json
    assert [each["feed"] for each in listed] == [False]


#: What a subscription that is only read does not have.
SENDING = {
    "callbackUrl": "http://x.test/", "signatureKey": "a-key", "headers": {"X-A": "1"},
    "username": "me", "password": "a-password", "retrySchedule": "standard", "timeoutSeconds": 5,
    "requestsPerSecond": 2, "concurrentRequests": 3, "operational": True, "checkpoint": True,
    "paused": True,
}  # fmt: skip


BAD = [
    ("limit=0", "limit"), ("limit=1001", "limit"), ("limit=", "limit"), ("limit=-1", "limit"),
    ("limit=1e2", "limit"), (f"limit={'9' * 5000}", "limit"), ("limit=%00", "limit"),
    ("wait=31", "wait"), ("wait=-1", "wait"), ("wait=0.5", "wait"), ("wait=%FF", "wait"),
    ("cursor=", "cursor"), ("cursor=%00", "cursor"), ("cursor=%FF%FE", "cursor"),
    (f"cursor={'A' * 76}", "cursor"), (f"cursor={'A' * 60_000}", "cursor"),
    ("cursor=NOW", "cursor"), (f"cursor={'[' * 5000}", "cursor"), ("pageSize=5", "pageSize"),
]  # fmt: skip


def test_bad_parameters_are_refused(env: StoreToCallback) -> None:
    """A clear 400, and nothing is waited for or skipped."""
    for path in ("/events/feed", f"/instances/{env.instance_id}/events/feed"):
        for query, name in BAD:
            answer = env.api.call("GET", f"{path}?{query}")
            assert answer.status_code == 400, (query[:50], answer.text)
            assert name in answer.json["message"]
            assert len(answer.json["message"]) < 300


def test_cursors_of_others_are_refused(env: StoreToCallback) -> None:
    """Of another organization, instance or subscription, of the future, or made by hand."""
    _change(env)
    mine = env.api.call("GET", "/events/feed").json["cursor"]
    own = f"/instances/{env.instance_id}/events/feed"
    answer = env.api.call("GET", f"{own}?cursor={mine}")
    assert (answer.status_code, "another feed" in answer.text) == (400, True)
    bob = add_account(env.app, "bob", "globex")
    answer = env.api.call("GET", f"/events/feed?cursor={mine}", headers=bob.headers)
    assert (answer.status_code, "another feed" in answer.text) == (400, True)
    assert env.api.call("GET", own, headers=bob.headers).status_code == 404
    assert env.api.call("GET", "/events/feed", headers=bob.headers).json["events"] == []
    with runtime_of(env.app).database.read() as session:
        mine_id = session.scalars(sa.select(Organization.id).where(Organization.name == "acme"))
        scope = FeedScope(organization_id=mine_id.one())
    for position in (10_000, 2**63, 2**64 - 1):
        for life in (_life(env, scope), "not a life", "\x7f"):
            made = FeedCursor(position=position, life=life).text(scope)
            answer = env.api.call("GET", f"/events/feed?cursor={urllib.parse.quote(made)}")
            expected = (400, True) if life == _life(env, scope) else (200, False)
            shown = answer.status_code, "ahead of this feed" in answer.text
            assert shown == expected, (position, life, answer.text[:300])


def _life(env: StoreToCallback, scope: FeedScope) -> str:
    with runtime_of(env.app).database.read() as session:
        return feed_positions.state(session, scope.organization_id).life


def test_token_reaches_the_feed_of_its_instance_only(env: StoreToCallback) -> None:
    """Two instances of one organization, with a token each."""
    _change(env)
    [account] = [env.api.headers["Authorization"]]
    user = account.partition(",")[0]
    token = env.api.call("POST", f"/instances/{env.instance_id}/token").json["token"]
    other = env.api.create(name="another")
    for own_token, number, count in (
        (token, env.instance_id, True),
        (other["token"], other["id"], False),
    ):
        headers = {"Authorization": f"{user}, Element {own_token}"}
        for path in ("/events/feed", f"/instances/{number}/events/feed"):
            answer = env.api.call("GET", path, headers=headers).json
            assert bool(answer["events"]) is count
            assert {one["message"]["instanceId"] for one in answer["events"]} <= {number}
        foreign = env.instance_id + other["id"] - number
        path = f"/instances/{foreign}/events/feed"
        assert env.api.call("GET", path, headers=headers).status_code == 404


def test_waiting_request_holds_no_connection(
    env: StoreToCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is answered when an event is committed, and the pool is free while it waits."""
    monkeypatch.setattr(feed_api, "time", types.SimpleNamespace(monotonic=lambda: 0.0))
    _change(env)
    runtime = runtime_of(env.app)
    pool = t.cast("sa.QueuePool", runtime.database.engine.pool)
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        assert pool.checkedout() == 0
        pauses.append(seconds)
        if len(pauses) == 3:
            _change_again(env)

    runtime.pause = pause
    cursor = env.api.call("GET", "/events/feed").json["cursor"]
    answer = env.api.call("GET", f"/events/feed?cursor={cursor}&wait=30").json
    assert [one["message"]["events"][0]["objectType"] for one in answer["events"]] == ["discounts"]
    assert len(pauses) == 3
    # With events there, nothing is waited for.
    assert env.api.call("GET", f"/events/feed?cursor={cursor}&wait=30").json == answer
    assert len(pauses) == 3


def _change_again(env: StoreToCallback) -> None:
    env.store.acts.new_coupon("waited")
    assert env.poll()


def test_requests_beyond_the_bound_are_not_kept_waiting(
    env: StoreToCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 with Retry-After, but only for a request that would wait."""
    _change(env)
    runtime = runtime_of(env.app)
    with contextlib.ExitStack() as stack:
        with runtime.database.read() as session:
            mine = session.scalars(sa.select(Instance.organization_id)).one()
        for _ in range(runtime.settings.feed_waits_of_organization):
            assert stack.enter_context(runtime.feed_waits.taken(mine))
        page = env.api.call("GET", "/events/feed?wait=30").json
        assert page["events"]
        refused = env.api.call("GET", f"/events/feed?wait=30&cursor={page['cursor']}")
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
        assert not env.api.call("GET", f"/events/feed?cursor={page['cursor']}").json["events"]
    # With a place, it is answered when its time is over.
    seconds = itertools.count(step=10)
    monkeypatch.setattr(feed_api, "time", types.SimpleNamespace(monotonic=seconds.__next__))
    runtime.pause = lambda _: None
    answer = env.api.call("GET", f"/events/feed?wait=30&cursor={page['cursor']}")
    assert (answer.status_code, answer.json["events"]) == (200, [])


#: Requests that wait at the same time, below the eight threads of the process.
WAITS, REQUESTS = 4, 10


@pytest.mark.slow
def test_webhooks_and_health_are_answered_while_requests_wait(
    tmp_path: pathlib.Path, tables: pathlib.Path
) -> None:
    """A real process: as many requests wait as may, and the others are refused."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    key = Cipher.generate_key()
    app = make_app(tmp_path, WOO_EVENTS_ENCRYPTION_KEYS=[key])
    headers = add_account(app, "ann", "acme").headers
    env = open_feed(runtime_of(app).database)
    with runtime_of(app).database.write() as session:
        instance = session.get_one(Instance, env.streams[0].instance_id)
        instance.organization_id = instance.user_id = 1
    hook = Hook(env.streams[0].instance_id, 1)
    environment = {
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{tmp_path}/host.sqlite3",
        "WOO_EVENTS_ENCRYPTION_KEYS": key,
        "WOO_EVENTS_FEED_WAITS": str(WAITS),
    }
    with contextlib.ExitStack() as stack:
        root = stack.enter_context(gunicorn(environment, tmp_path / "log"))
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(REQUESTS))

        def wait() -> requests.Response:
            url = f"{root}{PREFIX}/events/feed?wait=30"
            while True:
                answer = requests.get(url, headers=headers, timeout=HANG_SECONDS)
                if answer.status_code != 200 or answer.json()["events"]:
                    return answer

        waiting = [pool.submit(wait) for _ in range(REQUESTS)]
        wait_until(lambda: sum(one.done() for one in waiting) == REQUESTS - WAITS)
        check_that_it_answers(f"{root}{PREFIX}", key, hook)
        # All this while the others wait.
        assert sum(one.done() for one in waiting) == REQUESTS - WAITS
        names = env.record(2)
        answers = [one.result() for one in waiting]
    dispose(app)
    refused = [one for one in answers if one.status_code == 429]
    assert [one.headers["Retry-After"] for one in refused] == ["1"] * (REQUESTS - WAITS)
    got = [one.json()["events"] for one in answers if one.status_code == 200]
    assert [[each["message"]["events"][0]["objectId"] for each in one] for one in got] == [
        names
    ] * WAITS
