"""Deliveries of webhooks: queue, requests, signatures and failures."""

from __future__ import annotations

import base64
import collections
import collections.abc as cabc
import dataclasses
import hashlib
import hmac
import html
import threading
import urllib.parse

import requests
import requests.structures

from .encoding import encode
from .resource import Resource
from .responses import RestError
from .routes import Routes
from .tables import Row
from .webhooks import Pending

#: Failures in a row before the next one disables a webhook.
FORGIVEN_FAILURES = 5
#: Maximum number of deliveries in the log.
LOGGED = 10_000
#: Timeouts of a delivery and of a ping, seconds.
TIMEOUT = 60.0
PING_TIMEOUT = 5.0
#: Delay before the background queue runs, seconds.
COLLECT_SECONDS = 0.02

Headers = list[tuple[str, str]]
Sender = cabc.Callable[[str, Headers, bytes, float], int | None]


@dataclasses.dataclass(frozen=True)
class WebhookDelivery:
    """One request that a webhook sent."""

    webhook_id: int
    #: Empty for a ping.
    topic: str
    url: str
    #: Headers in the order in which they are sent.
    headers: Headers
    body: bytes
    #: The status of the response; None without a response.
    status: int | None


def send(url: str, headers: Headers, body: bytes, timeout: float) -> int | None:
    """Send a POST request and return the status, or None without a response.

    Redirects are not followed.
    """
    with requests.Session() as session:
        session.trust_env = False
        prepared = requests.Request("POST", url, data=body).prepare()
        prepared.headers = requests.structures.CaseInsensitiveDict(headers)
        try:
            response = session.send(prepared, timeout=timeout, allow_redirects=False)
        except requests.RequestException:
            return None
        return response.status_code


