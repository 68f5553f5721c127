"""Calls that create, find and delete instances."""

from __future__ import annotations

import json
import typing as t

from tests.acceptance.old_client.expected import (
    CREATED,
    ERROR,
    INSTANCE,
    ISO,
    MASKED,
    NONE_FOUND,
)
from tests.acceptance.old_client.shapes import ABSENT, Each, Fact
from tests.acceptance.old_client.world import Instance, World

_DATES = {
    "updatedDateField": "date_modified",
    "updatedDateFormat": "yyyy-MM-dd'T'HH:mm:ss'",
    "createdDateField": "date_created",
    "createdDateFormat": "yyyy-MM-dd'T'HH:mm:ss'",
}


def connect(world: World) -> tuple[Instance, Instance]:
    """Create the two polling instances of all later calls, and others that are deleted again.

    :return: the instance of the documentation page, and that of churros.
    """
    return _of_page(world), _of_churros(world)


def _of_page(world: World) -> Instance:
    names = ("contacts", "discounts", "orders", "products")
    polled = {
        name: {
            "url": f"/hubs/ecommerce/{'customers' if name == 'contacts' else name}",
            "idField": "id",
            "datesConfiguration": _DATES if name == "contacts" else {},
        }
        for name in names
    }
    keys = {
        **world.events(),
        "event.vendor.type": "polling",
        "event.poller.refresh_interval": "15",
        "event.poller.configuration": polled,
    }
    body = {
        "element": {"key": "woocommercerest"},
        "configuration": world.configuration(**keys),
        "tags": ["Docs"],
        "name": "API Instance with Polling",
    }
    shown = {
        "oauth.api.key": MASKED,
        "oauth.api.secret": MASKED,
        "store.url": world.store_url,
        "event.notification.enabled": "true",
        "event.vendor.type": "polling",
        "event.poller.refresh_interval": "15",
        "event.notification.callback.url": world.callback_url,
    }
    made = world.client.call(
        "create a polling instance",
        "page",
        "POST /instances",
        auth=world.client.account(),
        body=body,
        expect=CREATED
        | {
            "name": "API Instance with Polling",
            "tags": ["Docs"],
            "configuration": shown,
            "eventsEnabled": True,
            "eventsNotificationCallbackUrl": world.callback_url,
            "subscriptionId": int,
        },
    )
    return Instance(made["id"], made["token"], "API Instance with Polling", ["Docs"])


def _of_churros(world: World) -> Instance:
    """Provision as ``core/provisioner.js`` does for tests of polling."""
    call, churros = world.client.call, "churros"
    element = call("element before provisioning", churros, "GET /elements/woocommercerest")
    metadata = call(
        "metadata before provisioning",
        churros,
        f"GET /elements/{element['id']}/metadata",
        expect={"events": {"supported": True}},
    )
    assert "polling" in metadata["events"]["methods"]
    [default] = [
        one["defaultValue"]
        for one in element["configuration"]
        if one["key"] == "event.poller.configuration"
    ]
    keys = {
        "event.poller.configuration": default,
        "event.poller.urls": "|".join(json.loads(default)),
        "event.vendor.type": "polling",
        "event.notification.callback.url": "https://httpbin.org/get",
        "event.notification.enabled": "true",
        "event.poller.refresh_interval": "1",
        "event.notification.signature.key": "",
    }
    body = {
        "name": "churros-instance",
        "element": {"key": "woocommercerest"},
        "configuration": world.configuration(**keys),
    }
    made = call(
        "create with the element's defaults",
        churros,
        "POST /instances",
        body=body,
        expect=CREATED
        | {"name": "churros-instance", "tags": ["churros-instance"], "eventsEnabled": True},
    )
    _change_callback(world, made["id"])
    return Instance(made["id"], made["token"], "churros-instance", ["churros-instance"])


def _change_callback(world: World, instance: int) -> None:
    """Change the callback as churros does before it polls; everything else stays."""
    world.client.call(
        "change the callback alone",
        "churros",
        f"PATCH /instances/{instance}",
        body={"configuration": {"event.notification.callback.url": world.callback_url}},
        expect={
            "configuration": {
                "event.notification.callback.url": world.callback_url,
                "event.poller.refresh_interval": "1",
                "store.url": world.store_url,
            },
            "eventsNotificationCallbackUrl": world.callback_url,
        },
    )


