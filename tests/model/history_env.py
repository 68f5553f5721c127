"""The environment of a history: one store, its instance, and a judge that compares them."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import secrets
import threading
import typing as t

import orjson
import sqlalchemy as sa

from flask_woo_events.db.leases import LeaseRenewer
from flask_woo_events.db.models import StoredEvent
from flask_woo_events.instances import accounts, lifecycle, specification
from flask_woo_events.instances.requests import InstanceRequest
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Settings
from flask_woo_events.simulation.loss_suite.ground_truth import KINDS, parent_of, truth
from flask_woo_events.simulation.loss_suite.harness import Crash, CrashableDatabase
from flask_woo_events.simulation.loss_suite.judge import Judge, ObjectKey
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.simulation.store.faults import Kind
from flask_woo_events.simulation.store.responses import RestError
from flask_woo_events.sync.instance_poll import InstancePoll
from flask_woo_events.sync.ledger.digest import digest_of
from flask_woo_events.sync.report import PollReport
from flask_woo_events.woocommerce import endpoints
from flask_woo_events.woocommerce.connection_check import check_store
from flask_woo_events.worker.consistency import contradictions
from tests.model import in_process_store

INTERVAL = dt.timedelta(minutes=15)
SIZE_OPTIONS = {"name": "Size", "options": ["a", "b"], "variation": True}

Act = tuple[str, int, int]
How = t.Callable[["HistoryEnv", int, int], object]


@dataclasses.dataclass
class DuringPoll:
    """What happens during one poll, by the number of the request or commit."""

    acts: dict[int, Act] = dataclasses.field(default_factory=dict)
    crash_at_commit: int | None = None
    crash_after: bool = True


class HistoryEnv:
    """A store and its instance in one history.

    :param database: shared by many histories.
    :param journal: whether the store has the companion plugin.
    :param counts: numbers of orders, products, coupons and customers in the store.
    """

    #: The polled resources.
    resources: tuple[str, ...] = tuple(KINDS)
    vendor_type = "polling"

    def __init__(
        self,
        settings: Settings,
        database: CrashableDatabase,
        version: str,
        *,
        journal: bool = False,
        counts: tuple[int, int, int, int] = (9, 7, 3, 5),
    ) -> None:
        self.store = SimulatedStore(
            version, consumer_key="ck_test", consumer_secret="cs_test", journal=journal
        )
        orders, products, coupons, customers = counts
        self.store.populate(orders=orders, products=products, coupons=coupons, customers=customers)
        self.store.move(in_process_store.URL)
        self.store.clock.freeze()
        self._now = self.store.clock.now()
        self._meanwhile = DuringPoll()
        self._first_request = self._requests = 0
        self._read_events = 0
        database.on_commit = self._on_commit
        self._runtime = Runtime(settings, database, lambda: self._now)
        self._runtime.__dict__["store_session"] = in_process_store.session(
            self.store, self._on_request
        )
        self._variable()
        self._connect()
        self._record_baseline()

    def truth(self) -> dict[ObjectKey, bytes]:
        """Return the content of every live object."""
        return truth(self.store)

    def _variable(self) -> None:
        body = {"name": "V", "type": "variable", "attributes": [SIZE_OPTIONS]}
        product = self.rest("POST", "products", body)["id"]
        for price in ("5", "7"):
            self.rest("POST", f"products/{product}/variations", {"regular_price": price})

    def rest(self, method: str, path: str, body: dict[str, t.Any]) -> t.Any:
        """Call the store's own REST API."""
        with self.store.shop.lock:
            return orjson.loads(self.store.routes.answer(method, path, path, {}, body).body)

    def _connect(self) -> None:
        keys = {
            "store.url": in_process_store.URL,
            "oauth.api.key": "ck_test",
            "oauth.api.secret": "cs_test",
            "event.notification.enabled": True,
            "event.vendor.type": self.vendor_type,
            "event.poller.configuration": {
                name: {"url": f"/hubs/ecommerce/{name}"} for name in self.resources
            },
        }
        request = {"element": {"key": "woocommercerest"}, "name": "s", "configuration": keys}
        plan, now = specification.plan(InstanceRequest.model_validate(request)), self._now
        collections = [endpoints.resolve(one.url) for one in plan.pollers]
        facts = check_store(self._runtime.store_client(plan.access), collections)
        with self._runtime.database.write() as session:
            user = accounts.add_user(session, secrets.token_hex(4), secrets.token_hex(4), now)
            who = accounts.Caller(organization_id=user.organization_id, user_id=user.user_id)
            self.instance_id, _token = lifecycle.create(
                session, self._runtime.cipher, who, plan, facts, now
            )

    def _record_baseline(self) -> None:
        self.judge = Judge(self.truth())
        assert not [one.error for one in self.poll() if one.error]
        self.judge = Judge(self.truth())

    def act(self, act: Act) -> None:
        """Do one act in the store, and record the result."""
        self._do(*act)
        self.judge.record(self.truth())

    def _do(self, name: str, which: int, value: int) -> None:
        kind, how = ACTS[name]
        table = self.store.shop.tables[kind]
        rows = [row for row in table if (row.status == "trash") == (name in BACK)]
        if rows:
            # An act that is impossible in this state of the store is skipped.
            with contextlib.suppress(RestError, ValueError, KeyError):
                how(self, rows[which % len(rows)].id, value)

    def pass_time(self, ours: float, stores: float) -> None:
        """Move our clock and the store's, each by its own number of seconds."""
        self._now += dt.timedelta(seconds=ours)
        self.store.clock.advance(stores)

    def fault(self, kind: Kind, request: int, times: int) -> None:
        """Make some responses faulty, beginning with this request from now."""
        first = self._requests + request
        self.store.faults.add(kind, match=lambda *_: self._requests > first, times=times)

    def poll(
        self, meanwhile: DuringPoll | None = None, interval: dt.timedelta = INTERVAL
    ) -> list[PollReport]:
        """Poll after an interval; the process may crash meanwhile."""
        self.pass_time(interval.total_seconds(), interval.total_seconds())
        self._meanwhile = meanwhile or DuringPoll()
        self._first_request = self._requests
        reports: list[PollReport] = []
        with LeaseRenewer(
            self._runtime.database, self._runtime.clock, dt.timedelta(minutes=1)
        ) as renewer:
            poll = InstancePoll(self._runtime, renewer, forced=True)
            with contextlib.suppress(Crash):
                reports = poll.run(self.instance_id)
        self._meanwhile = DuringPoll()
        self._fold()
        return reports

    def _on_request(self, number: int) -> None:
        self._requests = number + 1
        act = self._meanwhile.acts.pop(number - self._first_request, None)
        if act is not None:
            self.act(act)

    def _on_commit(self, after: bool) -> None:
        meanwhile = self._meanwhile
        if threading.current_thread() is not threading.main_thread():
            return
        if meanwhile.crash_at_commit == 0 and after == meanwhile.crash_after:
            meanwhile.crash_at_commit = None
            raise Crash
        if after and meanwhile.crash_at_commit:
            meanwhile.crash_at_commit -= 1

    def _fold(self) -> None:
        """Apply the new events as a receiver does; the judge rejects events of no change."""
        with self._runtime.database.read() as session:
            query = sa.select(
                StoredEvent.id,
                StoredEvent.resource,
                StoredEvent.object_id,
                StoredEvent.event_type,
                StoredEvent.body,
            ).where(StoredEvent.instance_id == self.instance_id, StoredEvent.id > self._read_events)
            rows = session.execute(query.order_by(StoredEvent.id)).all()
        for number, resource, object_id, kind, body in rows:
            self._read_events = number
            content = None if kind == "DELETED" else digest_of(orjson.loads(body))
            self.judge.receive((resource, object_id), kind, content)

    def converge(self, polls: int) -> None:
        """Poll until the events agree with the store, and then once more."""
        for _ in range(polls):
            self.poll()
            if self.judge.agrees(self.truth()):
                break
        before = self._read_events
        for report in self.poll():
            assert report.error is None, report.error
        verdict = self.judge.verdict(self.truth())
        assert verdict.clean, verdict
        assert self._read_events == before, "emitted an event without a change"
        assert contradictions(self._runtime.database, self._runtime.clock) == []


