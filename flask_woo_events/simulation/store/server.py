"""The HTTP/1.1 server of a simulated store, with keep-alive connections."""

from __future__ import annotations

import collections.abc as cabc
import http.server
import io
import socket
import sys
import threading
import typing as t

from .faults import Reset

Environ = dict[str, t.Any]
Wsgi = cabc.Callable[[Environ, cabc.Callable[..., t.Any]], cabc.Iterable[bytes]]


class Server:
    """Serves a WSGI application on its own socket; use it as a context manager.

    Unlike Werkzeug's server, it keeps connections open, as real stores do.
    """

    def __init__(self, app: Wsgi, host: str, port: int) -> None:
        self._server = _Sockets((host, port), app)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            args=(0.05,),
            name="simulated-store",
            daemon=True,
        )
        #: The store's address.
        self.url = f"http://{host}:{self._server.server_port}"

    def start(self) -> str:
        """Start to serve and return the URL."""
        self._thread.start()
        return self.url

    def stop(self) -> None:
        """Stop serving, and close the socket and every connection."""
        self._server.shutdown()
        self._thread.join()
        self._server.close_connections()
        self._server.server_close()

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


class _Sockets(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], app: Wsgi) -> None:
        self.app = app
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: t.Any, client_address: t.Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: t.Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                # The client has closed the connection already.
                continue

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        # Clients may close connections at any time; other errors are bugs.
        if not isinstance(sys.exception(), (ConnectionError, ValueError)):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        environ = self._environ(self.rfile.read(length) if length else b"")
        server = t.cast(_Sockets, self.server)
        started: list[tuple[str, list[tuple[str, str]]]] = []
        try:
            pieces = server.app(environ, lambda status, headers: started.append((status, headers)))
            body = b"".join(pieces)
        except Reset:
            self.close_connection = True
            return
        status, headers = started[0]
        code, _space, reason = status.partition(" ")
        lines = [f"HTTP/1.1 {code} {reason}", *(f"{name}: {value}" for name, value in headers)]
        if self.close_connection:
            lines.append("Connection: close")
        self.wfile.write("\r\n".join((*lines, "", "")).encode("latin-1") + body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve

    def _environ(self, body: bytes) -> Environ:
        path, _mark, query = self.path.partition("?")
        environ: Environ = {
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "SERVER_PROTOCOL": self.request_version,
            "wsgi.input": io.BytesIO(body),
            "wsgi.url_scheme": "http",
        }
        for name, value in self.headers.items():
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
        return environ

    def log_message(self, format: str, *args: t.Any) -> None:
        """Log nothing: the store keeps its own log."""
