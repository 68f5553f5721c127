"""Traces: one trace from the poll or webhook to the callback and the handler, over processes."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import typing as t

import pytest
import sqlalchemy as sa
from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider, sampling
from opentelemetry.sdk.trace import Span as SdkSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from flask_woo_events import Event, WooEvents, tracing
from flask_woo_events.db import upgrade
from flask_woo_events.db.models import Arrival, Notification
from flask_woo_events.simulation.store.broken_objects import BrokenObjects
from flask_woo_events.simulation.store.webhook_sender import Headers
from flask_woo_events.woocommerce.addresses import path_template
from flask_woo_events.woocommerce.oauth import Pairs
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import OwnClock, StoreToCallback, open_env

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "tracing.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
#: An application that sets up traces as the page shows.
SHOP = """\
import flask, flask_sqlalchemy, traces
from flask_woo_events import WooEvents

traces.set_up("shop")
app = flask.Flask("shop")
app.config.from_prefixed_env()
flask_sqlalchemy.SQLAlchemy(app)
WooEvents(app)
"""
FOREIGN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Spans:
    """The spans that ended in this process."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def named(self, name: str) -> list[ReadableSpan]:
        return [one for one in self._exporter.get_finished_spans() if name in one.name]

    def one(self, name: str) -> ReadableSpan:
        (found,) = self.named(name)
        return found

    @property
    def text(self) -> str:
        """All that an exporter gets."""
        return "".join(one.to_json() for one in self._exporter.get_finished_spans())

    def clear(self) -> None:
        self._exporter.clear()


def _ids(span: ReadableSpan) -> tuple[str, str]:
    context = span.context
    assert context is not None
    return f"{context.trace_id:032x}", f"{context.span_id:016x}"


def _parent(span: ReadableSpan) -> str | None:
    return None if span.parent is None else f"{span.parent.span_id:016x}"


def _links(span: ReadableSpan) -> set[str]:
    return {f"{one.context.trace_id:032x}" for one in span.links}


@contextlib.contextmanager
def _tracing(monkeypatch: pytest.MonkeyPatch, sampler: sampling.Sampler) -> cabc.Iterator[Spans]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with monkeypatch.context() as patch:
        # The real one can be set once in a process, which other tests share.
        patch.setattr(trace, "_TRACER_PROVIDER", provider)
        yield Spans(exporter)
    provider.shutdown()


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> cabc.Iterator[Spans]:
    with _tracing(monkeypatch, sampling.DEFAULT_ON) as found:
        yield found


