"""``flask woo doctor``: each trouble is said, with the command that mends it."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import json
import pathlib
import shutil
import typing as t

import pytest
import sqlalchemy as sa

from flask_woo_events.db.clock import DatabaseClock, utc_now
from flask_woo_events.db.models import Instance, Poller, PollerState, WebhookCoverage
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.woocommerce.plugin_journal import STATUS_PATH
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import StoreToCallback, open_line


def _findings(line: StoreToCallback) -> dict[str, str]:
    """What is said, with its fix."""
    result = line.app.test_cli_runner().invoke(args=["woo", "doctor", "--json"])
    found = {
        one["what"]: one["fix"]
        for text in result.output.splitlines()
        for one in json.loads(text)["findings"]
    }
    assert result.exit_code == (1 if found else 0), result.output
    return found


def _fix(line: StoreToCallback, words: str) -> str:
    """The fix of the one finding that has these words."""
    found = _findings(line)
    assert [what for what in found if words in what], found
    return next(fix for what, fix in found.items() if words in what)


def _set(line: StoreToCallback, table: type, **values: object) -> None:
    with runtime_of(line.app).database.write() as session:
        session.execute(sa.update(table).values(**values))


def test_nothing_is_wrong(line: StoreToCallback) -> None:
    """A store that was just read gives no reason to worry."""
    assert _findings(line) == {}


def test_the_keys_are_refused(line: StoreToCallback) -> None:
    """A key that was taken back, and a store that does not answer."""
    line.store.faults.add("status", times=100, code=401)
    assert "REST API" in _fix(line, "refuses its keys")
    line.store.faults.clear()
    line.store.faults.add("reset", times=100)
    assert "curl" in _fix(line, "cannot be used")


def test_a_poller_is_disabled(line: StoreToCallback) -> None:
    """The command that resumes it is there to be copied."""
    _set(line, Poller, state=PollerState.DISABLED, error="no answer")
    assert _fix(line, "no answer") == f"flask woo instances resume {line.instance_id}"


def test_no_worker_runs(line: StoreToCallback) -> None:
    """What is due for minutes is nobody's."""
    _set(line, Instance, next_poll_at=utc_now() - dt.timedelta(minutes=3))
    assert _fix(line, "no worker takes them") == "flask woo poll"


def test_the_callback_is_away(line: StoreToCallback) -> None:
    """It is connected to, and gets nothing by that."""
    before = len(line.receiver.received)
    assert _findings(line) == {}
    assert len(line.receiver.received) == before
    keys = {"event.notification.callback.url": "http://127.0.0.1:9/nobody"}
    line.api.call("PATCH", f"/instances/{line.instance_id}", {"configuration": keys})
    assert _fix(line, "refuses connections")


def test_the_callback_is_forbidden(line: StoreToCallback) -> None:
    """The address guard is asked as at a delivery."""
    runtime = runtime_of(line.app)
    runtime.settings = dataclasses.replace(
        runtime.settings, allow_private_callbacks=False, allow_private_stores=True
    )
    assert _fix(line, "the callback cannot be reached") == "let its host be reached from here"


def test_notifications_wait(line: StoreToCallback) -> None:
    """A callback that was given up is named, with how long its oldest notification waits."""
    line.receiver.answer = lambda _received: 410
    line.store.acts.stock(line.first("products"), 3)
    line.poll()
    line.delivered()
    redeliver = f"flask woo deliveries redeliver --instance {line.instance_id}"
    assert _fix(line, "not tried any more") == redeliver
    assert _fix(line, "1 notifications wait for the callback (queued)") == redeliver


def test_cron_is_late(line: StoreToCallback) -> None:
    """Webhooks that come after polling has told the change are the store's cron."""
    with runtime_of(line.app).database.write() as session:
        session.add(
            WebhookCoverage(
                instance_id=line.instance_id, resource="orders", told=8, missed=0, late=9,
                since=utc_now(),
            )
        )  # fmt: skip
    assert "wp cron event run --due-now" in _fix(line, "WP-Cron runs late")


def test_the_journal(line: StoreToCallback) -> None:
    """Whether it is there, how far it was read, for what, and why not."""

    def told() -> dict[str, t.Any]:
        result = line.app.test_cli_runner().invoke(args=["woo", "doctor", "--json"])
        return t.cast("dict[str, t.Any]", json.loads(result.output.splitlines()[1])["journal"])

    words = line.app.test_cli_runner().invoke(args=["woo", "doctor"])
    assert "journal: none: the plugin is not installed" in words.output
    line.store.journal.install()
    line.store.acts.stock(line.first("products"), 3)
    head = line.store.journal.entries[-1].seq
    assert (told()["version"], told()["head"], told()["read"]) == ("1.0.0", head, None)
    assert "once an hour" in told()["why"]
    _set(line, Instance, journal={}, store_facts={})
    assert told()["why"] == "the next poll asks for it"
    line.poll()
    assert told()["read"] is not None
    assert "ten minutes" in told()["why"]
    runtime_of(line.app).clock = lambda: utc_now() + dt.timedelta(minutes=11)
    line.store.clock.advance(660)
    line.poll()
    assert (told()["read"], told()["why"]) == (head, "")
    assert {"orders", "products"} <= set(told()["covered"])
    assert not told()["polled"]
    words = line.app.test_cli_runner().invoke(args=["woo", "doctor"])
    assert f"plugin 1.0.0, newest row {head}, read up to {head} for customers" in words.output
    assert _findings(line) == {}


def test_the_journal_may_not_be_read(line: StoreToCallback) -> None:
    """A user without the right to it is told who has."""
    line.store.journal.install()
    line.store.faults.add("status", match=STATUS_PATH, times=100, code=403)
    assert "shop manager" in _fix(line, "the journal is not read")


def test_the_clock_is_off(line: StoreToCallback) -> None:
    """A machine whose clock differs from the database's is told."""
    runtime = runtime_of(line.app)

    class Ahead(DatabaseClock):
        def offset(self) -> dt.timedelta:
            return dt.timedelta(minutes=5)

    runtime.clock = Ahead("sqlite", runtime.database.engine.connect)
    assert _fix(line, "-300 s off the database's") == "timedatectl set-ntp true"


@pytest.fixture
def hooked(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    """An instance for webhooks."""
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        yield open_line("9.4", tmp_path, stack, hooked=True)


def test_the_keys_may_only_read(hooked: StoreToCallback) -> None:
    """Webhooks cannot be put right with them."""
    assert not [what for what in _findings(hooked) if "may only read" in what]
    _demote(hooked.store)
    assert "Read/Write" in _fix(hooked, "may only read")


def _demote(store: SimulatedStore) -> None:
    store.add_key("ck_test", "cs_test", "read")


def test_a_webhook_is_disabled(hooked: StoreToCallback) -> None:
    """The store's own word counts, not what was last seen."""
    for row in hooked.store.shop.tables["webhooks"]:
        row.status = "disabled"
    found = _findings(hooked)
    register = f"flask woo webhooks register {hooked.instance_id}"
    assert register in found.values()
