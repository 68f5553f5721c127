"""The recipes publish every event to real clients, in order, also after their broker was down."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import re
import sys
import types
import typing as t

import boto3
import confluent_kafka
import moto
import pytest
import redis
import sqlalchemy as sa

from flask_woo_events import Event, WooEvents
from flask_woo_events.db.models import Attempt, Delivery, Subscription
from flask_woo_events.handlers import Handler
from flask_woo_events.worker.worker import Worker
from tests import servers
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import StoreToCallback
from tests.ports import reserve_port

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "recipes.md"
BLOCKS = dict(
    re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
)
SINKS = ("redis_stream", "kafka_topic", "sqs_queue")


class Bus(t.Protocol):
    """A broker that is down until it is started."""

    #: Configuration of the application.
    config: dict[str, t.Any]

    def start(self) -> None:
        """Start it."""

    def messages(self) -> list[tuple[str, bytes]]:
        """Return the key and the body of all messages, in the order of the broker."""


class RedisBus:
    """A Redis server."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._server = servers.require(servers.Redis)
        self.config = {"REDIS_URL": self._server.url}
        stack.callback(self._server.kill)

    def start(self) -> None:
        self._server.start()

    def messages(self) -> list[tuple[str, bytes]]:
        with redis.Redis.from_url(self.config["REDIS_URL"]) as client:
            entries = t.cast("list[t.Any]", client.xrange("woo:events"))
        return [(fields[b"key"].decode(), fields[b"event"]) for _id, fields in entries]


class KafkaBus:
    """The broker of librdkafka's own tests, which speaks Kafka's protocol over sockets."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        nobody = f"127.0.0.1:{reserve_port()}"
        quick = {"message.timeout.ms": 300, "log_level": 0}
        self.config = {"KAFKA": {"bootstrap.servers": nobody, **quick}}

    def start(self) -> None:
        # The broker runs as long as this producer.
        self._broker = confluent_kafka.Producer({"test.mock.num.brokers": 1, "log_level": 0})
        found = self._broker.list_topics(timeout=60).brokers.values()
        servers = ",".join(f"{one.host}:{one.port}" for one in found)
        self.config = {"KAFKA": {"bootstrap.servers": servers, "log_level": 0}}

    def messages(self) -> list[tuple[str, bytes]]:
        consumer = confluent_kafka.Consumer({**self.config["KAFKA"], "group.id": "test"})
        found: list[t.Any] = []
        for number in self._broker.list_topics("woo-events").topics["woo-events"].partitions:
            place = confluent_kafka.TopicPartition("woo-events", number, 0)
            _first, end = consumer.get_watermark_offsets(place)
            consumer.assign([place])
            found += consumer.consume(end, 60) if end else []
        consumer.close()
        return [(one.key().decode(), one.value()) for one in found]


class SqsBus:
    """The SQS of moto, which keeps order and drops repeats as a FIFO queue does."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            patch.setenv(f"AWS_{name}", "test")
        patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        patch.setenv("AWS_ENDPOINT_URL_SQS", f"http://127.0.0.1:{reserve_port()}")
        self._stack, self._patch, self.config = stack, patch, {"SQS_QUEUE_URL": "/1/woo.fifo"}

    def start(self) -> None:
        self._patch.delenv("AWS_ENDPOINT_URL_SQS")
        self._stack.enter_context(moto.mock_aws())
        made = boto3.client("sqs").create_queue(
            QueueName="woo.fifo", Attributes={"FifoQueue": "true"}
        )
        self.config = {"SQS_QUEUE_URL": made["QueueUrl"]}

    def messages(self) -> list[tuple[str, bytes]]:
        client, found = boto3.client("sqs"), list[tuple[str, bytes]]()
        url = self.config["SQS_QUEUE_URL"]
        while got := client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["MessageGroupId"]
        ).get("Messages"):
            for one in got:
                found.append((one["Attributes"]["MessageGroupId"], one["Body"].encode()))
                client.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
        return found


