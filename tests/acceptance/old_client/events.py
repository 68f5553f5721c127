"""Callbacks, and the calls of ``/instances/events`` and ``/events``."""

from __future__ import annotations

import base64
import datetime as dt
import json
import typing as t

from tests.acceptance.old_client import hub
from tests.acceptance.old_client.expected import ERROR, EVENT, NOT_EMPTY, RESOURCES, envelope
from tests.acceptance.old_client.listener import Callback
from tests.acceptance.old_client.shapes import ABSENT, Each
from tests.acceptance.old_client.world import SIGNATURE_KEY, Instance, World


def receive(world: World, page: Instance, churros: Instance) -> list[str]:
    """Create, change and delete objects, and take the callbacks (churros: ``itPolling``).

    :param page: the instance whose customers are ``contacts``.
    :return: the ids of the events.
    """
    call, event_ids = world.client.call, list[str]()
    path, made = "/hubs/ecommerce", dict[str, int]()
    for name in RESOURCES:
        body = hub.payload(name, f"polled{name}")
        made[name] = call(
            f"create one of {name} to be polled", "churros", f"POST {path}/{name}", body=body
        )["id"]
    event_ids += _take(world, "CREATED", page, churros, made)
    for name in RESOURCES:
        call(
            f"change one of {name} to be polled",
            "churros",
            f"PATCH {path}/{name}/{made[name]}",
            body=_change(name),
        )
    event_ids += _take(world, "UPDATED", page, churros, made)
    for name in RESOURCES:
        call(f"delete one of {name} to be polled", "churros", f"DELETE {path}/{name}/{made[name]}")
    event_ids += _take(world, "DELETED", page, churros, made)
    world.client.check("event ids are unique", "churros", len(set(event_ids)), len(event_ids))
    return event_ids


def _change(resource: str) -> dict[str, t.Any]:
    return {
        "customers": {"first_name": "Eve"},
        "discounts": {"description": "x"},
        "orders": {"customer_note": "x"},
        "products": {"description": "x"},
    }[resource]


def _take(
    world: World, event_type: str, page: Instance, churros: Instance, made: dict[str, int]
) -> list[str]:
    """Compare the callbacks of one kind of change: one for each resource and instance."""
    world.pass_time()
    taken = {
        (one.message["instanceId"], one.message["raw"]["objectType"]): one
        for one in world.listener.take()
    }
    event_ids = []
    for instance, contacts in ((page, "contacts"), (churros, "customers")):
        for resource in RESOURCES:
            name = contacts if resource == "customers" else resource
            what = f"{name} {event_type} of {instance.name}"
            callback = taken.pop((instance.id, name), None)
            if callback is None:
                world.client.note(what, "churros", ["no callback"])
                continue
            _judge(world, what, callback, instance, name, event_type)
            ids = [one["objectId"] for one in callback.message["events"]]
            world.client.check(f"{what}: objects", "usecase", ids, [str(made[resource])])
            event_ids.append(callback.message["eventId"])
    world.client.check(f"no other callback for {event_type}", "churros", [*taken], [])
    return event_ids


