"""The simulated store: its REST API as a WSGI application, and a server for it."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import email.utils
import http
import typing as t
import urllib.parse

import orjson

from . import versions
from .auth import Key, Keys, unknown_key
from .checkout import Checkout
from .clock import SimClock
from .control import NAMESPACE as CONTROL_NAMESPACE
from .control import PATH as CONTROL
from .control import Control
from .encoding import Json
from .faults import Fault, Faults, Reset, spoil
from .lies import Lies
from .permalinks import Permalinks, Place, place_of, root_of
from .plugin_journal import PATHS
from .resource import Resource
from .responses import RestError, SimulatedResponse, no_route
from .routes import Routes
from .sample_data import populate
from .server import Server
from .state import Shop
from .store_side import StoreSide
from .tables import Row
from .webhook_sender import WebhookSender

#: Maximum number of requests in the log.
LOGGED = 100_000
Shown = t.TypeVar("Shown")
_API = "/wp-json/wc/v3/"
_REALM = (
    "WooCommerce API. Use a consumer key in the username field and a consumer secret in the"
    " password field."
)
_HIDDEN = ("consumer_key", "consumer_secret")


@dataclasses.dataclass(frozen=True)
class Logged:
    """One received request."""

    method: str
    path: str
    params: cabc.Mapping[str, str]
    status: int


class SimulatedStore:
    """A simulated WooCommerce store with its REST API.

    :param version: ``5.9``, ``7.0``, ``8.0`` (orders as posts), ``9.4`` or ``11.0`` (HPOS).
    :param timezone: the site's time zone, an IANA name.
    :param clock: the store's clock; by default it follows the real time.
    :param assume_https: accept Basic and query-string keys without TLS.
    :param journal: install the companion plugin, which keeps a journal.
    """

    def __init__(
        self,
        version: str = "11.0",
        *,
        consumer_key: str,
        consumer_secret: str,
        timezone: str = "UTC",
        clock: SimClock | None = None,
        assume_https: bool = False,
        journal: bool = False,
    ) -> None:
        self.clock = clock or SimClock()
        self.shop = Shop(versions.find(version), timezone, self.clock)
        self.routes = Routes(self.shop)
        #: Changes on the store's own side.
        self.acts = StoreSide(self.routes)
        #: The same for other processes; ``flask woo simulate`` opens it.
        self.control = Control(self.acts)
        #: Orders that nobody has placed yet.
        self.checkout = Checkout(self.routes)
        #: The queue of webhook deliveries.
        self.webhooks = WebhookSender(self.routes)
        #: The journal of the companion plugin, if that is installed.
        self.journal = self.routes.journal
        if journal:
            self.journal.install()
        #: Faults of the next requests.
        self.faults = Faults()
        #: The lie of the next requests.
        self.lies = Lies()
        #: Where the REST API is.
        self.permalinks: Permalinks = "pretty"
        #: The received requests, the newest last; status 0 if the connection was closed.
        self.requests: collections.deque[Logged] = collections.deque(maxlen=LOGGED)
        self._keys = Keys(self.shop)
        self._keys.add(Key(consumer_key, consumer_secret))
        self._assume_https = assume_https

    @property
    def mail_works(self) -> bool:
        """Whether the store can send mail; if not, version 11 adds a note to orders."""
        return self.routes.notes.mail_works

    @mail_works.setter
    def mail_works(self, value: bool) -> None:
        self.routes.notes.mail_works = value

    def add_key(self, key: str, secret: str, permissions: str = "read_write") -> None:
        """Accept another API key.

        :param permissions: ``read``, ``write`` or ``read_write``.
        """
        self._keys.add(Key(key, secret, permissions))

    def populate(
        self, *, orders: int, products: int, coupons: int, customers: int, seed: int = 7
    ) -> None:
        """Add objects with dates in the past two years; no webhooks are sent for them.

        :param seed: stores of different seeds have different objects.
        """
        with self.shop.lock, self.journal.muted():
            populate(
                self.routes,
                orders=orders,
                products=products,
                coupons=coupons,
                customers=customers,
                seed=seed,
            )

    def truth(self, resource: str) -> dict[int, Json]:
        """Return all live objects of a resource by id, as a client would read them now."""
        source: Resource = getattr(self.routes, resource)
        return self._live(resource, lambda row: orjson.loads(source.encoded(row)))

    def encoded(self, resource: str) -> dict[int, bytes]:
        """Return the JSON of the same objects, which differs only when the object does.

        The related ids of products, which the store draws at random, are left out.
        """
        source: Resource = getattr(self.routes, resource)
        return self._live(resource, source.repeatable)

    def _live(self, resource: str, show: cabc.Callable[[Row], Shown]) -> dict[int, Shown]:
        with self.shop.lock:
            return {
                row.id: show(row)
                for row in getattr(self.routes, resource).table
                if row.status not in ("trash", *versions.DRAFTS)
                and (resource != "customers" or row.fields.get("role") == "customer")
            }

    def move(self, home: str) -> None:
        """Give the store another address, used in links and in signed URLs."""
        with self.shop.lock:
            self.shop.home = home
            for table in self.shop.tables.values():
                table.all_changed()

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> Server:
        """Return a server for this store; as a context manager it yields the URL."""
        server = Server(self.wsgi, host, port)
        self.move(server.url)
        return server

    def wsgi(
        self, environ: dict[str, t.Any], start_response: cabc.Callable[..., t.Any]
    ) -> cabc.Iterable[bytes]:
        """Answer a request as a WSGI application.

        :raises Reset: a fault closes the connection.
        """
        method = str(environ["REQUEST_METHOD"])
        path = str(environ.get("PATH_INFO", ""))
        text = str(environ.get("QUERY_STRING", ""))
        query = urllib.parse.parse_qsl(text, keep_blank_values=True)
        place = place_of(self.permalinks, path, text, dict(query).get("rest_route"))
        if isinstance(place, Place):
            path = place.path
        shown = {
            name: value
            for name, value in query
            if name not in _HIDDEN and not name.startswith("oauth_")
        }
        fault = self.faults.take(method, path, shown)
        lie, asked = self.lies.take(method, path, shown)
        routes = lie.routes(self.routes, asked)
        answer = self._answer(routes, environ, method, place, query, fault)
        answer = lie.alter(self.routes, asked, answer)
        self.webhooks.ping_waiting()
        if fault is not None:
            try:
                answer = spoil(fault, answer)
            except Reset:
                self.requests.append(Logged(method, path, shown, 0))
                raise
        self.requests.append(Logged(method, path, shown, answer.status))
        start_response(
            f"{answer.status} {_reason(answer.status)}", self._headers(routes.shop.home, answer)
        )
        return [b""] if method == "HEAD" else [answer.body]

    def _headers(self, home: str, answer: SimulatedResponse) -> list[tuple[str, str]]:
        given = dict(answer.headers)
        root = f'<{home}{root_of(self.permalinks)}>; rel="https://api.w.org/"'
        headers = [
            ("Content-Type", given.pop("Content-Type", "application/json; charset=UTF-8")),
            # WordPress replaces the header of the root by the links to other pages.
            ("Link", given.pop("Link", root)),
        ]
        allow, date = given.pop("Allow", None), given.pop("Date", None)
        headers.extend(given.items())
        if allow is not None:
            headers.append(("Allow", allow))
        if answer.authenticated:
            headers.append(("Cache-Control", self.shop.version.cache_control))
        now = email.utils.format_datetime(self.clock.now(), usegmt=True)
        headers.append(("Date", date or now))
        headers.append(("Content-Length", str(len(answer.body))))
        return headers

    def _answer(
        self,
        routes: Routes,
        environ: dict[str, t.Any],
        method: str,
        place: Place | SimulatedResponse,
        query: list[tuple[str, str]],
        fault: Fault | None,
    ) -> SimulatedResponse:
        if isinstance(place, SimulatedResponse):
            return place
        path = place.path
        try:
            if path.rstrip("/") == "/wp-json":
                spaces = [CONTROL_NAMESPACE] * self.control.is_open
                return dataclasses.replace(routes.index(spaces), authenticated=False)
            if not path.startswith((_API, CONTROL)) and path not in PATHS:
                raise no_route()
            if path.startswith(CONTROL) and "HTTP_ORIGIN" in environ:
                # A page in a browser of the developer's, who alone may make such changes.
                raise no_route()
            refused = self._refused(environ, method, place, query)
            if refused is not None:
                return refused
            if fault is not None and not fault.effective:
                return SimulatedResponse(200, b"")
            if fault is not None and fault.kind == "endless_pages":
                query = [pair for pair in query if pair[0] not in ("page", "offset")]
            url = f"{routes.shop.home}{path}?{environ.get('QUERY_STRING', '')}"
            reading = "GET" if method == "HEAD" else method
            body = _body(environ)
            with self.shop.lock, routes.shop.lock:
                if path in PATHS:
                    return routes.journal.respond(path, dict(query))
                if path.startswith(CONTROL):
                    return self.control.respond(method, path, body)
                return routes.answer(reading, path.removeprefix(_API), url, dict(query), body)
        except RestError as exc:
            return exc.answer()

    def _refused(
        self, environ: dict[str, t.Any], method: str, place: Place, query: list[tuple[str, str]]
    ) -> SimulatedResponse | None:
        """Return the response to a request without a valid key, else None."""
        https = (
            self._assume_https
            or environ.get("wsgi.url_scheme") == "https"
            or environ.get("HTTP_X_FORWARDED_PROTO") == "https"
        )
        authorization = str(environ.get("HTTP_AUTHORIZATION", ""))
        try:
            with self.shop.lock:
                if not place.sees_keys:
                    raise unknown_key(method, place.path)
                self._keys.check(method, place.signed, query, authorization, https=https)
        except RestError as exc:
            refused = exc.answer()
            refused.authenticated = False
            if "Consumer secret" in str(exc):
                refused.headers.append(("WWW-Authenticate", f'Basic realm="{_REALM}"'))
            return refused
        return None


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _body(environ: dict[str, t.Any]) -> Json:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not length:
        return {}
    try:
        value = orjson.loads(environ["wsgi.input"].read(length))
    except orjson.JSONDecodeError as exc:
        raise RestError(400, "rest_invalid_json", "Invalid JSON body passed.") from exc
    return value if isinstance(value, dict) else {}
