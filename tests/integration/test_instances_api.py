"""Connecting stores over HTTP, and every operation on a connected one."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import typing as t

import flask
import pytest
import requests
import sqlalchemy as sa

from flask_woo_events.db.models import (
    Base,
    Configuration,
    Delivery,
    Instance,
    Object,
    Poller,
    Subscription,
)
from flask_woo_events.db.states import DeliveryStatus, PollerState
from flask_woo_events.delivery import destination
from tests.integration.host_app import (
    NOW,
    PREFIX,
    Account,
    Api,
    Body,
    Headers,
    StubStore,
    body_for,
    documented,
    runtime_of,
)
from tests.integration.ledger_env import LedgerEnv

DOCUMENTED = sorted(
    f"documented-{kind}{form}.json" for kind in ("polling", "webhook") for form in ("", "-curl")
)
CONFIGURATION = "event.poller.configuration"
CALLBACK = "event.notification.callback.url"


def _rows(app: flask.Flask, query: sa.Select[t.Any]) -> list[t.Any]:
    with runtime_of(app).database.read() as session:
        return list(session.scalars(query))


def _pollers(app: flask.Flask) -> dict[str, Poller]:
    return {poller.resource: poller for poller in _rows(app, sa.select(Poller))}


def _entry(api: Api, instance_id: int, key: str) -> Body:
    entries = api.call("GET", f"/instances/{instance_id}/configuration").json
    return next(entry for entry in entries if entry["key"] == key)


@pytest.mark.parity(1, 7)
@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_bodies_create_an_instance(api: Api, name: str) -> None:
    """Every body of the documentation works with only host and secrets changed."""
    body = documented(name, api.store)
    response = api.call("POST", "/instances", body)
    assert response.status_code == 200, response.text
    assert response.json["name"] == body["name"]
    assert response.json["eventsNotificationCallbackUrl"] == body["configuration"][CALLBACK]


@pytest.mark.parity(73)
@pytest.mark.parametrize("element", ["woocommercerest", "2881"])
def test_create_under_an_element(api: Api, element: str) -> None:
    """The element can be in the path instead of the body."""
    body = body_for(api.store)
    del body["element"]
    assert api.call("POST", f"/elements/{element}/instances", body).status_code == 200


@pytest.mark.parity(73)
@pytest.mark.parametrize("element", ["woocommercerest", "2881"])
def test_instances_under_an_element(api: Api, account: Account, element: str) -> None:
    """Every call of ``/instances`` and ``/instances/{id}`` also works below the element."""
    created = api.create()
    every = f"/elements/{element}/instances"
    one = f"{every}/{created['id']}"
    by_token = account.element(created["token"])
    assert [shown["id"] for shown in api.call("GET", every).json] == [created["id"]]
    assert api.call("GET", f"{every}?searchText=another").status_code == 404
    assert api.call("GET", one).json == api.call("GET", every, headers=by_token).json
    for path, headers in ((one, None), (every, by_token)):
        assert api.call("PATCH", path, {"name": "new"}, headers).json["name"] == "new"
        replaced = api.call("PUT", path, body_for(api.store), headers)
        assert replaced.json["name"] == "API Instance"
        assert api.call("PUT", path, {}, headers).status_code == 400
    assert api.call("PUT", every, body_for(api.store)).status_code == 401  # which one?
    assert api.call("DELETE", one).json == {}
    other = api.create()
    assert api.call("DELETE", every, headers=account.element(other["token"])).status_code == 200
    assert api.call("GET", "/instances").status_code == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("below", ["", "/{id}"])
def test_instances_under_another_element(
    api: Api, account: Account, method: str, below: str
) -> None:
    """Below another element there are no instances, and nothing is changed."""
    created = api.create()
    path = f"/elements/sfdc/instances{below.format(id=created['id'])}"
    for headers in (account.headers, account.element(created["token"])):
        answered = api.call(method, path, {"name": "new"}, headers)
        assert answered.status_code == 404, answered.text
    assert api.call("GET", f"/instances/{created['id']}").json["name"] == created["name"]


@pytest.mark.parity(73)
def test_objects_are_not_retrieved(api: Api) -> None:
    """``retrieveObjectsAfterInstantiation`` is accepted and adds nothing to the answer."""
    body = body_for(api.store) | {"retrieveObjectsAfterInstantiation": True}
    response = api.call("POST", "/instances", body)
    assert response.status_code == 200 and "objects" not in response.json


@pytest.mark.parity(3)
@pytest.mark.parametrize("text", ["webhook", "webhooks"])
def test_type_of_events(app: flask.Flask, api: Api, text: str) -> None:
    """Both spellings mean the same, and read back as the documented one."""
    shown = api.create(**{"event.vendor.type": text})
    assert shown["configuration"]["event.vendor.type"] == "webhook"
    assert _rows(app, sa.select(Instance.vendor_type)) == ["webhook"]


@pytest.mark.parity(2)
def test_events_are_off_by_default(app: flask.Flask, api: Api) -> None:
    """Nothing is polled until events are enabled."""
    created = api.create(**{"event.notification.enabled": None})
    assert created["eventsEnabled"] is False
    assert _rows(app, sa.select(Instance.next_poll_at)) == [None]
    body = {"configuration": {"event.notification.enabled": True}}
    api.call("PATCH", f"/instances/{created['id']}", body)
    assert _rows(app, sa.select(Instance.next_poll_at)) != [None]


@pytest.mark.parity(81)
@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("application/xml", 406), ("text/html", 406), ("application/json;q=0, text/plain", 406),
        ("application/json", 200), ("*/*", 200), ("text/html, */*;q=0.1", 200), ("", 200),
        ("application/vnd.api+json", 200),
    ],
)  # fmt: skip
def test_accepted_media_types(api: Api, accept: str, status: int) -> None:
    """A caller who accepts no JSON gets 406; who is no caller gets 401 in any case."""
    answer = api.call("GET", "/elements", headers={**api.headers, "Accept": accept})
    assert answer.status_code == status, answer.text
    assert api.client.get(f"{PREFIX}/elements", headers={"Accept": accept}).status_code == 401
    assert api.client.get(f"{PREFIX}/docs", headers={"Accept": "text/html"}).status_code == 200


@pytest.mark.parity(82)
def test_exposed_headers_are_sent(api: Api) -> None:
    """Each answer has the id of its trace, which is that of the request."""
    headers = api.call("GET", "/elements").headers
    assert "Elements-Trace-Id" in headers["Access-Control-Expose-Headers"]
    assert headers["Elements-Trace-Id"] == headers["Elements-Request-Id"]


@pytest.mark.parity(2, 86)
@pytest.mark.parametrize("key", ["event.notification.enabled", "filter.response.nulls"])
@pytest.mark.parametrize(("sent", "shown"), [("yes", "true"), ("Off", "false"), (0, "false")])
def test_booleans_read_back_as_booleans(api: Api, key: str, sent: object, shown: str) -> None:
    """Any accepted word for a boolean is stored and shown as true or false."""
    created = api.create(**{key: sent})
    assert created["configuration"][key] == shown
    patched = api.call("PATCH", f"/instances/{created['id']}", {"configuration": {key: sent}}).json
    assert (
        patched["configuration"][key] == shown == _entry(api, created["id"], key)["propertyValue"]
    )


@pytest.mark.parity(73)
@pytest.mark.parametrize("member", [{"name": "<INSTANCE_NAME>"}, {"tags": ["<Add_Your_Tag>"]}])
def test_placeholders_of_the_documentation(api: Api, member: Body) -> None:
    """A placeholder that was not replaced is named as one, as that of ``store.url``."""
    refused = api.call("POST", "/instances", body_for(api.store) | member)
    assert refused.status_code == 400
    assert "the angle brackets of the documentation's placeholder" in refused.json["message"]


@pytest.mark.parity(77)
@pytest.mark.parametrize("tags", [None, []])
def test_default_tag(api: Api, tags: list[str] | None) -> None:
    """An instance that is created without tags has its name as its only tag, until they change."""
    body = body_for(api.store) | {"name": "Demo <b>day</b>", "tags": tags}
    created = api.call("POST", "/instances", body).json
    assert created["tags"] == ["Demo day"]
    found = api.call("GET", "/instances?tags[]=Demo day").json
    assert [one["id"] for one in found] == [created["id"]]
    path = f"/instances/{created['id']}"
    assert api.call("PATCH", path, {"name": "renamed"}).json["tags"] == ["Demo day"]
    replaced = api.call("PUT", path, body_for(api.store) | {"tags": []}).json
    assert replaced["tags"] == []
    assert api.call("PATCH", path, {"name": "again"}).json["tags"] == []


def test_default_tag_of_a_long_name(api: Api) -> None:
    """The tag can be sent back: it is never longer than a tag may be."""
    created = api.create(name="x" * 189 + " " + "y" * 65, tags=[])
    assert created["tags"] == ["x" * 189]
    again = api.call("PATCH", f"/instances/{created['id']}", {"tags": created["tags"]})
    assert again.status_code == 200


@pytest.mark.parity(77)
def test_tags_are_replaced(api: Api) -> None:
    """A PATCH with tags replaces all tags."""
    created = api.create(tags=["red", "blue"])
    shown = api.call("PATCH", f"/instances/{created['id']}", {"tags": ["green"]}).json
    assert shown["tags"] == ["green"]


@pytest.mark.parity(74)
def test_answer_has_the_documented_shape(api: Api) -> None:
    """The answer has every field of the documented one, with their types."""
    shown = api.create(tags=["Docs"], name="API Instance")
    assert shown["element"]["key"] == "woocommercerest"
    assert {key: shown[key] for key in ("elementId", "tags", "valid", "disabled")} == {
        "elementId": 2881,
        "tags": ["Docs"],
        "valid": True,
        "disabled": False,
    }
    assert isinstance(shown["id"], int) and isinstance(shown["subscriptionId"], int)
    assert shown["eventsEnabled"] is True
    assert shown["createdDate"].endswith("Z")
    assert {"id", "emailAddress", "firstName", "lastName"} == set(shown["user"])


@pytest.mark.parity(2)
def test_answer_without_events(api: Api) -> None:
    """Without events there is no subscription in the answer."""
    shown = api.create(**{"event.notification.enabled": "false"})
    assert shown["eventsEnabled"] is False
    assert "subscriptionId" not in shown


@pytest.mark.parity(75)
def test_configuration_reads_back_as_text_with_secrets_masked(api: Api) -> None:
    """Values read back as strings, and secrets as eight asterisks."""
    shown = api.create(
        **{
            "event.notification.signature.key": "signed",
            "event.poller.refresh_interval": 15,
            "my.own.password": "hidden",
            "event.notification.basic.username": "ann",
            "event.notification.basic.password": "open sesame",
            "event.notification.callback.headers": "X-Key: for-you-only",
        }
    )
    configuration = shown["configuration"]
    assert configuration["event.notification.enabled"] == "true"
    assert configuration["event.poller.refresh_interval"] == "15"
    assert configuration["event.notification.basic.username"] == "ann"
    masked = {key for key, value in configuration.items() if value == "********"}
    assert masked == {
        "oauth.api.key",
        "oauth.api.secret",
        "event.notification.signature.key",
        "event.notification.basic.password",
        "event.notification.callback.headers",
        "my.own.password",
    }


def test_secrets_are_encrypted(app: flask.Flask, api: Api) -> None:
    """The database does not hold secrets in plain text."""
    api.create(**{"event.notification.signature.key": "signed"})
    rows = _rows(app, sa.select(Configuration).where(Configuration.sealed))
    assert {row.key for row in rows} >= {"oauth.api.key", "oauth.api.secret"}
    assert not [row.key for row in rows if row.value in ("ck_test", "cs_test", "signed")]


@pytest.mark.parity(74)
def test_token_is_kept_as_a_hash(app: flask.Flask, api: Api) -> None:
    """The token is shown once and is in no table."""
    token = api.create()["token"]
    with runtime_of(app).database.read() as session:
        for table in Base.metadata.sorted_tables:
            assert token not in repr(session.execute(sa.select(table)).all())


@pytest.mark.parametrize("value", [True, "true", "True"])
def test_switches_are_booleans_or_texts(api: Api, value: object) -> None:
    """Switches are accepted as booleans and as text."""
    assert api.create(**{"event.notification.enabled": value})["eventsEnabled"] is True


@pytest.mark.parity(6)
@pytest.mark.parametrize(("value", "minutes"), [(1, 1), (5, 5), ("5", 5), (" 5 ", 5)])
def test_minutes_are_numbers_or_texts(
    app: flask.Flask, api: Api, value: object, minutes: int
) -> None:
    """The interval is accepted as a number and as text, from a minute on."""
    api.create(**{"event.poller.refresh_interval": value})
    assert _rows(app, sa.select(Instance.refresh_minutes)) == [minutes]


def test_untouched_fields_of_a_form_are_not_set(api: Api) -> None:
    """Empty texts and nulls, as forms send them, mean the default."""
    shown = api.create(
        **{
            "event.notification.enabled": "",
            "event.vendor.type": None,
            "event.poller.refresh_interval": "",
            CONFIGURATION: None,
            "filter.response.nulls": "",
        }
    )
    assert shown["eventsEnabled"] is False
    assert len(shown["pollers"]) == 4


@pytest.mark.parity(8)
def test_four_resources_by_default(app: flask.Flask, api: Api) -> None:
    """Without a poller configuration the four documented resources are polled."""
    api.create()
    assert sorted(_pollers(app)) == ["customers", "discounts", "orders", "products"]


@pytest.mark.parity(7)
def test_poller_configuration_as_text(app: flask.Flask, api: Api) -> None:
    """The poller configuration can be JSON in a string, and reads back as it was sent."""
    text = json.dumps({"contacts": {"url": "/hubs/ecommerce/customers", "idField": "id"}})
    shown = api.create(**{CONFIGURATION: text})
    assert shown["configuration"][CONFIGURATION] == text
    assert list(_pollers(app)) == ["contacts"]


@pytest.mark.parity(7)
def test_poller_configuration_as_object_reads_back_as_text(api: Api) -> None:
    """An object of pollers reads back as JSON in a string."""
    block = {"orders": {"url": "/hubs/ecommerce/orders", "datesConfiguration": {}}}
    shown = api.create(**{CONFIGURATION: block})
    assert json.loads(shown["configuration"][CONFIGURATION]) == block


def test_store_url_under_the_name_of_the_table(api: Api) -> None:
    """The other key of the store's URL in the documentation works as well."""
    body = body_for(api.store, **{"oauth.callback.url": api.store})
    del body["configuration"]["store.url"]
    assert api.call("POST", "/instances", body).status_code == 200


