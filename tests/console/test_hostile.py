"""Data of a store is displayed as text: markup, emoji, right-to-left text, a megabyte."""

from __future__ import annotations

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Subscription
from flask_woo_events.db.states import DeliveryStatus, EventType
from tests.console.http_visitor import HttpVisitor, tell
from tests.integration.host_app import Api, runtime_of

MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'>&amp;{{ 7*7 }}"
RTL = "\u202eمتجر\u202c שלום"
EMOJI = "👩‍👩‍👧‍👦🏳️‍🌈"
LONG = "x" * 1_000_000
#: Bytes that a page may have, whatever it shows.
PAGE_MOST = 1_500_000


def _pages(api: Api, app: flask.Flask, object_id: str, text: str) -> list[str]:
    """Return pages that show an instance with hostile data."""
    created = api.create(name=f"shop {EMOJI} {RTL} & \"quoted\" 'so'", tags=[RTL, EMOJI])
    number = created["id"]
    body = {"id": object_id, "name": text, "meta": {text[:200]: [text, None, 1.5]}}
    changed = {**body, "name": f"{text} changed", "list": [{"a": text}]}
    ids = tell(app, number, body, changed, status=DeliveryStatus.RETRY)
    ids += tell(app, number, {"id": object_id}, event_type=EventType.DELETED)
    return [
        "/",
        "/instances",
        f"/instances/{number}",
        f"/instances/{number}/edit",
        f"/instances/{number}/delete",
        f"/instances/{number}/token",
        f"/instances/{number}/progress",
        "/events",
        "/events?text=changed",
        "/deliveries?status=retry",
        f"/instances/{number}/objects/orders/{object_id}",
        *(f"/events/{one}" for one in ids),
    ]


@pytest.mark.parametrize("text", [MARKUP, RTL, EMOJI, LONG, f"{MARKUP}{LONG}"])
def test_store_data_is_text(app: flask.Flask, api: Api, ann: HttpVisitor, text: str) -> None:
    """No page contains markup of a store, and none is too large for a browser."""
    for path in _pages(api, app, "7", text):
        page = ann.get(path)
        assert page.status_code == 200, path
        assert "<script>" not in page.text and "<img" not in page.text, path
        assert len(page.data) < PAGE_MOST, (path, len(page.data))


def test_subscriptions_are_text(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """No page of a subscription contains markup that a user or a receiver typed."""
    number = api.create()["id"]
    new = f"/instances/{number}/subscriptions/new"
    odd = {"description": MARKUP, "callback_url": "https://x.test/{{7*7}}/%3Cscript%3E"}
    assert ann.post(new, odd | {"headers": "X-Own: <script>"}).status_code == 302
    path = f"/instances/{number}/subscriptions/2"
    tell(app, number, {"id": 7}, status=DeliveryStatus.QUEUED, to_all=True)
    with runtime_of(app).database.write() as session:
        session.execute(sa.update(Subscription).values(active=False, reason=MARKUP))
    wrong = dict.fromkeys(
        ("callback_url", "signature_key", "headers", "username", "password", "resources", "types",
         "trigger_fields", "format", "schedule", "waits", "timeout", "rate", "concurrency",
         "description"), f"{MARKUP}\n\0{LONG[:20_000]}")  # fmt: skip
    pages = [
        *(ann.get(one) for one in (f"/instances/{number}", f"{path}/edit", f"{path}/remove",
                                   "/deliveries", "/events/1")),
        *(ann.post(f"{path}/edit", odd | {name: text}) for name, text in wrong.items()),
        *(ann.post(one, wrong | {"act": act}) for one in (new, f"{path}/edit")
          for act in ("", "test", "key")),
    ]  # fmt: skip
    for page in pages:
        assert page.status_code in (200, 302, 409, 422), page.text
        assert "<script>" not in page.text and "<img" not in page.text
        assert ">49<" not in page.text and "/49/" not in page.text
        assert len(page.data) < PAGE_MOST


def test_markup_is_shown_as_it_is(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """Markup is displayed as text, and templates in it are not rendered."""
    number = api.create()["id"]
    [event_id] = tell(app, number, {"id": 7, "name": MARKUP})
    page = ann.get(f"/events/{event_id}").text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "{{ 7*7 }}" in page


def test_what_follows_a_long_text_is_seen(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """A long text is cut, and a character that changes the direction is shown as its escape."""
    number = api.create()["id"]
    [event_id] = tell(app, number, {"id": 7, "name": LONG, "note": "\u202eevil", "total": "9.90"})
    page = ann.get(f"/events/{event_id}").text
    assert "998,000 more characters" in page
    assert "&#34;total&#34;: &#34;9.90&#34;" in page
    assert "\\u202eevil" in page and "\u202e" not in page


def test_names_have_their_own_direction(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """A right-to-left name does not change the direction of the text next to it."""
    number = api.create(name=RTL)["id"]
    page = ann.get(f"/instances/{number}").text
    assert f"<h1><bdi>{RTL}</bdi></h1>" in page


def test_object_ids_with_odd_characters_have_a_page(
    app: flask.Flask, api: Api, ann: HttpVisitor
) -> None:
    """Ids of custom resources may contain slashes, spaces and percent signs."""
    number = api.create()["id"]
    object_id = "a/b c%20?d#é"
    tell(app, number, {"id": object_id, "status": "x"})
    page = ann.get("/events").text
    link = page.split("/objects/orders/")[1].split('"')[0]
    assert ann.get(f"/instances/{number}/objects/orders/{link}").status_code == 200


def test_whole_object_can_be_kept(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """The download contains the complete object, and browsers do not render it."""
    number = api.create()["id"]
    [event_id] = tell(app, number, {"id": 7, "name": f"<b>{LONG}"})
    assert "more" in ann.get(f"/events/{event_id}").text
    answer = ann.get(f"/events/{event_id}.json")
    assert answer.json["name"] == f"<b>{LONG}"
    assert answer.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "query",
    [
        "before=99999999999999999999&instance=99999999999999999999",
        "since=tomorrow&until=%00",
        "type=%27&status=%27&health=%27",
        "text=%00&object=%00&resource=%00",
        "search=%00&tag=%00",
        "after=-1&before=-1&subscription=x&notification=x",
        f"text={'x' * 5000}",
    ],
)
def test_odd_queries_are_no_errors(api: Api, ann: HttpVisitor, query: str) -> None:
    """Odd query parameters cause no server error."""
    api.create()
    for path in ("/events", "/instances", "/deliveries", "/events.csv", "/sign-in", "/"):
        assert ann.get(f"{path}?{query}").status_code in (200, 400), path


@pytest.mark.parametrize("number", ["0", "99999999999999999999999", "-1", "1.5", "x"])
def test_odd_ids_are_not_there(ann: HttpVisitor, number: str) -> None:
    """Ids that the database cannot store are not found."""
    for path in (f"/instances/{number}", f"/events/{number}", f"/instances/{number}/edit",
                 f"/instances/1/subscriptions/{number}/edit"):  # fmt: skip
        assert ann.get(path).status_code == 404