def _untrash(env: HistoryEnv, number: int, _value: int) -> None:
    acts = env.store.acts
    if env.store.shop.version.hpos and env.store.shop.tables["orders"].get(number):
        acts.untrash_order(number)
    else:
        acts.untrash_post(number)


def _refund(env: HistoryEnv, number: int, value: int) -> None:
    env.rest("POST", f"orders/{number}/refunds", {"amount": f"0.{value % 90 + 10}"})


def _reprice(env: HistoryEnv, number: int, value: int) -> None:
    parent = parent_of(env.store, "variations", number)
    env.rest("PUT", f"products/{parent}/variations/{number}", {"regular_price": str(value)})


def _add_variation(env: HistoryEnv, _number: int, value: int) -> None:
    products = [row.id for row in env.store.shop.tables["products"]
                if row.fields.get("type") == "variable" and row.status != "trash"]  # fmt: skip
    if products:
        path = f"products/{products[value % len(products)]}/variations"
        env.rest("POST", path, {"regular_price": str(value)})


def _delete(kind: str) -> How:
    return lambda env, number, _value: env.store.acts.delete_for_good(kind, number)


def _silent(kind: str, field: str) -> How:
    return lambda env, number, value: env.store.acts.sql_update(kind, number, **{field: str(value)})


def _late(kind: str, field: str) -> How:
    return lambda env, number, value: env.store.acts.late_commit(
        kind, number, value * 7 % 7200, **{field: str(value)}
    )


