"""The answers of a store: what they show, or one of our errors."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import html
import re
import typing as t
import urllib.parse

from ..errors import (
    StoreAccessError,
    StoreBusyError,
    StoreError,
    StoreFailedError,
    StoreFirewallError,
    StoreGarbledError,
    StoreRejectedError,
)
from ..http.exchange import Exchange, without_query
from ..http.headers import http_date, retry_after
from ..values.validation import whole_number
from . import firewalls
from .json_text import LOOK, JsonText, parse_json
from .oddities import (
    DATABASE_ERROR,
    QUERY_FAILED,
    STATUS_CONTRADICTS_BODY,
    STATUS_IN_BODY,
    TEXT_AROUND_JSON,
    Oddities,
)

#: Longest message of a store that an error keeps, characters.
SAID_CHARS = 300
#: Longest name or title of a firewall that an error keeps, characters.
FIREWALL_CHARS = 200
_TAG = re.compile(r"<[^<>]*>")
_SPACES = re.compile(r"\s+")
#: WordPress replaces the link to its REST API by those to other pages of a list.
_ROOT_LINK = re.compile(
    r'<([^<>?]*)(?:/wp-json/|\?rest_route=/)[^<>]*>|<([^<>]*)>; *rel="https://api\.w\.org/"'
)
_LANGUAGE = re.compile(r"/[a-z]{2}([_-][A-Za-z]{2,4})?\Z")


@dataclasses.dataclass(frozen=True)
class StoreResponse:
    """A successful answer of the store.

    :param data: the JSON; ``None`` for HEAD.
    :param headers: case-insensitive.
    :param date: the ``Date`` header in UTC: the store's clock.
    :param total: ``X-WP-Total``: rows of the collection; correct only on its first page.
    :param pages: ``X-WP-TotalPages``.
    :param seconds: duration of the exchange.
    :param bytes: length of the unpacked body.
    :param notices: text around the JSON.
    :param doubtful: it may lack objects, so it proves no absence.
    :param root: the store's own address in the ``Link`` header, normalised; empty without one
        (WooCommerce 5.9 to 11.0 send it; a proxy may remove it).
    :param unreadable: rows that the store failed to show and that are left out.
    """

    status: int
    data: t.Any
    headers: cabc.Mapping[str, str]
    date: dt.datetime | None
    total: int | None
    pages: int | None
    seconds: float
    bytes: int
    notices: str = ""
    doubtful: bool = False
    root: str = ""
    unreadable: int = 0


def read_answer(
    exchange: Exchange,
    *,
    method: str,
    url: str,
    oddities: Oddities,
    hide: cabc.Callable[[str], str] = str,
) -> StoreResponse:
    """Return the answer as a :class:`StoreResponse`, or raise its error.

    :param url: the requested URL without its query.
    :param oddities: receives what is odd about the answer.
    :param hide: removes secrets from a text of the store.
    :raises StoreError: a subclass by status and body.
    """
    headers, succeeded = exchange.headers, 200 <= exchange.status < 300
    found = JsonText(None)
    if succeeded and method != "HEAD" and exchange.status != 204:
        found = _json_of(exchange, url, hide)
        if (status := _status_of(found.data)) is not None:
            oddities.add(STATUS_IN_BODY, f"{exchange.status} with a body that says {status}")
            raise _error(dataclasses.replace(exchange, status=status), url, hide)
        if isinstance(found.data, dict) and found.data.keys() == {"message"}:
            if (firewall := firewalls.name_of(exchange)) is not None:
                raise _refused(exchange, url, hide, firewall)
        _refuse_failure(found, exchange, url, hide)
    elif not succeeded:
        data = _data_of_error(exchange) if method == "GET" else None
        if data is None:
            raise _error(exchange, url, hide)
        oddities.add(STATUS_CONTRADICTS_BODY, f"{exchange.status} with the objects asked for")
        found = data
    if found.around:
        if found.database_failed:
            oddities.add(DATABASE_ERROR, QUERY_FAILED)
        else:
            oddities.add(TEXT_AROUND_JSON, "text before or after the JSON")
    return StoreResponse(
        status=exchange.status,
        data=found.data,
        headers=headers,
        date=http_date(headers.get("Date", "")),
        total=whole_number(headers.get("X-WP-Total", "")),
        pages=whole_number(headers.get("X-WP-TotalPages", "")),
        seconds=exchange.seconds,
        bytes=len(exchange.body),
        notices=_shown(found.around[:LOOK].decode("utf-8", "replace"), hide),
        doubtful=not succeeded or found.database_failed,
        root=read_root(headers.get("Link", "")),
    )


def _json_of(exchange: Exchange, url: str, hide: cabc.Callable[[str], str]) -> JsonText:
    if exchange.truncated:
        what = (
            f"is larger than {len(exchange.body)} bytes; ask for fewer rows per page, "
            "or raise WOO_EVENTS_STORE_MAX_BYTES"
        )
        raise _garbled(exchange, url, hide, what)
    try:
        return parse_json(exchange.body)
    except ValueError as exc:
        if (firewall := firewalls.name_of(exchange)) is not None:
            raise _refused(exchange, url, hide, firewall) from exc
        what = "is empty" if not exchange.body.strip() else "is not JSON"
        raise _garbled(exchange, url, hide, what) from exc


def _refuse_failure(
    found: JsonText, exchange: Exchange, url: str, hide: cabc.Callable[[str], str]
) -> None:
    """Refuse an answer that a failure may have emptied."""
    if found.died:
        raise _garbled(exchange, url, hide, "begins with a fatal error of PHP")
    if found.data:
        return
    if found.odd and whole_number(exchange.headers.get("X-WP-Total", "")) != 0:
        raise _garbled(exchange, url, hide, "is empty, and has other text around its JSON")


def _status_of(data: object) -> int | None:
    """Return the status of WordPress' error object; coupons have a ``code``, too."""
    if not isinstance(data, dict) or "id" in data:
        return None
    details = data.get("data")
    status = details.get("status") if isinstance(details, dict) else None
    is_error = isinstance(data.get("code"), str) and isinstance(data.get("message"), str)
    if not is_error or type(status) is not int or not 300 <= status < 600:
        return None
    return status


