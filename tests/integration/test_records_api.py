"""Events, notifications and their deliveries in the documented API."""

from __future__ import annotations

import typing as t

import orjson
import pytest

from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import Account, Api, add_account, runtime_of
from tests.integration.store_to_callback import StoreToCallback

QUEUE = "/notifications/subscriptions/deliveries"


@pytest.fixture
def sent(env: StoreToCallback) -> StoreToCallback:
    """A store with one changed order, whose event was sent."""
    env.store.acts.status(env.first("orders"), "completed")
    assert env.arrivals()
    return env


def _get(env: StoreToCallback, path: str, status: t.Any = 200, **query: t.Any) -> t.Any:
    response = env.api.client.get(
        f"/elements/api-v2{path}", headers=env.api.headers, query_string=query
    )
    assert response.status_code == status, response.text
    return response.json


def _fail(env: StoreToCallback, answer: int) -> None:
    env.receiver.answer = lambda _: answer
    env.store.acts.status(env.first("orders"), "on-hold")
    env.poll()
    Worker(runtime_of(env.app)).deliver_once()


@pytest.mark.parity(44, 66)
def test_parity_66_events_are_listed_and_shown(sent: StoreToCallback) -> None:
    """The ``eventId`` of a notification leads to its event, which was NOTIFIED."""
    message = sent.receiver.received[-1].json["message"]
    for path in (f"/instances/{sent.instance_id}/events", "/instances/events"):
        assert message["eventId"] in [one["id"] for one in _get(sent, path, pageSize=10)]
        shown = _get(sent, f"{path}/{message['eventId']}")
        assert shown["status"] == "NOTIFIED"
        assert orjson.loads(shown["providerData"]) == message["raw"]
        assert {"id", "eventDate", "status", "providerData", "notifiedData"} <= set(shown)
        (one,) = shown["eventElementInstances"]
        assert one["elementInstanceId"] == sent.instance_id
        assert one["notifiedData"][0]["message"]["eventId"] == message["eventId"]


@pytest.mark.parity(67)
def test_parity_67_status_of_an_event_that_fails(sent: StoreToCallback) -> None:
    """An event is DISPATCHED after a failed attempt."""
    _fail(sent, 500)
    assert _get(sent, "/instances/events")[0]["status"] == "DISPATCHED"


def test_events_are_paged(sent: StoreToCallback) -> None:
    """Each page begins where the one before ended; all pages together are all events."""
    everything = [one["id"] for one in _get(sent, "/instances/events")]
    assert len(everything) > 1
    paged, token = [], None
    while True:
        query = {"pageSize": 1} | ({"nextPage": token} if token else {})
        response = sent.api.client.get(
            "/elements/api-v2/instances/events", headers=sent.api.headers, query_string=query
        )
        paged += [one["id"] for one in response.json or ()]
        token = response.headers.get("Elements-Next-Page-Token")
        if token is None:
            break
    assert paged == everything


@pytest.mark.parity(68)
def test_parity_68_analytics(sent: StoreToCallback) -> None:
    """An hour by the minute has 61 counts, which add up to the events sent."""
    hour = {"from": "2026-11-23T10:00:00Z", "to": "2026-11-23T11:00:00Z", "interval": "minute"}
    assert len(_get(sent, "/instances/events/analytics", **hour)) == 61
    count = len(_get(sent, "/instances/events"))
    whole = _get(sent, "/instances/events/analytics")
    assert sum(one["count"] for one in whole) >= count
    by_instance = _get(sent, "/instances/events/analytics/instances")[-1]
    (record,) = by_instance["records"]
    assert record["instanceId"] == sent.instance_id
    assert (record["success"], record["failed"]) == (record["count"], 0)
    assert _get(sent, "/instances/events/analytics/accounts")[-1]["total"] == by_instance["total"]