def create_others(world: World) -> None:
    """Create instances as other pages do, and delete them."""
    created = (*_with_webhooks(world), *_without_events(world), *_with_pollers(world))
    for number, instance in enumerate(created):
        world.client.call(
            f"delete other instance {number}",
            "churros",
            f"DELETE /instances/{instance}",
            auth=world.client.account(),
        )


def _with_webhooks(world: World) -> list[int]:
    call = world.client.call
    webhook: dict[str, t.Any] = {
        "element": {"key": "woocommercerest"},
        "configuration": world.configuration(**world.events(), **{"event.vendor.type": "webhook"}),
        "tags": ["Docs"],
        "name": "API Instance",
    }
    first = call(
        "create a webhook instance",
        "page",
        "POST /instances",
        body=webhook,
        expect=CREATED | {"eventsEnabled": True, "configuration": {"event.vendor.type": "webhook"}},
    )
    webhook["configuration"]["event.vendor.type"] = "webhooks"
    second = call(
        "create with the type webhooks",
        "guide",
        "POST /instances",
        body=webhook,
        expect={"eventsEnabled": True},
    )
    return [first["id"], second["id"]]


def _without_events(world: World) -> list[int]:
    call = world.client.call
    plain = {
        "element": {"key": "woocommercerest"},
        "configuration": world.configuration(),
        "tags": ["Docs"],
        "name": "API Instance",
    }
    first = call(
        "create without events",
        "guide",
        "POST /instances",
        body=plain,
        expect=CREATED | {"eventsEnabled": False},
    )
    second = call(
        "create and retrieve objects",
        "kb",
        "POST /instances",
        body=plain | {"retrieveObjectsAfterInstantiation": True},
        expect={"objects": Each({"name": str, "vendorName": str, "type": str})},
    )
    return [first["id"], second["id"]]


def _with_pollers(world: World) -> list[int]:
    """Create instances with what other pages say about pollers and callbacks (guide)."""
    line = "|/hubs/ecommerce/{0}||date_modified|{1}|GMT|date_created|{1}|GMT"
    day = "yyyy-MM-dd'T'HH:mm:ss"
    macro = "/hubs/ecommerce/orders?where=date_modified>='${gmtDate:" + day + "}'"
    every = {
        "url": macro,
        "idField": "id",
        "filterByUpdatedDate": True,
        "filterByCurrentDate": True,
        "datesConfiguration": {
            **_DATES,
            "updatedDateTimezone": "GMT",
            "createdDateTimezone": "GMT",
            "createdCheckTolerance": 10,
        },
        "createdCheckTolerance": 60,
        "pageSize": 20,
        "pollDelay": 60,
    }
    configurations: dict[str, dict[str, t.Any]] = {
        "older lines of pollers": {
            "event.poller.urls": "\n".join(
                name + line.format(name, day) for name in ("customers", "orders")
            )
        },
        "every parameter": {"event.poller.configuration": {"orders": every}},
        "a numeric interval": {"event.poller.refresh_interval": 15},
        "no callback": {"event.notification.callback.url": ""},
        "authentication of the callback": {
            "event.notification.basic.username": "ann",
            "event.notification.basic.password": "secret",
        },
        "the delivery channel": {"event.notification.type": "webhook"},
    }
    return [
        world.client.call(
            f"create with {name}",
            "guide",
            "POST /instances",
            body={
                "element": {"key": "woocommercerest"},
                "configuration": world.configuration(**{**world.events(), **keys}),
                "tags": ["Docs"],
                "name": "API Instance",
            },
            expect={"eventsEnabled": True, "token": str},
        )["id"]
        for name, keys in configurations.items()
    ]


def create_with_the_name_of_the_table(world: World) -> None:
    """Name the store's address as the page's table of parameters does."""
    configuration = world.configuration()
    configuration["oauth.callback.url"] = configuration.pop("store.url")
    body = {
        "element": {"key": "woocommercerest"},
        "configuration": configuration,
        "name": "API Instance",
    }
    made = world.client.call(
        "create with oauth.callback.url",
        "page",
        "POST /instances",
        body=body,
        expect={"token": str},
    )
    world.client.call(
        "delete it by its token",
        "sdk",
        "DELETE /instances",
        auth=world.client.element(made["token"]),
    )


