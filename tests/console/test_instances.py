"""Instances in the console: the list, one of them, and its actions."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import Instance, Poller, WebhookCoverage
from flask_woo_events.db.states import PollerState
from flask_woo_events.instances import notices
from tests.console.http_visitor import HttpVisitor, tell
from tests.integration.host_app import Api, StubStore, runtime_of


def _row(app: flask.Flask, number: int) -> Instance:
    with runtime_of(app).database.read() as session:
        return session.get_one(Instance, number)


def test_first_page_leads_to_a_store(ann: HttpVisitor) -> None:
    """Without an instance, the console links to the form."""
    assert "No store is connected yet" in ann.get("/").text
    assert "/woo/instances/new" in ann.get("/instances").text


def test_instances_are_filtered(api: Api, ann: HttpVisitor) -> None:
    """The list is filtered by name, tag and health."""
    api.create(name="Berlin", tags=["eu"])
    api.create(name="Boston", tags=["us"])
    page = ann.get("/instances?search=ber&tag=eu&health=starting").text
    assert "Berlin" in page and "Boston" not in page
    assert "No matching instances" in ann.get("/instances?health=failing").text


def test_instances_are_paged(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """A page has fifty instances and links to the next page."""
    number = api.create(name="first")["id"]
    with runtime_of(app).database.write() as session:
        first = session.get_one(Instance, number)
        values = {
            column.name: getattr(first, column.name)
            for column in Instance.__table__.columns
            if column.name not in ("id", "token_hash")
        }
        for one in range(60):
            session.add(Instance(**values | {"name": f"n{one}", "token_hash": str(one)}))
    page = ann.get("/instances").text
    assert page.count('class="state') == 50
    following = page.split('href="/woo/instances?')[-1].split('"')[0].replace("&amp;", "&")
    assert ann.get(f"/instances?{following}").text.count('class="state') == 11


def test_pausing_and_resuming(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """A paused instance is not due; resuming makes it due, with its disabled resources."""
    number = api.create()["id"]
    ann.post(f"/instances/{number}/pause")
    assert _row(app, number).disabled and _row(app, number).next_poll_at is None
    assert "Polling is paused" in ann.get(f"/instances/{number}").text
    with runtime_of(app).database.write() as session:
        session.execute(sa.update(Poller).values(state=PollerState.DISABLED, failures=50))
    ann.post(f"/instances/{number}/resume")
    assert not _row(app, number).disabled and _row(app, number).next_poll_at is not None
    with runtime_of(app).database.read() as session:
        assert set(session.scalars(sa.select(Poller.failures))) == {0}


def test_poll_now_makes_it_due(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """ "Poll now" makes the instance due and shows the progress; the web process does not poll."""
    number = api.create()["id"]
    later = runtime_of(app).clock() + dt.timedelta(hours=1)
    with runtime_of(app).database.write() as session:
        session.get_one(Instance, number).next_poll_at = later
    answer = ann.post(f"/instances/{number}/poll")
    assert answer.headers["Location"].startswith(f"/woo/instances/{number}/progress")
    due = _row(app, number).next_poll_at
    assert due is not None and due < later
    page = ann.get(f"/instances/{number}/progress").text
    assert "Waiting for a worker" in page and 'http-equiv="refresh"' in page


def test_progress_shows_resources_and_events(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """The progress shows each resource's state since the poll was started, and counts events."""
    number, runtime = api.create()["id"], runtime_of(app)
    before = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    with runtime.database.write() as session:
        session.execute(sa.update(Poller).values(state=PollerState.ACTIVE, polled_at=before))
    tell(app, number, {"id": 1}, at=runtime.clock() - dt.timedelta(minutes=1))
    address = ann.post(f"/instances/{number}/poll").headers["Location"].removeprefix("/woo")
    page = ann.get(address).text
    assert page.count("Waiting</span>") == 4 and "since you started this poll" not in page
    tell(app, number, {"id": 1}, {"id": 2}, at=runtime.clock() + dt.timedelta(seconds=1))
    with runtime.database.write() as session:
        row = session.get_one(Instance, number)
        row.lease_until = runtime.clock() + dt.timedelta(minutes=1)
        newer = before + dt.timedelta(seconds=1)
        session.execute(
            sa.update(Poller).where(Poller.resource == "orders").values(polled_at=newer)
        )
    page = ann.get(address).text
    assert page.count("Reading</span>") == 3 and page.count("Read</span>") == 1
    assert "2 events</a> since you started this poll" in page
    with runtime.database.write() as session:
        row = session.get_one(Instance, number)
        row.lease_until, row.next_poll_at = None, runtime.clock() + dt.timedelta(hours=1)
    page = ann.get(address).text
    assert "Done" in page and page.count("Up to date</span>") == 4
    assert ann.get(f"/instances/{number}/progress?asked=x&after=y").status_code == 200


