"""Replays of recorded stores: the same calls on the simulated store, and the differences."""

from __future__ import annotations

import collections
import datetime as dt
import json
import pathlib
import typing as t
import urllib.parse

import werkzeug.test

from flask_woo_events.simulation.store import SimClock, SimulatedStore
from flask_woo_events.simulation.store.tables import Row
from tests.contract.comparison import Comparison, Difference, Record

CAPTURES = pathlib.Path(__file__).parent.parent / "captures"
FILES = sorted(path.name for path in CAPTURES.glob("*.jsonl"))

#: Response headers in the recordings.
HEADERS = ("Content-Type", "Link", "X-WP-Total", "X-WP-TotalPages", "Location", "Allow",
           "Cache-Control")  # fmt: skip


def records_of(file: str) -> list[Record]:
    """Return the records of one file."""
    with (CAPTURES / file).open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def steps_of(file: str) -> list[str]:
    """Return the steps of one file, in order."""
    return list(dict.fromkeys(record["step"] for record in records_of(file)))


class Replay:
    """One recording, replayed from beginning to end."""

    def __init__(self, file: str, *, version: str = "") -> None:
        self.records = records_of(file)
        self.differences: list[Difference] = []
        self.clock = SimClock()
        self.clock.freeze()
        self.store = SimulatedStore(
            version or file.split("-")[1],
            consumer_key="ck_replay",
            consumer_secret="cs_replay",
            timezone="America/New_York",
            clock=self.clock,
            assume_https=True,
        )
        self.store.mail_works = False
        self.store.routes.orders.varies = False
        self.client = werkzeug.test.Client(self.store.wsgi)
        self.sent: list[tuple[str, list[tuple[str, str]], bytes]] = []
        self.store.webhooks.send = self._receive
        self._seed()

    def _receive(
        self, url: str, headers: list[tuple[str, str]], body: bytes, timeout: float
    ) -> int | None:
        parts = urllib.parse.urlsplit(url)
        # Other receivers of the recorded store are not in the recording.
        if parts.netloc == self.receiver:
            self.sent.append((parts.path, headers, body))
        return None if parts.path == "/dead" else 200

    def _seed(self) -> None:
        posts = [r for r in self.records if r["kind"] == "rest" and r["status"] == 201]
        first = posts[0]
        self.store.move(first["headers"]["Location"].partition("/wp-json")[0])
        delivery = urllib.parse.urlsplit(first["request"]["delivery_url"])
        self.receiver = delivery.netloc
        self.clock.set(_utc(first["response"]["date_created_gmt"]) - dt.timedelta(seconds=1))
        shop = self.store.shop

        def first_id(path: str) -> int:
            return next(int(r["response"]["id"]) for r in posts if r["path"].endswith(path))

        notes = self._listed("/notes")
        order = next(r["response"] for r in posts if r["path"].endswith("/orders"))
        shop.counters.update(
            posts=first_id("/products"),
            users=first_id("/customers"),
            webhooks=first_id("/webhooks"),
            comments=min(note["id"] for note in notes),
            items=order["line_items"][0]["id"],
        )
        admin = next(user for user in self._listed("/customers") if user["id"] == 1)
        row = shop.tables["customers"].get(1)
        assert row is not None
        row.created = _seconds(admin["date_created_gmt"])
        if first["response"]["id"] > 1:
            self._seed_older(first)

    def _listed(self, path: str) -> list[Record]:
        found: dict[int, Record] = {}
        for record in self.records:
            whole = isinstance(record.get("response"), list) and "_fields" not in record["params"]
            if record["kind"] == "rest" and whole and record["path"].endswith(path):
                for each in record["response"]:
                    found.setdefault(each["id"], each)
        return list(found.values())

    def _seed_older(self, first: Record) -> None:
        """Return the objects older than the recording, as its later lists show them."""
        limit = first["response"]["date_created_gmt"]
        kept = ("name", "slug", "price", "regular_price", "manage_stock", "stock_quantity",
                "total_sales", "meta_data", "attributes", "type", "billing", "date_paid",
                "amount", "customer_id", "total", "delivery_url", "topic", "hooks")  # fmt: skip
        for kind, path in (
            ("products", "/products"),
            ("variations", "/variations"),
            ("orders", "/orders"),
            ("refunds", "/refunds"),
            ("webhooks", "/webhooks"),
        ):
            for body in self._listed(path):
                if body["date_created_gmt"] >= limit:
                    continue
                fields = {name: body[name] for name in kept if name in body}
                fields["before_trash"] = "publish"
                for name in ("paid", "completed"):
                    if body.get(f"date_{name}_gmt"):
                        fields[name] = _seconds(body[f"date_{name}_gmt"])
                if "order_key" in body:
                    fields["line_items"] = [_line(line) for line in body["line_items"]]
                if kind == "webhooks":
                    fields.update(secret="unknown", failures=0, pending=False)
                created = _seconds(body["date_created_gmt"])
                modified = body.get("date_modified_gmt")
                row = Row(
                    body["id"],
                    body.get("status", "publish"),
                    created,
                    _seconds(modified) if modified else None,
                    fields,
                    body.get("parent_id", 0),
                )
                shop = self.store.shop
                shop.tables[kind].add(row)
                if kind == "products":
                    shop.slugs[body["slug"]] = body["id"]
                elif kind == "variations":
                    shop.slugs[f"tee-{body['name'].lower()}"] = body["id"]
                if row.parent:
                    shop.children[kind].setdefault(row.parent, []).append(row.id)

    def run(self) -> list[Difference]:
        """Replay all steps and return the differences."""
        for step, deliveries in self.steps():
            self.store.webhooks.run_queue()
            self._compare_deliveries(step, deliveries)
        return self.differences

    def steps(self) -> t.Iterator[tuple[str, list[Record]]]:
        """Replay one step after the other; yield its name and its recorded deliveries."""
        by_step: dict[str, list[int]] = collections.defaultdict(list)
        for place, record in enumerate(self.records):
            by_step[record["step"]].append(place)
        for step, places in by_step.items():
            self.sent.clear()
            for place in places:
                record = self.records[place]
                if record["kind"] != "delivery":
                    self._set_clock(place)
                if record["kind"] == "rest":
                    self._call(record)
                elif record["kind"] == "store-side":
                    self._act(place, record)
            yield step, [self.records[p] for p in places if self.records[p]["kind"] == "delivery"]

    def _set_clock(self, place: int) -> None:
        """Set the clock to the time of this record, as far as its dates show it."""
        record = self.records[place]
        now = self.clock.now()
        latest = self._next_known(place)
        moment = self._known(record) or self._trace(place, now, latest)
        if moment is None and record.get("method") != "GET":
            moment = now + dt.timedelta(seconds=1)
        if moment is not None and moment > now:
            self.clock.set(min(moment, latest) if latest else moment)

    @staticmethod
    def _known(record: Record) -> dt.datetime | None:
        if record["kind"] != "rest" or record["status"] not in (200, 201):
            return None
        if record["method"] == "POST" and "date_created_gmt" in record["response"]:
            return _utc(record["response"]["date_created_gmt"])
        if record["method"] == "PUT":
            return _utc(record["response"]["date_modified_gmt"])
        return None

    def _next_known(self, place: int) -> dt.datetime | None:
        for record in self.records[place + 1 :]:
            known = self._known(record)
            if known is not None and known > self.clock.now():
                return known
        return None

    def _trace(
        self, place: int, now: dt.datetime, latest: dt.datetime | None
    ) -> dt.datetime | None:
        record = self.records[place]
        if record.get("method") not in (None, "DELETE"):
            return None
        new = record.get("action") in ("new_customer", "new_user", "note")
        wanted = int(record["result"]) if new else _id_of(record)
        for body in self._bodies_after(place):
            date = "date_created_gmt" if new else "date_modified_gmt"
            if body.get("id") != wanted or not body.get(date) or "delivery_url" in body:
                continue
            moment = _utc(body[date])
            if moment > now and (latest is None or moment <= latest):
                return moment
        return None

    def _bodies_after(self, place: int) -> t.Iterator[Record]:
        for record in self.records[place + 1 :]:
            if record["kind"] == "rest":
                response = record["response"]
                yield from response if isinstance(response, list) else [response]
            elif record["kind"] == "delivery" and record["body"].startswith("{"):
                yield json.loads(record["body"])

    def _call(self, record: Record) -> None:
        params = {key: _text(value) for key, value in record["params"].items()}
        headers = {"Authorization": "Basic Y2tfcmVwbGF5OmNzX3JlcGxheQ=="}
        if record["step"] == "auth errors" and record["status"] == 401:
            headers = {}
            signed = "Invalid signature" in record["response"]["message"]
            params |= _wrong_oauth("ck_replay" if signed else "ck_unknown", self.store)
        answer = self.client.open(
            record["path"],
            method=record["method"],
            query_string=params,
            json=record["request"] if record["request"] is not None else None,
            headers=headers,
            base_url=self.store.shop.home,
        )
        call = f"{record['method']} {record['path'].partition('/v3')[2]} {params or ''}".strip()
        comparison = Comparison(self.differences, record["step"], call)
        comparison.compare("status", record["status"], answer.status_code)
        ours = {name: value for name, value in answer.headers.items() if name in HEADERS}
        real = dict(record["headers"])
        if "Link" not in real:
            # The recordings lack the links to other pages.
            comparison.compare("Link", True, "rel=" in ours.pop("Link") and "api.w.org" not in ours)
        comparison.compare_members("headers", real, ours)
        comparison.compare_values("", record["response"], answer.get_json())

    def _act(self, place: int, record: Record) -> None:
        acts, name, args = self.store.acts, record["action"], record["args"]
        row_id = int(args[0])
        later = [body for body in self._bodies_after(place) if body.get("id") == row_id]
        if name == "note":
            note_id = int(record["result"])
            texts = [b["note"] for b in self._bodies_after(place) if b.get("id") == note_id
                     and "note" in b]  # fmt: skip
            acts.note(row_id, texts[0])
        elif name == "order_meta":
            meta = next(entry for entry in later[0]["meta_data"] if entry["key"] == "x")
            acts.order_meta(row_id, "x", meta["value"])
        elif name == "price_meta":
            acts.price_meta(row_id, args[1])
        elif name == "post_update":
            acts.post_update(row_id, next(b["name"] for b in later if "name" in b))
        elif name == "profile":
            acts.profile(row_id, later[0]["first_name"])
        elif name == "usermeta":
            acts.usermeta(row_id, later[0]["billing"]["phone"])
        elif name == "new_customer":
            acts.new_customer(f"c{row_id}")
        elif name == "new_user":
            acts.new_user(f"u{row_id}")
        elif name == "role":
            acts.role(row_id, args[1])
        elif name == "untrash_order":
            # The recorded ``wp_untrash_post`` does nothing to orders in their own tables.
            acts.untrash_post(row_id)
        else:
            getattr(acts, name)(*(int(a) if str(a).isdigit() else a for a in args))

    def _compare_deliveries(self, step: str, real: list[Record]) -> None:
        sent = self.sent
        comparison = Comparison(self.differences, step, "deliveries")
        ours = [path for path, _, _ in sent]
        if not comparison.compare("order", [record["path"] for record in real], ours):
            return
        for record, (path, headers, body) in zip(real, sent, strict=True):
            comparison = Comparison(self.differences, step, f"delivery {path}")
            wire = {"X-WC-Webhook-Signature", "X-WC-Webhook-Delivery-ID", "Content-Length"}
            comparison.compare("headers", [name for name, _ in record["headers"]],
                         [name for name, _ in headers])  # fmt: skip
            comparison.compare_members(
                "headers",
                {name: value for name, value in record["headers"] if name not in wire},
                {name: value for name, value in headers if name not in wire},
            )
            if record["body"].startswith("{"):
                comparison.compare_values("", json.loads(record["body"]), json.loads(body))
            else:
                comparison.compare("body", record["body"], body.decode())


def _id_of(record: Record) -> int:
    if record["kind"] == "store-side":
        return int(record["args"][0])
    return int(record["path"].rpartition("/")[2])


def _text(value: t.Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def _seconds(text: str) -> int:
    return int(_utc(text).timestamp())


def _line(line: Record) -> Record:
    kept = ("id", "name", "product_id", "variation_id", "quantity", "subtotal", "total", "sku")
    return {
        **{name: line[name] for name in kept},
        "parent_name": line["parent_name"],
        "reduced": (line["meta_data"][0]["id"], line["quantity"]),
    }


def _wrong_oauth(key: str, store: SimulatedStore) -> dict[str, str]:
    return {
        "oauth_consumer_key": key,
        "oauth_timestamp": str(store.shop.now()),
        "oauth_nonce": key,
        "oauth_signature": "d3Jvbmc=",
        "oauth_signature_method": "HMAC-SHA256",
    }