#: Acts that take an object out of the trash.
BACK = {"restore order", "restore product", "restore coupon"}
#: Each act, with the kind of object that it changes.
ACTS: dict[str, tuple[str, How]] = {
    "status": (
        "orders",
        lambda w, n, v: w.store.acts.status(n, ("processing", "completed", "cancelled")[v % 3]),
    ),
    "order meta": ("orders", lambda w, n, v: w.store.acts.order_meta(n, value=str(v))),
    "order by sql": ("orders", _silent("orders", "customer_note")),
    "late order": ("orders", _late("orders", "customer_note")),
    "place order": ("products", lambda w, n, _v: w.store.acts.place_order(0, [n])),
    "trash order": ("orders", lambda w, n, _v: w.store.acts.trash_post(n)),
    "restore order": ("orders", _untrash),
    "delete order": ("orders", _delete("orders")),
    "refund": ("orders", _refund),
    "delete refund": ("refunds", lambda w, n, _v: w.store.acts.delete_refund(n)),
    "stock": ("products", lambda w, n, v: w.store.acts.stock(n, v)),
    "product by sql": ("products", _silent("products", "description")),
    "late product": ("products", _late("products", "description")),
    "review": ("products", lambda w, n, v: w.store.acts.review(n, v % 5 + 1)),
    "category": ("products", lambda w, n, v: w.store.acts.assign_category(n, f"c{v % 4}")),
    "new product": ("products", lambda w, _n, v: w.store.acts.new_product(f"P{v}")),
    "trash product": ("products", lambda w, n, _v: w.store.acts.trash_post(n)),
    "restore product": ("products", _untrash),
    "delete product": ("products", _delete("products")),
    "variation price": ("variations", _reprice),
    "variation by sql": ("variations", _silent("variations", "description")),
    "new variation": ("products", _add_variation),
    "delete variation": ("variations", _delete("variations")),
    "use coupon": ("coupons", lambda w, n, _v: w.store.acts.coupon_use(n)),
    "new coupon": ("coupons", lambda w, _n, v: w.store.acts.new_coupon(f"code{v}")),
    "trash coupon": ("coupons", lambda w, n, _v: w.store.acts.trash_post(n)),
    "restore coupon": ("coupons", _untrash),
    "delete coupon": ("coupons", _delete("coupons")),
    "profile": ("customers", lambda w, n, v: w.store.acts.profile(n, f"N{v}")),
    "phone": ("customers", lambda w, n, v: w.store.acts.usermeta(n, str(v))),
    "new customer": ("customers", lambda w, _n, v: w.store.acts.new_customer(f"u{v}")),
    "loses role": ("customers", lambda w, n, _v: w.store.acts.role(n, "subscriber")),
    "gains role": ("customers", lambda w, n, _v: w.store.acts.role(n, "customer")),
    "delete customer": ("customers", _delete("customers")),
}
