"""A simulated store, an application and a callback that talk over real sockets."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import pathlib
import typing as t

import flask
import orjson
import sqlalchemy as sa

from flask_woo_events.db.models import Configuration, Instance, Poller
from flask_woo_events.errors import SecretError
from flask_woo_events.runtime import Runtime
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.simulation.store.webhook_sender import Headers, Sender
from flask_woo_events.sync.report import PollReport
from flask_woo_events.values.crypto import Cipher
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import PREFIX, Api, add_account, dispose, make_app, runtime_of

VERSIONS = ["5.9", "7.0", "8.0", "9.4", "11.0"]
KEY = "a-signature-key"
#: Where stores reach the application.
PUBLIC = "https://events.test"

Event = tuple[str, str, str]


class OwnClock:
    """The library's own clock, moved by a test."""

    def __init__(self, runtime: Runtime) -> None:
        self._ahead = dt.timedelta()
        runtime.clock = lambda: dt.datetime.now(dt.UTC) + self._ahead

    def advance(self, **how: float) -> None:
        """Move the clock forward."""
        self._ahead += dt.timedelta(**how)


@dataclasses.dataclass
class StoreToCallback:
    """A store, an application that is connected to it, and a callback."""

    app: flask.Flask
    store: SimulatedStore
    receiver: CallbackReceiver
    api: Api
    instance_id: int

    def poll(self) -> list[PollReport]:
        return Worker(runtime_of(self.app)).poll_once([self.instance_id])

    def arrivals(self) -> set[Event]:
        """Poll and deliver; return the events that the callback got, none of them twice."""
        self.receiver.clear()
        assert [report.error for report in self.poll() if report.error] == []
        return self.delivered()

    def delivered(self) -> set[Event]:
        """Deliver; return the events that the callback got, none of them twice."""
        Worker(runtime_of(self.app)).deliver_once()
        events = self.receiver.events
        assert len(events) == len(set(events))
        return set(events)

    def errors(self) -> dict[str, str]:
        """Poll; return the errors by resource, and check that no event is sent."""
        self.receiver.clear()
        errors = {one.resource: one.error for one in self.poll() if one.error}
        assert self.delivered() == set()
        return errors

    def hooks(self) -> set[Event]:
        """Send and process the store's webhooks, and deliver; return the events received."""
        self.receiver.clear()
        self.store.webhooks.run_queue()
        reports = Worker(runtime_of(self.app)).settle_once()
        assert [report.error for report in reports if report.error] == []
        return self.delivered()

    def first(self, kind: str) -> int:
        """Return the lowest id of a kind of object in the store."""
        return next(iter(self.store.shop.tables[kind])).id

    def orders_of(self, *products: int) -> set[Event]:
        """Return the order events that follow the deletion of one of these products."""
        return {
            ("orders", str(number), "UPDATED")
            for number, order in self.store.truth("orders").items()
            if any(item["product_id"] in products for item in order["line_items"])
        }

    def rest(self, method: str, path: str, **body: t.Any) -> dict[str, t.Any]:
        """Call the store's own REST API."""
        with self.store.shop.lock:
            answer = self.store.routes.answer(method, path, path, {}, body)
        assert answer.status < 300, answer.body
        data: dict[str, t.Any] = orjson.loads(answer.body)
        return data

    def poller(self, resource: str) -> Poller:
        """Return the row of a resource's poller."""
        with runtime_of(self.app).database.read() as session:
            return session.scalars(sa.select(Poller).where(Poller.resource == resource)).one()

    @contextlib.contextmanager
    def without_key(self) -> cabc.Iterator[None]:
        """Encrypt the stored secrets with a key that the application lacks, in the block."""
        cipher, lost = runtime_of(self.app).cipher, Cipher([Cipher.generate_key()])
        self._encrypt(lambda stored: lost.encrypt(cipher.decrypt(stored)))
        yield
        self._encrypt(lambda stored: _again(stored, lost, cipher))

    def _encrypt(self, again: cabc.Callable[[str], str]) -> None:
        with runtime_of(self.app).database.write() as session:
            for row in session.scalars(sa.select(Configuration).where(Configuration.sealed)):
                row.value = again(row.value)

    @property
    def notices(self) -> list[dict[str, t.Any]]:
        """Notices of the instance about its store."""
        with runtime_of(self.app).database.read() as session:
            return session.get_one(Instance, self.instance_id).notices


def _again(stored: str, lost: Cipher, cipher: Cipher) -> str:
    try:
        return cipher.encrypt(lost.decrypt(stored))
    except SecretError:
        return stored  # It was sent again meanwhile.


def sender(app: flask.Flask, public: str = PUBLIC) -> Sender:
    """Return a sender that posts a store's webhooks to an application, 404 for other URLs."""

    def send(url: str, headers: Headers, body: bytes, _timeout: float) -> int | None:
        if not url.startswith(public):
            return 404
        hop = ("host", "connection", "content-length")
        kept = [(name, value) for name, value in headers if name.lower() not in hop]
        path = url.removeprefix(public)
        return app.test_client().post(path, data=body, headers=kept).status_code

    return send


def open_env(
    version: str,
    folder: pathlib.Path,
    stack: contextlib.ExitStack,
    *,
    resources: dict[str, t.Any] | None = None,
    counts: tuple[int, int, int, int] = (12, 6, 3, 5),
    hooked: bool = False,
    journal: bool = False,
    public: str = PUBLIC,
    prepare: cabc.Callable[[SimulatedStore], object] = lambda _: None,
    **settings: t.Any,
) -> StoreToCallback:
    """Connect a new store, and record its baseline.

    :param resources: the poller configuration; without it, the default four resources.
    :param counts: numbers of orders, products, coupons and customers in the store.
    :param journal: whether the store has the companion plugin.
    :param hooked: whether the instance uses webhooks; they go to the application directly.
    :param public: base URL of the application, as the store calls it.
    :param prepare: changes the store before it is connected.
    :param settings: of the application, or of the instance if named like its keys.
    """
    store = SimulatedStore(
        version, consumer_key="ck_test", consumer_secret="cs_test", journal=journal
    )
    orders, products, coupons, customers = counts
    store.populate(orders=orders, products=products, coupons=coupons, customers=customers)
    prepare(store)
    receiver = CallbackReceiver()
    url, hook = stack.enter_context(store.serve()), stack.enter_context(receiver.serve())
    if hooked:
        settings["WOO_EVENTS_PUBLIC_URL"] = f"{public}{PREFIX}"
    own = {name: settings.pop(name) for name in list(settings) if name.startswith("event.")}
    app = make_app(folder, WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS=True, **settings)
    store.webhooks.send = sender(app, public)
    stack.callback(dispose, app)
    api = Api(app.test_client(), add_account(app, "poller", "acme").headers, url)
    configuration = {
        "oauth.api.key": "ck_test",
        "oauth.api.secret": "cs_test",
        "event.notification.enabled": True,
        "event.notification.format": "extended",
        "event.notification.callback.url": hook,
        "event.notification.signature.key": KEY,
        "event.vendor.type": "webhook" if hooked else "polling",
        **({} if resources is None else {"event.poller.configuration": resources}),
        **own,
    }
    env = StoreToCallback(app, store, receiver, api, api.create(**configuration)["id"])
    assert env.arrivals() == set()
    return env
