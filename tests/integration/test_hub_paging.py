"""The pages of the hub. Numbers are rows of the parity table."""

from __future__ import annotations

import collections.abc as cabc
import pathlib

import pytest

from tests.integration.hub_client import Hub, open_hub


@pytest.fixture
def hub(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Hub]:
    """A store that the test can change."""
    with open_hub(tmp_path, tables) as hub:
        yield hub


def _page(hub: Hub, size: int, token: str = "", **query: str) -> tuple[list[int], str]:
    more = {"nextPage": token} if token else {}
    response = hub.call("GET", "/hubs/ecommerce/orders", pageSize=size, **query, **more)
    assert response.status_code == 200
    ids = [row["id"] for row in response.json]
    return ids, response.headers.get("Elements-Next-Page-Token", "")


@pytest.mark.parity(85)
@pytest.mark.parametrize(
    ("resource", "size"),
    [("customers", 2), ("discounts", 1), ("orders", 7), ("products", 3), ("products", 1)],
)
def test_parity_85_two_pages_are_one_of_twice_the_size(hub: Hub, resource: str, size: int) -> None:
    """Pages 1 and 2 of n rows are page 1 of 2n rows, and none has more."""
    pages = [hub.ids(resource, page=page, pageSize=size) for page in (1, 2)]
    assert [len(page) for page in pages] == [size, size]
    assert pages[0] + pages[1] == hub.ids(resource, page=1, pageSize=2 * size)


@pytest.mark.parity(85)
@pytest.mark.parametrize("order", ["", "date_created desc", "id desc"])
@pytest.mark.parametrize("size", [1, 4, 15, 30])
def test_parity_85_next_page_leads_to_the_end(hub: Hub, size: int, order: str) -> None:
    """The token of each page leads through all rows, and the last page has none."""
    query = {"orderBy": order} if order else {}
    pages, token = [], ""
    while True:
        ids, token = _page(hub, size, token, **query)
        pages.append(ids)
        if not token:
            break
    assert [len(page) for page in pages[:-1]] == [size] * (len(pages) - 1)
    assert sorted(sum(pages, [])) == sorted(hub.store.truth("orders"))
    assert pages[-1]


@pytest.mark.parity(85)
def test_parity_85_headers(hub: Hub) -> None:
    """Each list reports its number of rows, and on request the total."""
    response = hub.call("GET", "/orders", pageSize=10, returnTotalCount="true")
    assert response.headers["Elements-Returned-Count"] == "10"
    assert response.headers["Elements-Total-Count"] == "30"
    assert response.headers["Elements-Next-Page-Token"]
    assert "Elements-Total-Count" not in hub.call("GET", "/orders").headers
    past = hub.call("GET", "/orders", page=9, pageSize=10, returnTotalCount="true")
    assert past.json == [] and past.headers["Elements-Total-Count"] == "30"
    assert "Elements-Next-Page-Token" not in past.headers


def test_page_size_is_200_and_no_more(hub: Hub) -> None:
    """200 rows by default and at most, which takes several requests to the store."""
    hub.store.populate(orders=250, products=0, coupons=0, customers=0)
    hub.asked()
    first, token = _page(hub, 500)
    assert len(first) == 200
    assert max(int(one["per_page"]) for one in hub.asked()) == 100
    second, end = _page(hub, 500, token)
    assert len(second) == 80 and not end
    assert len(hub.ids("orders")) == 200
    assert len(set(first + second)) == 280


@pytest.mark.parity(85)
@pytest.mark.parametrize("size", [1, 5, 12])
def test_next_page_loses_nothing_while_rows_go(hub: Hub, size: int) -> None:
    """Orders deleted between two pages hide no other order and repeat none."""
    everything = sorted(hub.store.truth("orders"))
    seen, token = _page(hub, size)
    gone: set[int] = set()
    while token:
        # Rows before the current offset are deleted, so the others move up.
        for number in [one for one in seen if one not in gone][:3]:
            gone.add(number)
            assert hub.call("DELETE", f"/orders/{number}").status_code == 200
        ids, token = _page(hub, size, token)
        seen += ids
    assert seen == everything


def test_next_page_is_of_one_list_only(hub: Hub) -> None:
    """A token is refused in another list, where it would skip rows silently."""
    _ids, token = _page(hub, 5)
    other = {"where": "status = 'completed'"}
    for path, query in (("/products", {}), ("/orders", other), ("/orders", {"orderBy": "id desc"})):
        response = hub.call("GET", path, nextPage=token, **query)
        assert response.status_code == 400, (path, query)


def test_pages_that_never_end(hub: Hub) -> None:
    """A store that shows the same rows at every offset ends a page in an error, not in a loop."""
    hub.store.populate(orders=150, products=0, coupons=0, customers=0)
    _ids, token = _page(hub, 120)
    hub.store.faults.add("endless_pages", match="/orders", times=100)
    hub.asked()
    response = hub.call("GET", "/orders", pageSize=2, nextPage=token)
    assert response.status_code == 502
    assert "same rows at every offset" in response.json["providerMessage"]
    assert len(hub.asked()) <= 40


def test_store_that_ignores_offsets(hub: Hub) -> None:
    """Rows at other offsets than requested are found, and no page ends early."""
    everything = sorted(hub.store.truth("orders"))
    _ids, token = _page(hub, 20)
    hub.store.faults.add("endless_pages", match="/orders", times=100)
    ids, token = _page(hub, 2, token)
    assert ids == everything[20:22] and token


def test_rows_out_of_order(hub: Hub) -> None:
    """Rows that are not in the requested order are an error."""
    hub.store.faults.add("duplicate_ids", match="/orders")
    response = hub.call("GET", "/orders", pageSize=10)
    assert response.status_code == 502
    assert "order of their ids" in response.json["providerMessage"]
