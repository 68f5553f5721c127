"""A secret that cannot be decrypted stops only what needs it, until it is sent again."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import json
import logging
import pathlib
import shutil
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events import Event, WooEvents, problem_ended
from flask_woo_events.db.leases import LeaseRenewer
from flask_woo_events.db.models import (
    Arrival,
    Configuration,
    Delivery,
    Instance,
    StoredEvent,
    Subscription,
)
from flask_woo_events.instances import configuration, problems, webhooks
from flask_woo_events.simulation.callback_receiver import Received
from flask_woo_events.values.crypto import Cipher, hash_token
from flask_woo_events.worker.worker import Worker
from tests.console.http_visitor import HttpVisitor, fields_of
from tests.integration.host_app import Account, runtime_of
from tests.integration.store_to_callback import KEY, StoreToCallback, open_env

STORE_KEYS = ("oauth.api.key", "oauth.api.secret")
SIGNATURE, PASSWORD = "event.notification.signature.key", "event.notification.basic.password"
POLLERS = "event.poller.configuration"
ORDERS = {"orders": {"url": "/hubs/ecommerce/orders"}}
NEW_KEYS = {"oauth.api.key": "ck_test", "oauth.api.secret": "cs_test"}
#: Settings of the application, and of instance 1.
SETTINGS: dict[str, t.Any] = {
    "WOO_EVENTS_CONSOLE": True,
    "SECRET_KEY": "of the host",
    "event.notification.basic.username": "me",
    PASSWORD: "open",
}

#: What a damaged row may hold.
DAMAGES: dict[str, cabc.Callable[[str], str]] = {
    "another encryption key": lambda text: Cipher([Cipher.generate_key()]).encrypt("lost"),
    "cut off": lambda text: text[:-9],
    "other characters": lambda text: "\u00e9" * len(text),
    "empty": lambda text: "",
}


@pytest.fixture
def env(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    """Connect two instances to a store: 1, whose secrets are lost in tests, and 2."""
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        made = open_env("11.0", tmp_path, stack, resources=ORDERS, counts=(3, 1, 1, 1), **SETTINGS)
        yield _two(made)


@pytest.fixture
def hooked(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    """Connect two instances that use webhooks."""
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        made = open_env("11.0", tmp_path, stack, hooked=True, resources=ORDERS, counts=(3, 1, 1, 1))
        yield _two(made, "webhook")


def _two(env: StoreToCallback, vendor: str = "polling") -> StoreToCallback:
    shown = env.api.call("GET", f"/instances/{env.instance_id}").json["configuration"]
    second = env.api.create(
        **NEW_KEYS,
        **{key: shown[key] for key in ("event.notification.callback.url", POLLERS)},
        **{SIGNATURE: KEY, "event.vendor.type": vendor},
    )
    assert second["id"] == 2
    Worker(runtime_of(env.app)).poll_once([2])
    return env


def _lose(env: StoreToCallback, *keys: str, how: str = "another encryption key") -> None:
    """Damage secrets of instance 1, and make everything due."""
    runtime = runtime_of(env.app)
    with runtime.database.write() as session:
        rows = session.scalars(
            sa.select(Configuration).where(
                Configuration.instance_id == 1, Configuration.key.in_(keys)
            )
        ).all()
        assert len(rows) == len(keys)
        for row in rows:
            row.value = DAMAGES[how](row.value)
        session.execute(sa.update(Instance).values(next_poll_at=runtime.clock()))


def _run(env: StoreToCallback, *args: str, stdin: str | None = None) -> tuple[int, str]:
    result = env.app.test_cli_runner().invoke(args=["woo", *args], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def _change_order(env: StoreToCallback, status: str = "completed") -> None:
    env.store.acts.status(env.first("orders"), status)


def _instance_of(received: Received) -> int:
    return int(received.json["message"]["instance_id"])


def _got(env: StoreToCallback) -> set[int]:
    """Return the instances whose notifications the callback received."""
    ids = {_instance_of(one) for one in env.receiver.received}
    env.receiver.clear()
    return ids


def _problems(env: StoreToCallback, number: int = 1) -> dict[str, str]:
    shown = env.api.call("GET", f"/instances/{number}").json["problems"]
    return {one["code"]: one["text"] for one in shown}


def _patch(env: StoreToCallback, **body: t.Any) -> t.Any:
    return env.api.call("PATCH", "/instances/1", body)


@pytest.mark.parametrize("how", DAMAGES)
def test_lost_store_keys(env: StoreToCallback, caplog: pytest.LogCaptureFixture, how: str) -> None:
    """The others are polled and delivered; the instance is named wherever problems are."""
    _lose(env, "oauth.api.secret", how=how)
    _change_order(env)
    env.receiver.clear()
    status, output = _run(env, "poll", "--once")
    assert status == 1 and "instance 1 orders: oauth.api.secret of instance 1 cannot be" in output
    assert "instance 2 orders: 1 event" in output and "1 delivered, 0 failed" in output
    assert _got(env) == {2}
    assert _problems(env)["needs-keys"].startswith("oauth.api.secret cannot be decrypted")
    assert set(_problems(env)) == {"needs-keys"} and _problems(env, 2) == {}
    listed = env.api.call("GET", "/instances").json
    assert [one["id"] for one in listed] == [1, 2]
    with runtime_of(env.app).database.read() as session:
        assert problems.counts(session) == {"needs-keys": 1}
    warned = [one for one in caplog.records if getattr(one, "code", "") == "needs-keys"]
    assert [one.levelno for one in warned] == [logging.WARNING]
    assert "oauth.api.secret" in warned[0].getMessage()
    status, output = _run(env, "doctor")
    name = listed[0]["name"]
    assert status == 1 and f"instance 1 {name}: 1 problem" in output
    assert "oauth.api.secret cannot be decrypted" in output and "instance 2 shop: ok" in output
    # It is no failure of the store or of a resource, which would be disabled one day.
    shown = env.api.call("GET", "/instances/1").json["pollers"]
    assert [(one["failures"], one["nextRetry"]) for one in shown] == [(0, None)]


def test_other_secrets_do_not_stop_a_poll(env: StoreToCallback) -> None:
    """Without the callback's secrets the store is read; its notifications wait."""
    _lose(env, SIGNATURE, PASSWORD)
    _change_order(env)
    env.receiver.clear()
    status, output = _run(env, "poll", "--once")
    assert status == 0 and "instance 1 orders: 1 event" in output
    assert "1 delivered, 1 failed" in output
    assert _got(env) == {2}
    text = _problems(env)["needs-keys"]
    assert SIGNATURE in text and PASSWORD in text and "oauth" not in text
    found = _run(env, "doctor")[1]
    assert "Notifications to the callback are kept and not sent." in found
    assert _patch(env, configuration={SIGNATURE: "new", PASSWORD: "new"}).status_code == 200
    assert _run(env, "deliveries", "redeliver", "--instance", "1")[0] == 0
    Worker(runtime_of(env.app)).deliver_once()
    [received] = env.receiver.received
    assert _instance_of(received) == 1 and received.is_signed_with("new")


