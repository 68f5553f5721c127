"""``flask woo connect``: one command connects a store, and every error names its fix."""

from __future__ import annotations

import collections.abc as cabc
import json
import pathlib

import click.testing
import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Instance, User
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import add_account, dispose, make_app, runtime_of

KEYS = ("ck_of_the_store", "cs_of_the_store")


@pytest.fixture
def url() -> cabc.Iterator[str]:
    """Serve a store."""
    store = SimulatedStore(consumer_key=KEYS[0], consumer_secret=KEYS[1])
    store.populate(orders=3, products=2, coupons=1, customers=2)
    with store.serve() as url:
        yield url


def _connect(
    app: flask.Flask, *args: str, stdin: str | None = None, env: dict[str, str] | None = None
) -> click.testing.Result:
    result = app.test_cli_runner().invoke(args=["woo", "connect", *args], input=stdin, env=env)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert KEYS[1] not in result.output
    return result


def _refused(app: flask.Flask, *args: str, stdin: str | None = None) -> str:
    result = _connect(app, *args, stdin=stdin)
    assert result.exit_code == 1
    return result.output


def test_the_first_store_needs_no_organization(app: flask.Flask, url: str) -> None:
    """One named default is made, and the second store gets the same one."""
    for number, more in ((1, ()), (2, ("--again",))):
        result = _connect(app, url, *KEYS, *more)
        assert result.exit_code == 0, result.output
        assert f"as instance {number}. The store answered: WooCommerce 11.0.1" in result.output
    with runtime_of(app).database.read() as session:
        assert session.scalars(sa.select(User.name)).all() == ["default"]
        assert len(set(session.scalars(sa.select(Instance.organization_id)))) == 1


def test_the_only_organization_is_used(app: flask.Flask, url: str) -> None:
    """The instance belongs to its first user; with several, one has to be named."""
    add_account(app, "ann", "acme")
    assert _connect(app, url, *KEYS).exit_code == 0
    add_account(app, "bob", "globex")
    assert "acme, globex" in _refused(app, url, *KEYS)
    assert _connect(app, url, *KEYS, "--organization", "globex").exit_code == 0
    assert "flask woo users add" in _refused(app, url, *KEYS, "--organization", "nobody")
    with runtime_of(app).database.read() as session:
        names = sa.select(User.name).join(Instance, Instance.user_id == User.id)
        assert session.scalars(names.order_by(Instance.id)).all() == ["ann", "bob"]


@pytest.mark.parametrize("how", ["argument", "environment", "input"])
def test_secrets_come_from_where_nobody_sees_them(app: flask.Flask, url: str, how: str) -> None:
    """Keys are arguments, variables or lines of the input; they are never printed."""
    if how == "argument":
        result = _connect(app, url, *KEYS)
    elif how == "environment":
        names = ("WOO_STORE_KEY", "WOO_STORE_SECRET")
        result = _connect(app, url, env=dict(zip(names, KEYS, strict=True)))
    else:
        result = _connect(app, url, "-", "-", stdin="\n".join(KEYS))
    assert result.exit_code == 0, result.output


def test_events_arrive_at_the_callback_signed(app: flask.Flask, url: str) -> None:
    """All options of the instance take effect."""
    runtime_of(app).settings.__dict__["allow_private_callbacks"] = True
    receiver = CallbackReceiver()
    with receiver.serve() as callback:
        options = ("--callback", callback, "--signature-key", "-", "--resource", "orders")
        more = ("--interval", "3", "--name", "Mine", "--json")
        result = _connect(app, url, *KEYS, *options, *more, stdin="a-key\n")
        shown = json.loads(result.stdout)
        assert (shown["name"], shown["minutes"], shown["resources"]) == ("Mine", 3, ["orders"])
        Worker(runtime_of(app)).poll_once([1])
        app.test_cli_runner().invoke(args=["woo", "instances", "backfill", "1"])
        Worker(runtime_of(app)).poll_once([1])
        Worker(runtime_of(app)).deliver_once()
    assert len(receiver.events) == 3
    assert all(one.is_signed_with("a-key") for one in receiver.received)


def test_a_store_is_not_connected_twice_by_mistake(app: flask.Flask, url: str) -> None:
    """The message names the instance, and the option for a second one."""
    assert _connect(app, url, *KEYS).exit_code == 0
    said = _refused(app, f"{url}/", *KEYS)
    assert "instance 1" in said and "--again" in said


def test_wrong_stores_and_keys_name_the_fix(app: flask.Flask, url: str) -> None:
    """A store that does not run, refused keys, and a private callback."""
    assert "flask woo simulate" in _refused(app, "http://127.0.0.1:1", *KEYS)
    assert "REST API" in _refused(app, url, "ck_wrong", KEYS[1])
    assert "Consumer secret" in _refused(app, url, KEYS[0], stdin="")
    callback = ("--callback", "http://127.0.0.1:1/events")
    assert "WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS" in _refused(app, url, *KEYS, *callback)
    assert "variations" in _refused(app, url, *KEYS, "--resource", "nothing")
    with runtime_of(app).database.read() as session:
        assert session.scalars(sa.select(Instance.id)).all() == []


@pytest.mark.parametrize(
    ("config", "fix"),
    [
        ({}, "flask woo db upgrade"),
        ({"SQLALCHEMY_DATABASE_URI": "sqlite:////nowhere/at/all.db"}, "database does not answer"),
    ],
)
@pytest.mark.parametrize("command", ["connect", "listen"])
def test_without_tables_or_database(
    tmp_path: pathlib.Path, config: dict[str, str], fix: str, command: str
) -> None:
    """The message says what is missing, without a traceback."""
    app = make_app(tmp_path, **config)
    args = ["woo", command, *(["http://127.0.0.1:1", *KEYS] if command == "connect" else [])]
    result = app.test_cli_runner().invoke(args=args)
    dispose(app)
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1 and fix in result.output
