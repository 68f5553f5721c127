"""Calls of ``/notifications`` and ``/accounts/settings``."""

from __future__ import annotations

from tests.acceptance.old_client.client import Answer
from tests.acceptance.old_client.expected import (
    DELIVERY,
    ERROR,
    HYDRATED,
    NOTIFICATION,
    SUBSCRIPTION,
)
from tests.acceptance.old_client.shapes import Each
from tests.acceptance.old_client.world import Instance, World

_POLICY = "notification.webhook.failure.policy"
_LIST = "/notifications/subscriptions/deliveries"


def read(world: World, instance: Instance) -> None:
    """Read notifications, subscriptions and deliveries of an instance's events."""
    call, churros = world.client.call, "churros"
    topic = f"instance-{instance.id}-woocommercerest-events"
    call("notifications without a topic", churros, "GET /notifications", status=400, expect=ERROR)
    call(
        "notifications of no topic",
        churros,
        "GET /notifications",
        expect=[],
        query={"topics[]": "fake-topic-name-with-no-notifications"},
    )
    listed = call(
        "notifications of a topic",
        churros,
        "GET /notifications",
        query={"topics[]": topic},
        expect=Each(NOTIFICATION),
    )
    first = call(
        "first page of notifications",
        churros,
        "GET /notifications",
        query={"topics[]": topic, "pageSize": 1},
        expect=Each(dict),
        expect_headers={"elements-next-page-token": str},
    )
    token = first.headers.get("elements-next-page-token", "")
    call(
        "second page of notifications",
        churros,
        "GET /notifications",
        expect=Each(dict),
        query={"topics[]": topic, "pageSize": 1, "nextPage": token},
    )
    number = int(listed.body[0]["id"])
    call("one notification", churros, f"GET /notifications/{number}", expect=NOTIFICATION)
    call("no notification", churros, "GET /notifications/-1", status=404, expect=ERROR)
    _read_deliveries(world, topic, number)


def _read_deliveries(world: World, topic: str, number: int) -> None:
    call, churros = world.client.call, "churros"
    subscriptions = call(
        "subscriptions",
        churros,
        "GET /notifications/subscriptions",
        expect=Each(SUBSCRIPTION, least=2),
    )
    [own] = [one for one in subscriptions.body if topic in one["topics"] and one["active"]]
    call(
        "one subscription",
        churros,
        f"GET /notifications/subscriptions/{own['id']}",
        expect=SUBSCRIPTION | {"config": {"url": world.callback_url}, "topics": [topic]},
    )
    call(
        "no subscription", churros, "GET /notifications/subscriptions/-1", status=404, expect=ERROR
    )
    base = f"GET /notifications/{number}/subscriptions"
    call(
        "one delivery",
        churros,
        f"{base}/{own['id']}/deliveries",
        query={"hydrate": "true"},
        expect=HYDRATED | {"notificationId": number, "subscriptionId": own["id"]},
    )
    call("deliveries of a notification", churros, f"{base}/deliveries", expect=Each(DELIVERY))
    webhook = {"subscription": {"channel": "webhook"}}
    call(
        "deliveries by channel",
        churros,
        f"GET {_LIST}",
        expect=Each(HYDRATED | webhook),
        query={"hydrate": "true", "where": "channel='webhook'"},
    )
    call(
        "deliveries without payloads",
        "sdk",
        f"GET {_LIST}",
        expect=Each(DELIVERY),
        query={"hydrate": "false", "where": "channel='webhook'"},
    )


def write(world: World) -> None:
    """Create notifications and subscriptions that are no instance's (churros)."""
    call, churros = world.client.call, "churros"
    notification = {
        "severity": "low",
        "topic": "churros-topic",
        "message": "this is a test message",
        "from": "churros",
    }
    subscription = {
        "channel": "webhook",
        "topics": ["churros-topic"],
        "config": {"url": "http://fake.churros.api.com"},
    }
    for name, path, body, shape in (
        ("notification", "/notifications", notification, NOTIFICATION),
        ("subscription", "/notifications/subscriptions", subscription, SUBSCRIPTION),
    ):
        call(f"create a {name}", churros, f"POST {path}", body=body, expect=shape)
        call(
            f"create a {name} from nothing",
            churros,
            f"POST {path}",
            body={},
            status=400,
            expect=ERROR,
        )
        call(f"delete a {name}", churros, f"DELETE {path}/1")
    call(
        "acknowledge a notification",
        churros,
        "PUT /notifications/1/acknowledge",
        body={},
        expect={"acknowledged": True},
    )
    call(
        "send an e-mail",
        churros,
        "POST /notifications/emails",
        body={"to": "a@example.com", "subject": "x", "message": "x"},
    )