@pytest.fixture
def hooked(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        yield open_env("9.4", tmp_path, stack, hooked=True)


def _sent(env: StoreToCallback) -> list[tuple[str, str, bool]]:
    """Return the trace and the span that the callback's requests carry, and if it is sampled."""
    headers = [one.headers.get_all("traceparent") or [] for one in env.receiver.received]
    assert all(len(one) == 1 for one in headers)
    matches = [TRACEPARENT.fullmatch(one) for (one,) in headers]
    return [
        (match[1], match[2], bool(int(match[3], 16) & 1)) for match in matches if match is not None
    ]


def _stored(env: StoreToCallback) -> set[str | None]:
    with runtime_of(env.app).database.read() as session:
        return set(session.scalars(sa.select(Notification.trace)))


def test_an_event_is_followed_from_the_poll(env: StoreToCallback, spans: Spans) -> None:
    """The poll, its requests and the recording are one trace, which the callback continues."""
    env.store.acts.new_coupon("spring")
    assert env.arrivals()
    poll, record, deliver = map(spans.one, ("woo_events.poll", "woo_events.record", "POST"))
    assert _sent(env) == [(*_ids(deliver), True)]
    assert len({_ids(one)[0] for one in (poll, record, deliver)}) == 1
    assert _parent(record) == _ids(poll)[1] and _parent(deliver) == _ids(record)[1]
    read = [one for one in spans.named("GET") if one.name == "GET /wp-json/wc/v3/coupons"]
    assert read and {_parent(one) for one in read} == {_ids(poll)[1]}
    assert dict(read[0].attributes or {}) == {
        "woo_events.instance": env.instance_id,
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": int(env.api.store.rpartition(":")[2]),
        "url.path": "/wp-json/wc/v3/coupons",
        "http.response.status_code": 200,
    }
    attributes = dict(deliver.attributes or {})
    (received,) = env.receiver.received
    assert attributes["woo_events.notification"] == received.headers["Elements-Webhook-Id"]
    assert attributes["woo_events.attempt"] == 1
    assert attributes["http.response.status_code"] == 200
    assert deliver.kind is trace.SpanKind.CLIENT


def test_spans_hold_no_secrets_and_no_data(env: StoreToCallback, spans: Spans) -> None:
    """Keys, queries, callback paths and customers' data, also when the receiver fails."""
    env.receiver.answer = lambda _: 500
    env.store.acts.status(env.first("orders"), "completed")
    env.poll()
    Worker(runtime_of(env.app)).deliver_once()
    order = next(iter(env.store.truth("orders").values()))
    secrets = {"ck_test", "cs_test", "a-signature-key", "consumer_", "modified_after", "?"}
    assert order["billing"]["email"] and spans.named("POST")
    for secret in secrets | {order["billing"]["email"], order["billing"]["last_name"]}:
        assert secret not in spans.text
    failed = spans.named("POST")
    assert {(one.attributes or {})["error.type"] for one in failed} == {"500"}
    assert not any(one.status.is_ok for one in failed)


def test_each_attempt_continues_the_trace(env: StoreToCallback, spans: Spans) -> None:
    """A day later, too: the context is stored with the notification."""
    clock = OwnClock(runtime_of(env.app))
    env.receiver.answer = lambda _: 503
    env.store.acts.new_coupon("spring")
    env.poll()
    worker = Worker(runtime_of(env.app))
    worker.deliver_once()
    env.receiver.answer = lambda _: 200
    clock.advance(days=1)
    worker.deliver_once()
    first, second = _sent(env)
    assert first[0] == second[0] and first[1] != second[1]
    parents = {_parent(one) for one in spans.named("POST")}
    assert parents == {_ids(spans.one("woo_events.record"))[1]}


def test_parts_of_a_notification_keep_the_trace(env: StoreToCallback, spans: Spans) -> None:
    """A notification that a receiver refuses is divided; each part is of the same poll."""
    clock = OwnClock(runtime_of(env.app))
    env.receiver.answer = lambda _: 400
    orders = [row.id for row in env.store.shop.tables["orders"]][:4]
    for number in orders:
        env.store.acts.status(number, "completed")
    env.poll()
    worker = Worker(runtime_of(env.app))
    for _ in range(3):
        worker.deliver_once()
        clock.advance(hours=3)
    with runtime_of(env.app).database.read() as session:
        rows = session.scalars(sa.select(Notification)).all()
    traces = {row.id: row.trace for row in rows}
    parts = [row for row in rows if row.origin_id is not None]
    assert parts and all(row.trace == traces[t.cast(int, row.origin_id)] for row in parts)


def test_a_handler_runs_in_its_span(env: StoreToCallback, spans: Spans) -> None:
    """What it does becomes part of the event's trace; its error is named, not quoted."""
    woo, seen = WooEvents(), list[int]()
    runtime_of(env.app).handlers = woo._handlers

    @woo.on("orders")
    def pack(event: Event) -> None:
        seen.append(trace.get_current_span().get_span_context().span_id)
        raise ValueError("secret of a customer")

    env.store.acts.status(env.first("orders"), "completed")
    env.arrivals()
    handle = spans.one("woo_events.handle")
    assert [f"{one:016x}" for one in seen] == [_ids(handle)[1]]
    assert _ids(handle)[0] == _ids(spans.one("woo_events.poll"))[0]
    assert (handle.attributes or {})["error.type"] == "ValueError"
    assert "secret of a customer" not in spans.text


def test_an_event_is_followed_from_its_webhook(hooked: StoreToCallback, spans: Spans) -> None:
    """From the intake over the processing to the callback; the store's trace is linked only."""
    env, urls = hooked, _with_header(hooked, FOREIGN)
    env.store.acts.new_coupon("spring")
    assert env.hooks()
    received, process = spans.one("/events/woocommercerest/"), spans.one("process_webhooks")
    (sent,) = _sent(env)
    assert {sent[0], _ids(process)[0]} == {_ids(received)[0]} and sent[0] not in FOREIGN
    assert _parent(process) == _ids(received)[1] and _parent(received) is None
    assert _links(received) == {FOREIGN[3:35]}
    assert received.kind is trace.SpanKind.SERVER
    route = (received.attributes or {})["http.route"]
    assert str(route).endswith("/events/woocommercerest/<address>")
    assert urls and all(url.rpartition("/")[2] not in spans.text for url in urls)


def test_webhooks_that_are_processed_together_keep_their_traces(
    hooked: StoreToCallback, spans: Spans
) -> None:
    """The processing is linked to all of them, and the event of each is in its own trace."""
    env = hooked
    env.store.acts.status(env.first("orders"), "completed")
    env.store.acts.new_coupon("spring")
    env.hooks()
    received = {_ids(one)[0] for one in spans.named("/events/woocommercerest/")}
    process = spans.one("process_webhooks")
    assert len(received) > 1 and _parent(process) is None
    assert _links(process) == received
    assert {sent[0] for sent in _sent(env)} <= received and len(env.receiver.received) > 1
    events = spans.named("woo_events.event")
    assert all(_ids(process)[0] in _links(one) for one in events)


def test_a_webhook_that_has_to_wait_keeps_its_trace(hooked: StoreToCallback, spans: Spans) -> None:
    """An object that cannot be read at first is still followed from its webhook."""
    env, product = hooked, hooked.first("products")
    clock = OwnClock(runtime_of(env.app))
    env.store.lies.begin(BrokenObjects("products", {product}))
    env.store.acts.stock(product, 77)
    env.hooks()
    env.store.lies.end()
    clock.advance(minutes=10)
    assert env.hooks() == {("products", str(product), "UPDATED")}
    received = {_ids(one)[0] for one in spans.named("/events/woocommercerest/")}
    assert {sent[0] for sent in _sent(env)} <= received


def test_each_cloud_event_has_a_span(
    tmp_path: pathlib.Path, tables: pathlib.Path, spans: Spans
) -> None:
    """A receiver of single events gets the trace with each of them."""
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        cloudevents: dict[str, t.Any] = {"event.notification.format": "cloudevents"}
        env = open_env("9.4", tmp_path, stack, **cloudevents)
        spans.clear()
        for code in ("spring", "summer"):
            env.store.acts.new_coupon(code)
        assert len(env.arrivals()) == 2
        sent = _sent(env)
    assert [one[:2] for one in sent] == [_ids(one) for one in spans.named("POST")]
    assert len({one[0] for one in sent}) == 1 and len({one[1] for one in sent}) == 2


@pytest.mark.parametrize(
    ("path", "pairs", "shown"),
    [
        ("/wp-json/wc/v3/orders/12/notes/7", [], "/wp-json/wc/v3/orders/{id}/notes/{id}"),
        ("/wp-json/crm/v1/people/ann-lee", [], "/wp-json/crm/v1/people/{id}"),
        ("/wp-json/crm/people/ann-lee", [], "/wp-json/crm/people/{id}"),
        ("/index.php/wp-json/wc/v3/orders", [], "/wp-json/wc/v3/orders"),
        ("/", [("rest_route", "/wc/v3/orders/12"), ("k", "v")], "/wp-json/wc/v3/orders/{id}"),
        ("/ann-lee", [("q", "x")], "/"),
    ],
)
def test_paths_in_spans_have_no_ids(path: str, pairs: Pairs, shown: str) -> None:
    """Names are few, and ids of other plugins' objects may be names of people."""
    assert path_template(path, pairs) == shown


def test_a_span_of_the_application_is_the_parent_of_a_webhook(
    hooked: StoreToCallback, spans: Spans
) -> None:
    """Its own instrumentation decides whether the sender's trace is continued."""
    hooked.store.acts.status(hooked.first("orders"), "completed")
    with trace.get_tracer_provider().get_tracer("flask").start_as_current_span("request"):
        hooked.store.webhooks.run_queue()
    received, outer = spans.named("/events/woocommercerest/")[0], spans.one("request")
    assert _parent(received) == _ids(outer)[1]
    assert received.kind is trace.SpanKind.INTERNAL


HOSTILE = [
    "", "00", FOREIGN.upper(), FOREIGN.replace("00-", "ff-", 1), FOREIGN.replace("00-", "01-", 1),
    f"{FOREIGN}-more", f"{FOREIGN},{FOREIGN}", f" {FOREIGN}", f"{FOREIGN}\u0661", "-" * 55,
    f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01",
    "9" * 100_000, "'; DROP TABLE woo_arrival; --",
]  # fmt: skip


@pytest.mark.parametrize("sent", HOSTILE, ids=lambda one: one[:24] or "empty")
def test_what_is_no_traceparent_is_ignored(sent: str, spans: Spans) -> None:
    """A store can send anything; what is read is never what it sent."""
    assert tracing.read(sent, "a=b") is None


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("vendor=t61rcWkgMzE,other@sys=1", "vendor=t61rcWkgMzE,other@sys=1"),
        ("a=1, b=2,", "a=1,b=2"),
        ("a=1,a=2", ""),
        ("A=1", ""),
        ("a=1,b", ""),
        ("a=\x00", ""),
        ("a=1\r\nX: y", ""),
        ("a=" + "x" * 256, "a=" + "x" * 256),
        (",".join(f"k{number}={'x' * 20}" for number in range(30)), ""),
        (",".join(f"k{number}=1" for number in range(33)), ""),
    ],
)
def test_tracestate_is_kept_if_it_is_small_and_right(sent: str, kept: str, spans: Spans) -> None:
    """One that is not is left out whole, and the trace goes on without it."""
    assert tracing.read(FOREIGN, sent) == f"{FOREIGN} {kept}".strip()


