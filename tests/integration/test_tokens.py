"""Tokens of instances: replaced, and kept encrypted on request."""

from __future__ import annotations

import collections.abc as cabc
import json
import pathlib
import shutil

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Configuration, Instance
from flask_woo_events.instances import access, configuration, lifecycle
from flask_woo_events.values.crypto import Cipher, hash_token
from tests.integration.host_app import (
    Account,
    Api,
    Body,
    StubStore,
    add_account,
    body_for,
    dispose,
    make_app,
    runtime_of,
)
from tests.integration.ledger_env import build

KEY = Cipher.generate_key()
Opening = cabc.Callable[..., Api]


@pytest.fixture
def opening(
    tmp_path: pathlib.Path, tables: pathlib.Path, store_server: StubStore
) -> cabc.Iterator[Opening]:
    """Return a function that opens the same database with other settings, as ann of acme."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    apps: list[flask.Flask] = []
    accounts: list[Account] = []

    def begin(*, keep: bool = True, keys: tuple[str, ...] = (KEY,)) -> Api:
        settings = {"WOO_EVENTS_KEEP_TOKENS": keep, "WOO_EVENTS_ENCRYPTION_KEYS": keys}
        apps.append(make_app(tmp_path, **settings))
        if not accounts:
            accounts.append(add_account(apps[-1], "ann", "acme"))
        return Api(apps[-1].test_client(), accounts[0].headers, store_server.url)

    yield begin
    for app in apps:
        dispose(app)


def _element(api: Api, token: str) -> dict[str, str]:
    user = api.headers["Authorization"].partition(",")[0]
    return {"Authorization": f"{user}, Element {token}"}


def _status(api: Api, token: str) -> int:
    status: int = api.call("GET", "/instances", headers=_element(api, token)).status_code
    return status


def _shown(api: Api, number: int) -> list[str | None]:
    """Return the token of each answer that contains an instance."""
    path = f"/instances/{number}"
    listed: list[Body] = api.call("GET", "/instances").json
    answers = [
        next(one for one in listed if one["id"] == number),
        api.call("GET", path).json,
        api.call("GET", f"/elements/2881{path}").json,
        api.call("PATCH", path, {"name": "renamed"}).json,
        api.call("PUT", f"{path}/enabled").json,
    ]
    return [one.get("token") for one in answers]


def _run(api: Api, *args: str, stdin: str = "") -> tuple[int, str]:
    app = api.client.application
    result = app.test_cli_runner().invoke(args=["woo", *args], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def _stored(api: Api) -> list[str]:
    """Return all values of the configuration as they are stored."""
    with runtime_of(api.client.application).database.read() as session:
        return list(session.scalars(sa.select(Configuration.value)))


@pytest.mark.parity(74, 80)
@pytest.mark.parametrize("element", ["", "/elements/woocommercerest", "/elements/2881"])
@pytest.mark.parametrize("keep", [False, True])
def test_token_is_replaced(opening: Opening, element: str, keep: bool) -> None:
    """The new token is the answer; the one before is refused at once, and others stay."""
    api = opening(keep=keep)
    first, other = api.create(), api.create()
    answer = api.call("POST", f"{element}/instances/{first['id']}/token")
    assert answer.status_code == 200 and list(answer.json) == ["token"]
    new = answer.json["token"]
    assert new not in (first["token"], other["token"])
    assert [_status(api, one) for one in (first["token"], new, other["token"])] == [401, 200, 200]
    assert set(_shown(api, first["id"])) == {new if keep else None}


@pytest.mark.parity(80)
def test_who_may_replace_a_token(opening: Opening) -> None:
    """It needs both secrets of the instance's organization, whatever token is sent as well."""
    api = opening()
    mine, other = api.create(), api.create()
    path = f"/instances/{mine['id']}/token"
    bob = add_account(api.client.application, "bob", "globex")
    theirs = Api(api.client, bob.headers, api.store).create()
    for headers, status in (
        (_element(api, mine["token"]), 403),
        (bob.headers, 404),
        (bob.element(theirs["token"]), 403),
        ({"Authorization": f"Element {mine['token']}"}, 401),
        ({"Authorization": f"{bob.headers['Authorization']}, Element {mine['token']}"}, 404),
    ):
        assert api.call("POST", path, headers=headers).status_code == status
    assert _status(api, mine["token"]) == 200
    assert api.call("POST", "/elements/other/instances/1/token").status_code == 404
    assert api.call("POST", "/instances/99/token").status_code == 404
    three = {"Authorization": f"{api.headers['Authorization']}, Element {other['token']}"}
    assert api.call("POST", path, headers=three).status_code == 200
    assert [_status(api, one["token"]) for one in (mine, other)] == [401, 200]


@pytest.mark.parity(74)
def test_kept_tokens_are_shown(opening: Opening) -> None:
    """With the setting an instance is shown with its token, to its organization only."""
    api = opening()
    mine, other = api.create(), api.create()
    assert set(_shown(api, mine["id"])) == {mine["token"]}
    listed = api.call("GET", "/instances").json
    assert [one["token"] for one in listed] == [mine["token"], other["token"]]
    own = api.call("GET", "/instances", headers=_element(api, other["token"]))
    assert own.json["token"] == other["token"]
    bob = add_account(api.client.application, "bob", "globex")
    theirs = Api(api.client, bob.headers, api.store).create()
    answer = api.call("GET", "/instances", headers=bob.headers)
    assert [one["token"] for one in answer.json] == [theirs["token"]]
    assert "woo.token" not in answer.text and mine["token"] not in answer.text
    assert not any(mine["token"] in one for one in _stored(api))
    assert mine["token"] not in _run(api, "instances", "show", "1", "--json")[1]


