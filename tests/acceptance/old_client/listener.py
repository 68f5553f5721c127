"""The client's callback URL."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import http.server
import json
import threading
import typing as t


@dataclasses.dataclass(frozen=True)
class Callback:
    """One request to the callback URL."""

    #: With names in lower case.
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, t.Any]:
        """The parsed body."""
        return t.cast("dict[str, t.Any]", json.loads(self.raw))

    @property
    def message(self) -> dict[str, t.Any]:
        """The part that consumers read."""
        return t.cast("dict[str, t.Any]", self.body["message"])

    def is_signed(self, key: str) -> bool:
        """Verify ``Elements-Webhook-Signature`` as the guide's samples do."""
        digest = hmac.new(key.encode(), self.raw, hashlib.sha256).digest()
        expected = "sha256=" + base64.b64encode(digest).decode()
        return self.headers.get("elements-webhook-signature") == expected


class Listener:
    """Keeps the callbacks, and answers 200, or 502 while it fails."""

    def __init__(self) -> None:
        self.failing = False
        self._kept: list[Callback] = []
        self._lock = threading.Lock()

    def take(self) -> list[Callback]:
        """Return the callbacks since the last time."""
        with self._lock:
            kept, self._kept = self._kept, []
            return kept

    def handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        """Return the handler of a server."""
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                failing = listener.failing
                if not failing:
                    with listener._lock:
                        listener._kept.append(Callback(headers, raw))
                self.send_response(502 if failing else 200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