def test_lost_callback_secrets_do_not_stop_handlers(env: StoreToCallback) -> None:
    """A function of the application needs no secret."""
    woo, got = WooEvents(), list[int]()
    runtime_of(env.app).handlers = woo._handlers

    @woo.on("orders")
    def take(event: Event) -> None:
        got.append(event.instance_id)

    _lose(env, SIGNATURE, PASSWORD)
    _change_order(env)
    _run(env, "poll", "--once")
    assert sorted(got) == [1, 2]


def test_lost_keys_of_an_instance_with_webhooks(
    hooked: StoreToCallback, caplog: pytest.LogCaptureFixture
) -> None:
    """Webhooks of the others are processed and checked; those of the instance wait."""
    runtime = runtime_of(hooked.app)
    _lose(hooked, *STORE_KEYS)
    _change_order(hooked)
    hooked.receiver.clear()
    hooked.store.webhooks.run_queue()
    Worker(runtime).settle_once()
    Worker(runtime).deliver_once()
    assert _got(hooked) == {2}
    with runtime.database.read() as session:
        assert set(session.scalars(sa.select(Arrival.instance_id))) == {1}
    assert "needs-keys" in _problems(hooked)
    with runtime.database.write() as session:
        session.execute(sa.update(Instance).values(hooks_due_at=runtime.clock()))
    renewer = LeaseRenewer(runtime.database, runtime.clock, dt.timedelta(seconds=8))
    for number in webhooks.due(runtime):
        webhooks.guard(runtime, renewer, number)
    assert "webhooks of instance 1: oauth.api.key and oauth.api.secret" in caplog.text
    assert webhooks.due(runtime) == []
    # What the webhooks named is read as soon as the keys are there.
    assert _patch(hooked, name="renamed").status_code == 200
    assert _patch(hooked, configuration=NEW_KEYS).status_code == 200
    Worker(runtime).poll_once([1])
    Worker(runtime).deliver_once()
    assert _got(hooked) == {1}