def test_repeated_notice_is_counted(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """A repeated notice is shown with its count."""
    number = api.create()["id"]
    runtime = runtime_of(app)
    with runtime.database.write() as session:
        row = session.get_one(Instance, number)
        for text in ("once", "again", "again", "again"):
            notices.add(row, "webhooks", text, runtime.clock())
    page = ann.get(f"/instances/{number}").text
    assert re.search(r"<bdi>again</bdi> <span[^>]*>3 times</span>", page)
    assert "<bdi>once</bdi></div>" in page


def test_missing_worker_is_noticed(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """If no worker polls what is due, the pages name the command."""
    number = api.create()["id"]
    with runtime_of(app).database.write() as session:
        row = session.get_one(Instance, number)
        row.next_poll_at = runtime_of(app).clock() - dt.timedelta(minutes=12)
    for path in ("/", "/instances", f"/instances/{number}", f"/instances/{number}/progress"):
        page = ann.get(path).text
        assert "flask woo poll" in page, path
    assert "No worker has polled for 12 min" in ann.get("/").text


def test_paused_instance_cannot_be_polled(api: Api, ann: HttpVisitor) -> None:
    """Polling a paused instance is refused with the reason."""
    number = api.create()["id"]
    ann.post(f"/instances/{number}/pause")
    answer = ann.post(f"/instances/{number}/poll")
    assert answer.status_code == 409 and "it is paused" in answer.text


def test_failures_are_shown(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """A failure is shown with its reason on every page of the instance."""
    number = api.create()["id"]
    with runtime_of(app).database.write() as session:
        session.execute(
            sa.update(Poller).where(Poller.resource == "orders").values(error="502", failures=3)
        )
    for path in ("/", "/instances", f"/instances/{number}"):
        page = ann.get(path).text
        assert "Failing" in page and "orders: 502" in page, path
    assert "Failing after 3 failures" in ann.get(f"/instances/{number}").text
    edit = ann.get(f"/instances/{number}/edit").text
    assert "orders: 502" in edit and "retries failed resources" in edit
    with runtime_of(app).database.write() as session:
        session.get_one(Instance, number).next_poll_at = None
    page = ann.get(f"/instances/{number}/progress").text
    assert "Partly failed" in page and "Done</span>" not in page


def test_miss_rate_of_webhooks_is_shown(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """The share of changes that webhooks missed is shown."""
    number = api.create()["id"]
    now = runtime_of(app).clock()
    with runtime_of(app).database.write() as session:
        session.get_one(Instance, number).hooks = [
            {"topic": "order.updated", "id": 1, "status": "active", "error": None},
            {"topic": "order.created", "id": 2, "status": "disabled", "error": None},
        ]
        session.add(
            WebhookCoverage(instance_id=number, resource="orders", told=30, missed=10, since=now)
        )
    page = ann.get(f"/instances/{number}").text
    assert "25.0 %" in page and "Disabled" in page
    assert "1 of 2" in ann.get("/instances").text


def test_deleting_needs_the_name(app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
    """An instance is deleted only after its name is typed."""
    number = api.create(name="Berlin shop")["id"]
    for typed in ("", "berlin shop", "Berlin"):
        page = ann.post(f"/instances/{number}/delete", {"typed": typed})
        assert page.status_code == 400 and "The name does not match" in page.text
    assert _row(app, number)
    assert ann.post(f"/instances/{number}/delete", {"typed": "Berlin shop"}).status_code == 302
    assert "Berlin shop was deleted." in ann.get("/instances").text
    assert ann.get(f"/instances/{number}").status_code == 404


def _token_on(page: str) -> str | None:
    found = re.search(r'id="instance-token">([^<]+)<', page)
    return found and found[1]


@pytest.mark.parametrize("keep", [False, True])
def test_token_is_replaced(app: flask.Flask, api: Api, ann: HttpVisitor, keep: bool) -> None:
    """The page shows a new token, and the present one only if tokens are kept."""
    runtime = runtime_of(app)
    runtime.settings = dataclasses.replace(runtime.settings, keep_tokens=keep)
    created = api.create()
    path = f"/instances/{created['id']}/token"
    assert f'href="/woo{path}"' in ann.get(f"/instances/{created['id']}").text
    before = ann.get(path).text
    assert _token_on(before) == (created["token"] if keep else None)
    page = ann.post(path).text
    made = _token_on(page)
    assert made and ("shown only once" in page) is not keep
    for token, status in ((created["token"], 401), (made, 200)):
        answer = api.call("GET", "/instances", headers=ann.account.element(token))
        assert answer.status_code == status
    assert _token_on(ann.get(path).text) == (made if keep else None)


def test_charts_have_their_numbers_beside_them(
    app: flask.Flask, api: Api, ann: HttpVisitor
) -> None:
    """Each chart is described, and its numbers are in a table."""
    number = api.create()["id"]
    tell(app, number, {"id": 1}, {"id": 2})
    page = ann.get(f"/instances/{number}").text
    assert 'role="img" aria-label="Events by resource' in page
    assert "UTC, " in page and ": 2</title>" in page
    assert page.count("<summary>Numbers</summary>") == 2


def test_silent_store_is_connected_without_events(
    api: Api, ann: HttpVisitor, store_server: StubStore
) -> None:
    """An instance whose events are disabled says so, and cannot be polled."""
    number = api.create(**{"event.notification.enabled": False})["id"]
    page = ann.get(f"/instances/{number}").text
    assert "Events are disabled" in page and "Poll now" not in page
