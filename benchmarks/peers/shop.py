"""The store that every peer reads: simulated, over TLS, with a request counter."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import datetime as dt
import ipaddress
import json
import pathlib
import ssl
import typing as t

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flask_woo_events.simulation.store import SimClock, SimulatedStore
from flask_woo_events.simulation.store.server import Server, Wsgi

from .judge import Key

RESOURCES = ("coupons", "customers", "orders", "products")
CONSUMER_KEY, CONSUMER_SECRET = "ck_bench", "cs_bench"
PAGE = 100
HOST = "127.0.0.1"
_ORDERS = "/wp-json/wc/v3/orders"

Json = dict[str, t.Any]


class Shop:
    """A simulated WooCommerce 11.0 whose server counts requests and can act between two pages.

    It serves TLS because real stores do, and because Airbyte's connector supports nothing else.
    So every peer uses Basic authentication.
    """

    def __init__(self, clock: SimClock, **sizes: int) -> None:
        self.store = SimulatedStore(
            "11.0", consumer_key=CONSUMER_KEY, consumer_secret=CONSUMER_SECRET, clock=clock
        )
        self.store.populate(**sizes)
        #: Requests received.
        self.requests = 0
        #: Called with the ids of a full page of orders, before the client gets the page.
        self.between_pages: cabc.Callable[[list[int]], None] | None = None

    def objects(self) -> dict[Key, Json]:
        """Return every live object of the four resources."""
        return {
            (resource, number): body
            for resource in RESOURCES
            for number, body in self.store.truth(resource).items()
        }

    @contextlib.contextmanager
    def serve(self, folder: pathlib.Path) -> cabc.Iterator[tuple[str, pathlib.Path]]:
        """Serve the store; yields its URL and the certificate to trust."""
        certificate, key = folder / "store.pem", folder / "store.key"
        _make_certificate(certificate, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server = _TlsServer(self._wsgi, context)
        self.store.move(server.url)
        with server as url:
            yield url, certificate

    def _wsgi(
        self, environ: dict[str, t.Any], start_response: cabc.Callable[..., t.Any]
    ) -> cabc.Iterable[bytes]:
        # The simulated store has only version 3 of the API; version 2 of a real store does not
        # differ in any field that is read here.
        path = str(environ["PATH_INFO"]).replace("/wc/v2/", "/wc/v3/")
        self.requests += 1
        environ = {**environ, "PATH_INFO": path, "wsgi.url_scheme": "https"}
        pieces = list(self.store.wsgi(environ, start_response))
        if self.between_pages is not None and path == _ORDERS:
            rows = json.loads(b"".join(pieces))
            if isinstance(rows, list) and len(rows) >= PAGE:
                self.between_pages([int(row["id"]) for row in rows])
        return pieces


class _TlsServer(Server):
    def __init__(self, app: Wsgi, context: ssl.SSLContext) -> None:
        super().__init__(app, HOST, 0)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")


def _make_certificate(certificate: pathlib.Path, key_file: pathlib.Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
