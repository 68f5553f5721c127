"""The addresses of one store: its front page, its REST API below that, and their queries."""

from __future__ import annotations

import collections.abc as cabc
import html
import re
import time
import urllib.parse

from ..errors import InputError
from .oauth import Pairs, encode

Param = str | int | float | bool | cabc.Sequence[str | int] | None
Params = cabc.Mapping[str, Param]

#: The path of WooCommerce's REST API where permalinks are not plain.
API = "/wp-json/wc/v3/"
#: Where WordPress' REST API is with most permalinks.
REST = "/wp-json/"
#: Where it is with any permalinks.
PLAIN = "/?rest_route=/"
#: WooCommerce checks keys only if the requested address contains this (5.9 to 11.0, see
#: ``WC_REST_Authentication::is_request_to_rest_api``). With plain permalinks it does not.
_MARK = "/wp-json/wc/"
_PATH = re.compile(r"[A-Za-z0-9/_.~-]+")
_RELATION = "https://api.w.org/"
_LINK = re.compile(r'<([^<>]*)>; *rel="https://api\.w\.org/"')
_HTML_LINK = re.compile(rb"<link rel=[\"']https://api\.w\.org/[\"'] href=[\"']([\x21-\x7e]*?)[\"']")
_VERSION = re.compile(r"v[0-9]+")
#: Words below a collection of WooCommerce, or of the companion plugin.
_BELOW = frozenset(
    "attributes batch categories changes count notes refunds reviews shipping_classes statuses "
    "tags taxes terms totals variations".split()
)
#: Bytes of a page that are searched for its link.
_LOOK = 256 * 1024
_KNOWN = re.compile(r"/(?:[A-Za-z0-9/_.~-]*/|(?:index\.php)?\?rest_route=/)\Z")


def store_root(url: str) -> str:
    """Return the normalised address of a store's front page, without a final slash.

    A missing scheme means ``https``; the path of the REST API at the end is removed.

    :raises InputError: the text is not an address of a store.
    """
    field = "store.url"
    text = url.strip()
    if "<" in text or ">" in text:
        raise InputError(
            "store.url still has the angle brackets of the documentation's placeholder; "
            "write the address of the store there",
            field,
        )
    if "://" not in text:
        text = "https://" + text.removeprefix("//")
    try:
        parts = urllib.parse.urlsplit(text)
        port = parts.port
    except ValueError as exc:
        raise InputError("store.url is not an address", field) from exc
    if parts.scheme.lower() not in ("http", "https"):
        raise InputError("store.url has to begin with https:// or http://", field)
    host = (parts.hostname or "").rstrip(".")
    if not host or any(each.isspace() or not each.isprintable() for each in text):
        raise InputError("store.url has no host name, or has spaces in it", field)
    if parts.username is not None or parts.password is not None:
        raise InputError("store.url must not hold a user name or a password", field)
    if parts.query or parts.fragment:
        raise InputError("store.url must not have a query or a fragment", field)
    netloc = f"[{host}]" if ":" in host else host
    path = parts.path.partition("/wp-json")[0].rstrip("/")
    return f"{parts.scheme.lower()}://{netloc}{f':{port}' if port else ''}{path}"


def full_path(path: str) -> str:
    """Return the path of a request below the store's front page, as with usual permalinks.

    :param path: below ``/wp-json/wc/v3/``, unless it begins with ``/wp-json/``.
    :raises InputError: the path has other characters than those of the store's API.
    """
    path = path.lstrip("/")
    if not _PATH.fullmatch(path) or ".." in path:
        raise InputError("a path of the store's API has letters, digits, /, -, _ and . only")
    return f"/{path}" if path.startswith("wp-json/") else f"{API}{path}"


def rest_link(link: str, root: str) -> str:
    """Return where the REST API is below a store's front page, by the ``Link`` of any page.

    :return: ``/wp-json/``, ``/index.php/wp-json/``, ``/index.php?rest_route=/`` or another path;
        empty if the header does not name it. Its host is ignored: keys go to no other host.
    """
    found = _LINK.search(link)
    if found is None:
        return ""
    try:
        parts = urllib.parse.urlsplit(found[1])
        base = urllib.parse.urlsplit(root).path
    except ValueError:
        return ""
    path = parts.path.removeprefix(base) if parts.path.startswith(f"{base}/") else parts.path
    query = f"?{urllib.parse.unquote(parts.query)}" if parts.query else ""
    rest = f"{path}{query}"
    return rest if _KNOWN.match(rest) and ".." not in rest else ""


def html_link(page: bytes) -> str:
    """Return the link to the REST API in the HTML of a page, as the ``Link`` header has it."""
    found = _HTML_LINK.search(page, 0, _LOOK)
    return "" if found is None else f'<{html.unescape(found[1].decode())}>; rel="{_RELATION}"'


def rest_address(rest: str, path: str, pairs: Pairs) -> tuple[str, Pairs]:
    """Return the path and the query to request instead of those with usual permalinks.

    :param rest: where the REST API is, see :func:`rest_link`.
    :param path: begins with ``/wp-json/``.
    """
    base, plain, _slash = rest.partition("?rest_route=")
    if not plain:
        return f"{rest}{path.removeprefix(REST)}", pairs
    varying = next((value for name, value in pairs if name == "_"), "")
    others = [pair for pair in pairs if pair[0] != "_"]
    return base, [
        ("rest_route", f"/{path.removeprefix(REST)}"), ("_", f"{varying}{_MARK}"), *others
    ]  # fmt: skip


def path_template(path: str, pairs: Pairs) -> str:
    """Return the path of a request for a trace: without a query, with ``{id}`` in place of ids.

    The ids of other plugins' objects may be names of people, so only the route of a collection and
    known words below it are kept.
    """
    route = next((value for name, value in pairs if name == "rest_route"), None)
    if route is None:
        _before, found, route = path.partition(REST)
        if not found:
            return "/"
    parts = route.strip("/").split("/")
    words = 3 if len(parts) > 1 and _VERSION.fullmatch(parts[1]) else 2
    kept = (
        part if at < words or part in _BELOW else "{id}" if part else ""
        for at, part in enumerate(parts)
    )
    return REST + "/".join(kept)


def write_query(pairs: Pairs) -> str:
    """Write a query string in RFC 3986 form, in the order given."""
    return "&".join(
        # Slashes are allowed there, and WooCommerce looks for this text as it is.
        f"{encode(name)}={value if name == '_' and value.endswith(_MARK) else encode(value)}"
        for name, value in pairs
    )


def varying() -> tuple[str, str]:
    """Return a parameter that no request had before, so that no cache has seen the request."""
    return "_", f"{time.time_ns():x}"


def query_pairs(params: Params) -> Pairs:
    """Return parameters as they are sent: lists joined with commas, without those that are None.

    :raises InputError: a name has brackets.
    """
    pairs = []
    for name, value in params.items():
        if "[" in name:
            raise InputError("a list goes to the store joined with commas, not in brackets", name)
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif not isinstance(value, str) and isinstance(value, cabc.Sequence):
            value = ",".join(map(str, value))
        pairs.append((name, str(value)))
    return pairs
