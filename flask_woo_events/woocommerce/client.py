"""The client of one store's REST API: addresses, authentication and checked answers.

It works with WooCommerce 5.9 to 11.0. It does not sleep and follows no redirect; it repeats a
request only to authenticate in another way.
"""

from __future__ import annotations

import base64
import collections.abc as cabc
import datetime as dt
import re
import time
import types
import typing as t
import urllib.parse

import orjson
import requests

from ..errors import (
    AnotherStoreError,
    InputError,
    StoreAccessError,
    StoreGarbledError,
    TransportError,
    UnreachableError,
)
from ..http.exchange import Timeouts, exchange, make_session
from ..http.headers import http_date
from ..values.validation import whole_number
from .oauth import Pairs, encode_query, sign
from .oddities import Oddities
from .responses import StoreResponse, read_answer
from .row_limit import RowLimit

__all__ = ["Param", "StoreClient", "StoreResponse", "store_root"]

Param = str | int | float | bool | cabc.Sequence[str | int] | None
Params = cabc.Mapping[str, Param]
AuthKind = t.Literal["basic", "query", "oauth"]

#: Largest unpacked answer, bytes.
MAX_BYTES = 64 * 1024 * 1024
#: Difference of the clocks, in seconds, up to which we sign by ours; stores allow 900.
CLOCK_TOLERANCE = 300
_PATH = re.compile(r"[A-Za-z0-9/_.~-]+")
_API = "/wp-json/wc/v3/"


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


