"""``flask woo doctor``: each problem is reported with its fix."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import json
import pathlib
import re
import shutil
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db.clock import DatabaseClock, utc_now
from flask_woo_events.db.models import Instance, Poller, Subscription, WebhookCoverage
from flask_woo_events.db.states import PollerState
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.woocommerce.plugin_journal import STATUS_PATH
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import StoreToCallback, open_env


def _findings(env: StoreToCallback) -> dict[str, str]:
    """Return the reported problems, each with its fix."""
    result = env.app.test_cli_runner().invoke(args=["woo", "doctor", "--json"])
    found = {
        one["what"]: one["fix"]
        for text in result.output.splitlines()
        for one in json.loads(text)["findings"]
    }
    assert result.exit_code == (1 if found else 0), result.output
    return found


def _fix(env: StoreToCallback, words: str) -> str:
    """Return the fix of the only finding that contains these words."""
    found = _findings(env)
    assert [what for what in found if words in what], found
    return next(fix for what, fix in found.items() if words in what)


def _set(env: StoreToCallback, table: type, **values: object) -> None:
    with runtime_of(env.app).database.write() as session:
        session.execute(sa.update(table).values(**values))


def test_no_problems(env: StoreToCallback) -> None:
    """A store that was just polled has no problems."""
    assert _findings(env) == {}


def test_keys_are_rejected(env: StoreToCallback) -> None:
    """A revoked key and a store that does not respond have different fixes."""
    env.store.faults.add("status", times=100, code=401)
    assert "REST API" in _fix(env, "rejects its keys")
    env.store.faults.clear()
    env.store.faults.add("reset", times=100)
    assert "curl" in _fix(env, "the store cannot be reached")


def test_secret_cannot_be_decrypted(env: StoreToCallback) -> None:
    """A secret without its key is a problem of its instance; the other checks go on."""
    _set(env, Subscription, active=False, reason="410 Gone")
    with env.without_key():
        fix = _fix(env, "cannot be decrypted")
        assert "WOO_EVENTS_ENCRYPTION_KEYS" in fix
        assert "redeliver" in _fix(env, "410 Gone")
        command = fix.partition("flask ")[2].replace("FILE", "-").split()
        secrets = {"oauth.api.key": "ck_test", "oauth.api.secret": "cs_test"}
        secrets["event.notification.signature.key"] = "another"
        change = json.dumps({"configuration": secrets})
        done = env.app.test_cli_runner().invoke(args=command, input=change)
        assert done.exit_code == 0, done.output
        assert not [what for what in _findings(env) if "cannot be decrypted" in what]


@pytest.mark.parametrize("keys", [(), ("not-a-key",)])
def test_encryption_keys_are_wrong(env: StoreToCallback, keys: tuple[str, ...]) -> None:
    """Keys that cannot encrypt are a problem of the installation, and end no check."""
    runtime = runtime_of(env.app)
    runtime.settings = dataclasses.replace(runtime.settings, encryption_keys=keys)
    del runtime.cipher
    assert _fix(env, "WOO_EVENTS_ENCRYPTION_KEYS") == "flask woo keys generate"
    output = env.app.test_cli_runner().invoke(args=["woo", "doctor"]).output
    assert re.match(r"installation, tables at version \d{4}, epoch 0: 1 problem\n", output)
    assert output.count("    fix: ") == 1


def test_poller_is_disabled(env: StoreToCallback) -> None:
    """The fix of a disabled resource is the command that resumes it."""
    _set(env, Poller, state=PollerState.DISABLED, error="no answer")
    assert _fix(env, "no answer") == f"flask woo instances resume {env.instance_id}"


def test_no_worker_runs(env: StoreToCallback) -> None:
    """An instance that has been due for minutes means that no worker runs."""
    _set(env, Instance, next_poll_at=utc_now() - dt.timedelta(minutes=3))
    assert _fix(env, "no worker polls them") == "flask woo poll"


def test_callback_is_unreachable(env: StoreToCallback) -> None:
    """The doctor connects to the callback and sends nothing."""
    before = len(env.receiver.received)
    assert _findings(env) == {}
    assert len(env.receiver.received) == before
    keys = {"event.notification.callback.url": "http://127.0.0.1:9/nobody"}
    env.api.call("PATCH", f"/instances/{env.instance_id}", {"configuration": keys})
    assert _fix(env, "refuses connections")


def test_callback_address_is_not_allowed(env: StoreToCallback) -> None:
    """The address guard applies as for a delivery."""
    runtime = runtime_of(env.app)
    runtime.settings = dataclasses.replace(
        runtime.settings, allow_private_callbacks=False, allow_private_stores=True
    )
    assert (
        _fix(env, "the callback cannot be reached") == "make its host reachable from this machine"
    )


def test_other_subscriptions(env: StoreToCallback) -> None:
    """Each receiver is checked, with its secrets, and has a finding of its own."""
    path = f"/instances/{env.instance_id}/subscriptions"
    body = {"callbackUrl": "http://127.0.0.1:9/nobody", "signatureKey": "a-key"}
    number = env.api.call("POST", path, body).json["id"]
    found = _findings(env)
    assert [what for what in found if f"subscription {number} cannot be reached" in what]
    assert len(found) == 1
    with env.without_key():
        fix = _fix(env, f"the key and headers of subscription {number} cannot be decrypted")
    assert fix.endswith(f"PATCH {path}/{number}")


def test_undelivered_notifications(env: StoreToCallback) -> None:
    """A stopped subscription is reported, with the age of its oldest undelivered notification."""
    env.receiver.answer = lambda _received: 410
    env.store.acts.stock(env.first("products"), 3)
    env.poll()
    env.delivered()
    redeliver = f"flask woo deliveries redeliver --instance {env.instance_id}"
    assert _fix(env, "deliveries to the callback at 127.0.0.1 are stopped") == redeliver
    assert _fix(env, "undelivered notifications (queued): 1") == redeliver


def test_wp_cron_is_late(env: StoreToCallback) -> None:
    """Webhooks that arrive after polling found the change point to the store's WP-Cron."""
    with runtime_of(env.app).database.write() as session:
        session.add(
            WebhookCoverage(
                instance_id=env.instance_id, resource="orders", told=8, missed=0, late=9,
                since=utc_now(),
            )
        )  # fmt: skip
    assert "wp cron event run --due-now" in _fix(env, "WP-Cron runs late")


