"""``/instances/{id}/subscriptions``: receivers of an instance, added, changed, tested, deleted."""

from __future__ import annotations

import typing as t

import flask
import hypothesis
import pytest
from hypothesis import strategies as st

from flask_woo_events.api import subscription_responses
from flask_woo_events.instances.subscription_requests import READ_ONLY
from flask_woo_events.instances.subscriptions import MOST
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.values.validation import MASK
from flask_woo_events.worker.worker import Worker
from tests.examples import examples
from tests.integration.host_app import Account, Api, Body, all_calls_taken, runtime_of
from tests.integration.store_to_callback import StoreToCallback
from tests.sent_schema import problems

URL = "https://second.example/events"
#: Every member of a request, and how an answer shows it.
SENT: Body = {
    "callbackUrl": URL,
    "signatureKey": "a-second-key",
    "headers": {"X-Api-Key": "a-header-secret", "X-Tenant": "7"},
    "username": "me",
    "password": "a-password",
    "resources": ["orders"],
    "eventTypes": ["CREATED", "UPDATED"],
    "fields": ["status", "line_items[].quantity"],
    "format": "cloudevents",
    "retrySchedule": [60, 600],
    "timeoutSeconds": 5.0,
    "requestsPerSecond": 2.5,
    "concurrentRequests": 3,
    "paused": True,
    "description": "The warehouse",
}
SHOWN = SENT | {
    "signatureKey": MASK,
    "headers": {"X-Api-Key": MASK, "X-Tenant": MASK},
    "username": MASK,
    "password": MASK,
}


def _path(instance: Body, *parts: object) -> str:
    return "/".join(("", "instances", str(instance["id"]), "subscriptions", *map(str, parts)))


def _add(api: Api, instance: Body, **body: t.Any) -> Body:
    answer = api.call("POST", _path(instance), {"callbackUrl": URL, **body})
    assert answer.status_code == 200, answer.text
    return t.cast("Body", answer.json)


def _members(answer: Body) -> Body:
    return {name: answer[name] for name in SENT}


def test_every_member_is_kept(api: Api) -> None:
    """A subscription is shown with what was sent, its secrets masked, and as described."""
    instance = api.create()
    added = _add(api, instance, **SENT)
    assert _members(added) == SHOWN
    assert added | {"first": False, "active": True, "waiting": 0, "failures": 0} == added
    subscription_responses.InstanceSubscriptionResponse.model_validate(added)
    assert api.call("GET", _path(instance, added["id"])).json == added
    listed = api.call("GET", _path(instance)).json
    assert [one["first"] for one in listed] == [True, False]
    assert listed[1] == added
    assert listed[0]["callbackUrl"] == "https://mycoolapp.com/events"


def test_defaults_select_everything(api: Api) -> None:
    """Without choices it gets all events, in the instance's format and without limits."""
    added = _members(_add(api, api.create()))
    nothing: Body = dict.fromkeys(SENT) | {"callbackUrl": URL, "paused": False, "description": ""}
    assert added == nothing | {"headers": {}, "resources": [], "eventTypes": [], "fields": []}


def test_an_answer_can_be_sent_back(api: Api) -> None:
    """What an answer shows changes nothing when it is sent as a request, also masked secrets."""
    instance = api.create()
    added = _add(api, instance, **SENT)
    again = api.call("PATCH", _path(instance, added["id"]), added)
    assert again.json == added
    assert added.keys() - _members(added).keys() == READ_ONLY | {
        "operational",
        "feed",
        "checkpoint",
    }
    credentials = api.call(
        "PATCH", _path(instance, added["id"]), {"headers": {"X-Api-Key": MASK, "X-New": "1"}}
    ).json
    assert credentials["headers"] == {"X-Api-Key": MASK, "X-New": MASK}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("signatureKey", MASK),
        ("headers", MASK),
        ("headers", {"X-Api-Key": MASK}),
        ("username", MASK),
        ("password", MASK),
    ],
)
def test_a_mask_needs_a_secret(api: Api, name: str, value: object) -> None:
    """A copy of an answer makes no subscription without the secrets that it seems to have."""
    instance = api.create()
    answer = api.call("POST", _path(instance), {"callbackUrl": URL, name: value})
    assert answer.status_code == 400 and answer.json["message"].startswith(name)
    added = _add(api, instance)
    answer = api.call("PATCH", _path(instance, added["id"]), {name: value})
    assert answer.status_code == 400 and "none is" in answer.json["message"]


