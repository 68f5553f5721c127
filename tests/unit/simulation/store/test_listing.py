"""Listings of the simulated store: filters, order, pages and totals."""

from __future__ import annotations

import datetime as dt

import pytest

from flask_woo_events.simulation.store import SimulatedStore

from .conftest import MakeStore, ask, ids


def create_products(store: SimulatedStore, count: int = 40) -> set[int]:
    """Create products in the same second and return their ids."""
    return {store.acts.new_product(f"Thing {number}") for number in range(count)}


def walk(store: SimulatedStore, path: str, **params: object) -> list[int]:
    """Return the ids of all pages of four rows."""
    found: list[int] = []
    for page in range(1, 11):
        found += ids(store, path, per_page=4, page=page, **params)
    return found


@pytest.mark.parametrize("orderby", ["modified", "date"])
def test_paging_by_date_loses_tied_rows(store: SimulatedStore, orderby: str) -> None:
    """Rows of one second have another order in each query, so pages repeat and miss rows."""
    made = create_products(store)
    found = walk(store, "products", orderby=orderby)
    assert len(found) == len(made)
    assert set(found) < made


def test_paging_by_id_is_exact(store: SimulatedStore) -> None:
    """Paging by id returns every row once."""
    made = create_products(store)
    assert walk(store, "products", orderby="id", order="asc") == sorted(made)


def test_dates_are_exclusive(store: SimulatedStore) -> None:
    """A row with the date of the limit is neither after nor before it."""
    made = store.acts.new_product("Mug")
    for name, shift, found in (
        ("modified_after", 0, []),
        ("modified_before", 0, []),
        ("modified_after", -1, [made]),
        ("modified_before", 1, [made]),
    ):
        limit = (store.clock.now() + dt.timedelta(seconds=shift)).isoformat()[:19]
        assert ids(store, "products", dates_are_gmt="true", **{name: limit}) == found


@pytest.mark.parametrize(
    ("text", "gmt", "included"),
    [
        ("2026-11-23T11:59:59", "true", True),
        ("2026-11-23T11:59:59Z", "true", False),
        ("2026-11-23T11:59:59Z", "false", True),
        ("2026-11-23T12:00:00Z", "false", False),
        ("2026-11-23T12:59:59", "false", True),
        ("2026-11-23T13:00:00", "false", False),
    ],
)
@pytest.mark.parametrize("version", ["8.0", "11.0"])
def test_offsets_are_converted_to_local_digits(
    make_store: MakeStore, version: str, text: str, gmt: str, included: bool
) -> None:
    """With ``dates_are_gmt``, an offset shifts the limit by that of the site."""
    store = make_store(version, timezone="Europe/Berlin")
    order = store.acts.place_order(0, [])
    found = ids(store, "orders", modified_after=text, dates_are_gmt=gmt)
    assert found == ([order] if included else [])


def test_digits_in_the_spring_gap_move_forward(make_store: MakeStore) -> None:
    """A limit in the hour that is skipped in spring counts as an hour later."""
    store = make_store(timezone="Europe/Berlin")
    store.clock.set(dt.datetime(2026, 3, 29, 2, 45, tzinfo=dt.UTC))
    order = store.acts.place_order(0, [])
    limits = {"modified_after": "2026-03-29T02:30:00", "dates_are_gmt": "true"}
    assert ids(store, "orders", **limits) == []
    limits["modified_after"] = "2026-03-29T01:59:00"
    assert ids(store, "orders", **limits) == [order]


def test_repeated_hour_is_recorded_an_hour_early(make_store: MakeStore) -> None:
    """HPOS records changes in the repeated hour as if they were in the first one."""
    store = make_store(timezone="Europe/Berlin")
    order = store.acts.place_order(0, [])
    store.clock.set(dt.datetime(2027, 10, 31, 1, 30, tzinfo=dt.UTC))
    store.acts.order_meta(order)
    assert store.truth("orders")[order]["date_modified_gmt"] == "2027-10-31T00:30:00"


def test_any_excludes_the_trash(store: SimulatedStore) -> None:
    """``any`` overrides every other status of the list."""
    live, gone = store.acts.place_order(0, []), store.acts.place_order(0, [])
    store.acts.trash_post(gone)
    assert ids(store, "orders", status="any") == [live]
    assert ids(store, "orders", status="any,trash") == [live]
    assert sorted(ids(store, "orders", status="processing,trash")) == [live, gone]