@pytest.mark.parity(77)
def test_markup_is_taken_out_of_names_and_tags(api: Api) -> None:
    """Markup is removed from names and tags."""
    shown = api.create(name="<a href=x>shop</a>", tags=["<b>bold</b>"])
    assert (shown["name"], shown["tags"]) == ("shop", ["bold"])


def test_one_tag_may_be_a_text(api: Api) -> None:
    """A single tag can be a string, as in the documentation's table."""
    response = api.call("POST", "/instances", body_for(api.store) | {"tags": "Docs"})
    assert response.json["tags"] == ["Docs"]


def test_store_is_asked_before_anything_is_stored(api: Api, store_server: StubStore) -> None:
    """The index, every polled collection and the version are requested before storing."""
    shown = api.create()
    assert set(store_server.asked) == {"/wp-json/"} | {
        f"/wp-json/wc/v3/{path}"
        for path in ("customers", "coupons", "orders", "products", "system_status")
    }
    assert shown["store"]["version"] == "9.4.2"


@pytest.mark.parity(81)
def test_refused_keys(app: flask.Flask, api: Api, store_server: StubStore) -> None:
    """Keys that the store refuses are a 400 with the store's message, and nothing is stored."""
    store_server.refuse_keys()
    response = api.call("POST", "/instances", body_for(api.store))
    assert response.status_code == 400
    assert "oauth.api.key" in response.json["message"]
    assert "Invalid signature" in response.json["providerMessage"]
    assert _rows(app, sa.select(Instance)) == []


