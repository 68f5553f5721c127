"""Authentication: the forms of the header, and users with their organizations."""

from __future__ import annotations

import flask
import flask.testing
import pytest

from flask_woo_events.errors import ConflictError, InputError, NotFoundError
from flask_woo_events.instances import accounts
from tests.integration.host_app import (
    NOW,
    PREFIX,
    Account,
    Api,
    Headers,
    add_account,
    body_for,
    runtime_of,
)


def _status(client: flask.testing.FlaskClient, header: str) -> int:
    response = client.get(f"{PREFIX}/instances", headers={"Authorization": header})
    if response.status_code >= 400:
        assert response.json and response.json["message"] and response.json["requestId"]
    return response.status_code


@pytest.mark.parity(80)
@pytest.mark.parametrize(
    "form",
    [
        "User {user}, Organization {organization}",
        "Organization {organization}, User {user}",
        "user {user},organization {organization}",
        "  USER   {user} ,  ORGANIZATION {organization}  ",
        "User {user}, Element {token}",
        "User {user}, Organization {organization}, Element {token}",
        "User {user}, Organization {organization}, Element x",
        "Element {token}, User {user}",
    ],
)
def test_valid_headers(api: Api, account: Account, form: str) -> None:
    """The parts can have any order and case, with or without spaces."""
    token = api.create()["token"]
    secrets = {"user": account.user, "organization": account.organization, "token": token}
    assert _status(api.client, form.format(**secrets)) == 200


@pytest.mark.parity(80)
@pytest.mark.parametrize(
    "form",
    [
        "",
        "User {user}",
        "Organization {organization}",
        "Element {token}",
        "Organization {organization}, Element {token}",
        "User {user}, Organization",
        "User, Organization {organization}",
        "User {organization}, Organization {user}",
        "User {user}, Organization {user}",
        "User {user}, Element {user}",
        "User {user}, Organization x, Element {token}",
        "User x, Organization {organization}, Element {token}",
        "User {user}, User {user}, Organization {organization}",
        "User {user}; Organization {organization}",
        "User {user}, Organization {organization},",
        "User {user}, Organization {organization}, Basic x",
        "Bearer {user}",
        "Basic YTpi",
        "User é, Organization ü",
        "User {user}x, Organization {organization}",
        "User " + "x" * 5000 + ", Organization {organization}",
    ],
)
def test_invalid_headers(api: Api, account: Account, form: str) -> None:
    """Any other form is a 401."""
    token = api.create()["token"]
    secrets = {"user": account.user, "organization": account.organization, "token": token}
    assert _status(api.client, form.format(**secrets)) == 401


#: Calls that concern the whole organization, with bodies that they accept.
_ACCOUNT_CALLS = [
    ("GET", "/accounts/settings"),
    ("POST", "/accounts/settings"),
    ("PATCH", "/accounts/settings"),
    ("GET", "/accounts/1/settings"),
    ("POST", "/accounts/1/settings"),
    ("PATCH", "/accounts/1/settings"),
    ("POST", "/instances"),
    ("POST", "/elements/woocommercerest/instances"),
    ("POST", "/instances/1/token"),
    ("POST", "/elements/2881/instances/1/token"),
]


def _three_parts(account: Account, token: str) -> Headers:
    header = f"{account.headers['Authorization']}, Element {token}"
    return {"Authorization": header}


def _account_call(api: Api, method: str, path: str, headers: Headers) -> tuple[int, str]:
    settings = {"notification.webhook.failure.policy": "queue"}
    body = body_for(api.store) if path.endswith("instances") else settings
    response = api.call(method, path, None if method == "GET" else body, headers)
    return response.status_code, response.json.get("message", "")


