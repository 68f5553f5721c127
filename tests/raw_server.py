"""A server on loopback that sends exactly the bytes of a test."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import ipaddress
import pathlib
import socket
import ssl
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.waiting import HANG_SECONDS


@dataclasses.dataclass
class Connection:
    """One connection, as the server sees it."""

    sock: socket.socket
    stop: threading.Event
    number: int

    def read(self) -> bytes:
        """Read one request with its body; return no bytes if the client has closed."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (piece := self.sock.recv(65536)):
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        while len(body) < length:
            body += self.sock.recv(65536)
        return head + b"\r\n\r\n" + body

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send_slowly(self, data: bytes, pause: float) -> None:
        """Send one byte at a time, ``pause`` seconds apart."""
        for index in range(len(data)):
            if self.stop.is_set():
                return
            self.sock.sendall(data[index : index + 1])
            time.sleep(pause)

    def send_endlessly(self, data: bytes) -> None:
        """Send the same bytes until the server stops."""
        while not self.stop.is_set():
            self.sock.sendall(data)

    def reset(self) -> None:
        """Reset the connection."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()


@dataclasses.dataclass
class RawServer:
    """The server's address, and the connections and requests that it received."""

    port: int
    scheme: str = "http"
    connections: int = 0
    requests: list[bytes] = dataclasses.field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/"


Handler = cabc.Callable[[Connection], None]


@contextlib.contextmanager
def serve_raw(handle: Handler, *, tls: ssl.SSLContext | None = None) -> cabc.Iterator[RawServer]:
    """Run a server that calls ``handle`` for each connection, in a thread of its own."""
    stop = threading.Event()
    threads: list[threading.Thread] = []
    listener = socket.create_server(("127.0.0.1", 0))
    server = RawServer(listener.getsockname()[1], "https" if tls else "http")

    def serve_connection(accepted: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            sock = tls.wrap_socket(accepted, server_side=True) if tls else accepted
            with sock:
                sock.settimeout(HANG_SECONDS)
                handle(_RecordingConnection(sock, stop, number, server))
        accepted.close()

    def accept() -> None:
        while not stop.is_set():
            try:
                accepted, _address = listener.accept()
            except OSError:
                return
            server.connections += 1
            thread = threading.Thread(target=serve_connection, args=(accepted, server.connections))
            threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server
    finally:
        stop.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in [acceptor, *threads]:
            thread.join()


@dataclasses.dataclass
class _RecordingConnection(Connection):
    """A connection that records its requests at the server."""

    server: RawServer

    def read(self) -> bytes:
        request = super().read()
        if request:
            self.server.requests.append(request)
        return request


def response(body: bytes = b"", status: str = "200 OK", *headers: str) -> bytes:
    """Return the bytes of a complete response with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def respond(*responses: bytes) -> Handler:
    """Return a handler that sends one response to each request, then closes the connection."""

    def handle(connection: Connection) -> None:
        for data in responses:
            if not connection.read():
                return
            connection.send(data)

    return handle


def respond_and_wait(*responses: bytes) -> Handler:
    """Return a handler that reads a request, sends this, and waits for the client to close."""

    def handle(connection: Connection) -> None:
        connection.read()
        for data in responses:
            connection.send(data)
        while connection.sock.recv(65536):
            pass

    return handle


def self_signed(folder: pathlib.Path) -> tuple[ssl.SSLContext, str]:
    """Make a certificate for 127.0.0.1; return the server's context and the CA file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, authorities = folder / "chain.pem", folder / "ca.pem"
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    authorities.write_bytes(pem)
    chain.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context, str(authorities)