@pytest.mark.parametrize("name", [name for name in SENT if name != "callbackUrl"])
def test_null_takes_a_choice_back(api: Api, name: str) -> None:
    """A member that is null has its default again, and the others stay."""
    instance = api.create()
    added = _add(api, instance, **SENT)
    default = _members(_add(api, instance))[name]
    changed = api.call("PATCH", _path(instance, added["id"]), {name: None})
    expected = SHOWN | ({name: default} if name != "paused" else {})
    if name == "username":  # A password alone is not sent.
        expected["password"] = None
    elif name == "password":
        expected["password"] = MASK
    assert _members(changed.json) == expected


def test_the_first_one_is_the_configuration(api: Api) -> None:
    """Its choice and limits are changed here, its address and credentials with the instance."""
    key, headers = "event.notification.signature.key", "event.notification.callback.headers"
    instance = api.create(**{key: "a-first-key", headers: {"X-First": "secret"}})
    [first] = api.call("GET", _path(instance)).json
    assert (
        first["first"] and first["signatureKey"] == MASK and first["headers"] == {"X-First": MASK}
    )
    path = _path(instance, first["id"])
    changed = api.call("PATCH", path, {"eventTypes": ["DELETED"], "requestsPerSecond": 1})
    assert changed.json["eventTypes"] == ["DELETED"] and changed.json["requestsPerSecond"] == 1
    for name, value in (("callbackUrl", URL), ("signatureKey", "x"), ("format", "thin")):
        refused = api.call("PATCH", path, {name: value})
        assert refused.status_code == 400
        assert f"{name} of the first subscription is event.notification." in refused.json["message"]
        assert f"PATCH /instances/{instance['id']}" in refused.json["message"]
    assert api.call("DELETE", path).status_code == 400
    assert api.call("GET", path).json == changed.json


def test_deletion(api: Api) -> None:
    """A deleted subscription is gone, and its place is free again."""
    instance = api.create()
    added = [_add(api, instance)["id"] for _ in range(MOST - 1)]
    refused = api.call("POST", _path(instance), {"callbackUrl": URL})
    assert refused.status_code == 409 and str(MOST) in refused.json["message"]
    assert api.call("DELETE", _path(instance, added[0])).json == {}
    for method in ("GET", "PATCH", "DELETE"):
        assert api.call(method, _path(instance, added[0]), {}).status_code == 404
    _add(api, instance)


def test_a_token_manages_the_subscriptions_of_its_instance(api: Api, account: Account) -> None:
    """A token may change what it may change of the instance, and nothing of another one."""
    instance, other = api.create(), api.create()
    token = account.element(instance["token"])
    added = api.call("POST", _path(instance), {"callbackUrl": URL}, token).json
    path = _path(instance, added["id"])
    assert api.call("PATCH", path, {"paused": True}, token).json["paused"] is True
    strange = _path(other, added["id"])
    for headers in (token, account.headers):
        for method in ("GET", "PATCH", "DELETE"):
            assert api.call(method, strange, {}, headers).status_code == 404
        assert api.call("POST", f"{strange}/test", headers=headers).status_code == 404
    assert api.call("DELETE", path, headers=token).json == {}