class WebhookSender:
    """Sends the queued webhook deliveries, on request or by itself."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._shop = routes.shop
        self._webhooks = routes.webhooks
        self._running = threading.Lock()
        self._thread: threading.Thread | None = None
        self._auto = False
        #: Sends a request; tests replace this function.
        self.send: Sender = send
        #: Timeout of a request, seconds.
        self.timeout = TIMEOUT
        #: The sent deliveries, the newest last.
        self.log: collections.deque[WebhookDelivery] = collections.deque(maxlen=LOGGED)

    @property
    def pending(self) -> int:
        """Number of queued deliveries."""
        return len(self._webhooks.queue)

    @property
    def auto(self) -> bool:
        """Whether the queue runs by itself after each change, in its own thread."""
        return self._auto

    @auto.setter
    def auto(self, value: bool) -> None:
        self._auto = value
        if value and self._thread is None:
            self._thread = threading.Thread(
                target=self._keep_running, name="simulated-webhooks", daemon=True
            )
            self._thread.start()

    def _keep_running(self) -> None:
        queued, stopped = self._webhooks.queued, threading.Event()
        while self._auto:
            if queued.wait(0.5):
                queued.clear()
                stopped.wait(COLLECT_SECONDS)
                if self._auto:
                    self.run_queue()
        self._thread = None

    def run_queue(self) -> int:
        """Send the queued deliveries and return the number of requests."""
        count = 0
        with self._running:
            while True:
                with self._shop.lock:
                    if not self._webhooks.queue:
                        return count
                    pending = next(iter(self._webhooks.queue))
                    del self._webhooks.queue[pending]
                count += self._deliver(pending)

    def ping_waiting(self) -> None:
        """Ping the webhooks that were created or moved in this request."""
        while True:
            with self._shop.lock:
                if not self._webhooks.pings:
                    return
                webhook = self._shop.tables["webhooks"].get(self._webhooks.pings.pop(0))
            if webhook is not None:
                self._ping(webhook)

    def _ping(self, webhook: Row) -> None:
        """Send the unsigned form; each delivery repeats it until the response is 200."""
        url, body = webhook.fields["delivery_url"], f"webhook_id={webhook.id}".encode()
        headers = [
            *self._common(url),
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ]
        status = self.send(url, headers, body, min(self.timeout, PING_TIMEOUT))
        with self._shop.lock:
            self.log.append(WebhookDelivery(webhook.id, "", url, headers, body, status))
            if status == 200:
                webhook.fields["pending"] = False
                self._save(webhook)

    def _common(self, url: str) -> Headers:
        version = self._shop.version
        agent = f"WooCommerce/{version.number} Hookshot (WordPress/{version.wordpress})"
        headers = [
            ("Host", urllib.parse.urlsplit(url).netloc.rpartition("@")[2]),
            ("User-Agent", agent),
            ("Accept", "*/*"),
            ("Accept-Encoding", "deflate, gzip, br, zstd"),
        ]
        return headers if version.major >= 8 else [*headers, ("Referer", url)]

    def _deliver(self, pending: Pending) -> int:
        with self._shop.lock:
            webhook = self._shop.tables["webhooks"].get(pending[0])
            if webhook is None:
                return 0
            # The body has the current state; even a paused webhook sends queued deliveries.
            body = self.payload(webhook.fields["topic"], pending[1])
            headers = self._signed(webhook, body)
            topic, url = webhook.fields["topic"], webhook.fields["delivery_url"]
        status = self.send(url, headers, body, self.timeout)
        with self._shop.lock:
            self.log.append(WebhookDelivery(webhook.id, topic, url, headers, body, status))
            self._count_failure(webhook, status)
        if webhook.fields["pending"] and webhook.status == "active":
            self._ping(webhook)
        return 1

    def _count_failure(self, webhook: Row, status: int | None) -> None:
        """Count failures; 200 to 302 is a success, and too many failures in a row disable."""
        fields = webhook.fields
        if status is not None and 200 <= status <= 302:
            fields["failures"] = 0
        elif fields["failures"] > FORGIVEN_FAILURES:
            webhook.status = "disabled"
        else:
            fields["failures"] += 1
        self._save(webhook)

    def _save(self, webhook: Row) -> None:
        webhook.modified = self._shop.now()
        self._shop.tables["webhooks"].changed(webhook)

    def payload(self, topic: str, argument: int) -> bytes:
        """Return the body for this topic, or an error object if the object cannot be read."""
        resource, _dot, event = topic.partition(".")
        if resource == "action":
            return encode({"action": event, "arg": argument})
        if event == "deleted":
            return encode({"id": argument})
        sources: dict[str, Resource] = {
            "coupon": self._routes.coupons,
            "customer": self._routes.customers,
            "order": self._routes.orders,
            "product": self._routes.products,
        }
        source = sources[resource]
        try:
            return source.encoded(source.find(argument))
        except RestError as exc:
            return encode(exc.body)

    def _signed(self, webhook: Row, body: bytes) -> Headers:
        url, topic = webhook.fields["delivery_url"], webhook.fields["topic"]
        resource, _dot, event = topic.partition(".")
        key = html.unescape(webhook.fields["secret"]).encode()
        digest = hmac.new(key, body, hashlib.sha256).digest()
        # All deliveries of a webhook within one second have the same id.
        seed = f"{webhook.id}{self._shop.now()}".encode()
        delivery_id = hashlib.md5(seed, usedforsecurity=False).hexdigest()
        return [
            *self._common(url),
            ("Content-Type", "application/json"),
            ("X-WC-Webhook-Source", f"{self._shop.home}/"),
            ("X-WC-Webhook-Topic", topic),
            ("X-WC-Webhook-Resource", resource),
            ("X-WC-Webhook-Event", event),
            ("X-WC-Webhook-Signature", base64.b64encode(digest).decode()),
            ("X-WC-Webhook-ID", str(webhook.id)),
            ("X-WC-Webhook-Delivery-ID", delivery_id),
            ("Connection", "close"),
            ("Content-Length", str(len(body))),
        ]
