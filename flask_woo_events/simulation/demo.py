"""The demo: changes in a simulated store arrive at a callback, each exactly once."""

from __future__ import annotations

import collections
import collections.abc as cabc
import contextlib
import dataclasses
import secrets
import threading
import typing as t

import flask
import requests
import werkzeug.serving

from ..db import upgrade
from ..errors import WooEventsError
from ..instances import accounts
from ..runtime import EXTENSION, Runtime
from ..settings import Settings
from ..sync.ledger.digest import content_of
from ..worker.worker import Worker
from .callback_receiver import CallbackReceiver
from .store import SimulatedStore

#: Polled resources, and the simulator's names of them.
RESOURCES = {
    "customers": "customers",
    "discounts": "coupons",
    "orders": "orders",
    "products": "products",
}
SIGNATURE_KEY = "a-key-of-the-demonstration"

Event = tuple[str, str, str]
Write = cabc.Callable[[str], None]


@dataclasses.dataclass(kw_only=True)
class Summary:
    """The result of the demo."""

    changes: int = 0
    arrived: int = 0
    missing: int = 0
    unexpected: int = 0
    badly_signed: int = 0

    @property
    def clean(self) -> bool:
        """Whether every change arrived exactly once with a valid signature."""
        faults = self.missing + self.unexpected + self.badly_signed
        return self.changes > 0 and faults == 0


def run(app: flask.Flask, write: Write, keep: cabc.Callable[[], None] | None = None) -> Summary:
    """Connect a simulated store to the application and change it.

    :param write: prints one line.
    :param keep: called at the end, while all parts still run.
    """
    original = app.extensions[EXTENSION]
    runtime = _on_loopback(original)
    upgrade.upgrade(runtime.database.engine)
    app.extensions[EXTENSION] = runtime
    store = SimulatedStore("11.0", consumer_key="ck_demo", consumer_secret="cs_demo")
    store.populate(orders=40, products=12, coupons=4, customers=15)
    receiver = CallbackReceiver()
    try:
        with (
            store.serve() as store_url,
            receiver.serve() as callback_url,
            _serve(app) as app_url,
        ):
            demonstration = _Demonstration(runtime, store, receiver, write)
            write(f"store     {store_url}  (simulated WooCommerce 11.0)")
            write(f"app       {app_url}")
            write(f"callback  {callback_url}")
            demonstration.connect(app_url, store_url, callback_url)
            for description, change in _changes(store):
                demonstration.perform(description, change)
            if keep is not None:
                keep()
            demonstration.disconnect(app_url)
            return demonstration.summary
    finally:
        app.extensions[EXTENSION] = original
        runtime.database.dispose()


def _on_loopback(runtime: Runtime) -> Runtime:
    # The demo's callback is on loopback, which is not allowed by default.
    settings: Settings = dataclasses.replace(runtime.settings, allow_private_callbacks=True)
    return Runtime(settings, runtime.database, runtime.clock)


