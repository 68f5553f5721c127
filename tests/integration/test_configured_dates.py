"""``datesConfiguration``: what it decides for a collection of which nothing else is known."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import email.utils
import pathlib
import shutil
import typing as t
import urllib.parse

import orjson
import pytest

from flask_woo_events.errors import InputError
from flask_woo_events.instances.polled_resources import parse_poller_configuration
from flask_woo_events.simulation.store import SimulatedStore
from tests.integration.store_to_callback import StoreToCallback, open_env

PATH = "/wp-json/custom/v1/things"
FORM, PYTHON = "yyyy/MM/dd HH:mm:ss", "%Y/%m/%d %H:%M:%S"
NOON = dt.datetime(2026, 10, 28, 12, tzinfo=dt.UTC)
Row = dict[str, t.Any]
Env = t.Callable[..., StoreToCallback]


@dataclasses.dataclass
class Things:
    """The rows of a plugin's own route, and the queries with which they were requested."""

    rows: list[Row]
    queries: list[dict[str, str]] = dataclasses.field(default_factory=list)
    #: Returns whether a query lists a row.
    lists: cabc.Callable[[dict[str, str], Row], bool] = lambda _query, _row: True

    def answer(self, path: str, query: dict[str, str]) -> object | None:
        """Return the answer for a path; ``None`` if there is none."""
        if path == PATH:
            self.queries.append(query)
            listed = [row for row in self.rows if self.lists(query, row)]
            return listed if query.get("page", "1") == "1" else []
        return next((row for row in self.rows if path == f"{PATH}/{row['id']}"), None)


@pytest.fixture
def things(monkeypatch: pytest.MonkeyPatch) -> Things:
    """A route of a plugin in each simulated store."""
    found = Things([])
    plain = SimulatedStore.wsgi

    def wsgi(store: SimulatedStore, environ: Row, start_response: t.Any) -> t.Any:
        path = str(environ["PATH_INFO"])
        if not path.startswith(PATH):
            return plain(store, environ, start_response)
        query = dict(urllib.parse.parse_qsl(str(environ["QUERY_STRING"])))
        answer = found.answer(path, query)
        missing = {"code": "no_thing", "message": "", "data": {"status": 404}}
        body = orjson.dumps(missing if answer is None else answer)
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Date", email.utils.format_datetime(store.clock.now(), usegmt=True)),
        ]
        start_response("404 Not Found" if answer is None else "200 OK", headers)
        return [body]

    monkeypatch.setattr(SimulatedStore, "wsgi", wsgi)
    return found