def _data_of_error(exchange: Exchange) -> JsonText | None:
    """Return the objects in a 404 or 5xx: a plugin sets the status, or fails after the answer."""
    if exchange.truncated or not (exchange.status == 404 or exchange.status >= 500):
        return None
    if exchange.status == 503:
        return None
    try:
        found = parse_json(exchange.body)
    except ValueError:
        return None
    rows = found.data if isinstance(found.data, list) else [found.data]
    counted = whole_number(exchange.headers.get("X-WP-Total", "")) == 0
    return found if (rows or counted) and all(map(_is_object, rows)) else None


def _is_object(row: object) -> bool:
    """Return whether this is an object of a store: reports have a slug in place of an id."""
    return isinstance(row, dict) and (type(row.get("id")) is int or type(row.get("slug")) is str)


def read_root(link: str) -> str:
    """Return the address of WordPress in a ``Link`` header; empty if there is none.

    Without scheme, ``www``, port and language, which one store may have several of.
    """
    found = _ROOT_LINK.search(link)
    if found is None:
        return ""
    try:
        parts = urllib.parse.urlsplit(found[1] or found[2])
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return ""
    path = parts.path.partition("/wp-json")[0].removesuffix("/index.php").rstrip("/")
    root = host + _LANGUAGE.sub("", path)
    return root if root.isprintable() else ""


