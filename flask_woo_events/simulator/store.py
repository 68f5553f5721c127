"""The simulated store: its REST API as a WSGI application, and a server for it."""

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import email.utils
import threading
import typing as t
import urllib.parse

import orjson
import werkzeug.serving

from . import versions
from .acts import Acts
from .answers import Answer, RestError
from .auth import Key, Keys
from .clock import SimClock
from .encoding import Json
from .faults import Faults, Reset, spoil
from .population import populate
from .routes import Routes
from .shop import Shop

#: Requests that the log remembers.
LOGGED = 100_000
_API = "/wp-json/wc/v3/"
_HIDDEN = ("consumer_key", "consumer_secret")


@dataclasses.dataclass(frozen=True)
class Logged:
    """One request that came."""

    method: str
    path: str
    params: cabc.Mapping[str, str]
    status: int


class SimulatedStore:
    """A WooCommerce store as far as its REST API goes.

    :param version: ``5.9``, ``7.0``, ``8.0`` (orders as posts), ``9.4`` or ``11.0`` (HPOS).
    :param timezone: the site's time zone, an IANA name.
    :param clock: the store's clock; by default it follows the real time.
    :param assume_https: accept Basic and query-string keys without TLS.
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
    ) -> None:
        self.clock = clock or SimClock()
        self.shop = Shop(versions.find(version), timezone, self.clock)
        self.routes = Routes(self.shop)
        #: Changes on the store's own side.
        self.acts = Acts(self.routes)
        #: What shall go wrong.
        self.faults = Faults()
        #: The requests that came, the newest last.
        self.requests: collections.deque[Logged] = collections.deque(maxlen=LOGGED)
        self._keys = Keys(self.shop)
        self._keys.add(Key(consumer_key, consumer_secret))
        self._assume_https = assume_https

    def add_key(self, key: str, secret: str, permissions: str = "read_write") -> None:
        """Accept another API key, perhaps only for reading or writing."""
        self._keys.add(Key(key, secret, permissions))

    def populate(self, *, orders: int, products: int, coupons: int, customers: int) -> None:
        """Add objects of the past two years; nobody is told of them."""
        with self.shop.lock:
            populate(
                self.routes,
                orders=orders,
                products=products,
                coupons=coupons,
                customers=customers,
            )

    def truth(self, resource: str) -> dict[int, Json]:
        """What a client that reads all live objects of a resource would read now, by id."""
        source = getattr(self.routes, resource)
        with self.shop.lock:
            return {
                row.id: orjson.loads(source.encoded(row))
                for row in source.table
                if row.status != "trash"
                and (resource != "customers" or row.fields.get("role") == "customer")
            }

    def serve(self, host: str = "127.0.0.1", port: int = 0) -> Server:
        """A server for this store, to be used as a context manager that gives its URL."""
        return Server(self, host, port)

    def wsgi(
        self, environ: dict[str, t.Any], start_response: cabc.Callable[..., t.Any]
    ) -> cabc.Iterable[bytes]:
        """The REST API as a WSGI application.

        :raises Reset: a fault wants the connection closed.
        """
        method = str(environ["REQUEST_METHOD"])
        path = str(environ.get("PATH_INFO", ""))
        query = urllib.parse.parse_qsl(str(environ.get("QUERY_STRING", "")), keep_blank_values=True)
        fault = self.faults.take(path)
        with self.shop.lock:
            try:
                answer = self._answer(environ, method, path, query)
            except RestError as exc:
                answer = exc.answer()
        if fault is not None:
            answer = spoil(fault, answer)
        shown = {
            name: value
            for name, value in query
            if name not in _HIDDEN and not name.startswith("oauth_")
        }
        self.requests.append(Logged(method, path, shown, answer.status))
        start_response(f"{answer.status} -", self._headers(answer))
        return [b""] if method == "HEAD" else [answer.body]

    def _headers(self, answer: Answer) -> list[tuple[str, str]]:
        headers = list(answer.headers)
        if not any(name == "Content-Type" for name, _ in headers):
            headers.append(("Content-Type", "application/json; charset=UTF-8"))
        headers.append(("Cache-Control", self.shop.version.cache_control))
        headers.append(("Date", email.utils.format_datetime(self.clock.now(), usegmt=True)))
        headers.append(("Content-Length", str(len(answer.body))))
        return headers

    def _answer(
        self, environ: dict[str, t.Any], method: str, path: str, query: list[tuple[str, str]]
    ) -> Answer:
        if path.rstrip("/") == "/wp-json":
            return self.routes.index()
        https = (
            self._assume_https
            or environ.get("wsgi.url_scheme") == "https"
            or environ.get("HTTP_X_FORWARDED_PROTO") == "https"
        )
        authorization = str(environ.get("HTTP_AUTHORIZATION", ""))
        self._keys.check(method, path, query, authorization, https=https)
        below = path.removeprefix(_API) if path.startswith(_API) else ""
        url = f"{self.shop.home}{path}?{environ.get('QUERY_STRING', '')}"
        reading = "GET" if method == "HEAD" else method
        return self.routes.answer(reading, below, url, dict(query), _body(environ))


def _body(environ: dict[str, t.Any]) -> Json:
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if not length:
        return {}
    try:
        value = orjson.loads(environ["wsgi.input"].read(length))
    except orjson.JSONDecodeError as exc:
        raise RestError(400, "rest_invalid_json", "Invalid JSON body passed.") from exc
    return value if isinstance(value, dict) else {}


class Server:
    """A simulated store on a socket, with kept-alive connections."""

    def __init__(self, store: SimulatedStore, host: str, port: int) -> None:
        self._store = store
        self._server = werkzeug.serving.make_server(
            host, port, store.wsgi, threaded=True, request_handler=_Handler
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="simulated-store", daemon=True
        )
        #: The store's address.
        self.url = f"http://{host}:{self._server.server_port}"
        store.shop.home = self.url

    def start(self) -> str:
        """Begin to serve."""
        self._thread.start()
        return self.url

    def stop(self) -> None:
        """End, and close the socket."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class _Handler(werkzeug.serving.WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def run_wsgi(self) -> None:
        try:
            super().run_wsgi()
        except Reset:
            self.close_connection = True
            self.connection.close()

    def log(self, type: str, message: str, *args: t.Any) -> None:
        pass
