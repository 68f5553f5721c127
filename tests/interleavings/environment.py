"""The environment of a schedule: a store, an instance with all kinds of work, and receivers."""

from __future__ import annotations

import collections.abc as cabc
import copy
import dataclasses
import datetime as dt
import io
import typing as t
import urllib.parse

import orjson
import requests
import sqlalchemy as sa
import urllib3

from flask_woo_events.db.models import Instance
from flask_woo_events.db.state_file import StateFile
from flask_woo_events.delivery.dispatcher import Dispatch
from flask_woo_events.handlers import Event, Handlers
from flask_woo_events.instances import accounts, provisioning, webhook_urls
from flask_woo_events.instances.requests import InstanceRequest
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import Settings
from flask_woo_events.simulation.loss_suite.ground_truth import truth
from flask_woo_events.simulation.loss_suite.judge import ObjectKey, events_in
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.simulation.store.clock import SimClock
from flask_woo_events.simulation.store.webhook_sender import Headers
from flask_woo_events.sync.instance_poll import InstancePoll
from flask_woo_events.sync.ledger.digest import digest_of
from flask_woo_events.sync.report import PollReport
from flask_woo_events.sync.webhooks import inbox, parse
from flask_woo_events.sync.webhooks.inbox import ReceivedWebhook
from flask_woo_events.sync.webhooks.process import HintProcessor
from flask_woo_events.values.crypto import Cipher
from flask_woo_events.worker.worker import lease_renewer
from tests.interleavings.databases import Tables
from tests.interleavings.inline_pool import InlinePool
from tests.interleavings.pause_points import PausePoints
from tests.interleavings.scheduler import Scheduler
from tests.model.in_process_store import URL, InProcessStore

NOW = dt.datetime(2026, 11, 23, 12, 0, tzinfo=dt.UTC)
TICK = dt.timedelta(milliseconds=1)
PUBLIC = "https://events.test/elements/api-v2"
CALLBACK = "https://callback.test/events"
HANDLER = "host.handler"
#: Resources of the instance, and one more that a change of its configuration adds.
RESOURCES, ADDED = ("orders", "products"), "customers"
OLD_KEY, NEW_KEY = Cipher.generate_key(), Cipher.generate_key()


@dataclasses.dataclass(frozen=True)
class Receipt:
    """One event that a receiver accepted."""

    #: URL of the callback, or name of the handler.
    receiver: str
    #: ``message.eventId`` of its notification, or the event's own id.
    number: str
    key: ObjectKey
    #: Digest of the object; ``None``: it was deleted.
    content: bytes | None
    #: Known at once for handlers only.
    version: int | None = None