@pytest.mark.parametrize("method", ["PATCH", "PUT", "command", "console", "configuration"])
def test_keys_that_are_sent_again(env: StoreToCallback, method: str) -> None:
    """Each way to send the keys ends the problem, and the next poll sends what was missed."""
    lost = STORE_KEYS[1:] if method == "configuration" else STORE_KEYS
    _lose(env, *lost)
    _change_order(env)
    _run(env, "poll", "--once")
    assert "needs-keys" in _problems(env)
    ended: list[str] = []

    def on_end(_app: object, **values: t.Any) -> None:
        ended.append(values["code"])

    with problem_ended.connected_to(on_end):
        _send_again(env, method)
    assert (_problems(env), ended) == ({}, ["needs-keys"])
    env.receiver.clear()
    assert [one.error for one in env.poll()] == [None]
    Worker(runtime_of(env.app)).deliver_once()
    assert _got(env) == {1}
    assert [one["kind"] for one in env.notices] == ["needs-keys", "needs-keys ended"]


def _send_again(env: StoreToCallback, method: str) -> None:
    shown = env.api.call("GET", "/instances/1").json
    if method == "PATCH":
        assert _patch(env, configuration=NEW_KEYS).json["problems"] == []
    elif method == "PUT":
        body = {"name": "again", "configuration": {**shown["configuration"], **NEW_KEYS}}
        assert env.api.call("PUT", "/instances/1", body).json["problems"] == []
    elif method == "command":
        change = json.dumps({"configuration": NEW_KEYS})
        assert _run(env, "instances", "change", "1", "-", stdin=change)[0] == 0
    elif method == "configuration":
        entries = env.api.call("GET", "/instances/1/configuration").json
        number = next(one["id"] for one in entries if one["key"] == "oauth.api.secret")
        path = f"/instances/1/configuration/{number}"
        assert env.api.call("PATCH", path, {"propertyValue": "cs_test"}).status_code == 200
    else:
        ann = _visitor(env)
        page = ann.get("/instances/1/edit").text
        assert "The stored value cannot be decrypted" in page
        fields = fields_of(page)
        for act in ("try", "reauthenticate"):
            kept = ann.post("/instances/1/edit", fields | {"act": act})
            assert kept.status_code == 422 and "oauth.api.key and oauth.api.secret" in kept.text
        fields |= {"api_key": "ck_test", "api_secret": "cs_test"}
        assert ann.post("/instances/1/edit", fields).status_code == 302


def _visitor(env: StoreToCallback) -> HttpVisitor:
    parts = env.api.headers["Authorization"].replace(",", "").split()
    visitor = HttpVisitor(env.app, Account(parts[1], parts[3]))
    visitor.sign_in()
    return visitor


