"""What the webhooks of a simulated store said, when, and what the intake answered."""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import time

from flask_woo_events.simulation.loss_suite.judge import Thing
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.simulation.store.webhook_sender import Headers
from flask_woo_events.sync.webhooks import parse


@dataclasses.dataclass(frozen=True, slots=True)
class One:
    """One webhook."""

    thing: Thing | None
    #: Before it was sent; seconds, monotonic.
    at: float
    #: Of the answer; None if there was none.
    status: int | None


class Said:
    """Listens to the webhooks of a store; pings are none."""

    def __init__(self, store: SimulatedStore) -> None:
        self.all: list[One] = []
        self._webhooks = store.webhooks
        self._send = store.webhooks.send
        store.webhooks.send = self._listen

    def _listen(self, url: str, headers: Headers, body: bytes, timeout: float) -> int | None:
        at = time.monotonic()
        status = self._send(url, headers, body, timeout)
        topic = next((value for name, value in headers if name == "X-WC-Webhook-Topic"), None)
        if topic is not None:
            hint = parse.read(topic, body)
            named = hint.collection is not None and hint.object_id is not None
            thing = (str(hint.collection), str(hint.object_id)) if named else None
            self.all.append(One(thing, at, status))
        return status

    def end(self) -> None:
        """Send what waits, and wait for the answers."""
        self._webhooks.run_queue()

    def taken(self, changed: cabc.Mapping[Thing, float]) -> set[Thing]:
        """Objects of which a webhook was answered 200 that was sent after their last change."""
        return {
            one.thing
            for one in self.all
            if one.thing is not None
            and one.thing in changed
            and one.status == 200
            and one.at >= changed[one.thing]
        }