@pytest.mark.parametrize(("version", "shown"), [("9.4", 1), ("11.0", 2)])
def test_include_status_is_new(make_store: MakeStore, version: str, shown: int) -> None:
    """Only the newest version lists trashed products with the others."""
    store = make_store(version)
    create_products(store, 2)
    store.acts.trash_post(min(store.truth("products")))
    assert len(ids(store, "products", include_status="any,trash")) == shown


@pytest.mark.parametrize(
    ("path", "name", "value", "code"),
    [
        ("orders", "per_page", "0", "rest_out_of_bounds"),
        ("orders", "per_page", "101", "rest_out_of_bounds"),
        ("orders", "page", "x", "rest_invalid_type"),
        ("orders", "status", "nonesuch", "rest_not_in_enum"),
        ("products", "status", "any,trash", "rest_not_in_enum"),
        ("products", "modified_after", "yesterday", "rest_invalid_date"),
        ("customers", "orderby", "modified", "rest_not_in_enum"),
    ],
)
def test_wrong_parameters_are_refused(
    store: SimulatedStore, path: str, name: str, value: str, code: str
) -> None:
    """A value that the schema does not allow returns 400 with the name of the parameter."""
    answer = ask(store, path, **{name: value})
    assert answer.status_code == 400
    assert answer.json is not None
    assert answer.json["data"]["details"][name]["code"] == code


def test_draft_of_checkout_is_unknown_to_old_versions(make_store: MakeStore) -> None:
    """A list with an unknown status is refused."""
    assert ask(make_store("5.9"), "orders", status="pending,checkout-draft").status_code == 400
    assert ask(make_store("7.0"), "orders", status="pending,checkout-draft").status_code == 200


def test_customers_are_filtered_by_role_and_by_no_date(store: SimulatedStore) -> None:
    """Without a role, only customers are listed, and dates are ignored."""
    customer, user = store.acts.new_customer("ann"), store.acts.new_user("sub")
    assert ids(store, "customers", modified_after="2099-01-01T00:00:00") == [customer]
    assert sorted(ids(store, "customers", role="all")) == [1, customer, user]


@pytest.mark.parametrize(
    ("version", "path", "total"),
    [("11.0", "orders", "0"), ("8.0", "orders", "1"), ("11.0", "products", "1")],
)
def test_totals_past_the_end(make_store: MakeStore, version: str, path: str, total: str) -> None:
    """Past the end, HPOS returns a total of 0, and posts return the right total."""
    store = make_store(version)
    store.acts.place_order(0, [store.acts.new_product("Mug")])
    assert ask(store, path, page=9).headers["X-WP-Total"] == total
    assert ask(store, path, offset=9).headers["X-WP-Total"] == "0"


def test_fields_keep_the_order_of_the_object(store: SimulatedStore) -> None:
    """``_fields`` selects fields, also of nested objects, without changing their order."""
    store.acts.place_order(0, [store.acts.new_product("Mug")])
    answer = ask(store, "orders", _fields="status,id,billing.email,line_items.name")
    assert answer.json is not None
    assert list(answer.json[0]) == ["id", "status", "billing", "line_items"]
    assert answer.json[0]["billing"] == {"email": ""}
    assert answer.json[0]["line_items"] == [{"name": "Mug"}]


def test_related_ids_are_shuffled(store: SimulatedStore) -> None:
    """Two reads of a product differ in the order of its related ids."""
    made = create_products(store, 5)
    seen = {str(ask(store, f"products/{min(made)}").json["related_ids"]) for _ in range(30)}  # type: ignore[index]
    assert len(seen) > 1


def test_head_returns_the_total(store: SimulatedStore) -> None:
    """``HEAD`` returns the headers without a body."""
    create_products(store, 3)
    answer = ask(store, "products", method="HEAD")
    assert (answer.headers["X-WP-Total"], answer.data) == ("3", b"")


def test_links_to_neighbouring_pages(store: SimulatedStore) -> None:
    """A page links to the previous and the next page."""
    create_products(store, 3)
    link = ask(store, "products", per_page=1, page=2).headers["Link"]
    assert 'page=1>; rel="prev"' in link
    assert 'page=3>; rel="next"' in link


def test_date_header_is_that_of_the_store(store: SimulatedStore) -> None:
    """The header ``Date`` is the time of the store's clock."""
    assert ask(store, "orders").headers["Date"] == "Mon, 23 Nov 2026 12:00:00 GMT"
