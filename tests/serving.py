"""HTTP servers on loopback for the length of a block."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import http.server
import socketserver
import threading

import flask
import werkzeug.serving


@contextlib.contextmanager
def serve_handler(handler: type[http.server.BaseHTTPRequestHandler]) -> cabc.Iterator[str]:
    """Serve with a handler of the standard library; yield the URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    with _running(server):
        yield f"http://127.0.0.1:{server.server_address[1]}"


@contextlib.contextmanager
def serve_app(app: flask.Flask, port: int = 0) -> cabc.Iterator[tuple[str, int]]:
    """Serve an application over sockets; yield host and port."""
    server = werkzeug.serving.make_server("127.0.0.1", port, app, threaded=True)
    with _running(server):
        yield "127.0.0.1", server.server_port


@contextlib.contextmanager
def _running(server: socketserver.BaseServer) -> cabc.Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
