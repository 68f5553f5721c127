"""Webhook log: the webhooks of a simulated store, when they were sent, and the answers."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import time

from flask_woo_events.simulation.loss_suite.judge import ObjectKey
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.simulation.store.webhook_sender import Headers
from flask_woo_events.sync.webhooks import parse


@dataclasses.dataclass(frozen=True, slots=True)
class LoggedWebhook:
    """One webhook."""

    thing: ObjectKey | None
    #: Just before it was sent; seconds, monotonic.
    at: float
    #: HTTP status; ``None`` without an answer.
    status: int | None


class WebhookLog:
    """Records the webhooks of a store, without pings."""

    def __init__(self, store: SimulatedStore) -> None:
        self.entries: list[LoggedWebhook] = []
        self._webhooks = store.webhooks
        self._send = store.webhooks.send
        store.webhooks.send = self._record

    def _record(self, url: str, headers: Headers, body: bytes, timeout: float) -> int | None:
        at = time.monotonic()
        status = self._send(url, headers, body, timeout)
        topic = next((value for name, value in headers if name == "X-WC-Webhook-Topic"), None)
        if topic is not None:
            hint = parse.read(topic, body)
            named = hint.collection is not None and hint.object_id is not None
            thing = (str(hint.collection), str(hint.object_id)) if named else None
            self.entries.append(LoggedWebhook(thing, at, status))
        return status

    def flush(self) -> None:
        """Send the webhooks that wait, and wait for the answers."""
        self._webhooks.run_queue()

    def accepted(self, changed: cabc.Mapping[ObjectKey, float]) -> set[ObjectKey]:
        """Return objects for which a webhook after their last change was answered 200."""
        return {
            one.thing
            for one in self.entries
            if one.thing is not None
            and one.thing in changed
            and one.status == 200
            and one.at >= changed[one.thing]
        }