@pytest.fixture(params=[RedisBus, KafkaBus, SqsBus], ids=SINKS)
def bus(request: pytest.FixtureRequest) -> cabc.Iterator[Bus]:
    """Return a broker that is down."""
    with contextlib.ExitStack() as stack:
        yield request.param(stack)


def _module(name: str, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Run a block of the page as the module that it names."""
    module = types.ModuleType(name)
    exec(compile(BLOCKS[name], f"{PAGE}: {name}", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, name, module)
    return module


def _begin(env: StoreToCallback, bus: Bus, sink: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the application with a function of the page."""
    shop = types.ModuleType("shop")
    shop.woo = WooEvents()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop", shop)
    runtime_of(env.app).handlers = shop.woo._handlers
    env.app.config.update(bus.config)
    for name in ("messages", sink):
        _module(name, monkeypatch)


def _deliver(env: StoreToCallback) -> list[str]:
    """Deliver what waits, also what waits for its next attempt; return reasons of failures."""
    runtime = runtime_of(env.app)
    with runtime.database.write() as session:
        now = runtime.clock()
        session.execute(sa.update(Delivery).where(Delivery.due_at.is_not(None)).values(due_at=now))
        session.execute(sa.update(Subscription).values(next_due_at=now, held_until=None))
        session.execute(sa.delete(Attempt))
    Worker(runtime).deliver_once()
    with runtime.database.read() as session:
        reasons = session.scalars(sa.select(Attempt.reason)).all()
    return [one for one in reasons if one not in ("200 OK", "handled")]


def _lose_answers(env: StoreToCallback) -> None:
    """Let the function of the page publish each event, and fail before the worker knows it."""
    known = runtime_of(env.app).handlers._known
    ((name, handler),) = known.items()

    def publish(event: Event) -> t.NoReturn:
        handler.function(event)
        raise ConnectionError("the answer was lost")

    known[name] = Handler(handler.route, publish)


def test_every_sink_has_a_block() -> None:
    """The page has the blocks that are tested here, and no other."""
    assert set(BLOCKS) == {"messages", "consumer", *SINKS}


def test_events_are_published(
    env: StoreToCallback, bus: Bus, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost while the broker is down, versions stay in order, and repeats are known."""
    sink = request.node.callspec.id
    _begin(env, bus, sink, monkeypatch)
    order = env.first("orders")
    env.store.acts.status(order, "on-hold")
    env.poll()
    assert all("events: " in one for one in _deliver(env) or ["none failed"])
    env.store.acts.status(order, "completed")
    env.poll()

    bus.start()
    _begin(env, bus, sink, monkeypatch)
    while _deliver(env):
        pass
    env.store.acts.status(order, "refunded")
    env.poll()
    _lose_answers(env)
    assert all("the answer was lost" in one for one in _deliver(env) or ["none was lost"])
    _begin(env, bus, sink, monkeypatch)
    while _deliver(env):
        pass

    accept, versions = _module("consumer", monkeypatch).accept, dict[t.Any, int]()
    accepted = [(key, accept(versions, body)) for key, body in bus.messages()]
    events = [event for _key, event in accepted if event is not None]
    # A FIFO queue drops repeats itself.
    assert (len(events) == len(accepted)) is (sink == "sqs_queue")
    assert [one["version"] for one in events if one["objectId"] == str(order)] == [2, 3, 4]
    statuses = [one["raw"]["status"] for one in events if one["objectType"] == "orders"]
    assert statuses == ["on-hold", "completed", "refunded"]
    got = [(one["objectType"], one["objectId"], one["eventType"]) for one in events]
    assert sorted(got) == sorted(env.receiver.events)
    keys = {(key, event["objectType"], event["objectId"]) for key, event in accepted if event}
    assert len(keys) == len({key for key, _ in accepted}) == len({one[1:] for one in keys})
