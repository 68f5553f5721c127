"""The quickstart's application, instance and order produce the events that the page shows."""

from __future__ import annotations

import collections.abc as cabc
import json
import pathlib
import re
import types
import typing as t

import cryptography.fernet
import flask
import pytest

from flask_woo_events.cli.simulate import simulate
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.simulation.store import SimulatedStore
from tests.integration.host_app import dispose

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "quickstart.md"
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCES = _FENCE.findall(PAGE.read_text(encoding="utf-8"))


def _block(language: str, text: str) -> str:
    [code] = [code for name, code in FENCES if name == language and text in code]
    return str(code)


@pytest.fixture
def shop(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> cabc.Iterator[flask.Flask]:
    """Create the page's application, with a database of its own."""
    key = cryptography.fernet.Fernet.generate_key().decode()
    monkeypatch.setenv("FLASK_SQLALCHEMY_DATABASE_URI", f"sqlite:///{tmp_path}/shop.sqlite3")
    monkeypatch.setenv("FLASK_WOO_EVENTS_ENCRYPTION_KEYS", key)
    monkeypatch.setenv("FLASK_WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS", "true")
    module = types.ModuleType("shop")
    exec(_block("python", "# shop.py"), module.__dict__)
    app = module.create_app()
    yield app
    dispose(app)


def _run(app: flask.Flask, *args: str, stdin: str | None = None) -> None:
    result = app.test_cli_runner().invoke(args=["woo", *args], input=stdin)
    assert result.exit_code == 0, result.output


def test_a_completed_order_sends_the_events_of_the_page(shop: flask.Flask) -> None:
    """The callback receives the events that the page lists, and no other."""
    sizes = {option.name: option.default for option in simulate.params}
    store = SimulatedStore("11.0", consumer_key="ck_simulated", consumer_secret="cs_simulated")
    names = ("orders", "products", "coupons", "customers")
    store.populate(**{name: t.cast(int, sizes[name]) for name in names})
    receiver = CallbackReceiver()
    with store.serve() as url, receiver.serve() as callback:
        request = re.findall(r"-d '(.*)'", _block("bash", "/instances"), re.DOTALL)[0]
        body = json.loads(request.replace("http://127.0.0.1:8100", url))
        body["configuration"]["event.notification.callback.url"] = callback
        _run(shop, "db", "upgrade")
        _run(shop, "users", "add", "alice", "--organization", "example")
        user = ("--user", "alice", "--organization", "example")
        _run(shop, "instances", "create", "-", *user, stdin=json.dumps(body))
        _run(shop, "poll", "--once")
        assert receiver.events == []
        exec(_block("python", "# complete_order.py").replace("http://127.0.0.1:8100", url), {})
        _run(shop, "poll", "--once")
    events = [f"{kind} {resource} {number}" for resource, number, kind in receiver.events]
    assert sorted(events) == _block("text", "UPDATED orders").splitlines()
