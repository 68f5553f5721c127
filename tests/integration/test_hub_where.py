"""``where`` and ``orderBy`` that a store cannot apply, over real sockets."""

from __future__ import annotations

import collections.abc as cabc
import decimal
import pathlib
import typing as t

import pytest

from flask_woo_events.api.hub import scan
from tests.integration.hub_client import Body, Hub, open_hub

Test = cabc.Callable[[Body], bool]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, tables: pathlib.Path) -> cabc.Iterator[Hub]:
    """A store that the tests only read."""
    with open_hub(tmp_path_factory.mktemp("hub"), tables) as hub:
        yield hub


def _total(row: Body) -> decimal.Decimal:
    return decimal.Decimal(row["total"])


CASES: list[tuple[str, str, Test]] = [
    ("orders", "total > 40", lambda row: _total(row) > 40),
    ("orders", "total >= '40' and total <= 80.5", lambda row: 40 <= _total(row) <= 80.5),
    ("orders", "status = 'completed' or total < 30",
     lambda row: row["status"] == "completed" or _total(row) < 30),
    ("orders", "(status='completed' OR status='processing') AND total>20 AND (id>9 OR id<3)",
     lambda row: row["status"] in ("completed", "processing") and _total(row) > 20
     and not 3 <= row["id"] <= 9),
    ("orders", "status like 'C%D'", lambda row: row["status"] in ("completed", "cancelled")),
    ("orders", "status != 'completed'", lambda row: row["status"] != "completed"),
    ("orders", "`billing.email` like '%1@%'", lambda row: "1@" in row["billing"]["email"]),
    ("orders", "date_paid is null", lambda row: row.get("date_paid") is None),
    ("orders", "date_paid is not null and total > 10",
     lambda row: row.get("date_paid") is not None and _total(row) > 10),
    ("orders", "line_items.quantity >= 2",
     lambda row: any(item["quantity"] >= 2 for item in row["line_items"])),
    ("orders", "coupon_lines is null", lambda row: not row["coupon_lines"]),
    ("products", "name like '%1%' or price < 20",
     lambda row: "1" in row["name"] or (row["price"] and float(row["price"]) < 20)),
    ("products", "status in ('draft', 'publish') and categories.id is not null",
     lambda row: row["status"] in ("draft", "publish") and row["categories"]),
    ("customers", "created_date > '2020-01-01' and created_date < '2099-01-01'",
     lambda row: "2020-01-01" < row["date_created"] < "2099-01-01"),
    ("customers", "created_date > '2020-01-01' and billing.country = 'US'",
     lambda row: row["date_created"] > "2020-01-01" and row["billing"]["country"] == "US"),
    ("customers", "is_paying_customer = true", lambda row: row["is_paying_customer"]),
    ("customers", "first_name != 'Ann'", lambda row: row["first_name"] != "Ann"),
    ("discounts", "amount >= 10 or code like 'x%'",
     lambda row: float(row["amount"]) >= 10 or row["code"].startswith("x")),
    ("discounts", "discount_type in ('percent') and id > 1",
     lambda row: row["discount_type"] == "percent"),
    ("products-categories", "count >= 1", lambda row: row["count"] >= 1),
    ("products-categories", "parent = 0 or name = 'x'", lambda row: row["parent"] == 0),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "where", "test"), CASES)
def test_where_on_any_member(hub: Hub, resource: str, where: str, test: Test) -> None:
    """Every operator works on every member, and the answer is as if the client had filtered."""
    rows = hub.rows(resource)
    true = [row["id"] for row in rows if test(row)]
    found = hub.call("GET", f"/{resource}", where=where, returnTotalCount="true")
    assert sorted(row["id"] for row in found.json) == sorted(true)
    assert found.headers["Elements-Total-Count"] == str(len(true))
    shown = hub.rows(resource, where=where, fields="id")
    assert [set(row) for row in shown] == [{"id"}] * len(true)


def test_the_cases_select_some_rows(hub: Hub) -> None:
    """Most conditions of these tests hold for some rows and not for others."""
    counts = [
        (len([row for row in hub.rows(resource) if test(row)]), len(hub.rows(resource)))
        for resource, _where, test in CASES
    ]
    assert sum(0 < some < every for some, every in counts) >= 10


