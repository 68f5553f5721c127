"""Calls of ``/elements``."""

from __future__ import annotations

import json

from tests.acceptance.old_client.expected import (
    DEFINITION,
    ERROR,
    EXPANDED,
    METADATA,
    RESOURCES,
)
from tests.acceptance.old_client.shapes import Each, Fact
from tests.acceptance.old_client.world import World

#: churros, general/headers.js
_EXPOSED = (
    "Elements-Returned-Count, Elements-Total-Count, Elements-Request-Id, "
    "Elements-Next-Page-Token, Elements-Trace-Id, Elements-Error, Content-Disposition"
)
#: Required by churros' element.schema.json, and what else its tests read.
_ELEMENT = {
    "id": 2881,
    "name": str,
    "key": "woocommercerest",
    "description": str,
    "authentication": {"type": str},
    "configuration": Each(DEFINITION),
    "hub": "ecommerce",
}
#: doctor: records of a sibling polling element; page: the parameters' types.
_TYPES = {
    "event.vendor.type": ("TEXTFIELD_32", "polling"),
    "event.poller.refresh_interval": ("TEXTFIELD_128", "15"),
    "event.notification.enabled": ("BOOLEAN", "false"),
    "event.notification.callback.url": ("TEXTFIELD_128", ""),
    "event.notification.signature.key": ("TEXTFIELD_128", ""),
    "event.notification.basic.username": ("TEXTFIELD_1000", ""),
    "event.notification.basic.password": ("PASSWORD", ""),
    "event.notification.callback.headers": ("TEXTFIELD_128", ""),
    "filter.response.nulls": ("BOOLEAN", "true"),
}


def describe(world: World) -> None:
    """Read the element, its metadata and its configuration."""
    call, churros = world.client.call, "churros"
    call(
        "list elements",
        churros,
        "GET /elements",
        headers={"Origin": "churros"},
        expect=Each(_ELEMENT),
        expect_headers={"access-control-expose-headers": _EXPOSED},
    )
    call("metadata of all elements", churros, "GET /elements/metadata", expect=Each(METADATA))
    call("expanded metadata", churros, "GET /elements/2881/metadata?expand=true", expect=EXPANDED)
    call(
        "metadata of no element",
        churros,
        "GET /elements/999999999999/metadata",
        status=404,
        expect=ERROR,
    )
    for name in ("woocommercerest", "2881"):
        call(f"element {name}", churros, f"GET /elements/{name}", expect=_ELEMENT)
        call(f"metadata of {name}", churros, f"GET /elements/{name}/metadata", expect=METADATA)
        listed = call(
            f"configuration of {name}",
            "guide",
            f"GET /elements/{name}/configuration",
            expect=Each(DEFINITION),
        )
        definitions = {one["key"]: one for one in listed.body}
        expected = {
            key: {"type": kind, "defaultValue": default} for key, (kind, default) in _TYPES.items()
        }
        poller = {
            "type": "TEXTAREA",
            "defaultValue": Fact(
                "the four resources as JSON text",
                lambda text: set(json.loads(text)) == {*RESOURCES},
            ),
        }
        world.client.check(
            f"definitions of {name}",
            "doctor",
            definitions,
            expected | {"event.poller.configuration": poller},
        )
