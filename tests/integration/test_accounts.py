"""Authentication: the forms of the header, and users with their organizations."""

from __future__ import annotations

import flask
import flask.testing
import pytest

from flask_woo_events.errors import ConflictError, InputError, NotFoundError
from flask_woo_events.instances import accounts
from tests.integration.host_app import NOW, PREFIX, Account, Api, Headers, add_account, runtime_of


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
        "User {user}, Organization {organization}, Element x",
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