def test_the_store_filters_by_what_it_can(hub: Hub) -> None:
    """Only the rest is read: the status is sent to the store."""
    hub.asked()
    hub.rows("orders", where="status = 'completed' and (total > 40 or total < 10)")
    assert {one["status"] for one in hub.asked()} == {"completed"}


def _follow(hub: Hub, resource: str, **query: object) -> list[list[int]]:
    pages, token = list[list[int]](), ""
    while True:
        more = {"nextPage": token} if token else {}
        response = hub.call("GET", f"/{resource}", **query, **more)
        assert response.status_code == 200
        pages.append([row["id"] for row in response.json])
        token = response.headers.get("Elements-Next-Page-Token", "")
        if not token:
            return pages


@pytest.mark.parity(85)
@pytest.mark.parametrize("size", [1, 3, 7, 30])
@pytest.mark.parametrize("order", ["", "total desc", "date_created desc", "id desc"])
def test_parity_85_pages_of_filtered_rows(hub: Hub, size: int, order: str) -> None:
    """All pages but the last are full, and together they are the rows of one."""
    query = {"where": "status != 'completed'"} | ({"orderBy": order} if order else {})
    every = hub.ids("orders", **query)
    pages = _follow(hub, "orders", pageSize=size, **query)
    assert sum(pages, []) == every and len(every) > 7
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1) and pages[-1]
    second = hub.ids("orders", pageSize=size, page=2, **query)
    assert second == every[size : 2 * size]


def test_order_by_any_member(hub: Hub) -> None:
    """Numbers are ordered by value, texts without case, and missing ones first."""
    totals = [_total(row) for row in hub.rows("orders", orderBy="total desc", fields="total")]
    assert totals == sorted(totals, reverse=True) and len(totals) == 30
    mails = [row["billing"]["email"] for row in hub.rows("orders", orderBy="`billing.email`")]
    assert mails == sorted(mails)
    paid = [row.get("date_paid") or "" for row in hub.rows("orders", orderBy="date_paid asc")]
    assert paid == sorted(paid)
    mails = [row["email"] for row in hub.rows("customers", orderBy="email desc", fields="email")]
    assert mails == sorted(mails, reverse=True) and len(mails) == 9


@pytest.mark.parametrize(
    "query", [{"orderBy": "totl"}, {"where": "totl > 5"}, {"where": "id > 5 and x.y = 'a'"}]
)
@pytest.mark.parametrize("resource", ["orders", "customers", "products-categories"])
def test_unknown_member(hub: Hub, resource: str, query: dict[str, str]) -> None:
    """A member that no object has is an error that names it, and not an empty list."""
    response = hub.call("GET", f"/{resource}", **query)
    assert response.status_code == 400 and "no object" in response.json["message"]


@pytest.mark.parametrize(
    "query",
    [
        {"where": "total > 999999"},
        {"where": "total > 1", "page": "25", "pageSize": "1"},
        {"where": "total > 1", "pageSize": "1", "returnTotalCount": "true"},
        {"orderBy": "total"},
    ],
)
def test_bound_on_rows_read(
    hub: Hub, query: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query that would read too many rows is an error that names the bound and the fix."""
    monkeypatch.setattr(scan, "ROWS_MOST", 20)
    response = hub.call("GET", "/orders", **query)
    assert response.status_code == 400
    assert "20 rows" in response.json["message"] and "created_date" in response.json["message"]


def test_pages_go_on_beyond_the_bound(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is one of each page, so all pages together can read more rows."""
    monkeypatch.setattr(scan, "ROWS_MOST", 20)
    pages = _follow(hub, "orders", where="total > 1", pageSize=5)
    assert sum(pages, []) == hub.ids("orders")


def test_filtered_pages_lose_nothing_while_rows_go(
    tmp_path: pathlib.Path, tables: pathlib.Path
) -> None:
    """Orders deleted between two pages hide no other order and repeat none."""
    with open_hub(tmp_path, tables) as hub:
        where: dict[str, t.Any] = {"where": "status != 'completed'", "pageSize": 4}
        everything = hub.ids("orders", where=where["where"])
        seen, token = list[int](), ""
        while True:
            more = {"nextPage": token} if token else {}
            response = hub.call("GET", "/orders", **where, **more)
            seen += [row["id"] for row in response.json]
            token = response.headers.get("Elements-Next-Page-Token", "")
            if not token:
                break
            hub.call("DELETE", f"/orders/{seen[-1]}")
        assert seen == everything
