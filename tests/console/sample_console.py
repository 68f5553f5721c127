"""A console with sample data, the same in every run, for screenshots."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import functools
import pathlib
import random
import secrets
import threading
import typing as t

import orjson
import sqlalchemy as sa
import werkzeug.serving
from sqlalchemy import orm

from flask_woo_events.db import upgrade
from flask_woo_events.db.models import (
    Attempt,
    Delivery,
    Instance,
    Notification,
    Poller,
    StoredEvent,
    Subscription,
    Usage,
    WebhookCoverage,
)
from flask_woo_events.db.states import Channel, DeliveryStatus, EventType, PollerState
from flask_woo_events.instances import accounts, configuration
from flask_woo_events.instances.polled_resources import default_configuration
from tests.integration.host_app import Account, dispose, make_app, runtime_of

NOW = dt.datetime(2026, 11, 23, 16, 42, 7, tzinfo=dt.UTC)
PUBLIC = "https://events.example.com/elements/api-v2"
RESOURCES = ("customers", "discounts", "orders", "products")

_STORES: tuple[dict[str, t.Any], ...] = (
    {"name": "Berlin shop", "tags": ["eu", "retail"], "load": 9},
    {"name": "Boston outlet", "tags": ["us", "outlet"], "load": 5},
    {"name": "متجر دبي", "tags": ["mena"], "load": 3},
    {"name": "Kyoto tea house", "tags": ["asia", "wholesale"], "load": 2, "type": "webhook"},
    {"name": "Lyon ateliers", "tags": ["eu"], "load": 4, "failing": True},
    {"name": "Oslo wholesale, the one with a very long name that does not fit into a table",
     "tags": ["eu", "wholesale"], "load": 1, "stopped": True},
    {"name": "Porto (closed for winter)", "tags": ["eu"], "load": 0, "disabled": True},
    {"name": "Quito, just connected", "tags": [], "load": 0, "starting": True},
)  # fmt: skip


class SampleConsole:
    """The console with sample data, served in this process, with a fixed clock."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.app = make_app(
            folder,
            WOO_EVENTS_CONSOLE=True,
            WOO_EVENTS_PUBLIC_URL=PUBLIC,
        )
        self.runtime = runtime_of(self.app)
        self.runtime.clock = lambda: NOW
        upgrade.upgrade(self.runtime.database.engine)
        self.account = self._user()
        self.order_event = 0
        #: A subscription of the first instance with options of its own.
        self.subscription = 0
        #: What happened, to be written in the order of its time.
        self._later: list[tuple[dt.datetime, cabc.Callable[[], int]]] = []
        self.url = ""

    def _user(self) -> Account:
        with self.runtime.database.write() as session:
            user = accounts.add_user(session, "ann", "Acme Retail", NOW)
        assert user.organization_secret is not None
        return Account(user.user_secret, user.organization_secret)

    def fill(self) -> None:
        """Write eight stores and their events of one day."""
        dice = random.Random(7)
        with self.runtime.database.write() as session:
            for store in _STORES:
                self._store(session, dice, store)
            others = self._more_subscriptions(session)
            self._order(session, others)
            for _, write in sorted(self._later, key=lambda one: one[0]):
                self.order_event = write()

    def _store(self, session: orm.Session, dice: random.Random, store: dict[str, t.Any]) -> None:
        number = (session.scalar(sa.select(sa.func.max(Instance.id))) or 0) + 1
        kind = store.get("type", "polling")
        row = Instance(
            organization_id=1,
            user_id=1,
            name=store["name"],
            token_hash=f"{number:064}",
            tags=store["tags"],
            vendor_type=kind,
            events_enabled=True,
            disabled=store.get("disabled", False),
            refresh_minutes=60 if kind == "webhook" else 15,
            created_at=NOW - dt.timedelta(days=40 - number),
            store_facts={"version": "9.4.2", "timezone": "Europe/Berlin"},
            next_poll_at=None if store.get("disabled") else NOW + dt.timedelta(minutes=number),
            hooks=_hooks() if kind == "webhook" else [],
            notices=_notices() if store.get("failing") else [],
        )
        session.add(row)
        session.flush()
        self._configure(session, row)
        polled = None if store.get("starting") else NOW - dt.timedelta(minutes=3 * number)
        for resource in RESOURCES:
            broken = bool(store.get("failing")) and resource == "orders"
            session.add(
                Poller(
                    instance_id=row.id,
                    resource=resource,
                    configuration={"url": f"/hubs/ecommerce/{resource}"},
                    state=PollerState.BASELINE if polled is None else PollerState.ACTIVE,
                    baseline_offset=1_300,
                    baseline_total=4_180,
                    polled_at=polled,
                    failures=4 if broken else 0,
                    error="the store responded with 502 Bad Gateway" if broken else None,
                    retry_at=NOW + dt.timedelta(minutes=6) if broken else None,
                    created_at=row.created_at,
                )
            )
        stopped = bool(store.get("stopped"))
        to = Subscription(
            instance_id=row.id,
            url=f"https://hooks.example.com/woo/{row.id}",
            active=not stopped,
            reason="503 Service Unavailable" if stopped else None,
            created_at=row.created_at,
        )
        session.add(to)
        session.flush()
        for resource in ("orders", "products") if kind == "webhook" else ():
            session.add(
                WebhookCoverage(instance_id=row.id, resource=resource, told=412, missed=9, late=4,
                      repeated=31, wrong=2, since=NOW - dt.timedelta(days=6))
            )  # fmt: skip
        for hours in range(24):
            moment = NOW - dt.timedelta(hours=hours)
            busy = 0.2 + max(0.0, 1 - abs(moment.hour - 14) / 9)
            hour = moment.replace(minute=0, second=0)
            if store["load"]:
                session.add(Usage(instance_id=row.id, hour=hour, turns=4, requests=30,
                                  seconds=30 * (0.15 + 0.25 * busy * dice.random())))  # fmt: skip
            for _ in range(round(store["load"] * busy * dice.uniform(0.6, 1.3))):
                at = moment - dt.timedelta(minutes=dice.uniform(5, 41))
                self._later.append((at, _happening(session, dice, row, to, at)))

    def spoil(self) -> str:
        """Make all that comes from outside long and odd; gives the id of an object."""
        word, odd = "W" * 100_000, "<script>alert(1)</script>\u202eمتجر👩‍👩‍👧‍👦"
        notices = [
            {"date": "2026-11-23T16:02:44+00:00", "kind": "webhooks", "count": 12, "text": word}
        ]
        body = {"id": "7", "name": word, odd: [odd + word, {word: odd}]}
        with self.runtime.database.write() as session:
            session.execute(
                sa.update(Instance).values(name=(odd + word)[:255], tags=[odd, word[:60]],
                                           notices=notices, store_facts={"version": word})
            )  # fmt: skip
            session.execute(sa.update(Poller).values(error=word, failures=1))
            session.execute(
                sa.update(Subscription).values(
                    url=f"https://{word[:1800]}/", reason=word, active=False
                )
            )
            session.execute(
                sa.update(Attempt).values(reason=word[:3000], answer=odd + word[:60_000])
            )
            session.execute(sa.update(Notification).values(resource="r" * 190))
            session.execute(
                sa.update(StoredEvent).values(resource="r" * 190, object_id=word[:190],
                                        body=orjson.dumps(body))
            )  # fmt: skip
            session.execute(
                sa.update(StoredEvent)
                .where(StoredEvent.instance_id == 1)
                .values(object_id=word[:190])
            )
        return word[:190]

    def _configure(self, session: orm.Session, row: Instance) -> None:
        texts = {
            "store.url": f"https://store-{row.id}.example.com",
            "oauth.api.key": "ck_1",
            "oauth.api.secret": "cs_1",
            "event.notification.enabled": "true",
            "event.vendor.type": row.vendor_type,
            "event.notification.callback.url": f"https://hooks.example.com/woo/{row.id}",
            "event.notification.signature.key": "key",
            "event.poller.refresh_interval": "15",
            "event.poller.configuration": orjson.dumps(default_configuration()).decode(),
        }
        configuration.write(session, self.runtime.cipher, row.id, texts)

    def _more_subscriptions(self, session: orm.Session) -> list[Subscription]:
        """Add two subscriptions to the first store; return what gets its orders, too."""
        shared = {"instance_id": 1, "channel": Channel.CALLBACK, "created_at": NOW}
        warehouse = Subscription(
            url="https://warehouse.example.com/shipping",
            options={
                "resources": ["orders"], "types": ["CREATED", "UPDATED"], "format": "thin",
                "fields": ["status", "line_items[].quantity"], "schedule": [5, 60, 600],
                "rate": 2.0, "concurrency": 1, "description": "Packing lists",
            },
            **shared,
        )  # fmt: skip
        analytics = Subscription(
            url="https://collector.example.com/cloudevents",
            options={"resources": ["customers", "orders"], "format": "cloudevents"},
            paused=True,
            **shared,
        )
        session.add_all([warehouse, analytics])
        session.flush()
        self.subscription = warehouse.id
        credentials = {"signature_key": "key", "headers": {"X-Warehouse": "north"}}
        configuration.put_credentials(session, self.runtime.cipher, 1, warehouse.id, credentials)
        return [warehouse]

    def _order(self, session: orm.Session, others: cabc.Sequence[Subscription]) -> None:
        """Write the versions of one order, whose last one is the newest event."""
        row, to = session.get_one(Instance, 1), session.get_one(Subscription, 1)
        order = {
            "id": 1729, "status": "pending", "currency": "EUR", "total": "74.80",
            "date_modified_gmt": "2026-11-23T14:01:55", "customer_note": "",
            "billing": {"first_name": "Zoë", "city": "Łódź", "email": "zoe@example.com"},
            "line_items": [{"id": 1, "name": "Teapot", "quantity": 1, "total": "74.80"}],
        }  # fmt: skip
        steps: tuple[dict[str, t.Any], ...] = (
            {},
            {"status": "processing", "date_modified_gmt": "2026-11-23T14:09:30",
             "transaction_id": "pi_3Q"},
            {"customer_note": "Bitte beim Nachbarn abgeben", "date_modified_gmt":
             "2026-11-23T15:20:11"},
            {"status": "completed", "date_modified_gmt": "2026-11-23T16:38:41",
             "line_items": [{"id": 1, "name": "Teapot", "quantity": 2, "total": "149.60"}],
             "total": "149.60"},
        )  # fmt: skip
        for version, step in enumerate(steps, start=1):
            order = {**order, **step}
            at = dt.datetime.fromisoformat(f"{order['date_modified_gmt']}+00:00")
            kind = EventType.CREATED if version == 1 else EventType.UPDATED
            late = at + dt.timedelta(seconds=40)
            write = functools.partial(
                _tell, session, row, to, "orders", order, kind, version, at, late, others
            )
            self._later.append((late, write))

    @contextlib.contextmanager
    def serving(self) -> cabc.Iterator[None]:
        """Serve the console during the block."""
        server = werkzeug.serving.make_server(
            "127.0.0.1", 0, self.app, threaded=True, request_handler=_Quiet
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
            dispose(self.app)


class _Quiet(werkzeug.serving.WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def _happening(
    session: orm.Session, dice: random.Random, row: Instance, to: Subscription, at: dt.datetime
) -> cabc.Callable[[], int]:
    resource = dice.choices(RESOURCES, (2, 1, 6, 3))[0]
    kind = dice.choices(tuple(EventType), (3, 6, 1))[0]
    number = dice.randrange(100, 999)
    body: dict[str, t.Any] = {"id": number}
    if kind is not EventType.DELETED:
        body |= {"status": dice.choice(("processing", "completed", "publish")), "total": "12.00"}
    version = dice.randrange(1, 9)
    return functools.partial(_tell, session, row, to, resource, body, kind, version, at, at)


def _tell(
    session: orm.Session,
    row: Instance,
    to: Subscription,
    resource: str,
    body: dict[str, t.Any],
    kind: EventType,
    version: int,
    date: dt.datetime,
    at: dt.datetime,
    others: cabc.Sequence[Subscription] = (),
) -> int:
    """Write an event that was delivered to one subscription, and is retried for others."""
    poller = session.scalars(
        sa.select(Poller).where(Poller.instance_id == row.id, Poller.resource == resource)
    ).one()
    source = "webhook" if row.vendor_type == "webhook" else "poll"
    notification = Notification(
        instance_id=row.id, poller_id=poller.id, event_id=secrets.token_urlsafe(15),
        resource=resource, poll_date=at, size=1, created_at=at,
    )  # fmt: skip
    session.add(notification)
    session.flush()
    event = StoredEvent(
        instance_id=row.id, poller_id=poller.id, notification_id=notification.id,
        resource=resource, object_id=str(body["id"]), version=version, event_type=kind,
        date=date, source=source, body=orjson.dumps(body), created_at=at,
        changed_fields=["status", "total"] if kind is EventType.UPDATED else None,
    )  # fmt: skip
    session.add(event)
    _deliver(session, event, to, event.object_id.endswith("77"), at)
    for one in others:
        _deliver(session, event, one, version == 4, at)
    return event.id


def _deliver(
    session: orm.Session, event: StoredEvent, to: Subscription, retried: bool, at: dt.datetime
) -> None:
    retried = retried and to.active
    status = DeliveryStatus.RETRY if retried else DeliveryStatus.DELIVERED
    if not to.active:
        status = DeliveryStatus.QUEUED
    good = status is DeliveryStatus.DELIVERED
    took = dt.timedelta(seconds=0.4 + (event.version % 5) * 0.7)
    delivery = Delivery(
        notification_id=event.notification_id, subscription_id=to.id, status=status,
        attempts=1 if good else 3, due_at=NOW + dt.timedelta(minutes=18) if retried else None,
        created_at=at, updated_at=at + took,
    )  # fmt: skip
    session.add(delivery)
    session.flush()
    for attempt in range(1 if good else 3):
        session.add(
            Attempt(
                delivery_id=delivery.id, at=at + dt.timedelta(minutes=5 * attempt), seconds=0.21,
                status_code=200 if good else 503,
                reason="200 OK" if good else "503 Service Unavailable",
                answer="" if good else '{"error": "deploying, be right back"}',
            )
        )  # fmt: skip


def _hooks() -> list[dict[str, t.Any]]:
    topics = ("order.created", "order.updated", "order.deleted", "product.updated")
    hooks = [{"topic": topic, "id": 10 + place, "status": "active", "error": None}
             for place, topic in enumerate(topics)]  # fmt: skip
    return [*hooks, {"topic": "coupon.updated", "id": None, "status": None,
                     "error": "Sorry, you are not allowed to create resources."}]  # fmt: skip


def _notices() -> list[dict[str, t.Any]]:
    return [
        {"date": "2026-11-22T09:14:02+00:00", "kind": "restored",
         "text": "The store was restored from a backup; its orders are compared again."},
        {"date": "2026-11-23T16:02:44+00:00", "kind": "webhooks", "count": 3,
         "text": "order.updated was disabled at the store and has been registered again"},
    ]  # fmt: skip