@pytest.mark.parametrize("interval", ["year", "quarter", "month", "week", "day", "hour", "minute"])
def test_analytics_of_every_interval(sent: StoreToCallback, interval: str) -> None:
    """The counts of every interval add up to the same number."""
    query = {"interval": interval}
    found = _get(sent, "/instances/events/analytics", **query)
    assert sum(one["count"] for one in found) == sum(
        len(one.events) for one in sent.receiver.received
    )
    assert len({one["timestamp"] for one in found}) == len(found)


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ({"from": "2026-11-24T00:00:00Z", "to": "2026-11-23T00:00:00Z"}, 400, "to"),
        (
            {
                "from": "2026-11-23T00:00:00Z",
                "to": "2026-11-24T00:00:00Z",
                "interval": "second",
            },
            400,
            "interval",
        ),
        ({"interval": "fortnight"}, 400, "interval"),
        ({"from": "yesterday"}, 400, "from"),
        ({"accountIds[]": "0"}, 403, "accountIds"),
    ],
)
def test_analytics_refuses(
    sent: StoreToCallback, query: dict[str, str], status: int, said: str
) -> None:
    """Invalid queries get the documented errors, which name the parameter."""
    answer = _get(sent, "/instances/events/analytics", status, **query)
    assert said in answer["message"] and answer["requestId"]


@pytest.mark.parity(69)
def test_parity_69_dispositions(sent: StoreToCallback) -> None:
    """Each attempt is described by a message."""
    _fail(sent, 503)
    found = _get(sent, "/instances/events/dispositions")
    assert "Error delivering event: 503" in found[0]["notificationData"][0]["message"]
    assert found[-1]["notificationData"] == [{"message": "Event delivered"}]


@pytest.mark.parity(69)
def test_parity_69_interval_of_dispositions(sent: StoreToCallback) -> None:
    """An interval has no effect: clients of the documented service send it here, too."""
    path = "/instances/events/dispositions"
    assert _get(sent, path, interval="minute") == _get(sent, path)
    assert "interval" in _get(sent, path, 400, interval="fortnight")["message"]


@pytest.mark.parity(70)
def test_parity_70_poller_records(sent: StoreToCallback) -> None:
    """One record for each polled resource; deselecting one removes its record immediately."""
    names = {one["objectName"] for one in _get(sent, "/instances/event-poller-records")}
    assert names == {"customers", "discounts", "orders", "products"}
    kept = {"orders": {"url": "/hubs/ecommerce/orders", "idField": "id"}}
    body = {"configuration": {"event.poller.configuration": kept}}
    assert sent.api.call("PATCH", f"/instances/{sent.instance_id}", body).status_code == 200
    (record,) = _get(sent, "/instances/event-poller-records")
    assert (record["objectName"], record["state"]) == ("orders", "active")
    assert _get(sent, "/instances/polling-disabled") == []
    assert _get(sent, "/jobs/polling-disabled") == []


@pytest.mark.parity(55, 56, 57, 58)
def test_parity_55_56_58_the_queue_is_read_and_redelivered(sent: StoreToCallback) -> None:
    """With the policy ``queue`` a failed notification waits, is shown, and arrives on request."""
    policy = {"notification.webhook.failure.policy": "queue"}
    assert policy.items() <= sent.api.call("PATCH", "/accounts/settings", policy).json.items()
    _fail(sent, 502)
    url = _get(sent, "/notifications/subscriptions")[0]["config"]["url"]
    where = f"channel='webhook' and status='queued' and config.url='{url}'"
    (waiting,) = _get(sent, QUEUE, where=where)
    assert waiting["status"] == "queued" and waiting["subscription"]["config"]["url"] == url
    assert waiting["notification"]["message"]["eventId"] == waiting["eventId"]
    assert "notification" not in _get(sent, QUEUE, where=where, hydrate="false")[0]
    sent.receiver.answer = lambda _: 200
    sent.receiver.clear()
    done = sent.api.call("PUT", f"{QUEUE}?where=channel='webhook' and status='queued'")
    assert done.json == {"redelivered": 1}
    assert sent.delivered() and _get(sent, QUEUE, where="status='queued'") == []
    (now,) = _get(sent, f"/notifications/{waiting['notificationId']}/subscriptions/deliveries")
    assert now["status"] == "delivered"