def test_journal(env: StoreToCallback) -> None:
    """The doctor reports the journal: version, position, resources, or why it is not used."""

    def journal() -> dict[str, t.Any]:
        result = env.app.test_cli_runner().invoke(args=["woo", "doctor", "--json"])
        return t.cast("dict[str, t.Any]", json.loads(result.output.splitlines()[1])["journal"])

    output = env.app.test_cli_runner().invoke(args=["woo", "doctor"])
    assert "journal: none: the plugin is not installed" in output.output
    env.store.journal.install()
    env.store.acts.stock(env.first("products"), 3)
    head = env.store.journal.entries[-1].seq
    assert (journal()["version"], journal()["head"], journal()["read"]) == ("1.0.0", head, None)
    assert "once an hour" in journal()["why"]
    _set(env, Instance, journal={}, store_facts={})
    assert journal()["why"] == "the next poll checks for it"
    env.poll()
    assert journal()["read"] is not None
    assert "ten minutes" in journal()["why"]
    runtime_of(env.app).clock = lambda: utc_now() + dt.timedelta(minutes=11)
    env.store.clock.advance(660)
    env.poll()
    assert (journal()["read"], journal()["why"]) == (head, "")
    assert {"orders", "products"} <= set(journal()["covered"])
    assert not journal()["polled"]
    output = env.app.test_cli_runner().invoke(args=["woo", "doctor"])
    assert f"plugin 1.0.0, newest row {head}, read up to {head} for customers" in output.output
    assert _findings(env) == {}


def test_journal_is_forbidden(env: StoreToCallback) -> None:
    """If the keys' user may not read the journal, the fix names the roles that may."""
    env.store.journal.install()
    env.store.faults.add("status", match=STATUS_PATH, times=100, code=403)
    assert "shop manager" in _fix(env, "the journal cannot be read")


def test_clock_is_wrong(env: StoreToCallback) -> None:
    """A machine whose clock differs from the database's is reported."""
    runtime = runtime_of(env.app)

    class Ahead(DatabaseClock):
        def offset(self) -> dt.timedelta:
            return dt.timedelta(minutes=5)

    runtime.clock = Ahead("sqlite", runtime.database.engine.connect)
    assert _fix(env, "differs by -300 s") == "timedatectl set-ntp true"


@pytest.fixture
def hooked(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    """Return an instance that uses webhooks."""
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        yield open_env("9.4", tmp_path, stack, hooked=True)


def test_keys_are_read_only(hooked: StoreToCallback) -> None:
    """Read-only keys cannot register webhooks."""
    assert not [what for what in _findings(hooked) if "are read-only" in what]
    _demote(hooked.store)
    assert "Read/Write" in _fix(hooked, "are read-only")


def _demote(store: SimulatedStore) -> None:
    store.add_key("ck_test", "cs_test", "read")


def test_webhook_is_disabled(hooked: StoreToCallback) -> None:
    """The state at the store counts, not the one that was last stored."""
    for row in hooked.store.shop.tables["webhooks"]:
        row.status = "disabled"
    found = _findings(hooked)
    register = f"flask woo webhooks register {hooked.instance_id}"
    assert register in found.values()