def test_changes_of_an_instance_with_lost_secrets(env: StoreToCallback) -> None:
    """Everything can be changed but what has to be checked with the store; secrets stay."""
    _lose(env, *STORE_KEYS, SIGNATURE, PASSWORD)
    _run(env, "poll", "--once")
    assert _patch(env, name="renamed").json["name"] == "renamed"
    moved = {"event.notification.callback.url": "http://127.0.0.1:9/"}
    assert _patch(env, configuration=moved).status_code == 200
    for change in (
        {POLLERS: {**ORDERS, "products": {"url": "/hubs/ecommerce/products"}}},
        {"store.user.agent": "another"},
    ):
        response = _patch(env, configuration=change)
        assert response.status_code == 400
        assert "oauth.api.key and oauth.api.secret cannot be" in response.json["message"]
    response = _patch(env, configuration={"oauth.api.key": "ck_test"})
    assert response.status_code == 400
    assert "stored oauth.api.secret cannot be decrypted; send" in response.json["message"]
    # The store's keys alone are enough to read it; the callback's secrets are still missing.
    assert _patch(env, configuration=NEW_KEYS).status_code == 200
    text = _problems(env)["needs-keys"]
    assert SIGNATURE in text and PASSWORD in text and "oauth" not in text
    shown = env.api.call("GET", "/instances/1").json["configuration"]
    assert (
        env.api.call("PUT", "/instances/1", {"name": "masked", "configuration": shown}).status_code
        == 200
    )
    with runtime_of(env.app).database.read() as session:
        kept = configuration.read(session, runtime_of(env.app).cipher, 1)
    assert set(kept.unreadable) == {SIGNATURE, PASSWORD}
    # One that is emptied is not needed any more.
    assert _patch(env, configuration={PASSWORD: "", SIGNATURE: "new"}).json["problems"] == []


def test_pages_of_an_instance_with_lost_secrets(env: StoreToCallback) -> None:
    """Each page opens, and no stored secret is taken for what its mask shows."""
    _change_order(env)
    _run(env, "poll", "--once")
    _lose(env, *STORE_KEYS, SIGNATURE, PASSWORD)
    _run(env, "poll", "--once")
    ann = _visitor(env)
    page = ann.get("/instances/1").text
    assert "needs-keys" in page and "oauth.api.key" in page
    assert "cannot be decrypted" in ann.get("/").text
    with runtime_of(env.app).database.read() as session:
        event_id = session.scalars(
            sa.select(StoredEvent.id).where(StoredEvent.instance_id == 1)
        ).one()
    page = ann.get(f"/events/{event_id}").text
    assert "The signature and the credentials are missing here" in page
    assert ann.get("/events").status_code == ann.get("/deliveries").status_code == 200
    env.receiver.clear()
    with runtime_of(env.app).database.read() as session:
        first = session.scalars(
            sa.select(Subscription.id).where(Subscription.instance_id == 1, Subscription.current)
        ).one()
    answer = ann.post(f"/instances/1/subscriptions/{first}/test")
    assert answer.status_code == 400 and SIGNATURE in answer.text
    fields = fields_of(ann.get("/instances/1/edit").text)
    answer = ann.post("/instances/1/edit", fields | {"act": "test"})
    assert answer.status_code == 422 and not env.receiver.received


def test_hub_of_an_instance_with_lost_keys(env: StoreToCallback) -> None:
    """The hub says which secrets to send again, and answers for the others."""
    with runtime_of(env.app).database.write() as session:
        one, two = session.scalars(sa.select(Instance).order_by(Instance.id))
        one.token_hash, two.token_hash = hash_token("one"), hash_token("two")
    _lose(env, "oauth.api.secret")
    both = env.api.headers["Authorization"]
    for token, status in (("one", 409), ("two", 200)):
        headers = {"Authorization": f"{both}, Element {token}"}
        answer = env.api.call("GET", "/hubs/ecommerce/orders", headers=headers)
        assert answer.status_code == status
        if status == 409:
            assert "oauth.api.secret of instance 1 cannot be decr" in answer.json["message"]


def test_rotation_leaves_out_only_what_is_lost(env: StoreToCallback) -> None:
    """All other secrets get the new key, also those of the same instance."""
    _lose(env, SIGNATURE)
    status, output = _run(env, "keys", "rotate")
    assert status == 1 and "secrets encrypted with the last key." in output
    assert "  instance 1 shop: event.notification.signature.key\n" in output
    assert "instance 2" not in output
    with runtime_of(env.app).database.read() as session:
        kept = configuration.read(session, runtime_of(env.app).cipher, 1)
    assert kept.texts["oauth.api.secret"] == "cs_test" and kept.unreadable == (SIGNATURE,)