def _judge(
    world: World, what: str, callback: Callback, instance: Instance, name: str, event_type: str
) -> None:
    """Compare headers and body of one callback."""
    signed = instance.name != "churros-instance"
    headers = {"elements-webhook-id": NOT_EMPTY, "content-type": "application/json"}
    headers["elements-webhook-signature"] = NOT_EMPTY if signed else ABSENT
    world.client.check(f"{what}: headers", "churros", callback.headers, headers)
    if signed:
        world.client.check(f"{what}: signature", "guide", callback.is_signed(SIGNATURE_KEY), True)
    world.client.check(
        what,
        "usecase",
        callback.body,
        envelope(instance.id, instance.name, instance.tags, name, event_type),
    )
    message = callback.message
    dates = {one["pollDate"] for one in message["events"]}
    poll_date = dt.datetime.fromtimestamp(message["raw"]["pollDate"] // 1000, dt.UTC)
    world.client.check(
        f"{what}: poll date", "usecase", dates, {poll_date.strftime("%Y-%m-%dT%H:%M:%SZ")}
    )
    pairs = [
        (str(record["id"]), event["objectId"])
        for record, event in zip(message["raw"][name], message["events"], strict=True)
    ]
    world.client.check(
        f"{what}: records", "usecase", all(one == other for one, other in pairs), True
    )


def read(world: World, instance: Instance, event_id: str) -> None:
    """Read events that were delivered."""
    client, churros = world.client, "churros"
    call, notified = client.call, EVENT | {"id": event_id, "status": "NOTIFIED"}
    own = f"/instances/{instance.id}/events"
    call("events of an instance", churros, f"GET {own}", expect=Each(EVENT))
    call(
        "events of all instances", churros, "GET /instances/events?pageSize=10", expect=Each(EVENT)
    )
    call(
        "events by token",
        "sdk",
        "GET /instances/events",
        expect=Each(EVENT),
        auth=client.element(instance.token),
    )
    call("one event", churros, f"GET /instances/events/{event_id}", expect=notified)
    one = call("one event of an instance", churros, f"GET {own}/{event_id}", expect=notified)
    raw = json.loads(one["providerData"])
    client.check("provider data", "sdk", raw, {raw["objectType"]: Each(dict)})
    call(
        "an event that does not exist",
        "guide",
        f"GET {own}/AWVX9OTIhdQRdI1F7Q7v",
        status=404,
        expect=ERROR,
    )
    call(
        "poller records",
        churros,
        "GET /instances/event-poller-records",
        auth=client.element(instance.token),
        expect=Each(dict, least=4),
    )
    call("disabled polling", "kb", "GET /instances/polling-disabled", expect=[])
    call("disabled jobs", "kb", "GET /jobs/polling-disabled", expect=[])
    call("poll jobs", "sdk", "GET /jobs", expect=Each(dict))
    call("metrics of events", "sdk", "GET /metrics/events", expect=NOT_EMPTY)


def count(world: World, sent: int) -> None:
    """Count events over time (churros: analytics.js)."""
    call, churros = world.client.call, "churros"
    now = dt.datetime.now(dt.UTC)
    records = {"accounts": "accountId", "instances": "instanceId"}
    for kind in ("", "accounts", "instances"):
        path = f"GET /instances/events/analytics{'/' + kind if kind else ''}"
        name = f"analytics{' of ' + kind if kind else ''}"
        shape: dict[str, t.Any] = {"count": int, "timestamp": str}
        if kind:
            record = {"count": int, "success": int, "failed": int, records[kind]: int}
            shape = {"records": Each(record, least=0), "total": int, "timestamp": str}
        call(f"{name} of a day", churros, path, expect=Each(shape))
        found = call(
            f"{name} by minute",
            churros,
            path,
            expect=Each(shape),
            query=_window(now, 1, 0, "minute"),
        ).body
        total = sum(one["total"] if kind else one["count"] for one in found)
        world.client.check(f"{name}: buckets", churros, len(found), 61)
        world.client.check(f"{name}: all events", churros, total >= sent, True)
        call(
            f"{name} backwards",
            churros,
            path,
            query=_window(now, 1, 2, "minute"),
            status=400,
            expect=ERROR,
        )
        call(
            f"{name} by second",
            churros,
            path,
            query=_window(now, 24, 0, "second"),
            status=400,
            expect=ERROR,
        )
        call(
            f"{name} of nobody", churros, path, query={"accountIds[]": 0}, status=403, expect=ERROR
        )


def _window(now: dt.datetime, since: int, until: int, interval: str) -> dict[str, str]:
    """Return parameters with dates as ``toJSON`` writes them; hours before now."""
    dates = [
        (now - dt.timedelta(hours=hours)).isoformat(timespec="milliseconds")
        for hours in (since, until)
    ]
    start, end = (date.replace("+00:00", "Z") for date in dates)
    return {"from": start, "to": end, "interval": interval}


def explain(world: World) -> None:
    """Read what became of events, one of which was not delivered at first (churros)."""
    call, churros = world.client.call, "churros"
    shape = {"eventId": str, "elementInstanceId": int, "notificationData": Each({"message": str})}
    call("all dispositions", churros, "GET /instances/events/dispositions", expect=Each(shape))
    found = (
        call(
            "dispositions",
            churros,
            "GET /instances/events/dispositions",
            expect=Each(shape),
            query=_window(dt.datetime.now(dt.UTC), 1, 0, "minute"),
        ).body
        or []
    )
    texts = [
        one["message"]
        for each in found
        if isinstance(each, dict)
        for one in each["notificationData"]
    ]
    for text in ("Error delivering event", "Triggered executions", "Completed execution"):
        seen = any(text in one for one in texts)
        world.client.check(f"disposition {text}", churros, seen, True)


def send(world: World, page: Instance, churros: Instance) -> None:
    """Send events to the platform, as vendors and churros do."""
    call, path, product = world.client.call, "/events/woocommercerest", world.product
    topic = {"X-WC-Webhook-Topic": "product.updated", "X-WC-Webhook-Resource": "product"}
    for ids in (str(page.id), f"{page.id},{churros.id}"):
        name = f"event for {len(ids.split(','))}"
        world.rename_product(product, name)
        call(
            f"send an {name}",
            "churros",
            f"POST {path}",
            body={"id": product},
            headers={"Element-Instances": ids, **topic},
        )
        world.pass_time()
        # The other instance sees the change in its own poll.
        of = sorted(one.message["instanceId"] for one in world.listener.take())
        world.client.check(f"callbacks of an {name}", "churros", of, [page.id, churros.id])
    call(
        "send the same event again",
        "churros",
        f"POST {path}",
        body={"id": product},
        headers={"Element-Instances": str(page.id), **topic},
    )
    world.pass_time()
    world.client.check("callbacks of the same event", "churros", len(world.listener.take()), 1)
    call(
        "send an event of another vendor",
        "churros",
        f"POST {path}",
        body={"objects": [{"Id": "003i0000032SVcmAAG"}], "action": "update"},
        headers={"Element-Instances": str(page.id)},
    )
    world.pass_time()
    world.client.check("callbacks of another vendor", "churros", len(world.listener.take()), 1)


def send_otherwise(world: World, page: Instance) -> None:
    """Send events as forms, by GET and to addresses (churros; guide: element pages)."""
    call, path = world.client.call, "/events/woocommercerest"
    call(
        "send a form",
        "churros",
        f"POST {path}",
        body=b"event=uploaded&itemId=1&itemType=file",
        headers={
            "Element-Instances": str(page.id),
            "Content-Type": "application/x-www-form-urlencoded",
        },
    )
    call("send an event by GET", "churros", f"GET {path}", query={"ticket": '{"id":"1711"}'})
    address = base64.b64encode(str(page.id).encode()).decode()
    call(
        "send to an address",
        "guide",
        f"POST {path}/{address}",
        body={"id": world.product},
        auth="",
        headers={"X-WC-Webhook-Topic": "product.updated"},
    )
    call(
        "ping an address",
        "guide",
        f"POST {path}/{address}",
        body=b"webhook_id=1",
        auth="",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    call("open an address", "guide", f"GET {path}/{address}", auth="")
    polled = {
        "instance_id": str(page.id),
        "objectType": "products",
        "eventId": "35149",
        "products": [{"id": world.product}],
        "events": [],
    }
    call(
        "imitate the poller",
        "churros",
        f"POST {path}Polling/{address}",
        body=polled,
        headers={"Id": str(page.id)},
    )