def set_policy(world: World) -> None:
    """Change the settings of the account that callbacks name, in each documented way."""
    topics = {"where": "channel='webhook'", "pageSize": 1}
    [delivery] = world.client.ask("a delivery", f"GET {_LIST}", query=topics).body
    account = delivery["notification"]["message"]["accountId"]
    call, guide, path = world.client.call, "guide", f"/accounts/{account}/settings"
    call(
        "post the settings",
        guide,
        f"POST {path}",
        body={_POLICY: "queue"},
        expect={_POLICY: "queue"},
    )
    call(
        "patch the settings",
        guide,
        f"PATCH {path}",
        body={_POLICY: "retry"},
        expect={_POLICY: "retry"},
    )
    call("read the settings", guide, f"GET {path}", expect={_POLICY: "retry"})


def queue(world: World, instance: Instance) -> None:
    """Queue a notification, read the queue and deliver it again (churros; guide: tips)."""
    call, churros = world.client.call, "churros"
    call(
        "queue after failures",
        churros,
        "PATCH /accounts/settings",
        body={_POLICY: "queue"},
        expect={_POLICY: "queue"},
    )
    world.listener.failing = True
    world.rename_product(world.product, "Queued")
    world.pass_time()
    world.listener.failing = False
    where = f"channel='webhook' and status='queued' and config.url='{world.callback_url}'"
    queued = _of(
        instance,
        call(
            "read the queue",
            "guide",
            f"GET {_LIST}",
            query={"where": where},
            auth=world.client.account(),
            expect=Each(HYDRATED | {"status": "queued"}),
        ),
    )
    pair = f"{queued['notificationId']}/subscriptions/{queued['subscriptionId']}"
    path = f"GET /notifications/{pair}/deliveries?hydrate=true"
    event = queued["notification"]["message"]
    event_id = event["eventId"] if isinstance(event, dict) else ""
    call(
        "event while queued",
        "sdk",
        f"GET /instances/events/{event_id}",
        expect={"id": event_id, "status": "DISPATCHED"},
    )
    world.pass_time()
    call("still queued", churros, path, expect={"status": "queued"})
    call("redeliver", churros, f"PUT {_LIST}", query={"hydrate": "true", "where": where})
    world.pass_time()
    call("delivered again", churros, path, expect={"status": "delivered"})
    ids = {one.message["eventId"] for one in world.listener.take()}
    world.client.check("callback of the queue", churros, event_id in ids, True)
    call("empty queue", "guide", f"GET {_LIST}", query={"where": where}, expect=[])
    call(
        "event after the queue",
        "sdk",
        f"GET /instances/events/{event_id}",
        expect={"status": "NOTIFIED"},
    )


def fail(world: World, instance: Instance) -> str:
    """Fail once under the policy retry; return the call that reads the delivery (churros)."""
    call, churros = world.client.call, "churros"
    call(
        "retry after failures",
        churros,
        "PATCH /accounts/settings",
        body={_POLICY: "retry"},
        expect={_POLICY: "retry"},
    )
    world.listener.failing = True
    world.rename_product(world.product, "Retried")
    world.pass_time()
    world.listener.failing = False
    failed = _of(
        instance,
        call(
            "deliveries to be retried",
            churros,
            f"GET {_LIST}",
            query={"where": "status='retry'"},
            expect=Each(HYDRATED | {"status": "retry"}),
        ),
    )
    pair = f"{failed['notificationId']}/subscriptions/{failed['subscriptionId']}"
    path = f"GET /notifications/{pair}/deliveries?hydrate=true"
    call("delivery to be retried", churros, path, expect={"status": "retry"})
    return path


def is_delivered(world: World, path: str) -> bool:
    """Return whether a delivery that failed has arrived by now."""
    world.pass_time()
    return bool(world.client.ask("delivery after a failure", path)["status"] == "delivered")


def _of(instance: Instance, answer: Answer) -> dict[str, dict[str, object]]:
    """Return the delivery of an instance's product."""
    topic = f"instance-{instance.id}-woocommercerest-events"
    found = [one for one in answer.body if one["notification"]["topic"] == topic]
    assert len(found) == 1, found
    return found[0]  # type: ignore[no-any-return]