class Environment:
    """The state before each schedule, and what has happened since.

    :param tables: empty tables of ours.
    """

    def __init__(self, tables: Tables, scheduler: Scheduler) -> None:
        self.tables = tables
        self.scheduler = scheduler
        #: The operations of this schedule, and what they keep for their checks.
        self.operations: tuple[str, ...] = ()
        self.notes: dict[str, t.Any] = {}
        #: What must not happen and was noticed when it did.
        self.faults: list[str] = []
        self.points = PausePoints(scheduler, self.faults)
        self.settings = Settings(
            encryption_keys=(OLD_KEY, NEW_KEY),
            allow_private_callbacks=True,
            allow_private_stores=True,
            public_url=PUBLIC,
        )
        #: What the callback answers to a process; 200 to others.
        self.answers: dict[Runtime, int] = {}
        #: Processes whose notifications it refuses if they hold the first order.
        self.refuses: set[Runtime] = set()
        self.receipts: list[Receipt] = []
        #: Versions of the events by the number in a receipt and the object.
        self.versions: dict[tuple[str, ObjectKey], int] = {}
        self._databases = [tables.connect() for _ in range(4)]
        for database in self._databases[1:]:
            self.points.attach(database.engine)
        self.now = NOW
        self._begin_again()
        self._tell()

    def _begin_again(self) -> None:
        clock = SimClock()
        clock.freeze()
        self.store = SimulatedStore(
            "9.4", consumer_key="ck_test", consumer_secret="cs_test", clock=clock
        )
        self.store.move(URL)
        self.store.webhooks.send = self._on_ping
        self.pings: list[str] = []
        self.receipts.clear()
        self.answers.clear()
        self.refuses.clear()
        self.faults.clear()
        self.notes.clear()
        self.runtimes = [self._runtime(database) for database in self._databases]

    @property
    def own(self) -> Runtime:
        """The runtime of the test itself, which never pauses."""
        return self.runtimes[0]

    def _runtime(self, database: t.Any) -> Runtime:
        handlers = Handlers()
        handlers.on(None, (), HANDLER)(self._handle)
        runtime = Runtime(self.settings, database, self._tick, handlers=handlers)
        # Each schedule begins with the same rows, which is no restore.
        runtime.state_file = StateFile(None)
        session = requests.Session()
        session.trust_env = False
        session.adapters.clear()
        session.mount("https://", Network(self, runtime))
        runtime.__dict__.update(store_session=session, callback_session=session)
        return runtime

    def _tick(self) -> dt.datetime:
        """Return the time; no two moments are the same."""
        self.now += TICK
        return self.now

    # The story: what happened before each schedule

    def _tell(self) -> None:
        """Play the story with the instance, and keep the rows."""
        self._chapter(1)
        self._connect()
        self._run(self._poll_forced)
        self._chapter(2)
        self._run(self._poll_forced, self.deliver)
        self._chapter(3)
        self._run(self._poll_forced)
        self.answers[self.own] = 500
        self.deliver(self.own)
        self.answers.clear()
        self._chapter(4)
        self._run(self._poll_forced)
        self._chapter(5)
        self._run(self._poll_forced)
        self._chapter(6)
        hook = webhook_urls.Hook(self.instance_id, 1)
        for topic, number in (("order.updated", self._order(1)), ("product.deleted", self._gone)):
            hint = parse.read(topic, orjson.dumps({"id": number}))
            with self.own.database.begin() as connection:
                inbox.add(connection, [ReceivedWebhook(hook, hint, self.now)])
        webhooks = self.store.shop.tables["webhooks"]
        next(iter(webhooks)).status = "disabled"
        self._webhooks = [copy.deepcopy(row) for row in webhooks]
        self._webhook_ids = self.store.shop.counters["webhooks"]
        self._told_receipts = tuple(self.receipts)
        self.note_versions()
        self.tables.keep()

    def _run(self, *steps: cabc.Callable[[Runtime], object]) -> None:
        for step in steps:
            step(self.own)

    def _order(self, position: int) -> int:
        return self.store.shop.tables["orders"].sorted()[position].id

    def _chapter(self, number: int) -> None:
        """Change the store; each time of the story is the same in every schedule."""
        acts, ago = self.store.acts, dt.timedelta(days=30)
        if number > 1:
            ago = dt.timedelta(days=20) if number == 2 else dt.timedelta(hours=8 - number)
        self.now = NOW - ago
        self.store.clock.set(self.now)
        if number == 1:
            self.store.populate(orders=4, products=3, coupons=0, customers=2)
            self._baseline = truth(self.store)
            self._gone = self.store.shop.tables["products"].sorted()[0].id
        elif number == 2:
            # Delivered long ago, so that the purge deletes it.
            acts.status(self._order(0), "completed")
            acts.order_meta(self._order(2), value="a")
        elif number == 3:
            # Refused once, and due again: two orders in one notification.
            acts.order_meta(self._order(0), value="b")
            acts.order_meta(self._order(2), value="b")
        elif number in (4, 5):
            # Not delivered yet: versions that wait for those that were refused.
            acts.order_meta(self._order(0), value=str(number))
            if number == 4:
                acts.order_meta(self._order(2), value="4")
        else:
            # Not known yet; webhooks have named the first two.
            acts.status(self._order(1), "cancelled")
            acts.delete_for_good("products", self._gone)
            acts.order_meta(self._order(3), value="c")
            self.pass_time(dt.timedelta(hours=1))

    def pass_time(self, time: dt.timedelta) -> None:
        """Move the clocks of all processes and of the store."""
        self.now += time
        self.store.clock.advance(time.total_seconds())

    def _connect(self) -> None:
        runtime = self.own
        with runtime.database.write() as session:
            user = accounts.add_user(session, "ann", "acme", self.now)
        self.caller = accounts.Caller(organization_id=user.organization_id, user_id=user.user_id)
        configuration = {
            "store.url": URL,
            "oauth.api.key": "ck_test",
            "oauth.api.secret": "cs_test",
            "event.notification.enabled": True,
            "event.notification.format": "extended",
            "event.notification.callback.url": CALLBACK,
            "event.notification.signature.key": "signed",
            "event.vendor.type": "webhook",
            "filter.response.nulls": False,
            "event.poller.configuration": pollers(*RESOURCES),
        }
        request = {
            "element": {"key": "woocommercerest"},
            "name": "s",
            "configuration": configuration,
        }
        body = InstanceRequest.model_validate(request)
        self.instance_id, _ = provisioning.create(runtime, self.caller, body, PUBLIC)

    def reset(self) -> None:
        """Return to the end of the story."""
        self.tables.restore()
        self._begin_again()
        for number in range(1, 7):
            self._chapter(number)
        webhooks = self.store.shop.tables["webhooks"]
        for row in self._webhooks:
            webhooks.add(copy.deepcopy(row))
        self.store.shop.counters["webhooks"] = self._webhook_ids
        self.receipts.extend(self._told_receipts)

    # Our side

    def _poll_forced(self, runtime: Runtime) -> list[PollReport]:
        reports = InstancePoll(runtime, lease_renewer(runtime), forced=True).run(self.instance_id)
        assert not [one.error for one in reports if one.error], reports
        return reports

    def poll(self, runtime: Runtime) -> list[PollReport]:
        """Poll all resources."""
        return InstancePoll(runtime, lease_renewer(runtime), forced=True).run(self.instance_id)

    def settle(self, runtime: Runtime) -> None:
        """Process the pending webhooks."""
        processor = HintProcessor(runtime, lease_renewer(runtime))
        for number in processor.due():
            processor.run(number)

    def deliver(self, runtime: Runtime) -> None:
        """Deliver what is due, in this thread."""
        dispatch = Dispatch(runtime, lease_renewer(runtime), chance=lambda: 0.5)
        with dispatch._pool:
            pass
        dispatch._pool = InlinePool()
        dispatch.run()

    def change(self, runtime: Runtime, **configuration: t.Any) -> None:
        """Change entries of the instance's configuration, as PATCH does."""
        body: dict[str, t.Any] = {"configuration": configuration}
        provisioning.change(
            runtime, self.caller, self.instance_id, InstanceRequest.model_validate(body), PUBLIC,
            partial=True,
        )  # fmt: skip

    def change_store(self, runtime: Runtime) -> None:
        """Change an order, of which the store's webhook tells one process."""
        self.points.request("an order changes", "store", writes=True)
        number = self._order(2)
        self.store.acts.order_meta(number, value="meanwhile")
        hint = parse.read("order.updated", orjson.dumps({"id": number}))
        hook = webhook_urls.Hook(self.instance_id, 1)
        runtime.group_commit(inbox.add).write(ReceivedWebhook(hook, hint, runtime.clock()))

    def instance(self) -> Instance | None:
        """Return the instance's row as it is now."""
        with self.own.database.read() as session:
            return session.get(Instance, self.instance_id)

    # The others

    def truth(self) -> dict[ObjectKey, bytes]:
        """Return the content of every live object of the instance's resources."""
        found = truth(self.store)
        return {key: content for key, content in found.items() if key[0] in RESOURCES}

    @property
    def baseline(self) -> dict[ObjectKey, bytes]:
        """The content that receivers know before the first event."""
        return {key: one for key, one in self._baseline.items() if key[0] in RESOURCES}

    def _handle(self, event: Event) -> None:
        self.points.request("call handler", "receiver", writes=True)
        content = None if event.type == "DELETED" else digest_of(event.body)
        key = (event.resource, event.object_id)
        self.receipts.append(Receipt(HANDLER, str(event.id), key, content, event.version))

    def take(self, runtime: Runtime, url: str, body: bytes) -> int:
        """Answer one notification as the callback."""
        status = self.answers.get(runtime, 200)
        message = orjson.loads(body)["message"]
        first = str(self._order(0))
        if runtime in self.refuses:
            if any(one["objectId"] == first for one in message["events"]):
                return 500
        if status == 200:
            self.receipts += [
                Receipt(url, str(message["eventId"]), key, content)
                for key, _type, content in events_in(message)
            ]
        return status

    def _on_ping(self, url: str, _headers: Headers, body: bytes, _timeout: float) -> int:
        self.pings.append(url)
        return 200

    def note_versions(self) -> None:
        """Remember the versions of all events that are stored now."""
        query = sa.text(
            "SELECT n.event_id, e.resource, e.object_id, e.version"
            " FROM woo_event e JOIN woo_notification n ON n.id = e.notification_id"
        )
        with self.own.database.read() as session:
            for number, resource, object_id, version in session.execute(query):
                self.versions[number, (resource, object_id)] = version


