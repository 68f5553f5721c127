"""A user of the console without a browser, and rows to show in it."""

from __future__ import annotations

import datetime as dt
import html
import re
import secrets
import typing as t

import flask
import flask.testing
import orjson
import sqlalchemy as sa
from sqlalchemy import orm

from flask_woo_events.db.models import (
    Attempt,
    Base,
    Delivery,
    Notification,
    Poller,
    StoredEvent,
    Subscription,
)
from flask_woo_events.db.states import DeliveryStatus, EventType
from tests.integration.host_app import Account, runtime_of

Response = t.Any
_TOKEN = re.compile(r'name="woo_csrf_token" value="([^"]+)"')


def csrf_token(page: str) -> str:
    """Return the CSRF token of a page's form."""
    found = _TOKEN.search(page)
    assert found is not None
    return found[1]


class HttpVisitor:
    """A client of the console with a session of its own."""

    def __init__(self, app: flask.Flask, account: Account) -> None:
        self.app = app
        self.account = account
        self.client: flask.testing.FlaskClient = app.test_client()

    def get(self, path: str) -> Response:
        """Request a page below the prefix."""
        return self.client.get(f"/woo{path}")

    def post(self, path: str, form: dict[str, t.Any] | None = None) -> Response:
        """Send a form with the token that the pages of this session hold."""
        return self.client.post(
            f"/woo{path}", data={"woo_csrf_token": self.token(), **(form or {})}
        )

    def token(self) -> str:
        """Return the CSRF token of a form."""
        page = self.client.get("/woo/deliveries/replay")
        if page.status_code != 200:
            page = self.client.get("/woo/sign-in")
        return csrf_token(page.text)

    def cookie(self) -> str:
        """Return the value of the console's cookie."""
        cookie = self.client.get_cookie("woo_console", path="/woo")
        assert cookie is not None
        return cookie.value

    def sign_in(self, onward: str = "") -> Response:
        """Sign in with the secrets."""
        form = {
            "user_secret": self.account.user,
            "organization_secret": self.account.organization,
            "next": onward,
        }
        answer = self.post("/sign-in", form)
        assert answer.status_code == 302, answer.text
        return answer


def fields_of(page: str, form: str = "store") -> dict[str, t.Any]:
    """Return the fields that a form would submit, by default that of "Authenticate a store"."""
    inner = page[page.index(f'id="{form}"') :]
    sent: dict[str, t.Any] = {}
    for tag in re.findall(r"<input\b[^>]*>", inner):
        attributes = {
            name: html.unescape(text) for name, text in re.findall(r'([\w-]+)="([^"]*)"', tag)
        }
        name, kind = attributes.get("name"), attributes.get("type")
        if name is None or (kind in ("checkbox", "radio") and " checked" not in tag):
            continue
        sent.setdefault(name, []).append(attributes.get("value", ""))
    for name, options in re.findall(r'<select[^>]* name="(\w+)"[^>]*>(.*?)</select>', inner, re.S):
        chosen = re.search(r'value="([^"]*)" selected', options)
        sent[name] = [chosen[1]] if chosen else []
    for name, text in re.findall(r'<textarea[^>]* name="(\w+)"[^>]*>(.*?)</textarea>', inner, re.S):
        sent[name] = [html.unescape(text).removeprefix("\n")]
    return {name: values if len(values) > 1 else values[0] for name, values in sent.items()}


def curl_of(page: str) -> str:
    """Return the cURL command on the page."""
    found = re.search(r'<pre tabindex="0" id="curl">(.*?)</pre>', page, re.S)
    assert found is not None
    return html.unescape(found[1])


def rows(app: flask.Flask) -> dict[str, list[t.Any]]:
    """Return all rows of our tables."""
    with runtime_of(app).database.read() as session:
        return {
            table.name: [tuple(row) for row in session.execute(sa.select(table))]
            for table in Base.metadata.sorted_tables
        }


def tell(
    app: flask.Flask,
    instance_id: int,
    *bodies: dict[str, t.Any],
    resource: str = "orders",
    event_type: EventType = EventType.UPDATED,
    status: DeliveryStatus = DeliveryStatus.DELIVERED,
    at: dt.datetime | None = None,
    to_all: bool = False,
) -> list[int]:
    """Write an event for each body, with its delivery and one attempt; return their ids.

    Bodies have an ``id``; the versions of one object follow each other.

    :param to_all: to each subscription of the instance; by default only to the first.
    """
    runtime = runtime_of(app)
    now = at or runtime.clock()
    ids = []
    with runtime.database.write() as session:
        poller = session.scalars(
            sa.select(Poller).where(Poller.instance_id == instance_id, Poller.resource == resource)
        ).one()
        receivers = session.scalars(
            sa.select(Subscription)
            .where(Subscription.instance_id == instance_id)
            .order_by(Subscription.id)
        ).all()[: None if to_all else 1]
        for body in bodies:
            notification = Notification(
                instance_id=instance_id,
                poller_id=poller.id,
                event_id=secrets.token_urlsafe(15),
                resource=resource,
                poll_date=now,
                size=1,
                created_at=now,
            )
            session.add(notification)
            session.flush()
            object_id = str(body["id"])
            known = sa.select(sa.func.max(StoredEvent.version)).where(
                StoredEvent.poller_id == poller.id, StoredEvent.object_id == object_id
            )
            event = StoredEvent(
                instance_id=instance_id,
                poller_id=poller.id,
                notification_id=notification.id,
                resource=resource,
                object_id=object_id,
                version=(session.scalar(known) or 0) + 1,
                event_type=event_type,
                date=now,
                source="poll",
                changed_fields=["status"] if event_type is EventType.UPDATED else None,
                body=orjson.dumps(body),
                created_at=now,
            )
            session.add(event)
            session.flush()
            ids.append(event.id)
            for to in receivers:
                _deliver(session, notification, to, status, now)
    return ids


def _deliver(
    session: orm.Session,
    notification: Notification,
    to: Subscription,
    status: DeliveryStatus,
    now: dt.datetime,
) -> None:
    """Write a delivery with one attempt."""
    delivery = Delivery(
        notification_id=notification.id,
        subscription_id=to.id,
        status=status,
        attempts=1,
        due_at=now if status is not DeliveryStatus.QUEUED else None,
        created_at=now,
        updated_at=now + dt.timedelta(seconds=2),
    )
    session.add(delivery)
    session.flush()
    good = status is DeliveryStatus.DELIVERED
    session.add(
        Attempt(
            delivery_id=delivery.id,
            at=now,
            seconds=0.25,
            status_code=200 if good else 503,
            reason="200 OK" if good else "503 Service Unavailable",
            answer="{}" if good else "<h1>Down</h1>",
        )
    )
