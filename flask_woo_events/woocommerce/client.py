"""The client of one store's REST API: addresses, authentication and checked answers.

It works with WooCommerce 5.9 to 11.0. It does not sleep and follows no redirect; it repeats a
request only to authenticate in another way.
"""

from __future__ import annotations

import base64
import collections.abc as cabc
import contextlib
import datetime as dt
import time
import types
import typing as t

import orjson
import requests

from .. import tracing
from ..errors import (
    AnotherStoreError,
    InputError,
    StoreAccessError,
    StoreError,
    StoreGarbledError,
    StoreRejectedError,
    TransportError,
    UnreachableError,
)
from ..http.exchange import Exchange, Timeouts, exchange, make_session
from ..http.headers import http_date
from ..values.masking import SecretMask, secrets_of_basic, secrets_of_headers
from ..values.validation import is_id
from . import caches
from .access import RequestOptions
from .addresses import (
    API,
    PLAIN,
    REST,
    Param,
    Params,
    full_path,
    html_link,
    path_template,
    query_pairs,
    rest_address,
    rest_link,
    store_root,
    varying,
    write_query,
)
from .authentication import AuthKind, credential, kinds_of
from .oauth import Pairs, sign
from .oddities import CACHED, DATABASE_ERROR, QUERY_FAILED, Oddities
from .responses import StoreResponse, read_answer
from .row_limit import RowLimit

__all__ = ["Param", "StoreClient", "StoreResponse", "store_root"]

