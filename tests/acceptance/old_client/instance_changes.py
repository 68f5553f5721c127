"""Calls that change, configure, switch and delete an instance."""

from __future__ import annotations

from tests.acceptance.old_client.expected import ENTRY, ERROR, MASKED
from tests.acceptance.old_client.shapes import ABSENT, Each
from tests.acceptance.old_client.world import Instance, World

_XSS = '<a href="#" onClick="javascript:alert(\'xss\');return false;">{}</a>'


def change(world: World, instance: Instance) -> None:
    """Change names, tags and everything at once, by id and by token."""
    call, churros, path = world.client.call, "churros", f"/instances/{instance.id}"
    for number, (name, target) in enumerate((("id", path), ("token", "/instances"))):
        clean = f"churros-xss-{number}"
        call(
            f"sanitize the name by {name}",
            churros,
            f"PATCH {target}",
            body={"name": _XSS.format(clean)},
            expect={"name": clean},
        )
        call(
            f"replace tags by {name}",
            churros,
            f"PATCH {target}",
            body={"id": instance.id, "tags": ["churros-testing"]},
            expect={"tags": ["churros-testing"]},
        )
        call(
            f"send provider data by {name}",
            churros,
            f"PATCH {target}",
            body={"name": instance.name, "providerData": {"code": "1"}},
            expect={"name": instance.name, "providerData": ABSENT},
        )
        whole = {
            "name": instance.name,
            "element": {"key": "woocommercerest"},
            "configuration": world.configuration(**world.events()),
        }
        call(
            f"replace by {name}",
            churros,
            f"PUT {target}",
            body=whole,
            expect={
                "name": instance.name,
                "providerData": ABSENT,
                "configuration": {"store.url": world.store_url},
            },
        )


def send_back(world: World, instance: Instance) -> None:
    """Replace an instance by what was read, with other tags (churros)."""
    call, churros, path = world.client.call, "churros", f"/instances/{instance.id}"
    shown = call("show before sending it back", churros, f"GET {path}").body
    changed = call(
        "send it back with a tag",
        churros,
        f"PUT {path}",
        body=shown | {"tags": ["test"]},
        expect={"tags": ["test"]},
    ).body
    call("send it back without tags", churros, f"PUT {path}", body=changed | {"tags": []})
    call("show without tags", churros, f"GET {path}", expect={"tags": []})
    call(
        "switch to the element",
        churros,
        f"PATCH {path}",
        body={"element": {"id": 2881}},
        expect={"element": {"id": 2881}},
    )
    call(
        "restore the tags",
        churros,
        f"PATCH {path}",
        body={"tags": instance.tags},
        expect={"tags": instance.tags, "configuration": {"event.notification.enabled": "true"}},
    )


def configure(world: World, instance: Instance) -> None:
    """Read and change entries of the configuration, by id and by token."""
    call, churros = world.client.call, "churros"
    for name, base in (("id", f"/instances/{instance.id}"), ("token", "/instances")):
        listed = call(
            f"list entries by {name}", churros, f"GET {base}/configuration", expect=Each(ENTRY)
        )
        entries = {one["key"]: one for one in listed.body}
        values = {
            key: entries.get(key, {}).get("propertyValue")
            for key in ("oauth.api.key", "oauth.api.secret", "filter.response.nulls")
        }
        world.client.check(
            f"entries by {name}",
            churros,
            values,
            {
                "oauth.api.key": MASKED,
                "oauth.api.secret": MASKED,
                "filter.response.nulls": "true",
            },
        )
        entry = entries["event.notification.enabled"]
        path = f"{base}/configuration/{entry['id']}"
        call(
            f"change an entry by {name}",
            churros,
            f"PATCH {path}",
            body=entry | {"propertyValue": "true"},
            expect=ENTRY | {"id": entry["id"]},
        )
        call(
            f"show an entry by {name}",
            churros,
            f"GET {path}",
            expect=ENTRY | {"propertyValue": "true"},
        )
    call(
        "show an entry that does not exist",
        "guide",
        f"GET /instances/{instance.id}/configuration/0",
        status=404,
        expect=ERROR,
    )


def show_nulls(world: World, instance: Instance) -> None:
    """Switch null members on and off (churros)."""
    call, churros = world.client.call, "churros"

    def check(name: str, present: bool) -> None:
        found = call(name, churros, "GET /hubs/ecommerce/products?pageSize=1", expect=Each(dict))
        world.client.check(f"{name}: members", churros, None in found.body[0].values(), present)

    listed = call("list entries for nulls", churros, f"GET /instances/{instance.id}/configuration")
    [entry] = [one for one in listed.body if one["key"] == "filter.response.nulls"]
    path = f"/instances/{instance.id}/configuration/{entry['id']}"
    check("products without nulls", False)
    call(
        "show nulls",
        churros,
        f"PATCH {path}",
        body=entry | {"propertyValue": "false"},
        expect={"propertyValue": "false"},
    )
    check("products with nulls", True)
    call(
        "hide nulls",
        churros,
        f"PATCH {path}",
        body=entry | {"propertyValue": "true"},
        expect={"propertyValue": "true"},
    )


def switch(world: World, instance: Instance) -> None:
    """Disable and enable an instance."""
    call, churros = world.client.call, "churros"
    for name, base in (("id", f"/instances/{instance.id}"), ("token", "/instances")):
        call(f"disable by {name}", churros, f"DELETE {base}/enabled")
        call(f"read while disabled by {name}", churros, "GET /orders", status=403, expect=ERROR)
        call(f"objects while disabled by {name}", churros, "GET /objects", expect=Each(str))
        call(f"enable by {name}", churros, f"PUT {base}/enabled")
        call(f"read after enabling by {name}", churros, "GET /orders", expect=Each(dict))
    call(
        "switch trace logging on",
        "sdk",
        f"PUT /instances/{instance.id}/trace-logging",
        body={"duration": 60},
    )
    call(
        "instance's own docs",
        "churros",
        f"GET /instances/{instance.id}/docs",
        expect={"swagger": str, "paths": dict},
    )


def delete(world: World, instance: Instance) -> None:
    """Delete an instance; its token is worthless from then on."""
    client = world.client
    element, account = client.element(instance.token), client.account()
    client.call("delete by id", "churros", f"DELETE /instances/{instance.id}", auth=account)
    path = "GET /hubs/ecommerce/orders?pageSize=1"
    client.call("read without a token", "churros", path, auth=account, status=401, expect=ERROR)
    client.call("read with a deleted token", "guide", path, auth=element, status=401, expect=ERROR)
    client.call(
        "read with all parts and a deleted token",
        "guide",
        path,
        status=401,
        expect=ERROR,
        auth=f"{account}, Element {instance.token}",
    )
    client.call(
        "show a deleted instance",
        "guide",
        f"GET /instances/{instance.id}",
        auth=account,
        status=404,
        expect=ERROR,
    )
    client.call(
        "delete again",
        "guide",
        f"DELETE /instances/{instance.id}",
        auth=account,
        status=404,
        expect=ERROR,
    )


def delete_by_token(world: World, instance: Instance) -> None:
    """Delete an instance by its token."""
    world.client.call(
        "delete by token", "sdk", "DELETE /instances", auth=world.client.element(instance.token)
    )
