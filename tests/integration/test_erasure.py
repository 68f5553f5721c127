"""A person is erased from every row, also while workers run, and does not come back."""

from __future__ import annotations

import base64
import collections.abc as cabc
import contextlib
import hashlib
import http.server
import json
import logging
import pathlib
import shutil
import typing as t
import urllib.parse

import orjson
import pytest
import sqlalchemy as sa

from flask_woo_events.db import vacuum
from flask_woo_events.db.database import Database
from flask_woo_events.db.models import (
    Attempt,
    Base,
    Connection,
    Erasure,
    Instance,
    ObjectBody,
    Poller,
    StoredEvent,
    Suppression,
    WorkerProcess,
)
from flask_woo_events.instances import notices
from flask_woo_events.runtime import Runtime
from flask_woo_events.settings import read_settings
from flask_woo_events.sync.erasure import erasures, run
from flask_woo_events.sync.ledger import compression
from flask_woo_events.values.crypto import Cipher
from flask_woo_events.values.persons import ERASED
from flask_woo_events.worker.worker import Worker
from tests.integration import backups
from tests.integration.host_app import NOW, add_account, runtime_of
from tests.integration.ledger_env import LedgerEnv, build
from tests.integration.store_to_callback import StoreToCallback, open_env
from tests.serving import serve_handler

CANARY = "Canary.Finch+x@birds.example"
#: Of the same person, in their orders.
NAME, PHONE = "Canarina Finchley", "+49-555-0815"
RESOURCES: dict[str, t.Any] = {
    name: {"url": f"/hubs/ecommerce/{path}"}
    for name, path in (
        ("customers", "customers"),
        ("orders", "orders"),
        ("discounts", "discounts"),
        ("products-reviews", "products-reviews"),
        ("orders-comments", "orders-comments"),
    )
}