#: Largest unpacked answer, bytes.
MAX_BYTES = 64 * 1024 * 1024
#: Longest description of a sign of a cache, characters.
SIGN_CHARS = 100
#: Difference of the clocks, in seconds, up to which we sign by ours; stores allow 900.
CLOCK_TOLERANCE = 300


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
    :param options: see :class:`~.access.RequestOptions`.
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
        options: RequestOptions | None = None,
    ) -> None:
        self.url = store_root(url)
        self._key = credential(consumer_key, "consumer key")
        self._secret = credential(consumer_secret, "consumer secret")
        self._session = session or make_session(guard=None, pool_size=4, retries=True)
        self._owns_session = session is None
        self._timeouts = timeouts or Timeouts()
        self._max_bytes = max_bytes
        self._options = options or RequestOptions()
        pair = secrets_of_basic(self._key, self._secret)
        self._secrets = {self._key, *pair, *secrets_of_headers(self._options.headers)}
        self._mask = SecretMask(self._secrets)
        kinds = kinds_of(auth, self.url, self._options.headers)
        #: Authentication of the last request: ``basic``, ``query`` or ``oauth``.
        self.auth_used: str = kinds[0]
        self._kind = kinds[0]
        # Kinds of authentication to try next if the store sees no keys.
        self._other_kinds = kinds[1:]
        #: Where the REST API is below the front page, see :func:`~.addresses.rest_link`.
        self.rest = self._options.rest or REST
        # Whether it has answered there, or was searched for.
        self._searched = False
        # The address that the store signs with as its own.
        self._signed_root = self.url
        self._other_roots: list[str] | None = None
        # Seconds that the store's clock is ahead of ours.
        self._ahead = 0
        self._store_date: dt.datetime | None = None
        self._dates = caches.Dates()
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
        #: Whether any answer so far may lack objects, and whether a cache kept any.
        self.doubtful = self.stale = False

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

        :param ids: also check that each row has an ``id`` that is one.
        :raises StoreGarbledError: the answer is something else.
        """
        answer = self.get(path, params)
        rows = answer.data
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._garbled(path, answer, "a list of objects")
        if ids and not all(is_id(row.get("id")) for row in rows):
            raise self._garbled(path, answer, "a list of objects with ids")
        return answer

    def index(self) -> StoreResponse:
        """Read the store's public description of itself, without our keys."""
        answer = self._find_and_send("GET", REST, [varying()], None, None)
        if not isinstance(answer.data, dict):
            raise self._garbled("/wp-json/", answer, "an object")
        return answer

    def _garbled(self, path: str, answer: StoreResponse, wanted: str) -> StoreGarbledError:
        return StoreGarbledError(
            f"the answer of {self.url}{full_path(path)} is not {wanted}",
            url=self.url + full_path(path),
            status=answer.status,
        )

    def hide(self, text: str) -> str:
        """Return a text of the store without the secrets of our requests."""
        return self._mask.hide(text)

    def keep_secret(self, secret: str) -> None:
        """Hide another secret, which the body of a request holds, in texts of the store."""
        self._secrets.add(secret)
        self._mask = SecretMask(self._secrets)

    def _request(
        self, method: str, path: str, params: Params | None, json: object = None
    ) -> StoreResponse:
        path = full_path(path)
        pairs = query_pairs(params or {})
        if method in ("GET", "HEAD"):
            # So that no cache before the store has seen the request.
            pairs = [varying(), *(pair for pair in pairs if pair[0] != "_")]
            if path.startswith(f"{API}products"):
                # WooCommerce 10.5 and later may answer from a cache that direct writes leave stale.
                pairs.append(("_skip_cache", "true"))
        while True:
            sent_at = time.monotonic()
            try:
                answer = self._find_and_send(method, path, pairs, json, self._kind)
            except StoreAccessError as exc:
                if not (self._set_clock(exc) or self._next_root(exc) or self._next_kind(exc)):
                    raise
            else:
                # This kind works, so a later refusal is about permissions.
                self._other_kinds, self._other_roots = [], []
                self._check_root(answer)
                self._check_date(answer, sent_at)
                return answer

    def _check_date(self, answer: StoreResponse, sent_at: float) -> None:
        self.doubtful |= answer.doubtful
        if sign := self._dates.sign(answer.date, sent_at, time.monotonic()):
            self._note_cache(sign)

    def _note_cache(self, sign: str) -> None:
        self.oddities.add(CACHED, self.hide(sign)[:SIGN_CHARS])
        self.doubtful = self.stale = True

    def _find_and_send(
        self, method: str, path: str, pairs: Pairs, json: object, kind: AuthKind | None
    ) -> StoreResponse:
        """Send a request; find the REST API first if it is not where it was."""
        try:
            answer = self._send(method, path, pairs, json, kind)
        except (StoreRejectedError, StoreGarbledError) as exc:
            # A place that was right before may be no route of WordPress by now.
            lost = not exc.code or (exc.code == "rest_no_route" and self.rest != REST)
            # After a 200 a write may have been done.
            tried_in_vain = exc.status == 404 or (exc.status == 200 and method in ("GET", "HEAD"))
            if self._searched or not lost or not tried_in_vain:
                raise
            if (exc.code and self._is_there()) or not self._find_rest():
                raise
            return self._send(method, path, pairs, json, kind)
        self._searched = True
        return answer

    def _find_rest(self) -> bool:
        self._searched, known = True, self.rest
        with contextlib.suppress(TransportError):
            for rest in self._rests():
                self.rest = rest
                if self._is_there():
                    return True
        self.rest = known
        return False

    def _is_there(self) -> bool:
        """Return whether the REST API is where we think; without our keys, for it may not be."""
        try:
            self._send("GET", REST, [varying()], None, None)
        except StoreError:
            return False
        self._searched = True
        return True

    def _rests(self) -> list[str]:
        """Return where else the REST API may be, as the front page of the store says."""
        page = self._exchange("GET", "/", [varying()], {"Accept": "text/html"}, None)
        found = rest_link(page.headers.get("Link", ""), self.url) or rest_link(
            html_link(page.body), self.url
        )
        # The last one is right with any permalinks, but only WordPress may be asked so.
        return [rest for rest in (found, PLAIN) if rest != self.rest] if found else []

    def _check_root(self, answer: StoreResponse) -> None:
        self.root = answer.root or self.root
        if self.expected_root and answer.root and answer.root != self.expected_root:
            raise AnotherStoreError(
                f"the store at {self.url} gives {self.hide(answer.root)} as its address, "
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
        if method in ("GET", "HEAD"):
            headers["Cache-Control"] = "no-cache"
        target, pairs = rest_address(self.rest, path, pairs)
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
            # The store leaves out the slash of the front page.
            signed = root + target.removesuffix("/")
            pairs = sign(method, signed, pairs, self._key, self._secret, timestamp=now)
        came = self._exchange(method, target, pairs, headers, data)
        if came.repeated and came.status == 401 and kind == "oauth":
            # The first request had reached the store, which accepts no signature twice.
            error = UnreachableError(f"{self.url} closed the connection", url=self.url + path)
            error.connected = True
            raise error
        self._store_date = http_date(came.headers.get("Date", ""))
        if kind is not None:
            self.auth_used = kind
            if method in ("GET", "HEAD") and (seen := caches.sign_of(came.headers)):
                self._note_cache(seen)
        try:
            return read_answer(
                came, method=method, url=self.url + path, oddities=self.oddities, hide=self.hide
            )
        except StoreError as exc:
            if exc.doubtful:
                self.oddities.add(DATABASE_ERROR, QUERY_FAILED)
                self.doubtful = True
            raise

    def _exchange(
        self,
        method: str,
        path: str,
        pairs: Pairs,
        headers: cabc.Mapping[str, str],
        data: bytes | None,
    ) -> Exchange:
        agent = {"User-Agent": self._options.user_agent} if self._options.user_agent else {}
        url = self.url + path
        self.requests_made += 1
        with tracing.request(method, url, lambda: path_template(path, pairs)) as span:
            answer = exchange(
                self._session,
                method,
                f"{url}?{write_query(pairs)}" if pairs else url,
                headers={**agent, **self._options.headers, **headers},
                data=data,
                timeouts=self._timeouts,
                max_bytes=self._max_bytes,
            )
            span.answered(answer.status)
        return answer