@pytest.fixture
def connect(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Env]:
    """Return a function that connects a store with a block of these parameters."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    with contextlib.ExitStack() as stack:

        def connect(url: str = PATH, /, **block: t.Any) -> StoreToCallback:
            resources = {"things": {"url": url, **block}, "orders": {"url": "/orders"}}
            return open_env("9.4", tmp_path, stack, resources=resources, counts=(1, 1, 0, 0))

        yield connect


def _dates(env: StoreToCallback) -> dict[str, str]:
    """Poll; return the dates of the events by object."""
    env.arrivals()
    events = [one for received in env.receiver.received for one in received.events]
    return {one["objectId"]: one["date"] for one in events}


def _problems(env: StoreToCallback) -> list[tuple[str, str]]:
    shown = env.api.call("GET", f"/instances/{env.instance_id}").json["problems"]
    return [(one["code"], one["text"]) for one in shown]


def _ago(store: SimulatedStore, **how: float) -> dt.datetime:
    return (store.clock.now() - dt.timedelta(**how)).replace(microsecond=0)


def _configure(env: StoreToCallback, **block: t.Any) -> None:
    resources = {"things": {"url": PATH, **block}, "orders": {"url": "/orders"}}
    body = {"configuration": {"event.poller.configuration": resources}}
    assert env.api.call("PATCH", f"/instances/{env.instance_id}", body).status_code == 200


def _row(number: int, begun: dt.datetime, changed: dt.datetime) -> Row:
    return {"id": number, "begun": f"{begun:{PYTHON}}", "changed": f"{changed:{PYTHON}}"}


FORMATS: list[tuple[str, object, str, str]] = [
    ("yyyy/MM/dd HH:mm:ss", "2026/10/28 10:00:00", "", "2026-10-28T10:00:00Z"),
    ("yyyy-MM-dd'T'HH:mm:ss'", "2026-10-28T10:00:00", "GMT", "2026-10-28T10:00:00Z"),
    ("yyyy-MM-dd'T'HH:mm:ssXXX", "2026-10-28T10:00:00+02:00", "EST", "2026-10-28T08:00:00Z"),
    ("yyyy-MM-dd'T'HH:mm:ssZ", "2026-10-28T10:00:00-0500", "", "2026-10-28T15:00:00Z"),
    ("yyyy-MM-dd'T'HH:mm:ss'Z'", "2026-10-28T10:00:00Z", "", "2026-10-28T10:00:00Z"),
    ("yyyy-MM-dd", "2026-10-28", "Europe/Berlin", "2026-10-27T23:00:00Z"),
    ("MM/dd/yyyy", "10/28/2026", "", "2026-10-28T00:00:00Z"),
    ("dd/MM/yyyy'T'HH:mm:ssXXX", "28/10/2026T10:00:00Z", "", "2026-10-28T10:00:00Z"),
    ("EEE, dd MMM yyyy HH:mm:ss Z", "Wed, 28 Oct 2026 10:00:00 +0100", "", "2026-10-28T09:00:00Z"),
    ("yyyy-MM-dd HH:mm", "2026-10-28 10:00", "EST", "2026-10-28T15:00:00Z"),
    ("yyyy-MM-dd HH:mm", "2026-07-28 10:00", "-8:00", "2026-07-28T18:00:00Z"),
    ("dd MMM yyyy hh:mm a", "28 Jul 2026 10:00 PM", "PST", "2026-07-29T05:00:00Z"),
    ("milliseconds", 1793181600123, "", "2026-10-28T10:00:00Z"),
    ("epoch:s", "1793181600", "MST", "2026-10-28T10:00:00Z"),
]


@pytest.mark.parity(13, 14, 15, 16)
@pytest.mark.parametrize(("form", "value", "zone", "expected"), FORMATS)
def test_the_date_of_an_event(
    things: Things, connect: Env, form: str, value: object, zone: str, expected: str
) -> None:
    """It is the configured one, in each format and zone, of created and of updated objects."""
    things.rows = [{"id": 1, "deep": {"d": None}}]
    dates = {"updatedDateField": "deep.d", "updatedDateFormat": form, "updatedDateTimezone": zone}
    env = connect(datesConfiguration={name: one for name, one in dates.items() if one})
    things.rows = [{"id": number, "deep": {"d": value}} for number in (1, 2)]
    assert _dates(env) == {"1": expected, "2": expected}
    assert env.receiver.events == [("things", "1", "UPDATED"), ("things", "2", "CREATED")]
    assert _problems(env) == []


BLOCK = {
    "updatedDateField": "changed",
    "updatedDateFormat": FORM,
    "createdDateField": "begun",
    "createdDateFormat": FORM,
}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("28.10.2026", f"is not a date in the form {FORM}"),
        ("2026/02/31 10:00:00", f"is not a date in the form {FORM}"),
        (["secret"], "is neither text nor a whole number"),
        (True, "is neither text nor a whole number"),
        (1.5, "is neither text nor a whole number"),
        (None, ""),
        ("", ""),
    ],
)
def test_a_value_that_is_no_date(things: Things, connect: Env, value: object, reason: str) -> None:
    """The event has the date of the poll; the resource goes on, and has a problem until then."""
    things.rows = [{"id": 8, "d": ""}]
    env = connect(datesConfiguration={"updatedDateField": "d", "updatedDateFormat": FORM})
    things.rows = [{"id": 7, "d": value}, {"id": 8, "d": "9999/12/31 23:59:59"}]
    before = env.store.clock.now().replace(microsecond=0)
    dates = _dates(env)
    assert dt.datetime.fromisoformat(dates["7"]) >= before
    assert dates["8"] == "9998-12-31T23:59:59Z"
    text = f"updatedDateField d of things 7 {reason}"
    assert _problems(env) == ([("dates-unreadable", text)] if reason else [])
    things.rows[0] = {"id": 7, "d": "2026/10/28 10:00:00"}
    assert _dates(env) == {"7": "2026-10-28T10:00:00Z"}
    assert _problems(env) == []


def test_a_field_that_does_not_exist(things: Things, connect: Env) -> None:
    """A typing error in the name of the field is a problem, and the other date is used."""
    things.rows = [{"id": 7, "begun": "2026/10/27 10:00:00", "changed": "2026/10/29 10:00:00"}]
    env = connect(datesConfiguration={**BLOCK, "updatedDateField": "chnaged"})
    things.rows[0]["begun"] = "2026/10/28 10:00:00"
    assert _dates(env) == {"7": "2026-10-28T10:00:00Z"}
    text = "updatedDateField chnaged of things 7 does not exist"
    assert _problems(env) == [("dates-unreadable", text)]


def test_dates_are_configured_later(things: Things, connect: Env) -> None:
    """What the ledger holds is not UPDATED by it; later events have the dates."""
    row = {"id": 1, "begun": "2026/10/01 10:00:00", "changed": "2026/10/02 10:00:00"}
    things.rows = [row]
    env = connect()
    _configure(env, datesConfiguration=BLOCK)
    assert env.arrivals() == set()
    assert env.arrivals() == set()
    row["changed"] = "2026/10/03 10:00:00"
    assert _dates(env) == {"1": "2026-10-03T10:00:00Z"}
    # Dates go back without a second reading: only those of WooCommerce show an older state.
    row["changed"] = "2026/10/01 10:00:00"
    assert _dates(env) == {"1": "2026-10-01T10:00:00Z"}


@pytest.mark.parity(20, 24, 25)
def test_created_or_updated(things: Things, connect: Env) -> None:
    """A feed shows an old object for the first time: its dates say that it was updated."""
    things.lists = lambda query, row: row["changed"] > query["since"]
    env = connect(f"{PATH}?since=${{date}}", datesConfiguration=BLOCK, createdCheckTolerance=60)
    old, now = _ago(env.store, days=30), env.store.clock.now() + dt.timedelta(minutes=1)
    soon = now + dt.timedelta(minutes=5)
    things.rows = [
        _row(1, old, now),
        _row(2, now, soon),
        _row(3, now - dt.timedelta(minutes=5), now - dt.timedelta(minutes=4)),
        _row(4, old, old),
        {**_row(5, old, now), "begun": None},
        {**_row(6, old, now), "begun": "no date"},
    ]
    assert env.arrivals() == {
        ("things", "1", "UPDATED"),
        ("things", "2", "CREATED"),
        ("things", "3", "CREATED"),
        ("things", "5", "CREATED"),
        ("things", "6", "CREATED"),
    }
    assert env.arrivals() == set()
    things.rows[1] = _row(2, now, soon + dt.timedelta(seconds=1))
    assert env.arrivals() == {("things", "2", "UPDATED")}


def test_an_object_of_the_baseline(things: Things, connect: Env) -> None:
    """One that was created or changed while the baseline was read is sent; a plan is not."""
    env = connect("/products/tags")
    old, now = _ago(env.store, days=30), _ago(env.store, minutes=-5)
    plan = _ago(env.store, hours=-1)
    things.rows = [_row(1, now, now), _row(2, old, now), _row(3, old, old), _row(4, plan, plan)]
    _configure(env, datesConfiguration=BLOCK)
    assert env.arrivals() == {("things", "1", "CREATED"), ("things", "2", "UPDATED")}
    assert env.arrivals() == set()


@pytest.mark.parity(17)
@pytest.mark.parametrize(
    ("macro", "form", "zone", "expected"),
    [
        ("${date}", FORM, "UTC", "2026/10/28 12:00:00"),
        ("${date}", FORM, "-8:00", "2026/10/28 04:00:00"),
        ("${Date}", "yyyy-MM-dd'T'HH:mm:ssXXX", "EST", "2026-10-28T07:00:00-05:00"),
        ("${date}", "milliseconds", "-8:00", "1793188800000"),
        ("${gmtDate}", FORM, "-8:00", "2026/10/28 12:00:00"),
        ("${date:yyyy-MM-dd HH:mm}", FORM, "-8:00", "2026-10-28 12:00"),
        ("${dateTimeZone:-8:00}", FORM, "UTC", "2026/10/28 04:00:00"),
    ],
)
def test_the_window_of_a_feed(macro: str, form: str, zone: str, expected: str) -> None:
    """A macro without a format is written as the updated date; ``${date}`` in its zone, too."""
    dates = {"updatedDateField": "d", "updatedDateFormat": form, "updatedDateTimezone": zone}
    block = {"url": f"{PATH}?since={macro}", "datesConfiguration": dates}
    (one,) = parse_poller_configuration({"mine": block})
    filters = one.filters(last_poll=NOON, now=NOON)
    assert filters.feed and filters.params == {"since": expected}


def test_a_format_that_breaks_the_filter() -> None:
    """It is refused with the configuration, and not by each poll."""
    block = {
        "url": f"{PATH}?where=d='${{date}}'",
        "datesConfiguration": {"updatedDateField": "d", "updatedDateFormat": "yyyy''MM"},
    }
    with pytest.raises(InputError, match=r"mine\.url with updatedDateFormat"):
        parse_poller_configuration({"mine": block})


@pytest.mark.parity(17)
def test_the_window_of_a_poll(things: Things, connect: Env) -> None:
    """It begins two hours and a minute before the last poll, in the zone of the updated date."""
    dates = {**BLOCK, "updatedDateTimezone": "-8:00"}
    env = connect(f"{PATH}?since=${{date}}", datesConfiguration=dates)
    polled = env.poller("things").polled_at
    assert polled is not None
    env.arrivals()
    window = polled - dt.timedelta(hours=10, minutes=1)
    assert things.queries[-1]["since"] == f"{window:{PYTHON}}"


def test_routes_of_woocommerce_take_one_form() -> None:
    """``modified_after`` with an offset would be compared with local time."""
    dates = {
        "updatedDateField": "date_modified",
        "updatedDateFormat": "yyyy-MM-dd'T'HH:mm:ssXXX",
        "updatedDateTimezone": "EST",
    }
    for url in ("/orders", "/hubs/ecommerce/orders", "/wp-json/wc/v3/orders"):
        block = {"url": f"{url}?after=${{date}}", "datesConfiguration": dates}
        (one,) = parse_poller_configuration({"mine": block})
        filters = one.filters(last_poll=NOON, now=NOON)
        assert filters.params["after"] == "2026-10-28T12:00:00"


LOCAL = {
    "updatedDateField": "date_modified",
    "updatedDateFormat": "yyyy-MM-dd'T'HH:mm:ss'",
    "createdDateField": "date_created",
    "createdDateFormat": "yyyy-MM-dd'T'HH:mm:ss'",
}


@pytest.mark.parity(13)
@pytest.mark.parametrize("dates", [{}, LOCAL, {"updatedDateField": "nothing"}])
def test_resources_of_woocommerce(
    tmp_path: pathlib.Path, tables: pathlib.Path, dates: dict[str, str]
) -> None:
    """The dates in UTC go on deciding where the configured field is local time."""
    shutil.copy(tables, tmp_path / "host.sqlite3")
    names = ("customers", "discounts", "orders", "products")
    block = {"datesConfiguration": dates}
    resources = {one: {"url": f"/hubs/ecommerce/{one}", **block} for one in names}
    with contextlib.ExitStack() as stack:
        env = open_env("9.4", tmp_path, stack, resources=resources, prepare=_in_tokyo)
        acts = env.store.acts
        order = env.first("orders")
        acts.status(order, "cancelled")
        env.rest("PUT", f"products/{env.first('products')}", name="Mug")
        number = env.rest("POST", "coupons", code="spring")["id"]
        sent = env.arrivals()
        assert {("orders", str(order), "UPDATED"), ("discounts", str(number), "CREATED")} <= sent
        shown = {
            (name, str(one)): body["date_modified_gmt"]
            for name in ("orders", "products", "coupons")
            for one, body in env.store.truth(name).items()
        }
        for received in env.receiver.received:
            for event in received.events:
                kind = event["objectType"].replace("discounts", "coupons")
                if (kind, event["objectId"]) in shown:
                    assert event["date"] == shown[kind, event["objectId"]] + "Z"
        assert _problems(env) == [] and env.arrivals() == set()


def _in_tokyo(store: SimulatedStore) -> None:
    store.acts.timezone("Asia/Tokyo")