@pytest.mark.parity(80)
@pytest.mark.parametrize(("method", "path"), _ACCOUNT_CALLS)
def test_a_token_does_not_reach_the_account(
    api: Api, account: Account, method: str, path: str
) -> None:
    """Settings and new instances need the organization's secret, with or without a token."""
    token = api.create()["token"]
    status, message = _account_call(api, method, path, account.element(token))
    assert status == 403 and "Organization <ORGANIZATION_SECRET>" in message
    assert _account_call(api, method, path, {"Authorization": f"Element {token}"})[0] == 401
    assert api.call("GET", "/accounts/settings").json == {
        "notification.webhook.failure.policy": "retry",
        "notification.webhook.retry.schedule": "standard",
    }
    for other in (token, "of-no-instance"):
        assert _account_call(api, method, path, _three_parts(account, other))[0] == 200


@pytest.mark.parity(80)
@pytest.mark.parametrize("beside", ["own", "another", "deleted", "of another organization"])
def test_a_token_beside_both_secrets_narrows_nothing(
    app: flask.Flask, api: Api, account: Account, beside: str
) -> None:
    """User and Organization decide what may be seen and changed, whatever token is sent as well."""
    first, second, third = api.create(), api.create(), api.create()
    api.call("DELETE", f"/instances/{third['id']}")
    bob = add_account(app, "bob", "globex")
    theirs = Api(api.client, bob.headers, api.store).create()
    tokens = {"own": first, "another": second, "deleted": third, "of another organization": theirs}
    headers = _three_parts(account, tokens[beside]["token"])
    listed = api.call("GET", "/instances", headers=headers).json
    assert [one["id"] for one in listed] == [first["id"], second["id"]]
    path = f"/instances/{first['id']}"
    assert api.call("GET", path, headers=headers).json["id"] == first["id"]
    assert api.call("GET", f"/instances/{theirs['id']}", headers=headers).status_code == 404
    for query in ("", f"?where=instanceId={first['id']}"):
        deliveries = f"/notifications/subscriptions/deliveries{query}"
        assert api.call("GET", deliveries, headers=headers).status_code == 200
    subscribed = api.call("GET", "/notifications/subscriptions", headers=headers).json
    assert len(subscribed) == 2
    polled = api.call("GET", "/instances/event-poller-records", headers=headers).json
    assert {one["elementInstanceId"] for one in polled} == {first["id"], second["id"]}
    assert api.call("GET", f"{path}/events", headers=headers).json == []
    assert api.call("GET", "/elements", headers=headers).status_code == 200
    assert api.call("POST", "/instances", body_for(api.store), headers).status_code == 200
    body = body_for(api.store) | {"name": "again"}
    assert api.call("PUT", path, body, headers).json["name"] == "again"
    assert api.call("PATCH", path, {"name": "twice"}, headers).json["name"] == "twice"
    assert api.call("DELETE", path, headers=headers).status_code == 200


@pytest.mark.parity(80)
def test_a_token_beside_both_secrets_chooses_the_instance(
    app: flask.Flask, api: Api, account: Account
) -> None:
    """A path without an id means the token's instance, if it is one of the organization."""
    _first, second = api.create(), api.create()
    headers = _three_parts(account, second["token"])
    assert api.call("PATCH", "/instances", {"name": "second"}, headers).json["id"] == second["id"]
    shown = api.call("DELETE", "/instances/enabled", headers=headers).json
    assert (shown["id"], shown["disabled"]) == (second["id"], True)
    bob = add_account(app, "bob", "globex")
    for token in (Api(api.client, bob.headers, api.store).create()["token"], "of-no-instance"):
        headers = _three_parts(account, token)
        for method in ("PUT", "PATCH", "DELETE"):
            response = api.call(method, "/instances", {"name": "x"}, headers)
            assert response.status_code == 401 and "Element" in response.json["message"]
        assert api.call("GET", "/hubs/ecommerce/orders", headers=headers).status_code == 401


def test_missing_header_names_the_expected_one(client: flask.testing.FlaskClient) -> None:
    """Without a header the answer names the expected one."""
    response = client.get(f"{PREFIX}/instances")
    assert response.status_code == 401
    assert response.json and "Organization <ORGANIZATION_SECRET>" in response.json["message"]