@pytest.mark.parity(66, 68, 69, 70)
def test_unknown_parameters(sent: StoreToCallback) -> None:
    """A parameter that would have no effect is refused, after the caller and the instance."""
    event = _get(sent, "/instances/events")[0]["id"]
    for path in (
        "/instances/events", f"/instances/{sent.instance_id}/events", f"/instances/events/{event}",
        "/instances/events/analytics", "/instances/events/analytics/accounts",
        "/instances/events/dispositions", "/instances/event-poller-records",
        "/instances/polling-disabled", "/jobs/polling-disabled",
    ):  # fmt: skip
        assert "'since'" in _get(sent, path, 400, since="2099-01-01")["message"]
    _get(sent, "/instances/99/events", 404, since="2099-01-01")
    client = sent.api.client
    assert client.get("/elements/api-v2/instances/events?since=x").status_code == 401


@pytest.mark.parity(57)
def test_parity_57_one_delivery(sent: StoreToCallback) -> None:
    """The delivery of a notification to a subscription is an object, with both unless refused."""
    listed = _get(sent, QUEUE)[-1]
    number, subscription = listed["notificationId"], listed["subscriptionId"]
    path = f"/notifications/{number}/subscriptions/{{}}/deliveries"
    shown = _get(sent, path.format(subscription), hydrate="true")
    assert shown == listed == _get(sent, path.format(subscription))
    assert (shown["notificationId"], shown["subscriptionId"]) == (number, subscription)
    assert shown["status"] == "delivered"
    assert shown["notification"] == _get(sent, f"/notifications/{number}")
    assert "notification" not in _get(sent, path.format(subscription), hydrate="false")
    assert _get(sent, path.format(10**9), 404)["message"] == "No delivery found"
    assert _get(sent, path.format("x"), 404)
    assert _get(sent, f"/notifications/{10**9}/subscriptions/{subscription}/deliveries", 404)


POLICY, SCHEDULE = "notification.webhook.failure.policy", "notification.webhook.retry.schedule"


@pytest.mark.parity(51, 52)
@pytest.mark.parametrize(
    ("key", "default", "other"),
    [(POLICY, "retry", "queue"), (SCHEDULE, "standard", "cloud-elements")],
)
def test_parity_51_52_account_settings(
    sent: StoreToCallback, key: str, default: str, other: str
) -> None:
    """A setting has the application's value until the account sets one, and reads back as set."""
    defaults = {POLICY: "retry", SCHEDULE: "standard"}
    assert _get(sent, "/accounts/settings") == defaults
    bob = Api(sent.api.client, add_account(sent.app, "bob", "globex").headers, "")
    for method in ("POST", "PATCH"):
        changed = sent.api.call(method, "/accounts/settings", {key: other})
        assert changed.status_code == 200 and changed.json == defaults | {key: other}
        assert _get(sent, "/accounts/settings") == defaults | {key: other}
        assert bob.call("GET", "/accounts/settings").json == defaults
        assert sent.api.call(method, "/accounts/settings", {key: None}).json == defaults
    for value in ("never", "", 1):
        bad = sent.api.call("PATCH", "/accounts/settings", {key: value})
        assert bad.status_code == 400 and key in bad.json["message"]
    assert _get(sent, "/accounts/settings")[key] == default
    unknown = sent.api.call("PATCH", "/accounts/settings", {"colour": "blue"})
    assert unknown.status_code == 400
    assert sent.api.call("GET", "/accounts/0/settings").status_code == 404