#: Bodies that are refused, and the member that the message names.
WRONG: list[tuple[t.Any, str]] = [
    ({}, "callbackUrl"),
    ({"callbackUrl": None}, "callbackUrl"),
    ({"callbackUrl": "ftp://x.example"}, "callbackUrl"),
    ({"callbackUrl": "http://"}, "callbackUrl"),
    ({"callbackUrl": "http://me:pw@x.example/"}, "callbackUrl"),
    ({"callbackUrl": "http://x.example/\r\nX: y"}, "callbackUrl"),
    ({"callbackUrl": "https://x.example/" + "h" * 3000}, "callbackUrl"),
    ({"callbackUrl": "https://x.example/\0"}, "callbackUrl"),
    ({"signatureKey": 5}, "signatureKey"),
    ({"signatureKey": "x" * 2000}, "signatureKey"),
    ({"headers": {"X\n": "y"}}, "headers"),
    ({"headers": {"Content-Length": "5"}}, "headers"),
    ({"headers": ["X: y"]}, "headers"),
    ({"username": "me:you"}, "username"),
    ({"password": {"a": 1}}, "password"),
    ({"resources": "orders"}, "resources"),
    ({"resources": ["orders", "unicorns"]}, "resources.1"),
    ({"resources": ["orders"] * 101}, "resources"),
    ({"eventTypes": ["CREATED", "CHANGED"]}, "eventTypes.1"),
    ({"eventTypes": ["CREATED"] * 101}, "eventTypes"),
    ({"fields": ["a b"]}, "fields.0"),
    ({"fields": ["billing..email"]}, "fields.0"),
    ({"fields": ["x" * 201]}, "fields.0"),
    ({"fields": ["status"] * 51}, "fields"),
    ({"fields": [["status"]]}, "fields.0"),
    ({"format": "xml"}, "format"),
    ({"retrySchedule": "hourly"}, "retrySchedule"),
    ({"retrySchedule": []}, "retrySchedule"),
    ({"retrySchedule": [5] * 21}, "retrySchedule"),
    ({"retrySchedule": [0.5]}, "retrySchedule"),
    ({"retrySchedule": [700_000]}, "retrySchedule"),
    ({"timeoutSeconds": 0}, "timeoutSeconds"),
    ({"timeoutSeconds": 181}, "timeoutSeconds"),
    ({"timeoutSeconds": "NaN"}, "timeoutSeconds"),
    ({"requestsPerSecond": 0}, "requestsPerSecond"),
    ({"requestsPerSecond": True}, "requestsPerSecond"),
    ({"concurrentRequests": 101}, "concurrentRequests"),
    ({"concurrentRequests": 1.5}, "concurrentRequests"),
    ({"paused": "perhaps"}, "paused"),
    ({"description": "x" * 501}, "description"),
    ({"description": "a\nb"}, "description"),
    ({"eventType": ["CREATED"]}, "eventType"),
    ({"callback_url": URL}, "callback_url"),
    ({"x": [[[[[[[[[[{"a": "\0"}]]]]]]]]]]}, "x"),
    ([], "the body"),
    ("text", "the body"),
]


@pytest.mark.parametrize(("body", "name"), WRONG, ids=lambda one: ascii(one)[:40])
def test_wrong_members_are_named(api: Api, body: t.Any, name: str) -> None:
    """A wrong member is a 400 that names it, for both requests, and nothing is kept."""
    instance = api.create()
    added = _add(api, instance)
    whole = {"callbackUrl": URL, **body} if isinstance(body, dict) and body else body
    refused = [api.call("POST", _path(instance), whole)]
    if body != {}:
        refused.append(api.call("PATCH", _path(instance, added["id"]), body))
    for one in refused:
        assert one.status_code == 400, one.text
        assert one.json["message"].startswith(name), one.text
        assert "me:pw" not in one.text
    assert len(api.call("GET", _path(instance)).json) == 2
    assert api.call("GET", _path(instance, added["id"])).json == added


def test_deep_and_large_bodies(api: Api) -> None:
    """A body that is nested too deeply or is too large is refused."""
    path = _path(api.create())
    assert api.call("POST", path, {"callbackUrl": URL, "headers": _deep(100)}).status_code == 400
    large = {"callbackUrl": URL, "resources": ["x" * 190] * 100_000}
    assert api.call("POST", path, large).status_code == 413


def _deep(levels: int) -> t.Any:
    value: t.Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


_TEXTS = st.text(max_size=20)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=5,
)


@hypothesis.settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(changes=st.dictionaries(st.sampled_from([*SENT, "other"]), _VALUES, max_size=3))
def test_any_value_is_kept_or_refused(api: Api, changes: Body) -> None:
    """Any JSON is stored or a 400, and a refused request changes nothing."""
    instance = api.create()
    added = _add(api, instance)
    path = _path(instance, added["id"])
    answer = api.call("PATCH", path, changes)
    assert answer.status_code in (200, 400), answer.text
    assert answer.status_code == 200 or api.call("GET", path).json == added
    api.call("DELETE", f"/instances/{instance['id']}")


def test_a_test_notification(env: StoreToCallback) -> None:
    """It is sent with the subscription's own key, headers and format, also while it is paused."""
    receiver, instance = CallbackReceiver(), {"id": env.instance_id}
    with receiver.serve() as url:
        added = _add(env.api, instance, **SENT | {"callbackUrl": url})
        answer = env.api.call("POST", _path(instance, added["id"], "test"))
    assert answer.status_code == 200, answer.text
    tested = answer.json
    assert tested["delivered"] and tested["statusCode"] == 200 and tested["answer"] == "{}"
    assert tested["reason"] == "200 OK" and tested["seconds"] >= 0
    [sent] = receiver.received
    assert problems(sent.json, "cloudevents") == []
    assert sent.is_signed_with("a-second-key")
    assert sent.headers["X-Api-Key"] == "a-header-secret"
    assert sent.headers["Authorization"].startswith("Basic ")