class EchoingCallback:
    """A callback that fails and repeats what it was sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        #: Called while a request is answered.
        self.meanwhile: cabc.Callable[[], object] = lambda: None

    @contextlib.contextmanager
    def serve(self) -> cabc.Iterator[str]:
        callback = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                callback.bodies.append(body)
                callback.meanwhile()
                # Of an order, its beginning has what the address does not show.
                at = max(body.find(b"billing") - 10, 0)
                told = body[at : at + 900]
                self.send_response(500)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            def log_message(self, format: str, *args: object) -> None:
                pass

        with serve_handler(Handler) as url:
            yield f"{url}/echo"


@pytest.fixture
def echo() -> EchoingCallback:
    """Return a callback that repeats what it is sent."""
    return EchoingCallback()


@pytest.fixture
def shop(
    tmp_path: pathlib.Path, tables: pathlib.Path, echo: EchoingCallback
) -> cabc.Iterator[StoreToCallback]:
    """Connect a store whose objects are sent to two callbacks, one of which repeats them."""
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        counts = (3, 2, 1, 2)
        env = open_env("9.4", tmp_path, stack, resources=RESOURCES, counts=counts)
        path = f"/instances/{env.instance_id}/subscriptions"
        url = stack.enter_context(echo.serve())
        assert env.api.call("POST", path, {"callbackUrl": url}).status_code == 200
        yield env


def _plant(env: StoreToCallback) -> dict[str, int]:
    """Write the person into every kind of object of the store; return the ids."""
    customer = env.rest(
        "POST", "customers", email=CANARY, first_name=NAME, username="cfinch",
        billing={"email": CANARY, "phone": PHONE},
    )["id"]  # fmt: skip
    address = {"email": CANARY.lower(), "first_name": NAME, "phone": PHONE}
    encoded = f"https://x.example/?m={urllib.parse.quote(CANARY)}"
    guest = env.rest(
        "POST", "orders", billing=address, customer_note=f"{NAME} waits",
        meta_data=[{"key": "_link", "value": encoded}, {"key": "_crm", "value": {"n": PHONE}}],
    )["id"]  # fmt: skip
    other = {"email": "work@office.example", "first_name": NAME, "phone": PHONE}
    known = env.rest("POST", "orders", customer_id=customer, billing=other)["id"]
    named = env.first("orders")
    escaped = json.dumps({"mail": CANARY}).replace("@", "\\u0040")
    env.store.acts.order_meta(named, "_gift", escaped)
    env.store.acts.note(named, f"Please call {CANARY}!")
    coupon = env.first("coupons")
    env.rest("PUT", f"coupons/{coupon}", email_restrictions=[CANARY, "b@c.example"])
    review = env.rest(
        "POST", "products/reviews", product_id=env.first("products"), review=f"I, {NAME}",
        reviewer=NAME, reviewer_email=CANARY,
    )["id"]  # fmt: skip
    return {"customer": customer, "guest": guest, "known": known, "named": named, "review": review}


def _plant_texts(env: StoreToCallback) -> None:
    """Write the address into every text that may quote a store or a callback."""
    with runtime_of(env.app).database.write() as session:
        instance = session.get_one(Instance, env.instance_id)
        notices.add(instance, "store", f"Duplicate entry '{CANARY}'", NOW)
        instance.problems = [{"code": "x", "detail": CANARY}]
        poller = session.scalars(sa.select(Poller).where(Poller.resource == "orders")).one()
        poller.error = f"500: {CANARY}"
        poller.memory = {**poller.memory, "oddities": {"x": f"of {CANARY}"}}
        session.add(
            Connection(
                organization_id=instance.organization_id, user_id=instance.user_id,
                state_hash="x", store_url="https://x.example", request="", created_at=NOW,
                expires_at=NOW, error=f"not {CANARY}",
            )
        )  # fmt: skip


def _contents(database: Database) -> bytes:
    """Return every value of every row as text, with compressed bodies as they are."""
    parts = []
    with database.read() as session:
        for table in Base.metadata.sorted_tables:
            for row in session.execute(sa.select(table)):
                parts += [one if isinstance(one, bytes) else str(one).encode() for one in row]
        for row in session.execute(sa.select(ObjectBody.data, ObjectBody.dictionary)):
            parts.append(compression.decompress(row.data, row.dictionary) or b"")
    return b"\n".join(parts)


def _forms(text: str) -> set[bytes]:
    """Return a text in the encodings in which it may be stored, in lower case."""
    data = text.encode()
    shifted = (base64.b64encode(b"x" * by + data).strip(b"=")[4:-4] for by in range(3))
    plain = text.lower()
    return {
        plain.encode(), plain.replace("@", "%40").encode(), plain.replace("@", "\\u0040").encode(),
        urllib.parse.quote(plain, safe="").lower().encode(), plain.replace("@", "&#64;").encode(),
        *(one.lower() for one in shifted),
        hashlib.md5(plain.encode()).hexdigest().encode(),
        hashlib.sha256(plain.encode()).hexdigest().encode(),
    }  # fmt: skip


def _found(data: bytes, *texts: str) -> list[bytes]:
    lower = data.lower()
    return [form for text in texts for form in _forms(text) if form in lower]


def _run(env: StoreToCallback, *args: str, stdin: str = "", status: int = 0) -> str:
    result = env.app.test_cli_runner().invoke(args=["woo", "erase", *args], input=stdin)
    assert result.exit_code == status, result.output
    return result.output


def _erase(env: StoreToCallback) -> dict[str, int]:
    answer = env.api.call("POST", "/accounts/erasures", {"email": CANARY})
    assert answer.status_code == 200 and answer.json["complete"], answer.text
    return t.cast("dict[str, int]", answer.json["counts"])


def _events(env: StoreToCallback, resource: str, number: int) -> list[tuple[str, t.Any, t.Any]]:
    """Return type, body and changes of an object's events."""
    mine = StoredEvent.resource == resource, StoredEvent.object_id == str(number)
    with runtime_of(env.app).database.read() as session:
        rows = session.scalars(sa.select(StoredEvent).where(*mine).order_by(StoredEvent.version))
        return [
            (one.event_type, orjson.loads(one.body), one.changes and orjson.loads(one.changes))
            for one in rows
        ]