@pytest.mark.parametrize("path", ["/wp-json/", "/wp-json/wc/v3/customers"])
@pytest.mark.parametrize("status", [200, 404, 500])
def test_not_a_store(
    app: flask.Flask, api: Api, store_server: StubStore, path: str, status: int
) -> None:
    """A host without WooCommerce is a 502 that describes the answer, and nothing is stored."""
    store_server.say_html(path, status)
    response = api.call("POST", "/instances", body_for(api.store))
    assert response.status_code == 502
    assert "store.url" in response.json["message"]
    assert response.json["providerMessage"]
    assert _rows(app, sa.select(Instance)) == []


def test_wordpress_without_woocommerce(api: Api, store_server: StubStore) -> None:
    """The error names a WordPress without WooCommerce."""
    body = json.dumps({"namespaces": ["wp/v2"]}).encode()
    store_server.answers["/wp-json/"] = (200, "application/json", body)
    response = api.call("POST", "/instances", body_for(api.store))
    assert response.status_code == 502
    assert "wc/v3" in response.json["providerMessage"]


@pytest.mark.parametrize("namespaces", [None, 7, "wc/v3", {"wc/v3": 1}])
def test_index_of_another_shape(api: Api, store_server: StubStore, namespaces: object) -> None:
    """An index whose namespaces are not a list is refused."""
    body = json.dumps({"namespaces": namespaces}).encode()
    store_server.answers["/wp-json/"] = (200, "application/json", body)
    assert api.call("POST", "/instances", body_for(api.store)).status_code == 502


