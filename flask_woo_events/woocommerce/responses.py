"""The answers of a store: JSON, also after PHP's notices, or one of our errors."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import html
import re
import typing as t
import urllib.parse

import orjson

from ..errors import (
    StoreAccessError,
    StoreBusyError,
    StoreError,
    StoreFailedError,
    StoreGarbledError,
    StoreRejectedError,
)
from ..http.exchange import Exchange, without_query
from ..http.headers import http_date, retry_after
from ..values.validation import whole_number

#: Longest message of a store that an error keeps, characters.
SAID_CHARS = 300
#: Bytes that are searched for a message, or for notices before the JSON.
_LOOK = 64 * 1024

_BOM = b"\xef\xbb\xbf"
_TAG = re.compile(r"<[^<>]*>")
_SPACES = re.compile(r"\s+")
_BLANK = re.compile(rb"(?:\s|\xef\xbb\xbf|<br ?/?>|</?p>)*")
_NOTICE = re.compile(
    rb"(?:<b>)?(?:PHP )?(?:User )?"
    rb"(?:Warning|Notice|Deprecated|Strict Standards|Recoverable fatal error)(?:</b>)?:"
)
#: WordPress replaces the link to its REST API by those to other pages of a list.
_ROOT_LINK = re.compile(r'<([^<>?]*/wp-json/)[^<>]*>|<([^<>]*)>; *rel="https://api\.w\.org/"')
_LANGUAGE = re.compile(r"/[a-z]{2}([_-][A-Za-z]{2,4})?\Z")
_ON_LINE = re.compile(rb" on line (?:<b>)?\d+(?:</b>)?")


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
    :param notices: PHP's notices before the JSON.
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
    root: str = ""
    unreadable: int = 0


def read_answer(
    exchange: Exchange, *, method: str, url: str, hide: cabc.Callable[[str], str] = str
) -> StoreResponse:
    """Return the answer as a :class:`StoreResponse`, or raise its error.

    :param url: the requested URL without its query.
    :param hide: removes secrets from a text of the store.
    :raises StoreError: a subclass by status and body.
    """
    headers = exchange.headers
    if not 200 <= exchange.status < 300:
        raise _error(exchange, url, hide)
    data: t.Any = None
    notices = ""
    if method != "HEAD" and exchange.status != 204:
        if exchange.truncated:
            raise _garbled(
                exchange,
                url,
                hide,
                f"is larger than {len(exchange.body)} bytes; ask for fewer rows per page, "
                "or raise WOO_EVENTS_STORE_MAX_BYTES",
            )
        try:
            data, notices = parse_json(exchange.body)
        except ValueError as exc:
            what = "is empty" if not exchange.body.strip() else "is not JSON"
            raise _garbled(exchange, url, hide, what) from exc
    return StoreResponse(
        status=exchange.status,
        data=data,
        headers=headers,
        date=http_date(headers.get("Date", "")),
        total=whole_number(headers.get("X-WP-Total", "")),
        pages=whole_number(headers.get("X-WP-TotalPages", "")),
        seconds=exchange.seconds,
        bytes=len(exchange.body),
        notices=hide(notices),
        root=read_root(headers.get("Link", "")),
    )


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
    return host + _LANGUAGE.sub("", path)


def parse_json(body: bytes) -> tuple[t.Any, str]:
    """Return the JSON of a body and the text of the PHP notices before it.

    Only PHP's own notices are skipped, and the rest must be complete JSON, so that a truncated
    list is not accepted.

    :raises ValueError: the body is anything else.
    """
    try:
        return _loads(body), ""
    except ValueError:
        start = _after_notices(body)
        if start == 0:
            raise
        data = _loads(body[start:])
        return data, plain_text(body[:start].decode("utf-8", "replace"))


def _loads(body: bytes) -> t.Any:
    data = orjson.loads(body)
    try:
        # orjson reads 1024 levels but writes 254; what cannot be stored is refused.
        orjson.dumps(data)
    except TypeError as exc:
        raise ValueError("nested too deeply") from exc
    return data


def _after_notices(body: bytes) -> int:
    place = 0
    while True:
        blank = _BLANK.match(body, place, _LOOK)
        place = blank.end() if blank else place
        if not (notice := _NOTICE.match(body, place, _LOOK)):
            return place
        place = notice.end()
        # A message may contain "on line"; its end is followed by markup, JSON or a notice.
        while line := _ON_LINE.search(body, place, _LOOK):
            place = line.end()
            rest = _BLANK.match(body, place, _LOOK)
            end = rest.end() if rest else place
            if body[end : end + 1] in (b"{", b"[") or _NOTICE.match(body, end, _LOOK):
                break
        else:
            return place


def plain_text(text: str, limit: int = SAID_CHARS) -> str:
    """Return the text of HTML on one line, at most ``limit`` characters of it."""
    text = html.unescape(_TAG.sub(" ", text))
    text = _SPACES.sub(" ", "".join(each if each.isprintable() else " " for each in text)).strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def said(body: bytes) -> tuple[str, str]:
    """Return code and message of an error answer.

    The message is WooCommerce's, or the title of an HTML page. Of other text nothing is quoted: it
    may hold customers' data, as a list that is cut off does.
    """
    try:
        data, _notices = parse_json(body)
    except ValueError:
        text = body[:_LOOK].decode("utf-8", "replace")
        lower = text.lower()
        title = lower.find("<title")
        if title >= 0 and (end := lower.find("</title", title)) >= 0:
            return "", plain_text(text[title:end])
        return "", ""
    if not isinstance(data, dict):
        return "", ""
    return plain_text(str(data.get("code") or ""), 100), plain_text(str(data.get("message") or ""))


def _error(exchange: Exchange, url: str, hide: cabc.Callable[[str], str]) -> StoreError:
    status = exchange.status
    code, words = said(exchange.body)
    words = hide(words)
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
            " (no REST API there: is store.url right, and are WordPress' permalinks"
            " other than plain?)"
        )
    return kind(
        message,
        url=url,
        status=status,
        code=hide(code),
        said=words,
        retry_after=retry_after(exchange.headers),
    )


def _where(url: str, location: str, hide: cabc.Callable[[str], str]) -> str:
    try:
        location = urllib.parse.urljoin(url, location)
    except ValueError:
        pass  # Shown as it is.
    target = hide(plain_text(without_query(location)))
    root, api, _path = target.partition("/wp-json")
    if api:
        return f" and points to {target}; put {root} into store.url"
    return f" and points to {target}, which is not its REST API; is store.url right?"


def _garbled(
    exchange: Exchange, url: str, hide: cabc.Callable[[str], str], what: str
) -> StoreGarbledError:
    words = hide(said(exchange.body)[1])
    message = f"the answer of {urllib.parse.urlsplit(url).netloc} {what}"
    return StoreGarbledError(
        f"{message}: {words}" if words else message, url=url, status=exchange.status, said=words
    )