def test_no_byte_is_left(
    shop: StoreToCallback, echo: EchoingCallback, tmp_path: pathlib.Path
) -> None:
    """Of the address, and of the name and phone of the person's own objects, in no encoding."""
    ids = _plant(shop)
    shop.poll()
    env, database = shop, runtime_of(shop.app).database
    env.rest("PUT", f"orders/{ids['guest']}", billing={"phone": PHONE + "0"})
    env.poll()
    Worker(runtime_of(env.app)).deliver_once()
    assert any(CANARY.lower().encode() in one.lower() for one in echo.bodies)
    _plant_texts(env)
    assert len(_found(_contents(database), CANARY, NAME, PHONE)) >= 5
    records: list[str] = []
    handler, root = logging.Handler(), logging.getLogger()
    handler.emit = lambda record: records.append(f"{record.getMessage()} {record.__dict__}")  # type: ignore[method-assign]
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    try:
        planned = json.loads(_run(env, "--email", "-", "--dry-run", "--json", stdin=f"{CANARY}\n"))
        assert _found(_contents(database), CANARY)
        printed = _run(env, "--email", "-", "--vacuum", "--json", stdin=CANARY.upper())
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    counts = json.loads(printed)["counts"]
    assert counts["objects"] == 4 and counts["events"] >= 8 and counts["texts"] == 5
    assert counts["bodies"] >= 6 and counts["waiting"] and counts["attempts"]
    assert planned == {"id": None, "complete": True, "counts": counts}
    assert not _found(_contents(database), CANARY, NAME, PHONE)
    files = b"".join(one.read_bytes() for one in tmp_path.glob("host.sqlite3*"))
    assert b"woo_suppression" in files and not _found(files, CANARY, NAME, PHONE)
    assert not _found("".join(records).encode(), CANARY, NAME, PHONE)
    assert CANARY.lower() not in printed.lower()


def test_person_does_not_come_back(shop: StoreToCallback, echo: EchoingCallback) -> None:
    """Polls, webhooks, replays and callbacks: until the store has erased the person, too."""
    ids = _plant(shop)
    shop.poll()
    _erase(shop)
    database = runtime_of(shop.app).database
    before = len(_events(shop, "orders", ids["guest"]))
    with database.write() as session:
        for poller in session.scalars(sa.select(Poller)):
            poller.memory = {**poller.memory, "compare_all": NOW.isoformat()}
    shop.poll()
    assert len(_events(shop, "orders", ids["guest"])) == before, "an erased object did not change"
    shop.store.acts.status(ids["guest"], "completed")
    shop.rest("PUT", f"orders/{ids['known']}", billing={"first_name": NAME + "!"})
    new = shop.rest("POST", "orders", billing={"email": CANARY, "first_name": NAME})["id"]
    shop.poll()
    kind, body, changes = _events(shop, "orders", ids["guest"])[-1]
    assert (kind, body["status"], body["billing"]["first_name"]) == ("UPDATED", "completed", ERASED)
    assert changes["changes"]["status"]["after"] == "completed"
    assert _events(shop, "orders", new)[0][1]["billing"]["email"] == ERASED
    echo.bodies.clear()
    shop.receiver.clear()
    Worker(runtime_of(shop.app)).deliver_once()
    sent = b"".join([*echo.bodies, *(one.body for one in shop.receiver.received)])
    assert b"[erased]" in sent and not _found(sent, CANARY, NAME, PHONE)
    assert not _found(_contents(database), CANARY, NAME, PHONE)
    # The store erases the person: that is a change.
    clean = {"email": "deleted@site.invalid", "first_name": "[deleted]", "phone": "0000"}
    shop.rest("PUT", f"orders/{ids['guest']}", billing=clean)
    shop.poll()
    kind, body, changes = _events(shop, "orders", ids["guest"])[-1]
    assert (kind, body["billing"]["email"]) == ("UPDATED", "deleted@site.invalid")
    assert changes["changes"]["billing.email"]["before"] == ERASED


def test_lifted_person_is_recorded_again(shop: StoreToCallback) -> None:
    """By the id of the erasure or by the command; what was erased stays erased."""
    ids = _plant(shop)
    shop.poll()
    _erase(shop)
    number = shop.api.call("GET", "/accounts/erasures").json[0]["id"]
    assert shop.api.call("DELETE", f"/accounts/erasures/{number}").status_code == 200
    assert shop.api.call("DELETE", f"/accounts/erasures/{number}").status_code == 404
    assert "not suppressed" in _run(shop, "--email", CANARY, "--lift", status=1)
    shop.rest("PUT", f"customers/{ids['customer']}", last_name="F")
    shop.poll()
    created, updated = _events(shop, "customers", ids["customer"])
    assert created[1]["email"] == ERASED and updated[1]["email"] == CANARY
    rows = shop.api.call("GET", "/accounts/erasures").json
    assert [(one["action"], one["askedBy"]) for one in rows] == [
        ("lift", "poller"),
        ("erase", "poller"),
    ]
    assert all(len(one["addressHash"]) == 64 for one in rows)
    _erase(shop)
    _run(shop, "--email", CANARY, "--lift")


