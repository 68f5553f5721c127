"""Fields of ``WOO_EVENTS_REDACT`` are never stored nor sent, and their changes are seen."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import pathlib
import shutil
import typing as t

import orjson
import pytest
import sqlalchemy as sa

from flask_woo_events.db.models import ObjectBody, Organization, Poller, StoredEvent
from flask_woo_events.errors import ConfigurationError
from flask_woo_events.sync.ledger import compression
from flask_woo_events.values.crypto import Cipher
from flask_woo_events.values.hidden_fields import REDACTED
from flask_woo_events.values.persons import ERASED
from tests.integration.host_app import NOW, make_app, runtime_of
from tests.integration.store_to_callback import StoreToCallback, open_env

PHONE, EMAIL, VAT = "+49-555-7777", "hidden.person@birds.example", "DE-HIDDEN-1"
REDACT = "billing.phone, orders:billing.email, meta_data[_vat]"
RESOURCES: dict[str, t.Any] = {
    name: {"url": f"/hubs/ecommerce/{name}"} for name in ("orders", "customers")
}


@pytest.fixture
def shop(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[StoreToCallback]:
    """Connect a store with an order, under a setting."""
    with contextlib.ExitStack() as stack:
        shutil.copy(tables, tmp_path / "host.sqlite3")
        yield open_env(
            "9.4", tmp_path, stack, resources=RESOURCES, counts=(3, 2, 0, 1), prepare=_prepare,
            WOO_EVENTS_REDACT=REDACT,
        )  # fmt: skip


def _prepare(store: t.Any) -> None:
    number = next(iter(store.shop.tables["orders"])).id
    fields = store.shop.tables["orders"].get(number).fields
    store.shop.set_meta(fields, [{"key": "_vat", "value": VAT}])
    told = {"phone": PHONE, "email": EMAIL, "first_name": "Hid"}
    fields["billing"] = {**fields.get("billing", {}), **told}


def _stored(env: StoreToCallback) -> bytes:
    with runtime_of(env.app).database.read() as session:
        rows = session.execute(sa.select(ObjectBody.data, ObjectBody.dictionary)).all()
        parts = [compression.decompress(row.data, row.dictionary) or b"" for row in rows]
        for event in session.scalars(sa.select(StoredEvent)):
            parts += [event.body, event.changes or b""]
    return b"\n".join(parts)


def _last(env: StoreToCallback) -> StoredEvent:
    with runtime_of(env.app).database.read() as session:
        query = sa.select(StoredEvent).order_by(StoredEvent.id.desc()).limit(1)
        return session.scalars(query).one()


def _compare_all(env: StoreToCallback) -> set[t.Any]:
    """Read every object in full; return the events."""
    with runtime_of(env.app).database.write() as session:
        for poller in session.scalars(sa.select(Poller)):
            poller.memory = {**poller.memory, "compare_all": NOW.isoformat()}
    return env.arrivals()


def _restarted(env: StoreToCallback, folder: pathlib.Path, **config: object) -> StoreToCallback:
    """Return the installation after a restart with other settings."""
    keys = runtime_of(env.app).settings.encryption_keys
    settings = {"WOO_EVENTS_ENCRYPTION_KEYS": list(keys)} | config
    app = make_app(folder, WOO_EVENTS_ALLOW_PRIVATE_CALLBACKS=True, **settings)
    return StoreToCallback(app, env.store, env.receiver, env.api, env.instance_id)


def test_values_are_in_no_row_and_no_request(shop: StoreToCallback) -> None:
    """A change of a hidden field is an UPDATED that names it, without its values."""
    order = shop.first("orders")
    assert not any(one.encode() in _stored(shop) for one in (PHONE, EMAIL, VAT))
    shop.rest("PUT", f"orders/{order}", billing={"phone": PHONE + "1"})
    assert shop.arrivals() == {("orders", str(order), "UPDATED")}
    event = _last(shop)
    body, changes = orjson.loads(event.body), orjson.loads(event.changes or b"{}")["changes"]
    assert event.changed_fields is not None and "billing" in event.changed_fields
    assert changes["billing.phone"] == {} and "billing.email" not in changes
    assert body["billing"]["phone"] == body["billing"]["email"] == REDACTED
    assert [one["value"] for one in body["meta_data"] if one["key"] == "_vat"] == [REDACTED]
    sent = b"".join(one.body for one in shop.receiver.received)
    assert b"[redacted]" in sent and b"[redacted:" not in sent + event.body
    assert not any(one.encode() in sent + _stored(shop) for one in (PHONE, EMAIL, VAT))
    assert _compare_all(shop) == set()


def test_names_of_elements_are_hidden(shop: StoreToCallback, tmp_path: pathlib.Path) -> None:
    """An element of a hidden list has no name: a keyed hash in it would tell equal ones."""
    env = _restarted(shop, tmp_path, WOO_EVENTS_REDACT="orders:meta_data, orders:line_items")
    assert _compare_all(env) == set()
    order = env.first("orders")
    env.store.acts.order_meta(order, "_vat", "DE-2")
    env.store.acts.order_meta(order, "_new", "x")
    assert _compare_all(env) == {("orders", str(order), "UPDATED")}
    event = _last(env)
    changes = orjson.loads(event.changes or b"{}")["changes"]
    hidden = {path for path, one in changes.items() if one == {}}
    assert hidden == changes.keys() - {"date_modified_gmt"}
    assert hidden == {f'meta_data["{REDACTED}"]', f'meta_data["{REDACTED}"].value'}
    sent = b"".join(one.body for one in env.receiver.received)
    assert not any(one in sent + (event.changes or b"") for one in (b"[redacted:", b"[redacted#"))


@pytest.mark.parametrize("setting", ["", "billing.first_name", "orders:billing, customers:email"])
def test_another_setting_updates_nothing(
    shop: StoreToCallback, tmp_path: pathlib.Path, setting: str
) -> None:
    """Objects are read once more and rewritten silently, also back again; a change is seen."""
    order = shop.first("orders")
    other = _restarted(shop, tmp_path, WOO_EVENTS_REDACT=setting)
    assert _compare_all(other) == set()
    assert (PHONE.encode() in _stored(other)) is (setting != "orders:billing, customers:email")
    back = _restarted(shop, tmp_path, WOO_EVENTS_REDACT=REDACT)
    # A change between the restart and the first reading names only what changed.
    shop.store.acts.status(order, "on-hold")
    assert _compare_all(back) == {("orders", str(order), "UPDATED")}
    fields = set(_last(back).changed_fields or ())
    assert "status" in fields and not fields & {"billing", "meta_data"}
    assert not any(one.encode() in _stored(back) for one in (PHONE, EMAIL, VAT))
    assert _compare_all(back) == set()


def test_rotated_keys_update_nothing(shop: StoreToCallback, tmp_path: pathlib.Path) -> None:
    """The key of the hashes is encrypted anew, and stays."""
    new = Cipher.generate_key()
    keys = [*runtime_of(shop.app).settings.encryption_keys, new]
    both = _restarted(shop, tmp_path, WOO_EVENTS_REDACT=REDACT, WOO_EVENTS_ENCRYPTION_KEYS=keys)
    with runtime_of(both.app).database.read() as session:
        before = session.scalars(sa.select(Organization.privacy)).one()
    assert both.app.test_cli_runner().invoke(args=["woo", "keys", "rotate"]).exit_code == 0
    with runtime_of(both.app).database.read() as session:
        assert session.scalars(sa.select(Organization.privacy)).one() != before
    one = _restarted(shop, tmp_path, WOO_EVENTS_REDACT=REDACT, WOO_EVENTS_ENCRYPTION_KEYS=[new])
    assert _compare_all(one) == set()


def test_person_is_found_by_a_hidden_address(shop: StoreToCallback) -> None:
    """The ledger's keyed hash names the owner of an order whose address is nowhere stored."""
    order = shop.first("orders")
    shop.store.acts.status(order, "on-hold")
    shop.poll()
    answer = shop.api.call("POST", "/accounts/erasures", {"email": EMAIL.upper()})
    assert answer.json["counts"]["objects"] == 1
    assert orjson.loads(_last(shop).body)["billing"]["first_name"] == ERASED
    assert _compare_all(shop) == {("orders", str(order), "UPDATED")}, "it was waiting"
    assert b"Hid" not in b"".join(one.body for one in shop.receiver.received)
    assert _compare_all(shop) == set()


@pytest.mark.parametrize("setting", ["id", "billing..phone", "a b", "orders:"])
def test_wrong_setting_is_refused(tmp_path: pathlib.Path, setting: str) -> None:
    """When the application starts, with the entry that is wrong."""
    with pytest.raises(ConfigurationError, match="WOO_EVENTS_REDACT"):
        make_app(tmp_path, WOO_EVENTS_REDACT=setting)
