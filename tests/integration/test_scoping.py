"""Access of one organization to the data of another."""

from __future__ import annotations

import typing as t

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Base, Configuration, Instance, Subscription
from tests.integration.host_app import Account, Api, Headers, body_for, runtime_of

PARAMETERS = {"instance_id", "entry_id", "event_id", "element", "delivery_id", "notification_id"}


def _rows(app: flask.Flask) -> dict[str, list[t.Any]]:
    with runtime_of(app).database.read() as session:
        return {
            table.name: [tuple(row) for row in session.execute(sa.select(table))]
            for table in Base.metadata.sorted_tables
        }


def _routes(app: flask.Flask) -> list[tuple[str, str]]:
    """Every method and path of the API that names an instance."""
    return [
        (method, rule.rule)
        for rule in app.url_map.iter_rules()
        if "instance_id" in rule.arguments
        for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"})
    ]


def _filled(app: flask.Flask, rule: str, instance_id: int) -> str:
    with runtime_of(app).database.read() as session:
        query = sa.select(Configuration.id).where(Configuration.instance_id == instance_id)
        entry_id = session.scalars(query.limit(1)).one()
        mine = sa.select(Subscription.id).where(Subscription.instance_id == instance_id)
        subscription_id = session.scalars(mine).one()
    path = rule.replace("<instance_id>", str(instance_id)).replace("<entry_id>", str(entry_id))
    path = path.replace("<subscription_id>", str(subscription_id))
    for name in PARAMETERS:
        path = path.replace(f"<{name}>", "1")
    assert "<" not in path, f"{rule} has a parameter that this test does not know"
    return path


def _bodies(api: Api) -> list[dict[str, t.Any] | None]:
    subscription = {"callbackUrl": "https://mycoolapp.com/more"}
    return [None, {}, body_for(api.store), {"propertyValue": "x"}, subscription]


def test_every_route_is_there(app: flask.Flask) -> None:
    """The tested routes are those of the API."""
    assert len(_routes(app)) >= 9


def test_other_organizations_instance_does_not_exist(
    app: flask.Flask, api: Api, other_headers: Headers
) -> None:
    """Every route answers 404 for another organisation's instance and changes nothing."""
    created = api.create()
    before = _rows(app)
    for method, rule in _routes(app):
        path = _filled(app, rule, created["id"])
        for body in _bodies(api):
            response = api.client.open(path, method=method, json=body, headers=other_headers)
            assert response.status_code == 404, (method, rule, body, response.text)
    assert _rows(app) == before


def test_every_route_needs_authorization(app: flask.Flask, api: Api) -> None:
    """Every route answers 401 without authorization."""
    created = api.create()
    before = _rows(app)
    for method, rule in _routes(app):
        path = _filled(app, rule, created["id"])
        for body in _bodies(api):
            response = api.client.open(path, method=method, json=body)
            assert response.status_code == 401, (method, rule, body, response.text)
    assert _rows(app) == before


def test_token_of_one_instance_does_not_reach_another(
    app: flask.Flask, api: Api, account: Account
) -> None:
    """Every route answers 404 for another instance than the token's, or 403 for each of them."""
    created, own = api.create(), api.create()
    before = _rows(app)
    for method, rule in _routes(app):
        path = _filled(app, rule, created["id"])
        headers = account.element(own["token"])
        response = api.client.open(path, method=method, json={}, headers=headers)
        refused = rule.endswith("/token") and response.status_code == 403
        assert response.status_code == 404 or refused, (method, rule, response.text)
    assert _rows(app) == before


@pytest.mark.parametrize("query", ["", "?tags[]=Docs", "?searchText=shop"])
def test_lists_show_only_the_organization(api: Api, other_headers: Headers, query: str) -> None:
    """A list never shows another organisation's instances."""
    api.create(tags=["Docs"])
    assert api.call("GET", f"/instances{query}", headers=other_headers).status_code == 404


def test_calls_without_a_token_name_no_instance(
    app: flask.Flask, api: Api, headers: Headers
) -> None:
    """Routes without an id need a token, so a user cannot change an instance by mistake."""
    api.create()
    before = _rows(app)
    for method, path in (
        ("PUT", "/instances"),
        ("PATCH", "/instances"),
        ("DELETE", "/instances"),
        ("PUT", "/instances/enabled"),
        ("DELETE", "/instances/enabled"),
        ("GET", "/instances/configuration"),
    ):
        assert api.call(method, path, {} if method != "GET" else None).status_code == 401
    assert _rows(app) == before
    with runtime_of(app).database.read() as session:
        assert session.scalar(sa.select(sa.func.count(Instance.id))) == 1