def test_unreachable_store(api: Api) -> None:
    """A store that cannot be reached is a 502."""
    response = api.call("POST", "/instances", body_for("http://127.0.0.1:9"))
    assert response.status_code == 502
    assert response.json["providerMessage"]


def test_version_may_be_hidden(api: Api, store_server: StubStore) -> None:
    """Keys without access to the version are accepted."""
    path = "/wp-json/wc/v3/system_status"
    store_server.refuse(path, 403, "woocommerce_rest_cannot_view", "Sorry")
    assert "version" not in api.create()["store"]


def test_list_shows_all_by_id(api: Api) -> None:
    """The list has the organization's instances in the order of their ids, without tokens."""
    ids = [api.create(name=name)["id"] for name in ("one", "two")]
    response = api.call("GET", "/instances")
    assert [one["id"] for one in response.json] == ids
    assert response.headers["Elements-Returned-Count"] == "2"
    assert not [one for one in response.json if "token" in one]


@pytest.mark.parity(77)
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("tags[]=red", ["one", "two"]),
        ("tags[]=red&tags[]=blue", ["two"]),
        ("tags=blue", ["two"]),
        ("searchText=TW", ["two"]),
        ("searchText=e&tags[]=red", ["one"]),
        ("hydrate=false", ["one", "two", "three"]),
    ],
)
def test_list_is_filtered(api: Api, query: str, names: list[str]) -> None:
    """All tags must match; the text is searched in names, ignoring case."""
    for name, tags in {"one": ["red"], "two": ["red", "blue"], "three": []}.items():
        api.create(name=name, tags=tags)
    response = api.call("GET", f"/instances?{query}")
    assert [one["name"] for one in response.json] == names


@pytest.mark.parametrize("text", ["zzz", "%25", "_", "%00", "%ED%A0%80", "a" * 5000])
def test_list_finds_nothing(api: Api, text: str) -> None:
    """A list without instances is a 404 with the documented message."""
    api.create(name="shop")
    response = api.call("GET", f"/instances?searchText={text}")
    assert response.status_code == 404
    assert response.json["message"] == "No instances found"