def test_a_test_of_the_first_one(env: StoreToCallback) -> None:
    """The first subscription is tested with the configuration's key."""
    instance = {"id": env.instance_id}
    [first] = env.api.call("GET", _path(instance)).json
    assert env.api.call("POST", _path(instance, first["id"], "test")).json["delivered"]
    [sent] = env.receiver.received
    assert sent.is_signed_with("a-signature-key") and sent.json["action"] == "test"


def test_a_test_that_fails(app: flask.Flask, api: Api) -> None:
    """What prevents a request is answered, too; a process with too many calls answers 429."""
    instance = api.create()
    added = _add(api, instance, callbackUrl="http://127.0.0.1:9/")
    path = _path(instance, added["id"], "test")
    failed = api.call("POST", path).json
    assert failed["delivered"] is False and failed["statusCode"] is None
    assert "private" in failed["reason"]
    with all_calls_taken(app):
        assert api.call("POST", path).status_code == 429


def test_lost_credentials_are_said(env: StoreToCallback) -> None:
    """Without the key that encrypted them a subscription is shown, and takes all of them anew."""
    instance = {"id": env.instance_id}
    added = _add(env.api, instance, **SENT)
    path = _path(instance, added["id"])
    assert added["credentialsLost"] is False
    with env.without_key():
        shown = env.api.call("GET", path).json
        assert shown["credentialsLost"] and shown["signatureKey"] is None
        kept = env.api.call("PATCH", path, {"signatureKey": "new"})
        assert kept.status_code == 409 and path in kept.json["message"]
        assert env.api.call("POST", f"{path}/test").status_code == 409
        names = ("signatureKey", "headers", "username", "password")
        again = {name: SENT[name] for name in names}
        assert env.api.call("PATCH", path, again).json["credentialsLost"] is False


def test_a_change_says_for_how_many_it_counts(env: StoreToCallback) -> None:
    """``waiting`` is the number of notifications that are not sent yet."""
    instance = {"id": env.instance_id}
    added = _add(env.api, instance, paused=True)
    env.store.acts.status(env.first("orders"), "completed")
    env.arrivals()
    path = _path(instance, added["id"])
    changed = env.api.call("PATCH", path, {"eventTypes": ["CREATED"]}).json
    assert changed["waiting"] >= 1
    with CallbackReceiver().serve() as url:
        env.api.call("PATCH", path, {"callbackUrl": url, "paused": False})
        Worker(runtime_of(env.app)).deliver_once()
    assert env.api.call("GET", path).json["waiting"] == 0


def test_old_clients_see_one_kind_of_callback(env: StoreToCallback) -> None:
    """The documented API calls each of them a webhook, and selects both by that name."""
    instance = {"id": env.instance_id}
    with CallbackReceiver().serve() as url:
        added = _add(env.api, instance, callbackUrl=url)
        env.store.acts.status(env.first("orders"), "completed")
        env.arrivals()
    shown = env.api.call("GET", "/notifications/subscriptions").json
    assert [one["channel"] for one in shown] == ["webhook", "webhook"]
    found = env.api.call("GET", "/notifications/subscriptions/deliveries?where=channel='webhook'")
    assert {one["subscriptionId"] for one in found.json} == {one["id"] for one in shown}
    assert {one["subscription"]["channel"] for one in found.json} == {"webhook"}
    assert added["id"] in {one["id"] for one in shown}


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (True, True, "NOTIFIED"),
        (True, False, "NOTIFIED"),
        (False, True, "DISPATCHED"),
        (None, True, "NOTIFIED"),
        (None, False, "DISPATCHED"),
    ],
)
def test_the_first_one_decides_the_status(
    env: StoreToCallback, first: bool | None, second: bool, status: str
) -> None:
    """An event has the status of its first subscription; without one, that of the others.

    :param first: whether it accepts; ``None`` if there is none.
    """
    instance, callback = f"/instances/{env.instance_id}", "event.notification.callback.url"
    receiver = CallbackReceiver(lambda _: 200 if second else 500)
    with receiver.serve() as url:
        _add(env.api, {"id": env.instance_id}, callbackUrl=url)
        env.receiver.answer = lambda _: 200 if first else 500
        if first is None:
            env.api.call("PATCH", instance, {"configuration": {callback: ""}})
        env.store.acts.status(env.first("orders"), "completed")
        env.poll()
        Worker(runtime_of(env.app)).deliver_once()
    events = env.api.call("GET", "/instances/events").json
    assert {one["status"] for one in events} == {status}