@pytest.mark.parity(57)
@pytest.mark.parametrize(
    "where",
    [
        "status",
        "status='queued' or status='retry'",
        "status='queued' and",
        "status='queued' status='retry'",
        "status='asleep'",
        "colour='blue'",
        "status='queued' and status='retry'",
        "config.url='x",
        "status=queued",
    ],
)
def test_parity_57_invalid_where(sent: StoreToCallback, where: str) -> None:
    """An invalid ``where`` is a 400 that explains the form, and nothing is redelivered."""
    for method in ("GET", "PUT"):
        response = sent.api.client.open(
            f"/elements/api-v2{QUEUE}",
            method=method,
            headers=sent.api.headers,
            query_string={"where": where},
        )
        assert response.status_code == 400, response.text
        said = t.cast("dict[str, str]", response.json)["message"]
        assert "status" in said or "where" in said


def test_redelivery_needs_where(sent: StoreToCallback) -> None:
    """Without ``where`` nothing is sent again."""
    assert sent.api.call("PUT", QUEUE).status_code == 400


@pytest.mark.parity(59)
def test_parity_59_a_subscription_of_each_callback_url(sent: StoreToCallback) -> None:
    """A new callback URL makes a new subscription; the old one can still be read."""
    (before,) = _get(sent, "/notifications/subscriptions")
    assert before["topics"] == [f"instance-{sent.instance_id}-woocommercerest-events"]
    body = {"configuration": {"event.notification.callback.url": "http://127.0.0.1:9/other"}}
    sent.api.call("PATCH", f"/instances/{sent.instance_id}", body)
    after = _get(sent, "/notifications/subscriptions")
    assert [one["current"] for one in after] == [False, True]
    assert _get(sent, f"/notifications/subscriptions/{after[1]['id']}") == after[1]
    _get(sent, "/notifications/subscriptions/-1", 404)
    assert sent.api.call("POST", "/notifications/subscriptions", {}).status_code == 405


def test_notifications_are_found_by_topic_and_number(sent: StoreToCallback) -> None:
    """The shown notification is the one that was sent."""
    body = sent.receiver.received[-1].json
    found = _get(sent, "/notifications", **{"topics[]": body["topic"]})
    assert body in found
    assert _get(sent, f"/notifications/{body['id']}") == body
    assert _get(sent, "/notifications", **{"topics[]": "nothing"}) == []
    assert "topics[]" in _get(sent, "/notifications", 400)["message"]
    many = {"topics[]": [body["topic"], "instance-99-woocommercerest-events"] * 500}
    assert _get(sent, "/notifications", **many) == found
    many["topics[]"].append(body["topic"])
    assert "1,000 topics" in _get(sent, "/notifications", 400, **many)["message"]


def test_nothing_of_another_organisation_is_shown(sent: StoreToCallback) -> None:
    """Events of another organization are not found under any path."""
    body = sent.receiver.received[-1].json
    other = Api(sent.api.client, add_account(sent.app, "bob", "globex").headers, "")
    event, number = body["message"]["eventId"], sent.instance_id
    for path in (
        f"/instances/{number}/events",
        f"/instances/events/{event}",
        f"/instances/{number}/events/{event}",
        f"/notifications/{body['id']}",
        f"/notifications/subscriptions/{_get(sent, '/notifications/subscriptions')[0]['id']}",
    ):
        answer = other.call("GET", path)
        assert answer.status_code == 404 or answer.json == [], path
    for path in ("/instances/events", "/notifications/subscriptions", QUEUE):
        assert other.call("GET", path).json == []
    topic = f"/notifications?topics[]={body['topic']}"
    assert other.call("GET", topic).json == []
    assert other.call("PUT", f"{QUEUE}?where=status='queued'").json == {"redelivered": 0}


def test_a_token_sees_only_its_instance(sent: StoreToCallback) -> None:
    """With an element token the calls cover only its instance."""
    account = add_account(sent.app, "carl", "initech")
    api = Api(sent.api.client, account.headers, sent.api.store)
    token = api.create(**{"oauth.api.key": "ck_test", "oauth.api.secret": "cs_test"})["token"]
    headers = Account(account.user, account.organization).element(token)
    assert api.call("GET", "/instances/events", headers=headers).json == []
    refused = api.call("GET", f"/instances/{sent.instance_id}/events", headers=headers)
    assert refused.status_code == 404