def test_list_in_pages(api: Api) -> None:
    """Pages are read with the token of the page before."""
    for name in ("one", "two", "three"):
        api.create(name=name)
    first = api.call("GET", "/instances?pageSize=2")
    token = first.headers["Elements-Next-Page-Token"]
    second = api.call("GET", f"/instances?pageSize=2&nextPage={token}")
    assert [one["name"] for one in first.json + second.json] == ["one", "two", "three"]
    assert "Elements-Next-Page-Token" not in second.headers


@pytest.mark.parametrize("query", ["pageSize=0", "pageSize=x", "pageSize=-1", "nextPage=x"])
def test_list_with_a_bad_page(api: Api, query: str) -> None:
    """An invalid page is a 400 that names the parameter."""
    response = api.call("GET", f"/instances?{query}")
    assert response.status_code == 400
    assert query.partition("=")[0] in response.json["message"]


@pytest.fixture(params=["id", "token"])
def named(request: pytest.FixtureRequest, api: Api, account: Account) -> tuple[Body, str, Headers]:
    """An instance, its path and headers: by id, and by its token."""
    created = api.create(**{"event.notification.signature.key": "signed"})
    if request.param == "id":
        return created, f"/instances/{created['id']}", api.headers
    return created, "/instances", account.element(created["token"])


Named = tuple[Body, str, Headers]


def test_get(api: Api, named: Named) -> None:
    """One instance has the members of its creation's answer, without the token."""
    created, path, headers = named
    response = api.call("GET", path, headers=headers)
    assert response.json == {key: value for key, value in created.items() if key != "token"}


def test_patch(api: Api, named: Named) -> None:
    """A PATCH changes only the members that it has."""
    created, path, headers = named
    body = {"name": "renamed", "configuration": {"event.poller.refresh_interval": "30"}}
    shown = api.call("PATCH", path, body, headers).json
    expected = created["configuration"] | {"event.poller.refresh_interval": "30"}
    assert (shown["name"], shown["tags"]) == ("renamed", ["Docs"])
    assert shown["configuration"] == expected


def test_put(api: Api, named: Named) -> None:
    """A PUT replaces the whole configuration."""
    created, path, headers = named
    body = body_for(api.store) | {"name": "again"}
    shown = api.call("PUT", path, body, headers).json
    assert shown["id"] == created["id"]
    assert "event.notification.signature.key" not in shown["configuration"]


def test_delete(api: Api, named: Named) -> None:
    """A deleted instance is gone."""
    created, path, headers = named
    assert api.call("DELETE", path, headers=headers).status_code == 200
    assert api.call("GET", f"/instances/{created['id']}").status_code == 404


@pytest.mark.parity(78)
def test_enabled(api: Api, named: Named) -> None:
    """An instance is disabled and enabled again."""
    _created, path, headers = named
    assert api.call("DELETE", f"{path}/enabled", headers=headers).json["disabled"] is True
    assert api.call("PUT", f"{path}/enabled", headers=headers).json["disabled"] is False


def test_configuration_entries(api: Api, named: Named) -> None:
    """Each entry has an id under which it can be read alone."""
    _created, path, headers = named
    entries = api.call("GET", f"{path}/configuration", headers=headers).json
    url = next(one for one in entries if one["key"] == "store.url")
    assert url["propertyValue"] == api.store
    assert api.call("GET", f"{path}/configuration/{url['id']}", headers=headers).json == url


@pytest.mark.parity(76)
def test_patch_of_an_entry(api: Api, named: Named) -> None:
    """An entry is changed by its id."""
    created, path, headers = named
    found = _entry(api, created["id"], CALLBACK)
    body = {"propertyValue": "https://new.test/"}
    shown = api.call("PATCH", f"{path}/configuration/{found['id']}", body, headers).json
    assert shown["propertyValue"] == "https://new.test/"


@pytest.mark.parity(79)
def test_token_is_worth_nothing_after_deletion(api: Api, account: Account) -> None:
    """The token of a deleted instance answers 401."""
    created = api.create()
    api.call("DELETE", f"/instances/{created['id']}")
    response = api.call("GET", "/instances", headers=account.element(created["token"]))
    assert response.status_code == 401


def test_deletion_leaves_no_rows(app: flask.Flask, api: Api) -> None:
    """Nothing of a deleted instance stays in any table."""
    api.call("DELETE", f"/instances/{api.create()['id']}")
    for model in (Instance, Configuration, Poller, Subscription):
        assert _rows(app, sa.select(model)) == []


def test_token_of_another_instance(api: Api, account: Account) -> None:
    """A token is valid only for its own instance."""
    first, second = api.create(), api.create()
    path, headers = f"/instances/{first['id']}", account.element(second["token"])
    assert api.call("GET", path, headers=headers).status_code == 404


@pytest.mark.parametrize("number", ["0", "x", "-1", "1.5", "9" * 40, "%C2%B2", "%D9%A1"])
def test_invalid_ids(api: Api, number: str) -> None:
    """An invalid id of an instance or entry is a 404."""
    shown = api.create()
    assert api.call("GET", f"/instances/{number}").status_code == 404
    path = f"/instances/{shown['id']}/configuration/{number}"
    assert api.call("GET", path).status_code == 404
    assert api.call("PATCH", path, {"propertyValue": "x"}).status_code == 404


