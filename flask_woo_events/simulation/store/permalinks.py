"""The permalinks of a simulated store: where its REST API is, and what its front page says."""

from __future__ import annotations

import dataclasses
import typing as t

from .responses import SimulatedResponse

#: ``pretty``; ``index`` without rewriting by the web server; ``plain``; ``broken``: pretty in
#: WordPress, which the web server does not know.
Permalinks = t.Literal["pretty", "index", "plain", "broken"]

REST = "/wp-json/"
_PLACES: dict[Permalinks, str] = {
    "pretty": REST,
    "index": "/index.php/wp-json/",
    "plain": "/index.php?rest_route=/",
    "broken": REST,
}
_PAGE = b"<!DOCTYPE html><html><head><title>Shop</title></head><body>Hello world!</body></html>"
_LOST = b"<!DOCTYPE html><title>404 Not Found</title><h1>Not Found</h1>"


@dataclasses.dataclass(frozen=True)
class Place:
    """A request to the REST API.

    :param path: the path as with pretty permalinks.
    :param signed: the path that WooCommerce signs.
    :param sees_keys: whether WooCommerce checks the keys of the request.
    """

    path: str
    signed: str
    sees_keys: bool = True


def root_of(permalinks: Permalinks) -> str:
    """Return where WordPress says that the REST API is, below the front page."""
    return _PLACES[permalinks]


def place_of(
    permalinks: Permalinks, path: str, query: str, route: str | None
) -> Place | SimulatedResponse:
    """Return what a request asks of the REST API, or the page that it gets instead.

    :param route: the parameter ``rest_route``.
    """
    if route and path in ("/", "/index.php"):
        # As in WC_REST_Authentication::is_request_to_rest_api.
        address = f"{path}?{query}"
        keys = f"{REST[1:]}wc/" in address or f"{REST[1:]}wc-" in address
        return Place(f"/wp-json{route}", path.removesuffix("/"), keys)
    if path in ("/", "/index.php"):
        return SimulatedResponse(200, _PAGE, [("Content-Type", "text/html")], authenticated=False)
    if permalinks == "pretty":
        return Place(path, path)
    if permalinks == "index" and path.startswith("/index.php/wp-json"):
        return Place(path.removeprefix("/index.php"), path)
    return SimulatedResponse(
        404, _LOST, [("Content-Type", "text/html"), ("Link", "")], authenticated=False
    )