class StoreClient:
    """A client of one store, for one thread; a session may be shared.

    :param url: the store's address, see :func:`store_root`.
    :param consumer_key: ``ck_…`` of WooCommerce > Settings > Advanced > REST API.
    :param consumer_secret: ``cs_…`` that belongs to it.
    :param session: of :func:`~flask_woo_events.http.exchange.make_session`; the client does not
        close it. Without it the client has a session of its own.
    :param max_bytes: limit of one unpacked answer.
    :param auth: ``basic``, ``query``, ``oauth``, or ``auto``: OAuth over http; over https Basic,
        then the query string, then OAuth, because many hosts remove the ``Authorization`` header
        or end TLS in a proxy that PHP does not know of.
    :raises InputError: the address or a key cannot be used.
    """

    def __init__(
        self,
        url: str,
        consumer_key: str,
        consumer_secret: str,
        *,
        session: requests.Session | None = None,
        timeouts: Timeouts | None = None,
        max_bytes: int = MAX_BYTES,
        auth: str = "auto",
    ) -> None:
        self.url = store_root(url)
        self._key = _credential(consumer_key, "consumer key")
        self._secret = _credential(consumer_secret, "consumer secret")
        self._session = session or make_session(guard=None, pool_size=4, retries=True)
        self._owns_session = session is None
        self._timeouts = timeouts or Timeouts()
        self._max_bytes = max_bytes
        kinds: dict[str, list[AuthKind]] = {
            "auto": ["basic", "query", "oauth"] if self.url.startswith("https:") else ["oauth"],
            "basic": ["basic"],
            "query": ["query"],
            "oauth": ["oauth"],
        }
        if auth not in kinds:
            raise InputError("auth has to be auto, basic, query or oauth", "auth")
        #: Authentication of the last request: ``basic``, ``query`` or ``oauth``.
        self.auth_used: str = kinds[auth][0]
        self._kind = kinds[auth][0]
        # Kinds of authentication to try next if the store sees no keys.
        self._other_kinds = kinds[auth][1:]
        # The address that the store signs with as its own.
        self._signed_root = self.url
        self._other_roots: list[str] | None = None
        # Seconds that the store's clock is ahead of ours.
        self._ahead = 0
        self._store_date: dt.datetime | None = None
        #: The store's own address in its last answer that had one, normalised.
        self.root = ""
        #: The address that its answers must have, if they have one; empty for any.
        self.expected_root = ""
        #: Requests sent so far, including those for authentication.
        self.requests_made = 0
        #: What is odd about the answers so far.
        self.oddities = Oddities()
        #: How many rows the store can show in one answer.
        self.row_limit = RowLimit()

    def __repr__(self) -> str:
        return f"<StoreClient {self.url} {self._key[:3]}*** {self.auth_used}>"

    def __enter__(self) -> t.Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, unless the session was given."""
        if self._owns_session:
            self._session.close()

    def get(self, path: str, params: Params | None = None) -> StoreResponse:
        """Send a GET request.

        :param path: below ``/wp-json/wc/v3/``, unless it begins with ``/wp-json/``.
        :param params: lists are joined with commas, booleans become ``true`` and ``false``, and
            ``None`` is left out.
        :raises StoreError: the store's answer is an error.
        :raises UnreachableError: no complete answer arrived.
        """
        return self._request("GET", path, params)

    def head(self, path: str, params: Params | None = None) -> StoreResponse:
        """Send a HEAD request, for ``total`` without the rows."""
        return self._request("HEAD", path, params)

    def post(self, path: str, json: object, params: Params | None = None) -> StoreResponse:
        """Create an object, or run a batch."""
        return self._request("POST", path, params, json)

    def put(self, path: str, json: object, params: Params | None = None) -> StoreResponse:
        """Update an object."""
        return self._request("PUT", path, params, json)

    def delete(self, path: str, params: Params | None = None) -> StoreResponse:
        """Delete an object; most resources require ``force=true``."""
        return self._request("DELETE", path, params)

    def get_list(
        self, path: str, params: Params | None = None, *, ids: bool = False
    ) -> StoreResponse:
        """Read a collection, and check that its rows are objects.

        :param ids: also check that each row has an integer ``id``.
        :raises StoreGarbledError: the answer is something else.
        """
        answer = self.get(path, params)
        rows = answer.data
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._garbled(path, answer, "a list of objects")
        if ids and not all(type(row.get("id")) is int for row in rows):
            raise self._garbled(path, answer, "a list of objects with ids")
        return answer

    def index(self) -> StoreResponse:
        """Read the store's public description of itself, without our keys."""
        answer = self._send("GET", "/wp-json/", [], None, None)
        if not isinstance(answer.data, dict):
            raise self._garbled("/wp-json/", answer, "an object")
        return answer

    def _garbled(self, path: str, answer: StoreResponse, wanted: str) -> StoreGarbledError:
        return StoreGarbledError(
            f"the answer of {self.url}{_full(path)} is not {wanted}",
            url=self.url + _full(path),
            status=answer.status,
        )

    def _hide(self, text: str) -> str:
        for secret in (self._secret, self._key):
            if len(secret) > 5:
                text = text.replace(secret, "***")
        return text

    def _request(
        self, method: str, path: str, params: Params | None, json: object = None
    ) -> StoreResponse:
        path = _full(path)
        pairs = _pairs(params or {})
        if method in ("GET", "HEAD"):
            # So that no cache before the store has seen the request.
            pairs = [("_", f"{time.time_ns():x}"), *(pair for pair in pairs if pair[0] != "_")]
            if path.startswith(f"{_API}products"):
                # WooCommerce 10.5 and later may answer from a cache that direct writes leave stale.
                pairs.append(("_skip_cache", "true"))
        while True:
            try:
                answer = self._send(method, path, pairs, json, self._kind)
            except StoreAccessError as exc:
                if not (self._set_clock(exc) or self._next_root(exc) or self._next_kind(exc)):
                    raise
            else:
                # This kind works, so a later refusal is about permissions.
                self._other_kinds, self._other_roots = [], []
                self._check_root(answer)
                self._check_age(path, answer)
                return answer

    def _check_age(self, path: str, answer: StoreResponse) -> None:
        age = whole_number(answer.headers.get("Age", "").strip())
        if age:
            raise StoreGarbledError(
                f"a cache before {self.url} gave an answer that is {age} seconds old; exclude "
                "/wp-json/ from caching",
                url=self.url + path,
                status=answer.status,
            )

    def _check_root(self, answer: StoreResponse) -> None:
        self.root = answer.root or self.root
        if self.expected_root and answer.root and answer.root != self.expected_root:
            raise AnotherStoreError(
                f"the store at {self.url} gives {answer.root} as its address, "
                f"not {self.expected_root}",
                root=answer.root,
                url=self.url,
            )

    def _set_clock(self, exc: StoreAccessError) -> bool:
        """Switch to the store's clock for signatures if ours is far from it."""
        if not self._signature_refused(exc) or self._store_date is None:
            return False
        ahead = round(self._store_date.timestamp() - time.time())
        # Compared with the signed time, because a clock may drift while the client is in use.
        if abs(ahead - self._ahead) < CLOCK_TOLERANCE:
            return False
        self._ahead = ahead
        return True

    def _next_root(self, exc: StoreAccessError) -> bool:
        """Sign with another address: the store checks its home URL, not the requested one.

        Source: ``WC_REST_Authentication::check_oauth_signature``.
        """
        if not self._signature_refused(exc) or "key is invalid" in exc.said:
            return False
        if self._other_roots is None:
            self._other_roots = self._find_roots()
        if not self._other_roots:
            self._signed_root = self.url
            return False
        self._signed_root = self._other_roots.pop(0)
        return True

    def _find_roots(self) -> list[str]:
        try:
            home = store_root(str(self.index().data.get("home") or self.url))
        except (TransportError, InputError):
            home = self.url
        # Behind a proxy that ends TLS, PHP sees plain http.
        found = [home]
        for root in (home, self.url):
            scheme, _colon, rest = root.partition(":")
            found += [f"{'http' if scheme == 'https' else 'https'}:{rest}"]
        return [root for root in dict.fromkeys(found) if root != self.url]

    def _next_kind(self, exc: StoreAccessError) -> bool:
        """Switch to another authentication if the store saw no keys: 401 and not 403."""
        if not (exc.status == 401 and exc.code.startswith("woocommerce_rest_cannot_")):
            return False
        if not self._other_kinds:
            return False
        self._kind = self._other_kinds.pop(0)
        return True

    def _signature_refused(self, exc: StoreAccessError) -> bool:
        # Messages are in the store's language; only the code is reliable.
        return self._kind == "oauth" and exc.code == "woocommerce_rest_authentication_error"

    def _send(
        self, method: str, path: str, pairs: Pairs, json: object, kind: AuthKind | None
    ) -> StoreResponse:
        headers = {"Accept": "application/json"}
        data = None
        if json is not None:
            headers["Content-Type"] = "application/json"
            data = orjson.dumps(json)
        if kind == "basic":
            token = base64.b64encode(f"{self._key}:{self._secret}".encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        elif kind == "query":
            pairs = [*pairs, ("consumer_key", self._key), ("consumer_secret", self._secret)]
        elif kind == "oauth":
            now = int(time.time()) + self._ahead
            root = self._signed_root
            pairs = sign(method, root + path, pairs, self._key, self._secret, timestamp=now)
        url = self.url + path
        self.requests_made += 1
        came = exchange(
            self._session,
            method,
            f"{url}?{encode_query(pairs)}" if pairs else url,
            headers=headers,
            data=data,
            timeouts=self._timeouts,
            max_bytes=self._max_bytes,
        )
        if came.repeated and came.status == 401 and kind == "oauth":
            # The first request had reached the store, which accepts no signature twice.
            error = UnreachableError(f"{self.url} closed the connection", url=url)
            error.connected = True
            raise error
        self._store_date = http_date(came.headers.get("Date", ""))
        if kind is not None:
            self.auth_used = kind
        return read_answer(came, method=method, url=url, hide=self._hide)


def _credential(text: str, name: str) -> str:
    text = text.strip()
    if not text or not text.isascii() or not text.isprintable() or set(text) & set("<>: "):
        raise InputError(
            f"the {name} is not one of WooCommerce's; it begins with ck_ or cs_",
            name.replace(" ", "_"),
        )
    return text


def _full(path: str) -> str:
    path = path.lstrip("/")
    if not _PATH.fullmatch(path) or ".." in path:
        raise InputError("a path of the store's API has letters, digits, /, -, _ and . only")
    return f"/{path}" if path.startswith("wp-json/") else f"{_API}{path}"


def _pairs(params: Params) -> Pairs:
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