def test_entry_of_another_instance(api: Api) -> None:
    """An entry is found only under its own instance."""
    first, second = api.create(), api.create()
    found = _entry(api, first["id"], "store.url")
    path = f"/instances/{second['id']}/configuration/{found['id']}"
    assert api.call("GET", path).status_code == 404


def test_mask_sent_back_leaves_a_secret(app: flask.Flask, api: Api) -> None:
    """A configuration that was read can be sent back: masked secrets stay as they are."""
    created = api.create(**{"event.notification.signature.key": "signed"})
    body = body_for(api.store) | {"configuration": created["configuration"]}
    assert api.call("PUT", f"/instances/{created['id']}", body).status_code == 200
    runtime = runtime_of(app)
    with runtime.database.read() as session:
        rows = session.scalars(sa.select(Configuration).where(Configuration.sealed))
        kept = {row.key: runtime.cipher.decrypt(row.value) for row in rows}
    assert kept == {
        "oauth.api.key": "ck_test",
        "oauth.api.secret": "cs_test",
        "event.notification.signature.key": "signed",
    }


def test_mask_in_a_new_instance_is_no_secret(api: Api) -> None:
    """A mask is refused when an instance is created."""
    response = api.call("POST", "/instances", body_for(api.store, **{"oauth.api.key": "********"}))
    assert response.status_code == 400
    assert "oauth.api.key" in response.json["message"]


@pytest.mark.parity(97)
def test_store_is_asked_again_when_its_keys_change(api: Api, store_server: StubStore) -> None:
    """New keys are checked, and refused ones change nothing."""
    created = api.create()
    store_server.asked.clear()
    store_server.refuse_keys()
    body = {"name": "new", "configuration": {"oauth.api.key": "ck_other"}}
    assert api.call("PATCH", f"/instances/{created['id']}", body).status_code == 400
    assert store_server.asked
    assert api.call("GET", f"/instances/{created['id']}").json["name"] == "shop"


def test_store_is_not_asked_for_anything_else(api: Api, store_server: StubStore) -> None:
    """A change of other keys sends no request to the store."""
    created = api.create()
    store_server.asked.clear()
    body = {"configuration": {"store.url": api.store, "oauth.api.key": "********"}}
    assert api.call("PATCH", f"/instances/{created['id']}", body).status_code == 200
    assert store_server.asked == []


def _advance(app: flask.Flask) -> None:
    with runtime_of(app).database.write() as session:
        for poller in session.scalars(sa.select(Poller)):
            poller.state, poller.cursor_at, poller.polled_at = PollerState.ACTIVE, NOW, NOW


def _block(*names: str, **changes: object) -> dict[str, t.Any]:
    return {name: {"url": f"/hubs/ecommerce/{name}", **changes} for name in names}


def test_cursors_of_resources_that_stay(app: flask.Flask, api: Api) -> None:
    """A changed poller configuration keeps cursors; a new resource starts without one."""
    created = api.create(**{CONFIGURATION: _block("orders", "products")})
    _advance(app)
    body = {"configuration": {CONFIGURATION: _block("orders", "customers", pollDelay=60)}}
    shown = api.call("PATCH", f"/instances/{created['id']}", body).json
    assert [one["resource"] for one in shown["pollers"]] == ["orders", "customers"]
    pollers = _pollers(app)
    assert pollers["orders"].cursor_at == NOW
    assert pollers["orders"].configuration["poll_delay"] == 60
    assert pollers["customers"].state == PollerState.BASELINE
    assert not pollers["products"].selected


def test_resource_that_comes_back(app: flask.Flask, api: Api) -> None:
    """A resource that is selected again continues from its cursor."""
    created = api.create(**{CONFIGURATION: _block("orders", "products")})
    _advance(app)
    for names in (["orders"], ["orders", "products"]):
        body = {"configuration": {CONFIGURATION: _block(*names)}}
        api.call("PATCH", f"/instances/{created['id']}", body)
    assert _pollers(app)["products"].cursor_at == NOW
    assert _pollers(app)["products"].selected


def test_resource_that_points_elsewhere_starts_afresh(app: flask.Flask, api: Api) -> None:
    """A resource of another collection starts without the state of the old one, which is kept."""
    created = api.create(**{CONFIGURATION: _block("orders")})
    _advance(app)
    _stage(app, created).see({"id": 1})
    block = {"orders": {"url": "/hubs/ecommerce/products"}}
    api.call("PATCH", f"/instances/{created['id']}", {"configuration": {CONFIGURATION: block}})
    assert _pollers(app)["orders"].state == PollerState.BASELINE
    ledger = sa.select(Object.object_id).join(Poller, Poller.id == Object.poller_id)
    assert _rows(app, ledger.where(Poller.selected)) == []
    assert _rows(app, ledger) == ["1"]


