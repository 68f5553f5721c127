"""The suite on a real test store: create, change and delete marked objects by REST."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import secrets
import time
import typing as t

from ...errors import StoreError, StoreRejectedError, TransportError
from ...instances import access, lifecycle
from ...runtime import Runtime
from ...settings import Settings
from ...sync.ledger.digest import digest_of
from ...values.crypto import Cipher
from ...woocommerce import endpoints
from ...woocommerce.access import StoreAccess
from ...woocommerce.client import StoreClient
from ...woocommerce.connection_check import check_store
from ...worker.worker import Worker
from ..callback_receiver import CallbackReceiver
from .harness import CrashableDatabase, create_instance, spec_of
from .judge import Judge, ObjectKey, Verdict, events_in

#: Resources and the REST paths of their collections.
_PATHS = {"customers": "customers", "discounts": "coupons", "orders": "orders",
          "products": "products"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Step:
    """One action on the store and its verdict."""

    name: str
    verdict: Verdict
    seconds: float
    #: The error of a store that refused the action; changes it made nevertheless are judged.
    refused: str | None = None


def run(database: CrashableDatabase, url: str, key: str, secret: str) -> cabc.Iterator[Step]:
    """Run the actions on a real store and yield their verdicts.

    Only objects of this run are judged, because other objects may change at the same time. They are
    removed at the end, also after an error.

    :raises TransportError: the store cannot be reached, or the key may not write.
    """
    proof = _Run(database, StoreAccess(url, key, secret))
    with proof.running():
        for name, action in _ACTIONS:
            yield proof.step(name, action)


class _Run:
    """One run on one store."""

    def __init__(self, database: CrashableDatabase, access: StoreAccess) -> None:
        settings = Settings(encryption_keys=(Cipher.generate_key(),), allow_private_callbacks=True)
        self.runtime = Runtime(settings, database)
        self.client: StoreClient = self.runtime.store_client(access)
        self.mark = f"woo-prove-{secrets.token_hex(4)}"
        #: Ids of this run by resource, in the order of creation.
        self.created: dict[str, list[int]] = {resource: [] for resource in _PATHS}
        self._access = access
        self._receiver = CallbackReceiver()
        self._judge = Judge({})

    @contextlib.contextmanager
    def running(self) -> cabc.Iterator[None]:
        """Connect the store, record the baseline, and remove our objects at the end."""
        with self._receiver.serve() as callback_url:
            self._connect(callback_url)
            self._poll()
            self._receiver.clear()
            try:
                yield
            finally:
                self._remove_all()

    def step(self, name: str, action: cabc.Callable[[_Run], object]) -> Step:
        """Perform one action, poll, and judge the events of our own objects."""
        began, refused = time.monotonic(), None
        try:
            action(self)
        except StoreError as exc:
            # Some versions cannot trash coupons by REST: 501 (5.9), 500 (8.0).
            refused = f"the store refused: {exc}"
        truth = self._truth()
        before = self._judge.verdict(truth)
        self._judge.record(truth)
        self._judge.record_poll(truth)
        for _ in range(3):
            self._poll()
            self._judge_arrived()
            if self._judge.agrees(truth):
                break
        now = self._judge.verdict(truth)
        verdict = Verdict(
            now.changes - before.changes,
            now.arrived - before.arrived,
            now.lost,
            now.false[len(before.false) :],
            now.duplicate[len(before.duplicate) :],
        )
        return Step(name, verdict, round(time.monotonic() - began, 3), refused)

    def make(self, resource: str, **body: t.Any) -> int:
        """Create an object."""
        number = int(self.client.post(_PATHS[resource], body).data["id"])
        self.created[resource].append(number)
        return number

    def change(self, resource: str, **body: t.Any) -> None:
        """Change the object created last."""
        self.client.put(f"{_PATHS[resource]}/{self.created[resource][-1]}", body)

    def delete(self, resource: str, *, force: bool) -> None:
        """Delete the object created last, to the trash or permanently."""
        number = self.created[resource][-1]
        if force:
            self._erase(resource, number)
        else:
            self.client.delete(f"{_PATHS[resource]}/{number}")

    def _erase(self, resource: str, number: int) -> None:
        """Delete permanently; of an order also the notes, which HPOS leaves behind."""
        path = f"{_PATHS[resource]}/{number}"
        if resource == "orders":
            for note in self.client.get(f"{path}/notes").data:
                self.client.delete(f"{path}/notes/{note['id']}", {"force": "true"})
        self.client.delete(path, {"force": "true"})

    def _truth(self) -> dict[ObjectKey, bytes]:
        found: dict[ObjectKey, bytes] = {}
        for resource, numbers in self.created.items():
            for number in numbers:
                try:
                    body = self.client.get(f"{_PATHS[resource]}/{number}").data
                except StoreRejectedError as exc:
                    if exc.status in (404, 410):
                        continue
                    raise
                if body.get("status") != "trash":
                    found[resource, str(number)] = digest_of(body)
        return found

    def _judge_arrived(self) -> None:
        received = self._receiver.received
        self._receiver.clear()
        own = {(resource, str(number)) for resource, ids in self.created.items() for number in ids}
        for notification in received:
            for key, event_type, content in events_in(notification.json["message"]):
                if key in own:
                    self._judge.receive(key, event_type, content)

    def _poll(self) -> None:
        worker = Worker(self.runtime)
        reports = worker.poll_once([self._instance_id])
        if any(report.error for report in reports) and self._accept():
            # Of a small store, a few objects are a large part.
            reports = worker.poll_once([self._instance_id])
        failed = [report.error for report in reports if report.error]
        if failed:
            raise StoreRejectedError(f"the store cannot be polled: {failed[0]}")
        worker.deliver_once()

    def _accept(self) -> bool:
        """Accept the deletions that wait for a second reading: they are of this run."""
        with self.runtime.database.write() as session:
            caller = access.owner(session, self._instance_id)
            now = self.runtime.clock()
            return bool(lifecycle.accept(session, caller, self._instance_id, now))

    def _connect(self, callback_url: str) -> None:
        configuration = {
            "store.url": self._access.url,
            "oauth.api.key": self._access.consumer_key,
            "oauth.api.secret": self._access.consumer_secret,
            "event.notification.enabled": True,
            "event.notification.callback.url": callback_url,
            "filter.response.nulls": False,
        }
        spec = spec_of(self.mark, configuration)
        polled = [endpoints.resolve(poller.url) for poller in spec.pollers]
        facts = check_store(self.client, polled)
        now = dt.datetime.now(dt.UTC)
        _caller, self._instance_id = create_instance(self.runtime, self.mark, spec, facts, now)

    def _remove_all(self) -> None:
        """Delete every object of this run, orders first: they contain products and customers."""
        for resource in ("orders", "products", "discounts", "customers"):
            for number in self.created[resource]:
                with contextlib.suppress(TransportError):
                    self._erase(resource, number)


def _order(proof: _Run) -> object:
    lines = [{"product_id": proof.created["products"][0], "quantity": 1}]
    customer = proof.created["customers"][0]
    return proof.make("orders", status="processing", customer_id=customer, line_items=lines)


def _variation(proof: _Run) -> object:
    return proof.client.post(
        f"products/{proof.created['products'][-1]}/variations", {"regular_price": "5"}
    )


_ACTIONS: tuple[tuple[str, cabc.Callable[[_Run], object]], ...] = (
    ("product created", lambda p: p.make(
        "products", name=p.mark, regular_price="10", manage_stock=True, stock_quantity=9)),
    ("product price changed", lambda p: p.change("products", regular_price="11")),
    ("product stock changed", lambda p: p.change("products", stock_quantity=7)),
    ("product meta written", lambda p: p.change(
        "products", meta_data=[{"key": "proof", "value": "1"}])),
    ("customer created", lambda p: p.make(
        "customers", email=f"{p.mark}@example.com", username=p.mark)),
    ("customer name changed", lambda p: p.change("customers", first_name="Proved")),
    ("customer address changed", lambda p: p.change("customers", billing={"phone": "555"})),
    ("coupon created", lambda p: p.make("discounts", code=p.mark, amount="5")),
    ("coupon amount changed", lambda p: p.change("discounts", amount="6")),
    ("coupon description changed", lambda p: p.change("discounts", description="proof")),
    ("order created", _order),
    ("order status changed", lambda p: p.change("orders", status="completed")),
    ("order meta written", lambda p: p.change(
        "orders", meta_data=[{"key": "proof", "value": "1"}])),
    ("order note added", lambda p: p.client.post(
        f"orders/{p.created['orders'][-1]}/notes", {"note": "proof"})),
    ("order refunded", lambda p: p.client.post(
        f"orders/{p.created['orders'][-1]}/refunds", {"amount": "1.00", "api_refund": False})),
    ("order trashed", lambda p: p.delete("orders", force=False)),
    ("order deleted from the trash", lambda p: p.delete("orders", force=True)),
    ("second order created", _order),
    ("order deleted permanently", lambda p: p.delete("orders", force=True)),
    ("coupon trashed", lambda p: p.delete("discounts", force=False)),
    ("coupon deleted from the trash", lambda p: p.delete("discounts", force=True)),
    ("variable product created", lambda p: p.make(
        "products", name=f"{p.mark} variable", type="variable",
        attributes=[{"name": "Size", "options": ["a", "b"], "variation": True}])),
    ("variation added", _variation),
    ("product trashed", lambda p: p.delete("products", force=False)),
    ("product deleted from the trash", lambda p: p.delete("products", force=True)),
    ("another product created", lambda p: p.make("products", name=f"{p.mark} more")),
    ("product deleted permanently", lambda p: p.delete("products", force=True)),
    ("customer deleted", lambda p: p.delete("customers", force=True)),
)  # fmt: skip