def test_replay_to_another_address(env: StoreToCallback) -> None:
    """A notification that cannot be signed is reported, and the others are sent."""
    _change_order(env)
    _run(env, "poll", "--once")
    _lose(env, SIGNATURE)
    env.receiver.clear()
    url = env.api.call("GET", "/instances/2").json["configuration"]
    to = url["event.notification.callback.url"]
    status, output = _run(env, "events", "replay", "--resource", "orders", "--to", to)
    assert status == 1 and "cannot be decrypted" in output
    assert _got(env) == {2}


def test_previous_signature_key_is_lost(env: StoreToCallback) -> None:
    """Notifications are signed with the present key alone."""
    assert _patch(env, configuration={SIGNATURE: "second"}).status_code == 200
    with runtime_of(env.app).database.write() as session:
        query = sa.select(Configuration).where(Configuration.key == "woo.signature.previous")
        session.scalars(query).one().value = "damaged"
    _change_order(env)
    env.receiver.clear()
    assert _run(env, "poll", "--once")[0] == 0
    signed = {_instance_of(one): one.is_signed_with("second") for one in env.receiver.received}
    assert signed == {1: True, 2: False}
    assert "event.notification.signature.key (the previous one)" in _run(env, "keys", "rotate")[1]
    assert _patch(env, configuration={SIGNATURE: "third"}).status_code == 200
    assert _run(env, "keys", "rotate")[0] == 0


def test_damaged_address_of_a_store(env: StoreToCallback) -> None:
    """The others are polled, and a request with another address repairs it."""
    store = env.api.store
    with runtime_of(env.app).database.write() as session:
        query = sa.select(Configuration).where(
            Configuration.instance_id == 1, Configuration.key == "store.url"
        )
        session.scalars(query).one().value = "ftp://"
    _change_order(env)
    status, output = _run(env, "poll", "--once")
    assert status == 1 and "instance 1 orders: store.url" in output
    assert "instance 2 orders: 1 event" in output
    assert "store.url" in _problems(env)["failing"]
    assert "the stored configuration cannot be used: store.url" in _run(env, "doctor")[1]
    assert _patch(env, configuration={"store.url": store}).status_code == 400
    assert _patch(env, configuration={"store.url": store, **NEW_KEYS}).status_code == 200
    assert [one.error for one in env.poll()] == [None]


def test_no_encryption_key_at_all(env: StoreToCallback) -> None:
    """Handlers get the events that were recorded, and commands report each instance."""
    woo, got = WooEvents(), list[int]()
    runtime = runtime_of(env.app)
    runtime.handlers = woo._handlers

    @woo.on("orders")
    def take(event: Event) -> None:
        got.append(event.instance_id)

    _change_order(env)
    _run(env, "poll", "--once", "--no-deliver")
    keys = runtime.settings.encryption_keys
    object.__setattr__(runtime.settings, "encryption_keys", ())
    del runtime.cipher
    status, output = _run(env, "poll", "--once")
    assert status == 1 and "WOO_EVENTS_ENCRYPTION_KEYS is empty" in output
    assert "instance 1 orders" in output and "instance 2 orders" in output
    assert sorted(got) == [1, 2]
    assert "needs-keys" in _problems(env) and "needs-keys" in _problems(env, 2)
    # The console cannot sign its cookie, and says so.
    page = env.app.test_client().get("/woo/sign-in")
    assert page.status_code == 500 and "WOO_EVENTS_ENCRYPTION_KEYS is empty" in page.text
    object.__setattr__(runtime.settings, "encryption_keys", keys)
    assert [one.error for one in env.poll()] == [None]
    assert _problems(env) == {}


def test_waiting_deliveries_are_not_lost(env: StoreToCallback) -> None:
    """They are tried again by their schedule, and sent when the keys are there."""
    _lose(env, SIGNATURE)
    _change_order(env)
    env.receiver.clear()
    _run(env, "poll", "--once")
    assert _patch(env, configuration={SIGNATURE: "new"}).status_code == 200
    runtime = runtime_of(env.app)
    with runtime.database.write() as session:
        now = runtime.clock()
        session.execute(sa.update(Delivery).where(Delivery.due_at.is_not(None)).values(due_at=now))
        session.execute(sa.update(Subscription).values(next_due_at=now, held_until=None))
    env.receiver.clear()
    Worker(runtime).deliver_once()
    assert _got(env) == {1}