def test_resource_in_other_letters_is_the_same(app: flask.Flask, api: Api) -> None:
    """A resource whose name changes only in case keeps its cursor under the new name."""
    created = api.create(**{CONFIGURATION: _block("orders")})
    _advance(app)
    block = {"Orders": {"url": "/hubs/ecommerce/orders"}}
    api.call("PATCH", f"/instances/{created['id']}", {"configuration": {CONFIGURATION: block}})
    assert {name: one.cursor_at for name, one in _pollers(app).items()} == {"Orders": NOW}


@pytest.mark.parity(23)
def test_older_form_replaces_the_newer_one(app: flask.Flask, api: Api) -> None:
    """A PATCH with the older form of pollers replaces the newer form."""
    created = api.create(**{CONFIGURATION: _block("orders")})
    body: Body = {"configuration": {"event.poller.urls": "products|customers"}}
    shown = api.call("PATCH", f"/instances/{created['id']}", body).json
    assert {one["resource"] for one in shown["pollers"]} == {"products", "customers"}
    body = {"configuration": {CONFIGURATION: _block("orders")}}
    shown = api.call("PATCH", f"/instances/{created['id']}", body).json
    assert {one["resource"] for one in shown["pollers"]} == {"orders"}


def _stage(app: flask.Flask, created: Body) -> LedgerEnv:
    from flask_woo_events.instances.polled_resources import PollerConfiguration
    from flask_woo_events.sync.cursor import Stream

    poller = _pollers(app)["orders"]
    configuration = PollerConfiguration.model_validate(poller.configuration)
    stream = Stream(
        poller_id=poller.id,
        instance_id=created["id"],
        resource="orders",
        configuration=configuration,
    )
    return LedgerEnv(runtime_of(app).database, stream)


@pytest.mark.parity(59, 100)
def test_new_callback_url_takes_over_what_waits(app: flask.Flask, api: Api) -> None:
    """A new callback URL is a new subscription, and waiting deliveries go there."""
    created = api.create(**{CONFIGURATION: _block("orders")})
    _advance(app)
    _stage(app, created).see({"id": 1}, seconds=5)
    body = {"configuration": {CALLBACK: "https://new.test/"}}
    shown = api.call("PATCH", f"/instances/{created['id']}", body).json
    assert shown["eventsNotificationCallbackUrl"] == "https://new.test/"
    assert shown["subscriptionId"] != created["subscriptionId"]
    assert _rows(app, sa.select(Delivery.subscription_id)) == [shown["subscriptionId"]]


def test_same_callback_url_keeps_its_subscription(api: Api) -> None:
    """A change of other keys keeps the subscription."""
    created = api.create()
    shown = api.call("PATCH", f"/instances/{created['id']}", {"name": "new"}).json
    assert shown["subscriptionId"] == created["subscriptionId"]


def test_callback_url_that_was_taken_away_and_comes_back(app: flask.Flask, api: Api) -> None:
    """Deliveries that wait without a callback URL go to the next one."""
    created = api.create(**{CONFIGURATION: _block("orders")})
    _advance(app)
    _stage(app, created).see({"id": 1}, seconds=5)
    path = f"/instances/{created['id']}"
    assert "subscriptionId" not in api.call("PATCH", path, {"configuration": {CALLBACK: ""}}).json
    assert _rows(app, sa.select(Delivery.status)) == [DeliveryStatus.QUEUED]
    body = {"configuration": {CALLBACK: "https://new.test/"}}
    shown = api.call("PATCH", path, body).json
    waiting = _rows(app, sa.select(Delivery))
    assert [(one.subscription_id, one.status) for one in waiting] == [
        (shown["subscriptionId"], DeliveryStatus.CREATED)
    ]


@pytest.mark.parity(49)
def test_basic_credentials_are_sent_as_utf_8(app: flask.Flask, api: Api) -> None:
    """User names and passwords of the callback can have any letter (RFC 7617)."""
    names = ("event.notification.basic.username", "event.notification.basic.password")
    created = api.create(**dict(zip(names, ("zoë", "пароль€"), strict=True)))
    runtime = runtime_of(app)
    with runtime.database.read() as session:
        target = destination.load_credentials(
            session, runtime.cipher, created["id"], runtime.clock()
        )
    sent = requests.Request("POST", "https://mycoolapp.com/", auth=target.basic).prepare()
    scheme, _, credentials = sent.headers["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(credentials).decode()) == ("Basic", "zoë:пароль€")


def test_disabled_instance_is_not_due(app: flask.Flask, api: Api) -> None:
    """A disabled instance is not polled, and a change does not enable it."""
    created = api.create()
    path = f"/instances/{created['id']}"
    api.call("DELETE", f"{path}/enabled")
    assert _rows(app, sa.select(Instance.next_poll_at)) == [None]
    api.call("PATCH", path, {"name": "new"})
    assert _rows(app, sa.select(Instance.next_poll_at)) == [None]
    api.call("PUT", f"{path}/enabled")
    assert _rows(app, sa.select(Instance.next_poll_at)) != [None]


def test_enabling_lets_disabled_pollers_try_again(app: flask.Flask, api: Api) -> None:
    """Pollers that were disabled after failures run again when the instance is enabled."""
    created = api.create(**{CONFIGURATION: _block("orders", "products")})
    with runtime_of(app).database.write() as session:
        for poller in session.scalars(sa.select(Poller)):
            poller.state, poller.failures, poller.error = PollerState.DISABLED, 50, "gone"
            poller.polled_at = NOW if poller.resource == "orders" else None
    shown = api.call("PUT", f"/instances/{created['id']}/enabled").json
    states = {one["resource"]: (one["state"], one["error"]) for one in shown["pollers"]}
    assert states == {"orders": ("active", None), "products": ("baseline", None)}


@pytest.mark.parity(81, 82)
def test_answers_of_the_api_name_their_request(api: Api) -> None:
    """Every answer has a request id and can be read by scripts of other origins."""
    response = api.call("GET", "/instances")
    assert response.json["requestId"] == response.headers["Elements-Request-Id"]
    assert "Elements-Next-Page-Token" in response.headers["Access-Control-Expose-Headers"]
    assert response.headers["Elements-Error"] == "true"


@pytest.mark.parity(81)
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", "/instances/1/nothing", 404), ("PUT", "/elements/1", 405)]
    + [("POST", "/instances/1", 405), ("DELETE", "/elements/2881/metadata", 405)],
)
def test_unknown_paths_answer_in_the_documented_form(
    api: Api, method: str, path: str, status: int
) -> None:
    """Below the prefix an unknown path or method is an error of the API, not a page."""
    response = api.call(method, path)
    assert response.status_code == status
    assert response.json["message"] and response.json["requestId"]
    assert ("Allow" in response.headers) == (status == 405)