@pytest.mark.parametrize("moment", ["read", "recorded before"])
def test_poll_in_flight_writes_nothing_back(shop: StoreToCallback, moment: str) -> None:
    """An erasure while the store answers is known when what it answered is recorded."""
    ids = _plant(shop)
    if moment == "recorded before":
        shop.poll()
        shop.store.acts.status(ids["guest"], "completed")
    answer, erased = shop.store.routes.answer, list[dict[str, int]]()

    def answering(method: str, path: str, *more: t.Any) -> t.Any:
        found = answer(method, path, *more)
        if path == "orders" and CANARY.lower() in str(found.body).lower() and not erased:
            erased.append({})
            erased[0] |= _erase(shop)
        return found

    shop.store.routes.answer = answering  # type: ignore[assignment, method-assign]
    shop.poll()
    assert erased
    kinds = [kind for kind, _, _ in _events(shop, "orders", ids["guest"])]
    assert kinds[-1] == ("CREATED" if moment == "read" else "UPDATED")
    shop.poll()
    assert not _found(_contents(runtime_of(shop.app).database), CANARY)
    if moment == "read":
        # Who the person is as a customer was not known before that poll.
        assert _erase(shop)["objects"] == 1
    assert not _found(_contents(runtime_of(shop.app).database), CANARY, NAME, PHONE)


def test_delivery_in_flight_writes_nothing_back(
    shop: StoreToCallback, echo: EchoingCallback
) -> None:
    """What a callback repeats after the erasure is not stored; it gets the events once more."""
    _plant(shop)
    shop.poll()
    erased: list[dict[str, int]] = []

    def once() -> None:
        if not erased:
            erased.append({})
            erased[0] |= _erase(shop)

    echo.meanwhile = once
    runtime = runtime_of(shop.app)
    Worker(runtime).deliver_once()
    assert erased[0]["inFlight"] and erased[0]["waiting"]
    assert not _found(_contents(runtime.database), CANARY, NAME, PHONE)
    shop.receiver.clear()
    Worker(runtime).deliver_once()
    with runtime.database.read() as session:
        assert session.scalars(sa.select(Attempt.id)).all()
    assert not _found(_contents(runtime.database), CANARY, NAME, PHONE)


