"""The description of the element. Numbers are rows of the parity table."""

from __future__ import annotations

import json
import urllib.parse
from xml.etree import ElementTree

import pytest

from flask_woo_events.instances.polled_resources import default_configuration
from tests.integration.host_app import Api, Headers

NAMES = ["woocommercerest", "2881"]


@pytest.mark.parity(71)
@pytest.mark.parametrize("name", NAMES)
def test_parity_71_metadata(api: Api, name: str) -> None:
    """Events are supported, by polling and by webhooks, and for which resources."""
    events = api.call("GET", f"/elements/{name}/metadata").json["events"]
    assert events["supported"] is True
    assert events["methods"] == ["polling", "webhook"]
    assert {"customers", "discounts", "orders", "products"} <= set(events["polling"])
    assert events["polling"]["orders"] == {
        "eventTypes": ["CREATED", "UPDATED", "DELETED"],
        "pollUrl": "/hubs/ecommerce/orders",
    }
    assert set(events["webhook"]) == {"customers", "discounts", "orders", "products"}


@pytest.mark.parity(71)
def test_parity_71_poll_urls_can_be_polled(api: Api) -> None:
    """Each resource of the metadata can be polled at its pollUrl."""
    polling = api.call("GET", "/elements/2881/metadata").json["events"]["polling"]
    blocks = {name: {"url": one["pollUrl"]} for name, one in polling.items()}
    created = api.create(**{"event.poller.configuration": blocks})
    assert {one["resource"] for one in created["pollers"]} == set(polling)


@pytest.mark.parity(71)
def test_parity_71_expanded_metadata(api: Api) -> None:
    """With expand, each object lists its events; otherwise only its name is given."""
    named = api.call("GET", "/elements/2881/metadata").json["objects"]
    expanded = api.call("GET", "/elements/2881/metadata?expand=true").json["objects"]
    assert [one["name"] for one in expanded] == named
    orders = next(one for one in expanded if one["name"] == "discounts")
    assert orders["vendorName"] == "coupons" and orders["eventDeletedSupported"] is True
    assert api.call("GET", "/elements/2881/metadata?expand=maybe").status_code == 400


@pytest.mark.parity(71)
def test_parity_71_members_of_expanded_metadata(api: Api) -> None:
    """With expand, the members that clients read are there, with the types that they expect."""
    named = api.call("GET", "/elements/2881/metadata").json
    expanded = api.call("GET", "/elements/2881/metadata?expand=true").json
    types = {
        "image": str, "displayOrder": int, "active": bool, "transformations": bool,
        "elementType": str, "churros": bool, "swaggerValidated": bool, "cloneable": bool,
        "authenticationType": str, "discovery": dict, "api": dict, "resources": list,
    }  # fmt: skip
    assert {key: type(expanded[key]) for key in types} == types
    assert set(expanded) - set(named) == set(types)
    assert all(type(one) is bool for one in expanded["discovery"].values())
    assert set(expanded["api"]) == {"type", "version", "contentType"}
    resources = {one["canonicalName"]: one for one in expanded["resources"]}
    assert list(resources) == named["objects"]
    assert resources["orders-comments"]["operations"] == ["GET", "POST", "DELETE"]
    assert resources["refunds"]["operations"] == ["GET"]
    assert resources["discounts"]["operations"] == ["GET", "POST", "PUT", "PATCH", "DELETE"]
    assert resources["discounts"]["events"]["methods"] == ["polling", "webhook"]
    assert resources["taxes"]["events"]["methods"] == ["polling"]
    assert set(resources["taxes"]) >= {"bulk", "customField", "path", "vendorPath"}
    assert expanded["normalizedPaging"] is named["normalizedPaging"] is True


@pytest.mark.parity(74)
def test_element_of_the_example_answer(api: Api) -> None:
    """The element has the hookName of the documented answer, and an image."""
    shown = api.create()["element"]
    assert shown["hookName"] == "WooCommercewp"
    assert shown == {key: api.call("GET", "/elements/2881").json[key] for key in shown}
    svg = urllib.parse.unquote(shown["image"].removeprefix("data:image/svg+xml,"))
    assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"


@pytest.mark.parity(71)
def test_parity_71_metadata_of_all(api: Api) -> None:
    """The metadata of all elements are those of the one element."""
    [one] = api.call("GET", "/elements/metadata").json
    assert one == api.call("GET", "/elements/2881/metadata").json


@pytest.mark.parity(72)
@pytest.mark.parametrize("name", NAMES)
def test_parity_72_configuration(api: Api, name: str) -> None:
    """The keys of a configuration have the defaults that an instance has."""
    definitions = {
        one["key"]: one for one in api.call("GET", f"/elements/{name}/configuration").json
    }
    defaults = {key: one["defaultValue"] for key, one in definitions.items()}
    assert defaults["event.notification.enabled"] == "false"
    assert defaults["event.vendor.type"] == "polling"
    assert defaults["event.poller.refresh_interval"] == "15"
    assert defaults["filter.response.nulls"] == "true"
    assert json.loads(defaults["event.poller.configuration"]) == default_configuration()
    assert {key for key, one in definitions.items() if one["required"]} == {
        "store.url", "oauth.api.key", "oauth.api.secret",
    }  # fmt: skip
    assert definitions["event.notification.signature.key"]["hideFromConsole"] is True
    assert definitions["event.poller.configuration"]["type"] == "TEXTAREA"
    assert len({one["id"] for one in definitions.values()}) == len(definitions)


@pytest.mark.parity(72)
def test_parity_72_defaults_make_an_instance(api: Api) -> None:
    """An instance can be created with the listed defaults."""
    definitions = api.call("GET", "/elements/2881/configuration").json
    defaults = {one["key"]: one["defaultValue"] for one in definitions if not one["required"]}
    created = api.create(**defaults)
    assert {one["resource"] for one in created["pollers"]} == set(default_configuration())


def test_elements(api: Api) -> None:
    """There is one element, found by key or id, with its configuration."""
    [one] = api.call("GET", "/elements").json
    assert (one["id"], one["key"], one["hub"]) == (2881, "woocommercerest", "ecommerce")
    assert one["configuration"] == api.call("GET", "/elements/2881/configuration").json
    for name in NAMES:
        assert api.call("GET", f"/elements/{name}").json == one


@pytest.mark.parametrize("path", ["", "/metadata", "/configuration"])
@pytest.mark.parametrize("name", ["999999999999", "sfdc", "2881x", "WOOCOMMERCEREST", "%00"])
def test_unknown_elements(api: Api, name: str, path: str) -> None:
    """Another element is 404."""
    response = api.call("GET", f"/elements/{name}{path}")
    assert response.status_code == 404 and response.json["message"]


@pytest.mark.parametrize(
    "path", ["", "/metadata", "/2881", "/2881/metadata", "/2881/configuration"]
)
def test_elements_need_authorization(api: Api, headers: Headers, path: str) -> None:
    """The caller is authenticated first; a token is enough."""
    assert api.client.get(f"/elements/api-v2/elements{path}").status_code == 401
    token = api.create()["token"]
    user = headers["Authorization"].partition(",")[0]
    response = api.call(
        "GET", f"/elements{path}", headers={"Authorization": f"{user}, Element {token}"}
    )
    assert response.status_code == 200