def test_secrets_of_two_organizations(app: flask.Flask, api: Api, account: Account) -> None:
    """A user's secret is refused with another organization's secret or token."""
    other = add_account(app, "bob", "globex")
    token = api.create()["token"]
    assert _status(api.client, f"User {account.user}, Organization {other.organization}") == 401
    assert _status(api.client, f"User {other.user}, Element {token}") == 401


def test_answers_do_not_reveal_users(client: flask.testing.FlaskClient, api: Api) -> None:
    """An unknown user gets the same answer with any other secret."""
    token = api.create()["token"]
    answers = set()
    for other in (f"Element {token}", "Element x", "Organization x"):
        headers = {"Authorization": f"User x, {other}"}
        response = client.get(f"{PREFIX}/instances", headers=headers)
        assert response.json is not None
        answers.add(response.json["message"])
    assert len(answers) == 1


def test_second_user_of_an_organization(app: flask.Flask, api: Api) -> None:
    """Users of one organisation see the same instances; its secret is shown once."""
    api.create()
    with runtime_of(app).database.write() as session:
        cat = accounts.add_user(session, "cat", "acme", NOW)
    assert cat.organization_secret is None
    organization = api.headers["Authorization"].partition(", ")[2]
    assert _status(api.client, f"User {cat.user_secret}, {organization}") == 200


def test_organization_secret_is_replaced(app: flask.Flask, api: Api) -> None:
    """The organisation of ``flask woo connect`` gets a secret that is known; the old one ends."""
    api.create()
    with runtime_of(app).database.write() as session:
        cat = accounts.add_user(session, "cat", "acme", NOW, replace_secret=True)
    header = f"User {cat.user_secret}, Organization {cat.organization_secret}"
    assert _status(api.client, header) == 200
    assert _status(api.client, api.headers["Authorization"]) == 401


def test_removed_user(app: flask.Flask, api: Api, account: Account) -> None:
    """A removed user's secret is refused, and the instances belong to another user."""
    created = api.create()
    with runtime_of(app).database.write() as session:
        cat = accounts.add_user(session, "cat", "acme", NOW)
        accounts.remove_user(session, "ann", "acme")
    assert _status(api.client, api.headers["Authorization"]) == 401
    headers: Headers = Account(cat.user_secret, account.organization).headers
    shown = api.call("GET", f"/instances/{created['id']}", headers=headers).json
    assert shown["user"]["firstName"] == "cat"


def test_last_user_stays_with_the_instances(app: flask.Flask, api: Api) -> None:
    """The last user cannot be removed while instances exist."""
    api.create()
    with pytest.raises(ConflictError, match="last user"):
        with runtime_of(app).database.write() as session:
            accounts.remove_user(session, "ann", "acme")


def test_user_name_is_unique(app: flask.Flask, account: Account) -> None:
    """A user name is unique in an organization."""
    with pytest.raises(ConflictError, match="ann"):
        with runtime_of(app).database.write() as session:
            accounts.add_user(session, "ann", "acme", NOW)


def test_unknown_user_cannot_be_removed(app: flask.Flask, account: Account) -> None:
    """A removed user cannot be removed again."""
    for name, organization in (("bob", "acme"), ("ann", "globex")):
        with pytest.raises(NotFoundError):
            with runtime_of(app).database.write() as session:
                accounts.remove_user(session, name, organization)


@pytest.mark.parametrize("name", ["", "  ", "x" * 200, "a\nb", "a\0b"])
def test_invalid_names(app: flask.Flask, name: str) -> None:
    """Names of users and organizations are printable and not empty."""
    for pair in ((name, "acme"), ("ann", name)):
        with pytest.raises(InputError):
            with runtime_of(app).database.write() as session:
                accounts.add_user(session, *pair, NOW)


def test_new_user_does_not_show_secrets(app: flask.Flask) -> None:
    """The representation of a new user does not contain secrets."""
    with runtime_of(app).database.write() as session:
        user = accounts.add_user(session, "ann", "acme", NOW)
    assert user.user_secret not in repr(user)
    assert str(user.organization_secret) not in repr(user)