def test_paths_of_the_host_are_left_alone(api: Api) -> None:
    """Outside of the prefix the host answers as it did."""
    response = api.client.get("/nothing")
    assert response.status_code == 404 and response.mimetype == "text/html"
    assert PREFIX not in response.text


class _Greedy(http.server.BaseHTTPRequestHandler):
    """A host that records the keys it gets and answers like a store."""

    asked: t.ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        data = b'{"namespaces": ["wc/v3"]}' if self.path == "/wp-json/" else b"[]"
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"oauth.api.key": "********", "oauth.api.secret": "********"},
        {"oauth.api.key": "ck_test", "oauth.api.secret": "********"},
        {"oauth.api.key": "********", "oauth.api.secret": "cs_test"},
        {"oauth.api.secret": "cs_test"},
        {"oauth.api.key": "ck_test"},
    ],
)
def test_stored_keys_do_not_follow_the_store_to_another_host(
    api: Api, given: dict[str, str], method: str
) -> None:
    """No change of store.url sends the stored keys to another host."""
    created = api.create()
    _Greedy.asked.clear()
    with http.server.HTTPServer(("127.0.0.1", 0), _Greedy) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        for name in ("store.url", "oauth.callback.url"):
            configuration = {"store.url": "", name: url, **given}
            body = {"name": "moved", "configuration": configuration}
            response = api.call(method, f"/instances/{created['id']}", body)
            assert response.status_code == 400
            assert "oauth.api." in response.get_json()["message"]
        server.shutdown()
    assert _Greedy.asked == []


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_stored_keys_do_not_follow_the_store_to_another_path(
    api: Api, store_server: StubStore, method: str
) -> None:
    """Another path, scheme or name of the same host may be another site."""
    created = api.create(**{"store.headers": {"X-Site": "of the known site"}})
    path, masked = f"/instances/{created['id']}", "********"
    store_server.asked.clear()
    roots = [
        f"{api.store}/shop",
        f"{api.store}/shop/wp-json",
        api.store.replace("http:", "https:"),
        api.store.replace("127.0.0.1", "localhost"),
    ]
    for url in roots:
        keys = {"oauth.api.key": masked, "oauth.api.secret": masked, "store.headers": masked}
        body = {"name": "moved", "configuration": {"store.url": url, **keys}}
        response = api.call(method, path, body)
        assert response.status_code == 400 and "oauth.api.key" in response.json["message"]
        keys |= {"oauth.api.key": "ck_test", "oauth.api.secret": "cs_test"}
        body = {"name": "moved", "configuration": {"store.url": url, **keys}}
        response = api.call(method, path, body)
        assert response.status_code == 400 and "store.headers" in response.json["message"]
    assert store_server.asked == []
    for same in (f"{api.store}/", f"{api.store}/wp-json/"):
        body = {"name": "kept", "configuration": {"store.url": same, **keys}}
        assert api.call(method, path, body).json["configuration"]["store.url"] == same
    entry = _entry(api, created["id"], "store.url")
    change = {"propertyValue": f"{api.store}/shop"}
    assert api.call("PATCH", f"{path}/configuration/{entry['id']}", change).status_code == 400


def test_keys_sent_with_another_address_are_used(api: Api) -> None:
    """A store that moved is connected again with its keys."""
    created = api.create()
    keys = {"oauth.api.key": "ck_test", "oauth.api.secret": "cs_test"}
    moved = api.store.replace("127.0.0.1", "localhost")
    body = {"configuration": {"store.url": moved, **keys}}
    assert api.call("PATCH", f"/instances/{created['id']}", body).status_code == 200