@contextlib.contextmanager
def _serve(app: flask.Flask) -> cabc.Iterator[str]:
    server = werkzeug.serving.make_server(
        "127.0.0.1", 0, app, threaded=True, request_handler=_QuietHandler
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _QuietHandler(werkzeug.serving.WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


class _Demonstration:
    """The parts of the demo while it runs."""

    def __init__(
        self, runtime: Runtime, store: SimulatedStore, receiver: CallbackReceiver, write: Write
    ) -> None:
        self.summary = Summary()
        self._runtime = runtime
        self._store = store
        self._receiver = receiver
        self._write = write
        self._instance_id = 0
        self._headers: dict[str, str] = {}

    def connect(self, app_url: str, store_url: str, callback_url: str) -> None:
        """Create an instance with the documented request and record its baseline."""
        name = f"demo-{secrets.token_hex(3)}"
        with self._runtime.database.write() as session:
            user = accounts.add_user(session, name, name, self._runtime.clock())
        self._headers = {
            "Authorization": f"User {user.user_secret}, Organization {user.organization_secret}"
        }
        answer = requests.post(
            f"{app_url}{self._runtime.settings.url_prefix}/instances",
            json=_request(store_url, callback_url),
            headers=self._headers,
            timeout=30,
        )
        if answer.status_code != 200:
            raise WooEventsError(f"POST /instances returned {answer.status_code}: {answer.text}")
        self._instance_id = answer.json()["id"]
        self._write(f"POST /instances -> 200, id {self._instance_id}")
        reports = self._worker().poll_once([self._instance_id])
        self._raise_errors(reports)
        known = sum(report.observed for report in reports)
        self._write(f"baseline: {known} objects recorded, no events sent\n")

    def disconnect(self, app_url: str) -> None:
        """Delete the instance."""
        requests.delete(
            f"{app_url}{self._runtime.settings.url_prefix}/instances/{self._instance_id}",
            headers=self._headers,
            timeout=30,
        ).raise_for_status()

    def perform(self, description: str, change: cabc.Callable[[], t.Any]) -> None:
        """Make one change and print the events that arrive for it."""
        before = self._truth()
        change()
        expected = collections.Counter(_difference(before, self._truth()))
        self._receiver.clear()
        worker = self._worker()
        self._raise_errors(worker.poll_once([self._instance_id]))
        worker.deliver_once()
        self._show(description, expected)

    def _show(self, description: str, expected: collections.Counter[Event]) -> None:
        self._write(description)
        arrived = collections.Counter(self._receiver.events)
        for notification in self._receiver.received:
            signed = notification.is_signed_with(SIGNATURE_KEY)
            self.summary.badly_signed += not signed
            verdict = "signature valid" if signed else "SIGNATURE INVALID"
            for event in notification.events:
                self._write(
                    f"    -> {event['eventType']:8}{event['objectType']:>10} "
                    f"{event['objectId']:<6} notification {notification.json['id']}, {verdict}"
                )
        missing, unexpected = expected - arrived, arrived - expected
        for label, wrong in (("MISSING", missing), ("UNEXPECTED", unexpected)):
            for key, count in wrong.items():
                self._write(f"    !! {label} {' '.join(key)} x{count}")
        self.summary.changes += expected.total()
        self.summary.arrived += (arrived & expected).total()
        self.summary.missing += missing.total()
        self.summary.unexpected += unexpected.total()

    def _truth(self) -> dict[tuple[str, str], bytes]:
        return {
            (resource, str(number)): content_of(body).digest
            for resource, name in RESOURCES.items()
            for number, body in self._store.truth(name).items()
        }

    def _worker(self) -> Worker:
        return Worker(self._runtime)

    def _raise_errors(self, reports: cabc.Iterable[t.Any]) -> None:
        for report in reports:
            if report.error:
                raise WooEventsError(f"polling {report.resource} failed: {report.error}")


def _difference(
    before: cabc.Mapping[tuple[str, str], bytes], after: cabc.Mapping[tuple[str, str], bytes]
) -> list[Event]:
    return (
        [(*key, "CREATED") for key in after.keys() - before.keys()]
        + [(*key, "DELETED") for key in before.keys() - after.keys()]
        + [(*key, "UPDATED") for key in after.keys() & before.keys() if after[key] != before[key]]
    )


def _request(store_url: str, callback_url: str) -> dict[str, t.Any]:
    return {
        "element": {"key": "woocommercerest"},
        "configuration": {
            "store.url": store_url,
            "oauth.api.key": "ck_demo",
            "oauth.api.secret": "cs_demo",
            "event.notification.enabled": True,
            "event.vendor.type": "polling",
            "event.notification.callback.url": callback_url,
            "event.notification.signature.key": SIGNATURE_KEY,
            "event.poller.refresh_interval": "1",
            "event.poller.configuration": {
                name: {"url": f"/hubs/ecommerce/{name}", "idField": "id", "datesConfiguration": {}}
                for name in RESOURCES
            },
        },
        "tags": ["Docs"],
        "name": "Demonstration",
    }


def _changes(store: SimulatedStore) -> list[tuple[str, cabc.Callable[[], t.Any]]]:
    orders, products = sorted(store.truth("orders")), sorted(store.truth("products"))
    coupons, customers = sorted(store.truth("coupons")), sorted(store.truth("customers"))
    acts = store.acts
    return [
        ("a customer places an order", lambda: acts.place_order(customers[0], [products[0]])),
        ("an order is completed", lambda: acts.status(orders[0], "completed")),
        (
            "a coupon is used, which no webhook and no date reports",
            lambda: acts.coupon_use(coupons[0]),
        ),
        (
            "a price is written directly to the meta table",
            lambda: acts.price_meta(products[1], "5.55"),
        ),
        ("the stock of a product is set", lambda: acts.stock(products[2], 77)),
        ("a customer edits their profile", lambda: acts.profile(customers[1])),
        ("a subscriber becomes a customer", lambda: acts.role(acts.new_user("sub"), "customer")),
        ("an order is moved to the trash", lambda: acts.trash_post(orders[1])),
        ("the order is restored", lambda: acts.untrash_order(orders[1])),
        ("a product is permanently deleted", lambda: acts.delete_for_good("products", products[3])),
        ("a coupon is permanently deleted", lambda: acts.delete_for_good("coupons", coupons[1])),
        ("a customer becomes a subscriber", lambda: acts.role(customers[2], "subscriber")),
    ]
