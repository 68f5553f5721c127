"""What an instance's requests to its store send, and what a firewall before the store answers."""

from __future__ import annotations

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Configuration
from flask_woo_events.instances import access
from tests.integration.host_app import Api, StubStore, body_for, runtime_of
from tests.integration.store_to_callback import StoreToCallback

AGENT, HEADERS = "store.user.agent", "store.headers"
PAGE = b"<title>Attention Required! | Cloudflare</title>"


def test_headers_are_sent_and_not_shown(app: flask.Flask, api: Api) -> None:
    """The User-Agent is shown, the values of headers are sealed and masked."""
    created = api.create(**{AGENT: " Mozilla/5.0 ", HEADERS: {"X-Pass": "let-me-in"}})
    shown = api.call("GET", f"/instances/{created['id']}").json["configuration"]
    assert (shown[AGENT].strip(), shown[HEADERS]) == ("Mozilla/5.0", "********")
    runtime = runtime_of(app)
    with runtime.database.read() as session:
        row = session.scalars(sa.select(Configuration).where(Configuration.key == HEADERS)).one()
        assert row.sealed and "let-me-in" not in row.value
        options = access.load_access(session, runtime.cipher, created["id"]).options
        assert access.load_hub(session, runtime.cipher, created["id"]).access.options == options
    assert options.user_agent == "Mozilla/5.0" and options.headers == {"X-Pass": "let-me-in"}
    assert "let-me-in" not in repr(options)


def test_changed_headers_check_the_store(api: Api, store_server: StubStore) -> None:
    """Other headers may be wrong, so the store is asked before they are kept."""
    created = api.create()
    store_server.asked.clear()
    body = {"configuration": {HEADERS: "X-Pass: a"}}
    assert api.call("PATCH", f"/instances/{created['id']}", body).status_code == 200
    assert store_server.asked
    store_server.asked.clear()
    body = {"configuration": {HEADERS: "********", AGENT: ""}}
    assert api.call("PATCH", f"/instances/{created['id']}", body).status_code == 200
    assert not store_server.asked


def test_stored_headers_go_to_no_other_host(api: Api, store_server: StubStore) -> None:
    """A changed address does not get the stored headers, as it does not get the keys."""
    created = api.create(**{HEADERS: "X-Pass: let-me-in"})
    port = store_server.url.rpartition(":")[2]
    other = {
        "store.url": f"http://localhost:{port}",
        "oauth.api.key": "ck_test",
        "oauth.api.secret": "cs_test",
    }
    path = f"/instances/{created['id']}"
    refused = api.call("PATCH", path, {"configuration": other})
    assert refused.status_code == 400 and HEADERS in refused.text
    body = {"configuration": {**other, HEADERS: ""}}
    assert api.call("PATCH", path, body).status_code == 200


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (AGENT, "a\r\nX: b"),
        (AGENT, "Änt"),
        (AGENT, "x" * 501),
        (HEADERS, "Host: x"),
        (HEADERS, "User-Agent: x"),
        (HEADERS, "X-A"),
        (HEADERS, {"X": "a\r\nb"}),
        (HEADERS, [1]),
    ],
)
def test_values_that_no_header_can_have(api: Api, key: str, value: object) -> None:
    """A wrong value is refused by the name of its key."""
    refused = api.call("POST", "/instances", body_for(api.store, **{key: value}))
    assert refused.status_code == 400 and key in refused.text


def test_firewall_is_named_when_a_store_is_connected(api: Api, store_server: StubStore) -> None:
    """The answer quotes the page's title, and does not blame the keys."""
    store_server.answers["/wp-json/wc/v3/orders"] = (403, "text/html", PAGE)
    refused = api.call("POST", "/instances", body_for(api.store))
    assert refused.status_code == 502 and "oauth.api" not in refused.text
    assert "a firewall refused us (Attention Required! | Cloudflare)" in refused.text


def test_firewall_is_a_finding(env: StoreToCallback) -> None:
    """``doctor`` names the firewall and the setting that may help."""
    env.store.faults.add("html", times=100, code=403)
    result = env.app.test_cli_runner().invoke(args=["woo", "doctor"])
    assert "a firewall refused us (Just a moment...)" in result.output
    assert "store.user.agent" in result.output and "rejects its keys" not in result.output