def test_tokens_that_were_made_without_the_setting(opening: Opening) -> None:
    """They are not shown; one that was stored is not either without it, and ends with the next."""
    plain = opening(keep=False)
    early = plain.create()
    assert set(_shown(plain, early["id"])) == {None}
    api = opening()
    late = api.create()
    assert set(_shown(api, early["id"])) == {None}
    assert set(_shown(plain, late["id"])) == {None}
    before = len(_stored(api))
    assert plain.call("POST", f"/instances/{late['id']}/token").status_code == 200
    assert len(_stored(api)) == before - 1
    assert set(_shown(api, late["id"])) == {None}


def test_rotation_and_loss_of_the_key(opening: Opening) -> None:
    """A kept token follows the keys; one without its key is left out, and everything works."""
    api, new = opening(), Cipher.generate_key()
    made = api.create()
    assert _run(opening(keys=(KEY, new)), "keys", "rotate") == (
        0, "3 secrets encrypted with the last key.\n",
    )  # fmt: skip
    rotated = opening(keys=(new,))
    assert set(_shown(rotated, made["id"])) == {made["token"]}
    with runtime_of(rotated.client.application).database.write() as session:
        kept = sa.select(Configuration).where(Configuration.key == "woo.token")
        session.scalars(kept).one().value = Cipher([KEY]).encrypt(made["token"])
    assert set(_shown(rotated, made["id"])) == {None}
    assert _status(rotated, made["token"]) == 200
    assert api.call("GET", f"/instances/{made['id']}").json["problems"] == []
    status, output = _run(rotated, "keys", "rotate")
    assert status == 1 and "instance 1 renamed: the token" in output
    fix = _doctor(rotated)
    assert fix.endswith("flask woo instances token 1")
    status, output = _run(rotated, "instances", "token", "1", "--yes")
    assert status == 0 and set(_shown(rotated, 1)) == {output.split()[-1]}
    assert _run(rotated, "keys", "rotate")[0] == 0 and _doctor(rotated) == ""


def _doctor(api: Api) -> str:
    """Return how to fix what the doctor says of the token."""
    found = [
        one
        for line in _run(api, "doctor", "--json")[1].splitlines()
        for one in json.loads(line)["findings"]
        if "the kept token cannot be decrypted" in one["what"]
    ]
    return str(found[0]["fix"]) if found else ""


def test_command(opening: Opening) -> None:
    """``instances token`` asks first, and prints the new token, for scripts as JSON."""
    api = opening(keep=False)
    made = api.create()
    assert _run(api, "instances", "token", "1", stdin="n\n")[0] == 1
    assert _status(api, made["token"]) == 200
    status, output = _run(api, "instances", "token", "1", stdin="y\n")
    assert status == 0 and _status(api, output.split()[-1]) == 200
    assert _status(api, made["token"]) == 401
    status, output = _run(api, "instances", "token", "1", "--yes", "--json")
    shown = json.loads(output)
    assert status == 0 and list(shown) == ["id", "token"] and shown["id"] == 1
    assert _status(api, shown["token"]) == 200
    status, output = _run(api, "instances", "token", "99", "--yes")
    assert status == 1 and "There is no instance 99" in output


def test_tokens_need_an_encryption_key(opening: Opening) -> None:
    """Without one, a token that is not kept is made all the same; with the setting none is."""
    made = opening().create()
    path = f"/instances/{made['id']}"
    assert opening(keys=(), keep=False).call("POST", f"{path}/token").status_code == 200
    without = opening(keys=())
    assert without.call("POST", f"{path}/token").status_code == 500
    assert "WOO_EVENTS_ENCRYPTION_KEYS" in _run(without, "instances", "token", "1", "--yes")[1]
    assert without.call("GET", path).status_code == 200


def test_a_change_of_the_configuration_keeps_the_token(opening: Opening) -> None:
    """Neither a new configuration nor a member with the internal name touches it."""
    api = opening()
    made = api.create()
    body = body_for(api.store) | {"name": "again"}
    body["configuration"]["woo.token"] = "forged"
    answer = api.call("PUT", f"/instances/{made['id']}", body)
    assert answer.status_code == 200 and "woo.token" not in answer.json["configuration"]
    assert answer.json["token"] == made["token"]


def test_copied_database(opening: Opening, tmp_path: pathlib.Path) -> None:
    """A copy of the database shows the same tokens with the same keys."""
    api = opening()
    made = api.create()
    to = f"sqlite:///{tmp_path}/copy.sqlite3"
    status, output = _run(api, "db", "copy", "--to", to)
    assert status == 0, output
    settings = {"WOO_EVENTS_KEEP_TOKENS": True, "WOO_EVENTS_ENCRYPTION_KEYS": [KEY]}
    copied = make_app(tmp_path, SQLALCHEMY_DATABASE_URI=to, **settings)
    answer = Api(copied.test_client(), api.headers, "").call("GET", "/instances")
    dispose(copied)
    assert [one["token"] for one in answer.json] == [made["token"]]


def test_every_database(any_database: Database) -> None:
    """A token is stored, replaced and removed on each database."""
    cipher, number = Cipher([KEY]), build(any_database).stream.instance_id
    tokens = []
    for chosen in (cipher, cipher, None, cipher):
        with any_database.write() as session:
            caller = access.owner(session, number)
            tokens.append(lifecycle.replace_token(session, chosen, caller, number))
        with any_database.read() as session:
            kept = configuration.tokens(session, cipher, [number])
            assert session.get_one(Instance, number).token_hash == hash_token(tokens[-1])
        assert kept == ({number: tokens[-1]} if chosen is not None else {})
    assert len(set(tokens)) == 4
