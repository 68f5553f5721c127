"""A receiver of notifications, for demos and tests."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import email.message
import http.server
import sys
import threading
import time
import typing as t

import orjson

from ..values.crypto import verify_body


@dataclasses.dataclass(frozen=True)
class Received:
    """One notification that arrived."""

    headers: email.message.Message
    body: bytes
    #: Time of arrival; seconds of the monotonic clock.
    at: float = dataclasses.field(default_factory=time.monotonic)

    @property
    def json(self) -> dict[str, t.Any]:
        """The parsed body."""
        return t.cast("dict[str, t.Any]", orjson.loads(self.body))

    @property
    def events(self) -> list[dict[str, t.Any]]:
        """The member ``message.events`` of the body, or ``data`` of a CloudEvent."""
        body = self.json
        found = [body["data"]] if "specversion" in body else body["message"]["events"]
        return t.cast("list[dict[str, t.Any]]", found)

    def is_signed_with(self, key: str) -> bool:
        """Return whether ``Elements-Webhook-Signature`` is valid for the body and this key."""
        return verify_body(self.body, (key,), self.headers.get("Elements-Webhook-Signature"))


Answer = int | tuple[int, int]
Answering = cabc.Callable[[Received], Answer]


class CallbackReceiver:
    """A callback URL on loopback that keeps the notifications it receives.

    :param answer: takes a notification and returns the HTTP status to answer with, or the status
        and the seconds of a header ``Retry-After``. ``ConnectionError`` closes the connection.
    """

    def __init__(self, answer: Answering = lambda received: 200) -> None:
        self.answer = answer
        self._received: list[Received] = []
        self._arrived = threading.Condition()

    @property
    def received(self) -> list[Received]:
        """Every notification so far, in the order of arrival."""
        with self._arrived:
            return list(self._received)

    @property
    def events(self) -> list[tuple[str, str, str]]:
        """``(objectType, objectId, eventType)`` of every event so far."""
        return [
            (event["objectType"], event["objectId"], event["eventType"])
            for notification in self.received
            for event in notification.events
        ]

    def wait_for(self, count: int, seconds: float = 10.0) -> bool:
        """Wait until ``count`` notifications have arrived; return false after ``seconds``."""
        with self._arrived:
            return self._arrived.wait_for(lambda: len(self._received) >= count, seconds)

    def clear(self) -> None:
        """Forget the received notifications."""
        with self._arrived:
            self._received.clear()

    @contextlib.contextmanager
    def serve(self, host: str = "127.0.0.1", port: int = 0) -> cabc.Iterator[str]:
        """Listen while the block runs, and yield the URL."""
        server = _Server((host, port), _handler(self))
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://{host}:{server.server_address[1]}/events"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def take(self, received: Received) -> Answer:
        """Keep a notification and return what to answer with."""
        answer = self.answer(received)
        with self._arrived:
            self._received.append(received)
            self._arrived.notify_all()
        return answer


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        # A sender may close the connection during its request.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _handler(receiver: CallbackReceiver) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if len(body) < length:
                self.close_connection = True  # The request is incomplete, so it is not kept.
                return
            answer = receiver.take(Received(self.headers, body))
            status, wait = (answer, None) if isinstance(answer, int) else answer
            self.send_response(status)
            if wait is not None:
                self.send_header("Retry-After", str(wait))
            self.send_header("Content-Length", "2")
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
