"""Keys of the simulated store: plain over HTTPS, signed over HTTP."""

from __future__ import annotations

import base64
import hmac
import typing as t
import urllib.parse

import pytest
import werkzeug.test

from flask_woo_events.simulation.store import SimulatedStore

from .conftest import MakeStore

PATH = "/wp-json/wc/v3/orders"


def quoted(text: str) -> str:
    """Encode as RFC 5849 requires."""
    return urllib.parse.quote(text, safe="~")


def signed(
    store: SimulatedStore, *, home: str = "", algorithm: str = "SHA256", **changes: str
) -> dict[str, str]:
    """Return the parameters of a signed ``GET`` of the orders."""
    params = {
        "oauth_consumer_key": "ck_test",
        "oauth_timestamp": str(store.shop.now()),
        "oauth_nonce": "once",
        "oauth_signature_method": f"HMAC-{algorithm}",
        "search": "a b+c",
        **changes,
    }
    pairs = "&".join(f"{quoted(k)}={quoted(v)}" for k, v in sorted(params.items()))
    text = f"GET&{quoted((home or store.shop.home) + PATH)}&{quoted(pairs)}"
    digest = hmac.new(b"cs_test&", text.encode(), algorithm.lower()).digest()
    return {"oauth_signature": base64.b64encode(digest).decode(), **params}


def call(store: SimulatedStore, *, method: str = "GET", **options: t.Any) -> tuple[int, str]:
    """Return the status of a response and the message of its error."""
    answer = werkzeug.test.Client(store.wsgi).open(PATH, method=method, **options)
    body = answer.json
    return answer.status_code, body["message"] if isinstance(body, dict) else ""


@pytest.fixture
def http(make_store: MakeStore) -> SimulatedStore:
    """Return a store without TLS."""
    return make_store(assume_https=False)


@pytest.mark.parametrize("algorithm", ["SHA1", "SHA256"])
def test_signed_request_passes(http: SimulatedStore, algorithm: str) -> None:
    """Both OAuth algorithms are accepted."""
    assert call(http, query_string=signed(http, algorithm=algorithm)) == (200, "")


def test_signature_in_the_header_passes(http: SimulatedStore) -> None:
    """OAuth parameters are accepted in the header."""
    params = signed(http)
    search = params.pop("search")
    header = "OAuth " + ", ".join(f'{name}="{quoted(text)}"' for name, text in params.items())
    answer = call(http, query_string={"search": search}, headers={"Authorization": header})
    assert answer == (200, "")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"oauth_consumer_key": "ck_other"}, "Consumer key is invalid."),
        ({"home": "http://other"}, "Invalid signature - provided signature does not match."),
        ({"oauth_timestamp": "1"}, "Invalid timestamp."),
        ({"oauth_nonce": ""}, "Missing OAuth parameter oauth_nonce"),
        ({"oauth_signature_method": "PLAIN"}, "Invalid signature - signature method is invalid."),
    ],
)
def test_wrong_signature_is_refused(
    http: SimulatedStore, changes: dict[str, str], message: str
) -> None:
    """Each error has the message of WooCommerce."""
    assert call(http, query_string=signed(http, **changes)) == (401, message)


def test_nonce_is_valid_once(http: SimulatedStore) -> None:
    """A request with a used nonce is refused."""
    params = signed(http)
    assert call(http, query_string=params)[0] == 200
    assert call(http, query_string=params)[1].startswith("Invalid nonce")


def test_signature_is_over_the_stores_own_address(http: SimulatedStore) -> None:
    """The signature covers the store's address, not the one that the client used."""
    http.move("http://shop.example")
    assert call(http, query_string=signed(http), base_url="http://10.0.0.1")[0] == 200


@pytest.mark.parametrize(
    "options",
    [
        {"auth": ("ck_test", "cs_test")},
        {"query_string": {"consumer_key": "ck_test", "consumer_secret": "cs_test"}},
    ],
)
def test_plain_keys_need_https(http: SimulatedStore, options: dict[str, t.Any]) -> None:
    """Plain keys are ignored over HTTP, and accepted behind a proxy that reports HTTPS."""
    assert call(http, **options) == (401, "Sorry, you cannot list resources.")
    assert call(http, headers={"X-Forwarded-Proto": "https"}, **options) == (200, "")


def test_wrong_secret_and_unknown_key_differ(store: SimulatedStore) -> None:
    """A wrong secret has its own error; an unknown key counts as no key."""
    assert call(store, auth=("ck_test", "x")) == (401, "Consumer secret is invalid.")
    assert call(store, auth=("ck_other", "x")) == (401, "Sorry, you cannot list resources.")


def test_permissions_of_a_key(store: SimulatedStore) -> None:
    """A key can be limited to reading or writing."""
    store.add_key("ck_r", "cs", "read")
    store.add_key("ck_w", "cs", "write")
    assert call(store, auth=("ck_r", "cs")) == (200, "")
    assert "write permissions" in call(store, method="POST", auth=("ck_r", "cs"), json={})[1]
    assert "read permissions" in call(store, auth=("ck_w", "cs"))[1]