def test_a_hostile_header_does_not_stop_a_webhook(hooked: StoreToCallback, spans: Spans) -> None:
    """The webhook is received, and the event sent."""
    _with_header(hooked, "00-zz; DROP TABLE")
    hooked.store.acts.status(hooked.first("orders"), "completed")
    assert hooked.hooks()
    assert not any(one.links for one in spans.named("/events/woocommercerest/"))


def test_a_trace_that_is_not_sampled_stays_so(
    env: StoreToCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver and later processes learn that this trace is not recorded."""
    with _tracing(monkeypatch, sampling.DEFAULT_OFF):
        env.store.acts.new_coupon("spring")
        env.poll()
    with _tracing(monkeypatch, sampling.DEFAULT_ON) as spans:
        assert env.delivered()
        ((number, _, sampled),) = _sent(env)
    assert {number} == {str(one)[3:35] for one in _stored(env)} and not sampled
    assert not spans.named("POST")


def test_nothing_is_stored_or_sent_without_an_sdk(hooked: StoreToCallback) -> None:
    """Neither of a store's own trace, nor while an earlier process has stored a context."""
    env = hooked
    _with_header(env, FOREIGN)
    env.store.acts.status(env.first("orders"), "completed")
    env.store.webhooks.run_queue()
    database = runtime_of(env.app).database
    with database.read() as session:
        assert set(session.scalars(sa.select(Arrival.trace))) == {None}
    Worker(runtime_of(env.app)).settle_once()
    assert _stored(env) == {None}
    with database.write() as session:
        session.execute(sa.update(Notification).values(trace=FOREIGN))
    assert env.delivered()
    assert all("traceparent" not in one.headers for one in env.receiver.received)


def test_nothing_of_it_needs_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, every function does nothing."""
    monkeypatch.setattr(tracing, "_modules", None)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with tracing.within(FOREIGN, instance=1), tracing.span("poll") as span:
        span.set(events=1)
        assert tracing.current() is None and span.stored is None and span.headers == {}
    with tracing.request("GET", "https://shop.test/") as span:
        span.answered(500)
    assert tracing.read(FOREIGN) is None and tracing.of_events([FOREIGN]) is None
    assert not tracing.is_on()


def test_a_failing_exporter_changes_no_delivery(
    env: StoreToCallback, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An SDK of the application that raises costs a line of the log, and no event."""

    class Broken(SimpleSpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            raise RuntimeError("no exporter")

    provider = TracerProvider()
    provider.add_span_processor(Broken(InMemorySpanExporter()))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    env.store.acts.status(env.first("orders"), "completed")
    assert env.arrivals()
    assert "OpenTelemetry failed" in caplog.text


@pytest.mark.parametrize(
    ("where", "name"),
    [
        (SdkSpan, "set_attribute"),
        (SdkSpan, "set_status"),
        (SdkSpan, "get_span_context"),
        (context_api, "attach"),
        (context_api, "detach"),
        (context_api, "get_current"),
        (trace, "get_current_span"),
        (TracerProvider, "get_tracer"),
    ],
)
def test_a_failing_sdk_changes_nothing(
    env: StoreToCallback, spans: Spans, monkeypatch: pytest.MonkeyPatch, where: object, name: str
) -> None:
    """Whatever of it raises: polls record, and deliveries are sent."""

    def raising(*_: object, **__: object) -> t.NoReturn:
        raise RuntimeError("the SDK is broken")

    monkeypatch.setattr(tracing, "_known", (None, None))
    monkeypatch.setattr(where, name, raising)
    env.store.acts.status(env.first("orders"), "completed")
    assert env.arrivals()


def test_a_provider_that_is_not_installed_changes_nothing(
    env: StoreToCallback, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The environment may name one, which OpenTelemetry then fails to load at each call."""
    monkeypatch.setenv("OTEL_PYTHON_TRACER_PROVIDER", "none_of_this_name")
    monkeypatch.setattr(tracing, "_known", (None, None))
    env.store.acts.status(env.first("orders"), "completed")
    assert env.arrivals()
    assert caplog.text.count("OpenTelemetry cannot be used") == 1


def test_a_header_of_the_instance_gives_way(env: StoreToCallback, spans: Spans) -> None:
    """A receiver gets one ``traceparent``, which is that of the delivery."""
    headers = {"event.notification.callback.headers": json.dumps({"Traceparent": FOREIGN})}
    answer = env.api.call("PATCH", f"/instances/{env.instance_id}", {"configuration": headers})
    assert answer.status_code == 200, answer.text
    env.store.acts.new_coupon("spring")
    assert env.arrivals()
    ((number, _, _),) = _sent(env)
    assert number == _ids(spans.one("POST"))[0]


def _with_header(env: StoreToCallback, value: str) -> list[str]:
    """Have the store send this ``traceparent`` with each webhook; return its URLs."""
    send, urls = env.store.webhooks.send, list[str]()

    def traced(url: str, headers: Headers, body: bytes, timeout: float) -> int | None:
        urls.append(url)
        return send(url, [*headers, ("traceparent", value)], body, timeout)

    env.store.webhooks.send = traced
    return urls


@pytest.mark.slow
@pytest.mark.parametrize(
    "any_url",
    ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)],
    indirect=True,
)
def test_a_trace_crosses_processes(any_url: str, tmp_path: pathlib.Path) -> None:
    """One process polls, another one delivers, each set up as the page shows."""
    (tmp_path / "traces.py").write_text(BLOCKS["traces"])
    (tmp_path / "shop.py").write_text(SHOP)
    engine = sa.create_engine(any_url)
    upgrade.upgrade(engine)
    engine.dispose()
    with contextlib.ExitStack() as stack:
        env = open_env("11.0", tmp_path, stack, SQLALCHEMY_DATABASE_URI=any_url)
        env.store.acts.new_coupon("spring")
        polled = _run(env, tmp_path, "poll", "--once", "--no-deliver")
        assert env.receiver.received == []
        delivered = _run(env, tmp_path, "deliver", "--once")
        ((number, span, sampled),) = _sent(env)
    by_name = {one["name"]: one for one in polled}
    assert by_name["woo_events.poll"]["context"]["trace_id"] == f"0x{number}" and sampled
    (post,) = delivered
    assert post["context"] == {**post["context"], "trace_id": f"0x{number}", "span_id": f"0x{span}"}
    assert post["parent_id"] == by_name["woo_events.record"]["context"]["span_id"]
    assert post["resource"]["attributes"]["service.name"] == "shop"


def _run(env: StoreToCallback, folder: pathlib.Path, *args: str) -> list[dict[str, t.Any]]:
    """Run ``flask woo`` in a process; return the spans that it prints."""
    config = env.app.config
    environment = {
        "FLASK_SQLALCHEMY_DATABASE_URI": str(config["SQLALCHEMY_DATABASE_URI"]),
        "FLASK_WOO_EVENTS_ENCRYPTION_KEYS": json.dumps(config["WOO_EVENTS_ENCRYPTION_KEYS"]),
        "FLASK_WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS": "true",
        "FLASK_WOO_EVENTS_ALLOW_PRIVATE_STORES": "true",
        "FLASK_WOO_EVENTS_STATE_FOLDER": str(folder),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
    }
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "shop", "woo", *args],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    found, decoder, text = list[dict[str, t.Any]](), json.JSONDecoder(), done.stdout
    for match in re.finditer(r"^\{$", text, re.MULTILINE):
        found.append(decoder.raw_decode(text, match.start())[0])
    return found