def test_erasure_goes_on_where_it_stopped(
    shop: StoreToCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part is a transaction of its own; nothing is done twice, and nothing is left out."""
    _plant(shop)
    shop.poll()
    Worker(runtime_of(shop.app)).deliver_once()
    _plant_texts(shop)
    monkeypatch.setattr(run, "AT_ONCE", 2)
    runtime, parts = runtime_of(shop.app), 0
    with runtime.database.read() as session:
        organization = session.scalars(sa.select(Instance.organization_id)).one()
    while not (
        found := erasures.erase(runtime, organization, CANARY, "x", stopped=lambda: True)
    ).complete:
        parts += 1
        assert parts < 200
        with runtime.database.read() as session:
            row = session.scalars(sa.select(Erasure)).one()
            assert row.ended_at is None and row.position
    assert parts > 10
    assert not _found(_contents(runtime.database), CANARY, NAME, PHONE)
    assert found.counts["objects"] == 4 and found.counts["texts"] == 5
    again = erasures.erase(runtime, organization, CANARY, "x")
    assert again.id != found.id and not any(again.counts.values())


@pytest.mark.parametrize(
    "email",
    ["", "ann", "@", "%@%", "ann@shop", "ann\0@shop.example", "a" * 400 + "@x.example", "'@'\"", 7,
     None, ["a@b.example"], "ann\ud800@shop.example"],
)  # fmt: skip
def test_what_is_no_address_is_refused(shop_api: StoreToCallback, email: object) -> None:
    """With 400, and nothing is suppressed."""
    data = json.dumps({"email": email})
    headers = {**shop_api.api.headers, "Content-Type": "application/json"}
    path = "/elements/api-v2/accounts/erasures"
    answer = shop_api.app.test_client().post(path, data=data, headers=headers)
    assert answer.status_code == 400, answer.text
    with runtime_of(shop_api.app).database.read() as session:
        assert not session.scalars(sa.select(Suppression.id)).all()


@pytest.fixture(scope="module")
def shop_api(
    tmp_path_factory: pytest.TempPathFactory, tables: pathlib.Path
) -> cabc.Iterator[StoreToCallback]:
    """Connect one store for tests that change nothing."""
    folder = tmp_path_factory.mktemp("erasure")
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, folder / "host.sqlite3")
        yield open_env("9.4", folder, stack, counts=(1, 1, 1, 1))


def test_command_refuses_what_is_unclear(shop_api: StoreToCallback) -> None:
    """A wrong address or organization is a message; the address is in no message."""
    assert "one e-mail address" in _run(shop_api, "--email", "-", stdin="a\0b@c.example", status=1)
    assert "one e-mail address" in _run(shop_api, "--email", "-", stdin="", status=1)
    assert "name the organization" in _run(
        shop_api, "--email", CANARY, "--organization", "none", status=1
    )
    assert "excludes" in _run(shop_api, "--email", CANARY, "--lift", "--dry-run", status=2)
    text = _run(shop_api, "--email", CANARY, "--dry-run")
    assert "Would be erased:\n  0 objects of the person" in text


def test_other_organizations_keep_their_data(shop: StoreToCallback) -> None:
    """A person is erased for one organization, and suppressed for it alone."""
    _plant(shop)
    shop.poll()
    before = _contents(runtime_of(shop.app).database).count(NAME.encode())
    bob = add_account(shop.app, "bob", "globex")
    answer = shop.api.call("POST", "/accounts/erasures", {"email": CANARY}, bob.headers)
    assert answer.status_code == 200 and not any(answer.json["counts"].values())
    assert _contents(runtime_of(shop.app).database).count(NAME.encode()) == before
    number = answer.json["id"]
    assert shop.api.call("DELETE", f"/accounts/erasures/{number}").status_code == 404
    assert shop.api.call("GET", "/accounts/erasures").json == []


def test_older_worker_must_end_first(shop_api: StoreToCallback) -> None:
    """It does not know suppressed persons, and would write them back."""
    database = runtime_of(shop_api.app).database
    with database.write() as session:
        now = runtime_of(shop_api.app).clock()
        session.add(WorkerProcess(name="process 1 on old", seen_at=now, revision="0012"))
    try:
        answer = shop_api.api.call("POST", "/accounts/erasures", {"email": CANARY})
        assert answer.status_code == 409 and "process 1 on old" in answer.text
    finally:
        with database.write() as session:
            session.execute(sa.delete(WorkerProcess))


ORDER: dict[str, t.Any] = {
    "id": 1,
    "status": "processing",
    "total": "5.00",
    "billing": {"email": CANARY, "first_name": NAME, "phone": PHONE},
}


def test_every_database_forgets(
    any_database: Database, any_url: str, tmp_path: pathlib.Path
) -> None:
    """Its dump has nothing of the person, and the ledger knows the erased object again."""
    env = build(any_database)
    env.see(ORDER)
    env.see(ORDER | {"total": "6.00"})
    env.see({"id": 2, "note": f"not {CANARY}"}, {"id": 3, "note": "of nobody"})
    settings = read_settings({"WOO_EVENTS_ENCRYPTION_KEYS": [Cipher.generate_key()]})
    runtime = Runtime(settings, any_database)
    with any_database.read() as session:
        organization = session.scalars(sa.select(Instance.organization_id)).one()
    found = erasures.erase(runtime, organization, CANARY, "x")
    assert (found.counts["objects"], found.counts["bodies"], found.counts["events"]) == (1, 2, 3)
    assert not _found(_contents(any_database), CANARY, NAME, PHONE)
    vacuum.rewrite(any_database)
    file = tmp_path / "dump"
    backups.back_up(any_url, file)
    assert file.stat().st_size > 1000 and not _found(file.read_bytes(), CANARY, NAME, PHONE)
    erased = ORDER | {"total": "6.00", "billing": dict.fromkeys(ORDER["billing"], ERASED)}
    assert env.see(erased).emitted == ()
    assert _holds(env, erased)
    with any_database.read() as session:
        versions = session.scalars(sa.select(StoredEvent.version).order_by(StoredEvent.id)).all()
    assert versions == [1, 2, 1, 1]


def _holds(env: LedgerEnv, body: dict[str, t.Any]) -> bool:
    return env.see(body, read_revision=None).emitted == ()