def create_wrongly(world: World) -> None:
    """Leave out what an instance needs."""
    call = world.client.call
    lacking = {"element": {"key": "woocommercerest"}, "name": "x", "configuration": {}}
    names = Fact("the missing entry", lambda text: "store.url" in text)
    call(
        "create without required entries",
        "churros",
        "POST /instances",
        status=400,
        body=lacking,
        expect=ERROR | {"message": names},
    )
    call("create from nothing", "churros", "POST /instances", status=400, body={}, expect=ERROR)


def manage_by_element(world: World, element: str) -> None:
    """Create, read, change and delete below an element, by its key or id (churros)."""
    call, churros, base = world.client.call, "churros", f"/elements/{element}/instances"

    def named(text: str) -> str:
        return f"{text} at {element}"

    body = {
        "name": "churros-instance",
        "element": {"key": "woocommercerest"},
        "configuration": world.configuration(),
    }
    made = call(named("create"), churros, f"POST {base}", body=body, expect=CREATED)
    masked = {"oauth.api.secret": MASKED, "oauth.api.key": MASKED, "store.url": world.store_url}
    call(
        named("show"),
        churros,
        f"GET {base}/{made['id']}",
        expect=INSTANCE | {"configuration": masked},
    )
    call(named("list"), churros, f"GET {base}", expect=Each(INSTANCE | {"createdDate": ISO}))
    call(
        named("replace"),
        churros,
        f"PUT {base}/{made['id']}",
        body=body | {"name": "updated-instance"},
        expect={"name": "updated-instance"},
    )
    call(named("delete"), churros, f"DELETE {base}/{made['id']}", auth=world.client.account())
    call(named("show deleted"), churros, f"GET {base}/{made['id']}", status=404, expect=ERROR)


def search(world: World) -> None:
    """List instances by tag and text."""
    call, churros = world.client.call, "churros"
    docs = Each({"tags": Fact("with the tag", lambda tags: "Docs" in tags)})
    named = Each({"name": Fact("with the text", lambda name: "churros" in name)})
    tagged = Each(
        {
            "name": Fact("with the text", lambda name: "churros" in name),
            "tags": Fact("with the tag", lambda tags: "churros-instance" in tags),
        }
    )
    call("list by tag", churros, "GET /instances", query={"tags[]": "Docs"}, expect=docs)
    call("list by text", churros, "GET /instances", query={"searchText": "churros"}, expect=named)
    query = {"searchText": "churros", "tags[]": "churros-instance"}
    call("list by text and tag", churros, "GET /instances", query=query, expect=tagged)
    call(
        "list without a match",
        churros,
        "GET /instances",
        status=404,
        expect=NONE_FOUND,
        query=query | {"searchText": "somelongrandomstringwithnocolisions"},
    )
    call(
        "find a backup",
        churros,
        "GET /instances?tags%5B%5D=churros-instance&hydrate=false",
        expect=Each({"token": str, "element": {"key": str, "id": int}}),
    )


def find(world: World, instance: Instance) -> None:
    """List, page and show instances."""
    call, churros = world.client.call, "churros"
    account = world.client.account()
    call("list instances", churros, "GET /instances", auth=account, expect=Each(INSTANCE, least=2))
    first = call(
        "first page of instances",
        "sdk",
        "GET /instances",
        query={"pageSize": 1},
        auth=account,
        expect=Each(dict),
        expect_headers={"elements-next-page-token": str},
    )
    token = first.headers.get("Elements-Next-Page-Token", "")
    second = call(
        "second page of instances",
        "sdk",
        "GET /instances",
        auth=account,
        query={"pageSize": 1, "nextPage": token},
        expect=Each(dict),
    )
    assert first.body[0]["id"] != second.body[0]["id"]
    call(
        "show by id",
        churros,
        f"GET /instances/{instance.id}",
        auth=account,
        expect=INSTANCE | {"id": instance.id, "providerData": ABSENT},
    )
    call(
        "show by token",
        "guide",
        "GET /instances",
        auth=world.client.element(instance.token),
        expect={"id": instance.id},
    )