def plain_text(text: str, limit: int = SAID_CHARS) -> str:
    """Return the text of HTML on one line, at most ``limit`` characters of it."""
    text = html.unescape(_TAG.sub(" ", text))
    text = _SPACES.sub(" ", "".join(each if each.isprintable() else " " for each in text)).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def said(body: bytes, hide: cabc.Callable[[str], str] = str) -> tuple[str, str]:
    """Return code and message of an error answer, without the secrets of the request.

    The message is WooCommerce's, or the title of an HTML page. Of other text nothing is quoted: it
    may hold customers' data, as a list that is cut off does.

    :param hide: removes secrets from a text of the store.
    """
    try:
        data = parse_json(body).data
    except ValueError:
        text = body[:LOOK].decode("utf-8", "replace")
        return "", _shown(firewalls.title_of(text), hide)
    if not isinstance(data, dict):
        return "", ""
    code = "" if "id" in data else str(data.get("code") or "")
    return _shown(code, hide, 100), _shown(str(data.get("message") or ""), hide)


def _shown(text: str, hide: cabc.Callable[[str], str], limit: int = SAID_CHARS) -> str:
    """Return a text without secrets, which are hidden before any of them is cut off."""
    return plain_text(hide(plain_text(hide(text), len(text))), limit)


def _error(exchange: Exchange, url: str, hide: cabc.Callable[[str], str]) -> StoreError:
    status = exchange.status
    if (firewall := firewalls.name_of(exchange)) is not None:
        return _refused(exchange, url, hide, firewall)
    code, words = said(exchange.body, hide)
    failed = _database_failed(exchange.body)
    shown = urllib.parse.urlsplit(url)
    message = f"{shown.netloc} answered {status}"
    kind: type[StoreError] = StoreRejectedError
    if status in (401, 403):
        kind = StoreAccessError
    elif status in (429, 503):
        kind = StoreBusyError
    elif 300 <= status < 400:
        message += _where(url, exchange.headers.get("Location", ""), hide)
    elif status >= 500:
        kind = StoreFailedError
    elif not 400 <= status < 500:
        kind = StoreGarbledError
    message += f": {words}" if words else ""
    if status == 404 and not code:
        message += (
            " (no REST API there: is store.url right? If it is, choose a structure other than"
            " Plain in the store's Settings > Permalinks)"
        )
    return kind(
        message,
        url=url,
        status=status,
        code=code,
        said=words,
        retry_after=retry_after(exchange.headers),
        doubtful=failed,
    )


def _database_failed(body: bytes) -> bool:
    try:
        return parse_json(body).database_failed
    except ValueError:
        return False


def _refused(
    exchange: Exchange, url: str, hide: cabc.Callable[[str], str], firewall: str
) -> StoreFirewallError:
    words = _shown(firewall, hide, FIREWALL_CHARS)
    host = urllib.parse.urlsplit(url).netloc
    if exchange.status == 401:
        message = (
            f"{host} answered 401: a password protects the site ({words}). Exclude /wp-json/ from "
            "it, or set its Authorization header in store.headers"
        )
    else:
        message = (
            f"{host} answered {exchange.status}: a firewall refused us ({words}). Allow this "
            "server's address for /wp-json/ there, or set store.user.agent or store.headers"
        )
    return StoreFirewallError(
        message,
        url=url,
        status=exchange.status,
        said=words,
        retry_after=retry_after(exchange.headers),
    )


def _where(url: str, location: str, hide: cabc.Callable[[str], str]) -> str:
    try:
        location = urllib.parse.urljoin(url, location)
    except ValueError:
        pass  # Shown as it is.
    target = _shown(without_query(location), hide)
    root, api, _path = target.partition("/wp-json")
    if api:
        return f" and points to {target}; put {root} into store.url"
    return f" and points to {target}, which is not its REST API; is store.url right?"


def _garbled(
    exchange: Exchange, url: str, hide: cabc.Callable[[str], str], what: str
) -> StoreGarbledError:
    words = said(exchange.body, hide)[1]
    message = f"the answer of {urllib.parse.urlsplit(url).netloc} {what}"
    return StoreGarbledError(
        f"{message}: {words}" if words else message, url=url, status=exchange.status, said=words
    )
