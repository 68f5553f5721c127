"""Commands of ``flask woo``: users, instances, tables, keys, and the help of all."""

from __future__ import annotations

import json
import pathlib
import typing as t
import urllib.parse

import click.testing
import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.cli import cli
from flask_woo_events.db import upgrade
from flask_woo_events.db.models import Configuration, Instance, Poller
from flask_woo_events.db.states import PollerState
from flask_woo_events.instances import access, wc_auth
from flask_woo_events.values.crypto import Cipher
from tests.integration.host_app import (
    PREFIX,
    Account,
    Api,
    StubStore,
    body_for,
    dispose,
    make_app,
    runtime_of,
)


def _run(app: flask.Flask, *args: str, stdin: str | None = None) -> click.testing.Result:
    result = app.test_cli_runner().invoke(args=["woo", *args], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def _good(app: flask.Flask, *args: str, stdin: str | None = None) -> str:
    result = _run(app, *args, stdin=stdin)
    assert result.exit_code == 0, result.output
    return result.output


def _bad(app: flask.Flask, *args: str, stdin: str | None = None) -> str:
    result = _run(app, *args, stdin=stdin)
    assert result.exit_code != 0
    assert "Traceback" not in result.output
    return result.output


def _one(app: flask.Flask, query: sa.Select[t.Any]) -> t.Any:
    with runtime_of(app).database.read() as session:
        return session.scalars(query).one()


def test_printed_header_authenticates(app: flask.Flask) -> None:
    """The printed header can be sent as it is."""
    output = _good(app, "users", "add", "ann", "--organization", "acme")
    header = next(line for line in output.splitlines() if line.startswith("Authorization: "))
    headers = {"Authorization": header.removeprefix("Authorization: ")}
    response = app.test_client().get(f"{PREFIX}/instances", headers=headers)
    assert response.status_code == 404


def test_added_user_as_json(app: flask.Flask) -> None:
    """With ``--json`` the secrets are JSON."""
    output = _good(app, "users", "add", "ann", "--organization", "acme", "--json")
    assert {"user_secret", "organization_secret"} <= set(json.loads(output))


def test_second_user_prints_no_organization_secret(app: flask.Flask, account: Account) -> None:
    """It is printed for the first user, or if it is replaced, as the first output says."""
    output = _good(app, "users", "add", "bob", "--organization", "acme")
    assert "<ORGANIZATION_SECRET>" in output
    assert account.organization not in output
    option = "--new-organization-secret"
    assert option in output
    output = _good(app, "users", "add", "eve", "--organization", "acme", option)
    assert "<ORGANIZATION_SECRET>" not in output and account.organization not in output


def test_users_list(app: flask.Flask, account: Account) -> None:
    """Users are listed without any secret."""
    output = _good(app, "users", "list")
    assert "ann" in output and "acme" in output
    assert account.user not in output
    assert json.loads(_good(app, "users", "list", "--json"))[0]["name"] == "ann"


def test_users_remove(app: flask.Flask, account: Account) -> None:
    """A removed user is not listed."""
    _good(app, "users", "remove", "ann", "--organization", "acme")
    assert "ann" not in _good(app, "users", "list")


@pytest.mark.parametrize(
    "args",
    [
        ("users", "add", "ann", "--organization", "acme"),
        ("users", "add", "", "--organization", "acme"),
        ("users", "remove", "bob", "--organization", "acme"),
        ("users", "add", "bob"),
        ("instances", "show", "99"),
        ("instances", "pause", "99"),
        ("instances", "resume", "99"),
        ("instances", "backfill", "99"),
        ("instances", "delete", "99", "--yes"),
        ("instances", "show", "9" * 30),
        ("instances", "show", "x"),
        ("instances", "create", "no-such-file", "--user", "ann", "--organization", "acme"),
    ],
)
def test_failures_are_messages(app: flask.Flask, account: Account, args: tuple[str, ...]) -> None:
    """A command that fails prints a message without a traceback and exits with a status."""
    assert "Error" in _bad(app, *args)


def _create(user: str = "ann") -> tuple[str, ...]:
    return ("instances", "create", "-", "--user", user, "--organization", "acme")


#: Every command with the id of a row.
WITH_AN_ID = (
    "instances show", "instances pause", "instances delete --yes", "webhooks url", "webhooks list",
    "events list --instance", "events show", "events replay", "events replay --instance",
    "deliveries list --instance", "deliveries redeliver --instance", "poll --once --instance",
)  # fmt: skip


@pytest.mark.parametrize("number", ["0", "-1", "9223372036854775808", "9" * 400, "NaN", "a\0b"])
def test_an_id_that_no_row_can_have(app: flask.Flask, number: str) -> None:
    """It is refused as a usage error, without a traceback."""
    runner = app.test_cli_runner()
    for command in WITH_AN_ID:
        *before, last = command.split()
        result = runner.invoke(args=["woo", *before, last, number])
        assert result.exit_code == 2, (command, result.output)
    listed = runner.invoke(args=["woo", "events", "list", "--object", "caf\udce9"])
    assert listed.exit_code == 1 and "other characters" in listed.output, listed.output
    for text in ("9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "a\0b"):
        result = runner.invoke(args=["woo", "events", "replay", "--since", text])
        assert result.exit_code == 2, result.output


def test_instances_create(app: flask.Flask, account: Account, store_server: StubStore) -> None:
    """The JSON of the API creates an instance, whose token is printed."""
    body = json.dumps(body_for(store_server.url))
    output = _good(app, *_create(), stdin=body)
    token = output.split()[-1]
    response = app.test_client().get(f"{PREFIX}/instances", headers=account.element(token))
    assert response.status_code == 200


@pytest.mark.parametrize("body", ["", "not json", "[]", "{}", '{"name": "x"}', "[" * 10_000])
def test_instances_create_with_a_bad_body(app: flask.Flask, account: Account, body: str) -> None:
    """A bad body is refused with a message."""
    assert "Error" in _bad(app, *_create(), stdin=body)


def test_instances_create_for_an_unknown_user(
    app: flask.Flask, account: Account, store_server: StubStore
) -> None:
    """For an unknown user the message names the command, and the store is not called."""
    body = json.dumps(body_for(store_server.url))
    assert "flask woo users add" in _bad(app, *_create("bob"), stdin=body)
    assert store_server.asked == []


def test_instances_create_at_a_store_that_refuses(
    app: flask.Flask, account: Account, store_server: StubStore
) -> None:
    """If the store refuses the keys, nothing is stored."""
    store_server.refuse_keys()
    body = json.dumps(body_for(store_server.url))
    _bad(app, *_create(), stdin=body)
    with runtime_of(app).database.read() as session:
        assert session.scalars(sa.select(Instance)).all() == []


def test_instances_list(app: flask.Flask, api: Api) -> None:
    """Instances of all organizations are listed with their pollers."""
    created = api.create(name="first shop")
    output = _good(app, "instances", "list")
    assert "first shop" in output and "orders:baseline" in output
    lines = _good(app, "instances", "list", "--json").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [created["id"]]


def test_instances_show(app: flask.Flask, api: Api) -> None:
    """One instance is shown with masked secrets."""
    number = str(api.create()["id"])
    for output in (
        _good(app, "instances", "show", number),
        _good(app, "instances", "show", number, "--json"),
    ):
        assert "cs_test" not in output and "********" in output and "orders" in output
    text = _good(app, "instances", "show", number)
    assert "last poll never" in text and "user.id" in text


def test_instances_pause_and_resume(app: flask.Flask, api: Api) -> None:
    """A paused instance is not due, and a resumed one is."""
    number = str(api.create()["id"])
    _good(app, "instances", "pause", number)
    assert _one(app, sa.select(Instance.next_poll_at)) is None
    assert "paused" in _good(app, "instances", "list")
    assert "is polled again" in _good(app, "instances", "resume", number)
    assert _one(app, sa.select(Instance.next_poll_at)) is not None


def test_instances_resume_without_events(app: flask.Flask, api: Api) -> None:
    """An instance whose events are off is not polled after a pause, and the command says so."""
    number = str(api.create(**{"event.notification.enabled": False})["id"])
    _good(app, "instances", "pause", number)
    said = _good(app, "instances", "resume", number)
    assert "polled again" not in said and "its events are off" in said
    assert "event.notification.enabled" in said and f"instances change {number}" in said
    assert _one(app, sa.select(Instance.next_poll_at)) is None


def test_instances_backfill(app: flask.Flask, api: Api) -> None:
    """A backfill is requested of every resource, which stays active."""
    created = api.create(**{"event.poller.urls": "orders"})
    with runtime_of(app).database.write() as session:
        session.execute(sa.update(Poller).values(state=PollerState.ACTIVE))
    part = ("--resource", "orders", "--since", "2026-11-01", "--until", "2026-11-08T12:00:00")
    assert "every object of these dates" in _good(
        app, "instances", "backfill", str(created["id"]), *part
    )
    kept = _one(app, sa.select(Poller)).memory["comparison"]["backfill_part"]
    assert kept == [0, "2026-11-01T00:00:00+00:00", "2026-11-08T12:00:00+00:00"]
    _good(app, "instances", "backfill", str(created["id"]))
    poller = _one(app, sa.select(Poller))
    assert (poller.state, poller.memory["comparison"]["backfill"]) == (PollerState.ACTIVE, 0)
    assert "still under way" in _bad(app, "instances", "backfill", str(created["id"]), *part)
    wrong = ("--resource", "ordres")
    assert "it polls orders" in _bad(app, "instances", "backfill", str(created["id"]), *wrong)


def test_instances_delete_asks(app: flask.Flask, api: Api) -> None:
    """An instance is deleted only after confirmation."""
    number = str(api.create()["id"])
    _bad(app, "instances", "delete", number, stdin="n\n")
    _good(app, "instances", "delete", number, stdin="y\n")
    assert "shop" not in _good(app, "instances", "list")


def test_db_upgrade_and_check(tmp_path: pathlib.Path) -> None:
    """If tables are missing, the message names the command that creates them."""
    app = make_app(tmp_path)
    try:
        assert "flask woo db upgrade" in _bad(app, "db", "check")
        assert "flask woo db upgrade" in _bad(app, "users", "list")
        _good(app, "db", "upgrade")
        _good(app, "db", "upgrade")
        assert upgrade.check(runtime_of(app).database.engine) in _good(app, "db", "check")
    finally:
        dispose(app)


@pytest.mark.parametrize("args", ["db upgrade", "db check", "instances list", "poll --once"])
def test_database_is_away(tmp_path: pathlib.Path, args: str) -> None:
    """A database that cannot be opened is reported in one sentence, without a traceback."""
    uri = f"sqlite:///{tmp_path}/missing/folder/host.sqlite3"
    app = make_app(tmp_path, SQLALCHEMY_DATABASE_URI=uri)
    result = _run(app, *args.split())
    expected = "Error: the database does not answer: unable to open database file\n"
    assert (result.exit_code, result.stderr) == (1, expected)
    dispose(app)


def test_keys_generate(app: flask.Flask) -> None:
    """A generated key encrypts and decrypts."""
    key = _good(app, "keys", "generate").strip()
    assert Cipher([key]).decrypt(Cipher([key]).encrypt("text")) == "text"


def test_keys_rotate(tmp_path: pathlib.Path, app: flask.Flask, api: Api) -> None:
    """After a rotation the old key is not needed, also for an approval that is pending."""
    api.create()
    runtime = runtime_of(app)
    with runtime.database.write() as session:
        url = wc_auth.begin(
            session, runtime.cipher, access.owner(session, 1), store_url="https://shop.test",
            request={}, base="https://events.test", now=runtime.clock(),
        )  # fmt: skip
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["user_id"][0]
    old = app.config["WOO_EVENTS_ENCRYPTION_KEYS"][0]
    new = Cipher.generate_key()
    both = make_app(tmp_path, WOO_EVENTS_ENCRYPTION_KEYS=[old, new])
    assert "3 secrets" in _good(both, "keys", "rotate")
    dispose(both)
    without_old = make_app(tmp_path, WOO_EVENTS_ENCRYPTION_KEYS=[new])
    assert wc_auth.outcome(runtime_of(without_old), state).error is None
    dispose(without_old)
    with runtime_of(app).database.read() as session:
        rows = session.scalars(sa.select(Configuration).where(Configuration.sealed))
        secrets = {Cipher([new]).decrypt(row.value) for row in rows}
    assert secrets == {"ck_test", "cs_test"}


def test_change(app: flask.Flask, api: Api, store_server: StubStore) -> None:
    """``instances change`` is a PATCH: what it leaves out stays, and keys follow no new address."""
    created = api.create()
    change = ("instances", "change", str(created["id"]), "-")
    assert "was changed" in _good(app, *change, stdin='{"name": "renamed"}')
    shown = api.call("GET", f"/instances/{created['id']}").json
    assert (shown["name"], shown["configuration"]) == ("renamed", created["configuration"])
    store_server.asked.clear()
    for url in (f"{api.store}/shop", "https://evil.test"):
        moved = json.dumps({"configuration": {"store.url": url}})
        assert "oauth.api.key and oauth.api.secret" in _bad(app, *change, stdin=moved)
    assert "see: flask woo instances list" in _bad(app, "instances", "change", "9", "-", stdin="{}")
    assert store_server.asked == []


def test_keys_rotate_without_the_old_key(
    tmp_path: pathlib.Path, app: flask.Flask, api: Api
) -> None:
    """A rotation that cannot decrypt a secret changes nothing."""
    api.create()
    other = make_app(tmp_path, WOO_EVENTS_ENCRYPTION_KEYS=[Cipher.generate_key()])
    assert "WOO_EVENTS_ENCRYPTION_KEYS" in _bad(other, "keys", "rotate")
    dispose(other)
    assert api.call("PATCH", "/instances/1", {"name": "still readable"}).status_code == 200


def test_keys_rotate_the_secrets_that_can_be_read(
    tmp_path: pathlib.Path, app: flask.Flask, api: Api
) -> None:
    """An instance whose secrets have no key is named, and the others are encrypted again."""
    api.create()
    api.create()
    lost, old = Cipher.generate_key(), app.config["WOO_EVENTS_ENCRYPTION_KEYS"][0]
    with runtime_of(app).database.write() as session:
        query = sa.select(Configuration).where(Configuration.sealed, Configuration.instance_id == 1)
        for row in session.scalars(query):
            row.value = Cipher([lost]).encrypt("ck_lost")
    new = Cipher.generate_key()
    both = make_app(tmp_path, WOO_EVENTS_ENCRYPTION_KEYS=[old, new])
    output = _bad(both, "keys", "rotate")
    dispose(both)
    assert "2 secrets encrypted" in output
    assert "  instance 1 shop: oauth.api.key, oauth.api.secret\n" in output
    with runtime_of(app).database.read() as session:
        query = sa.select(Configuration).where(Configuration.sealed, Configuration.instance_id == 2)
        assert {Cipher([new]).decrypt(row.value) for row in session.scalars(query)}


def _commands(group: click.Group) -> t.Iterator[click.Command]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield command
        if isinstance(command, click.Group):
            yield from _commands(command)


def test_every_command_and_option_has_a_help() -> None:
    """Each command, and each of its options, has a help text."""
    for command in _commands(cli):
        assert command.help, command.name
        for option in command.params:
            assert not isinstance(option, click.Option) or option.help, (command.name, option.name)


@pytest.mark.parametrize("args", [("simulate",), ("prove", "--list")])
def test_unknown_version_is_refused(app: flask.Flask, args: tuple[str, ...]) -> None:
    """A version that the simulator does not have is refused with those that it has."""
    assert "'11.0'" in _bad(app, *args, "--version", "4.0")