def pollers(*resources: str) -> dict[str, t.Any]:
    """Return a poller configuration."""
    return {name: {"url": f"/hubs/ecommerce/{name}"} for name in resources}


class Network(InProcessStore):
    """Carries the requests of one process to the store, the callback and our own API."""

    def __init__(self, env: Environment, runtime: Runtime) -> None:
        super().__init__(env.store, lambda _: None)
        self._env = env
        self._runtime = runtime

    def send(self, request: requests.PreparedRequest, *args: t.Any, **how: t.Any) -> t.Any:
        """Pause, and answer a request."""
        parts = urllib.parse.urlsplit(str(request.url))
        method, env = str(request.method), self._env
        if parts.hostname == "events.test":
            env.points.request("GET uptime", "uptime", writes=False)
            return _answer(200, b'{"upSeconds": 5}')
        if parts.hostname != "store.test":
            env.points.request(f"POST to {parts.hostname}", "receiver", writes=True)
            body = t.cast("bytes", request.body)
            return _answer(env.take(self._runtime, str(request.url), body), b"{}")
        path = parts.path.partition("/wc/v3/")[2] or parts.path
        # Only webhooks are changed through the API.
        party = "store's webhooks" if path.startswith("webhooks") else "store"
        env.points.request(f"{method} {path}", party, writes=method != "GET")
        answer = super().send(request, *args, **how)
        # The store sends its ping before it answers.
        pinged, env.pings[:] = list(env.pings), []
        for url in pinged:
            hook = webhook_urls.read(env.settings.encryption_keys, url.rpartition("/")[2])
            if hook is not None:
                self._runtime.group_commit(inbox.ping).write((hook, env.now))
        return answer


def _answer(status: int, body: bytes) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response.raw = urllib3.HTTPResponse(io.BytesIO(body), preload_content=False)
    return response
