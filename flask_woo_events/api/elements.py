"""``/elements``: the one element, its abilities and its configuration keys."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import flask
import orjson

from ..db.states import EventType
from ..errors import NotFoundError
from ..instances.polled_resources import CONFIGURATION_KEY, default_configuration
from ..instances.requests import DEFINITIONS
from ..values.cloud_elements import ELEMENT_ID, ELEMENT_KEY, ELEMENT_NAMES, HUB_KEY
from ..woocommerce import endpoints
from . import element_responses
from .hub import collections
from .request import caller, flag
from .responses import ELEMENT, dump, dump_all

Answer = dict[str, t.Any] | list[dict[str, t.Any]]

#: Resources that WooCommerce has webhooks for.
HOOKED = endpoints.DEFAULT_RESOURCES


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
    add = blueprint.add_url_rule
    add("/elements", view_func=list_elements, methods=["GET"])
    add("/elements/metadata", view_func=list_metadata, methods=["GET"])
    add("/elements/<element>", view_func=get_element, methods=["GET"])
    add("/elements/<element>/metadata", view_func=get_metadata, methods=["GET"])
    add("/elements/<element>/configuration", view_func=get_definitions, methods=["GET"])


def list_elements() -> Answer:
    """List the elements; there is one."""
    caller()
    return dump_all([described()])


def get_element(element: str) -> Answer:
    """Show an element by its key or id."""
    require_element(element)
    return dump(described())


def list_metadata() -> Answer:
    """List what each element can do."""
    caller()
    return dump_all([metadata(expand=flag("expand"))])


def get_metadata(element: str) -> Answer:
    """Describe what an element can do: events, paging, objects."""
    require_element(element)
    return dump(metadata(expand=flag("expand")))


def get_definitions(element: str) -> Answer:
    """List the keys that an instance's configuration can have, with their defaults."""
    require_element(element)
    return dump_all(definitions())


def require_element(element: str) -> None:
    """Refuse any other element; the caller is authenticated first."""
    caller()
    if element not in ELEMENT_NAMES:
        raise NotFoundError(f"No element found; the only one here is {ELEMENT_KEY}")


def described() -> element_responses.ElementResponse:
    """Return the element with its configuration."""
    return element_responses.ElementResponse(configuration=definitions())


def definitions() -> list[element_responses.ConfigurationDefinitionResponse]:
    """Return the definitions of the configuration's keys (element export of 2020)."""
    defaults = {CONFIGURATION_KEY: orjson.dumps(default_configuration()).decode()}
    return [
        element_responses.ConfigurationDefinitionResponse.of(
            definition, id=number, key=key, defaultValue=defaults.get(key, definition.default)
        )
        for number, (key, definition) in enumerate(DEFINITIONS.items(), ELEMENT_ID * 1000 + 1)
    ]


def metadata(*, expand: bool) -> element_responses.MetadataResponse:
    """Return what the element can do.

    :param expand: describe each object, instead of naming it.
    """
    types = [one.value for one in EventType]
    names = list(endpoints.names())
    polling = {
        name: element_responses.PolledResourceResponse(
            eventTypes=types, pollUrl=f"/hubs/{HUB_KEY}/{name}"
        )
        for name in names
    }
    webhook = {name: element_responses.HookedResourceResponse(eventTypes=types) for name in HOOKED}
    described = [
        element_responses.ObjectMetadataResponse(
            name=name,
            vendorName=endpoints.named(name).path,
            vendorEventTypes=types if name in HOOKED else [],
        )
        for name in names
    ]
    return element_responses.MetadataResponse(
        events=element_responses.EventsMetadataResponse(polling=polling, webhook=webhook),
        objects=list(described if expand else names),
        **(_more(names) if expand else {}),
    )


def _more(names: cabc.Iterable[str]) -> dict[str, t.Any]:
    """Return the members of expanded metadata (clients of the documented service need them)."""
    element = ELEMENT
    return {
        "image": element.image,
        "displayOrder": 1,
        "active": element.active,
        "transformations": element.transformationsEnabled,
        "elementType": "vendor",
        "churros": False,
        "swaggerValidated": True,  # A test checks every answer against the description.
        "cloneable": element.cloneable,
        "authenticationType": element.authentication.type,
        "discovery": element_responses.DiscoveryResponse(),
        "api": element_responses.ApiKindResponse(),
        "resources": [
            element_responses.ElementResourceResponse(
                canonicalName=name,
                operations=collections.methods(name),
                events=element_responses.ResourceEventsResponse(
                    methods=["polling", *(["webhook"] if name in HOOKED else [])],
                    eventTypes=[one.value for one in EventType],
                ),
                path=f"/hubs/{HUB_KEY}/{name}",
                vendorPath=endpoints.named(name).path,
            )
            for name in names
        ],
    }
