"""Reachability: whether stores can reach the address that receives their webhooks.

WooCommerce does not repeat a webhook, and its REST API shows no failure until the store disables
the webhook after seven failures in a row (5.9 to 11.0). So the webhooks that a short outage lost
have to be found from here.
"""

from __future__ import annotations

import collections.abc as cabc
import dataclasses
import datetime as dt
import logging
import math
import time

import orjson
import sqlalchemy as sa

from ...db.leases import is_enabled
from ...db.models import Instance
from ...errors import SchemaError, TransportError
from ...http.exchange import Timeouts, exchange
from ...instances import webhook_urls, webhooks
from ...runtime import Runtime
from ...settings import Settings

_log = logging.getLogger(__name__)

#: Seconds between two polls because of one address; repeated outages double them up to the second.
MIN_PAUSE, MAX_PAUSE = 60.0, 300.0
#: How long the address may take to respond.
_TIMEOUTS = Timeouts(connect=5.0, read=5.0, total=10.0)
#: The largest response, in bytes.
_MAX_BYTES = 4096
#: Instances that receive webhooks.
_HOOKED = (Instance.vendor_type == "webhook", is_enabled())


@dataclasses.dataclass(slots=True)
class _Address:
    """The last checks of one address that receives webhooks."""

    reached: bool = False
    #: Outages before this are polled for, or were; seconds, monotonic.
    covered: float = -math.inf
    #: Whether webhooks may have been lost since.
    missed: bool = False
    #: The earliest time of the next poll; seconds, monotonic.
    quiet_until: float = -math.inf
    #: Seconds until another poll.
    pause: float = MIN_PAUSE


class Watch:
    """Requests the addresses as stores do, and polls for webhooks that they may have lost.

    The stores are polled when an address responds again, when a new process responds at it, and
    once when the watch begins. Several workers may watch: an additional poll costs requests, but
    repeats no event.

    :param ticks: returns seconds, monotonic.
    """

    def __init__(self, runtime: Runtime, ticks: cabc.Callable[[], float] = time.monotonic) -> None:
        self._runtime = runtime
        self._ticks = ticks
        self._bases: dict[str, _Address] = {}

    def check(self) -> None:
        """Check each address once."""
        try:
            found = bases(self._runtime)
            self._bases = {base: self._bases.get(base) or _Address() for base in found}
            for base, address in self._bases.items():
                self._check(base, address)
        except (sa.exc.SQLAlchemyError, SchemaError):
            # Webhooks are stored in this database, so those sent meanwhile were rejected.
            for address in self._bases.values():
                address.reached = False
            raise

    def _check(self, base: str, address: _Address) -> None:
        up = seconds_up(self._runtime, base)
        now = self._ticks()
        if up is None:
            if address.reached:
                extra = {"action": "watch", "base": base}
                _log.warning("webhooks cannot reach %s", base, extra=extra)
            address.reached = False
            return
        # A process is new by its age: one that was only not address before has lost nothing.
        address.missed = address.missed or not address.reached or now - up > address.covered
        address.reached = True
        if address.missed and now >= address.quiet_until:
            self._fill(base, address, now)

    def _fill(self, base: str, address: _Address, now: float) -> None:
        settings = self._runtime.settings
        lease = dt.timedelta(seconds=settings.lease_seconds)
        which = _HOOKED if settings.public_url else (*_HOOKED, Instance.hooks_base == base)
        # By id, as all do that lock several instances.
        locked = sa.select(Instance.id).where(*which).order_by(Instance.id)
        with self._runtime.database.write() as session:
            session.execute(locked.with_for_update(key_share=True)).all()
            clock = self._runtime.clock()
            webhooks.poll_missed(session, clock, *which)
            webhooks.check_soon(session, clock, lease, *which)
        # Wait longer each time when processes restart or fail again and again.
        repeated = now < address.quiet_until + MIN_PAUSE
        address.pause = min(2 * address.pause, MAX_PAUSE) if repeated else MIN_PAUSE
        address.covered, address.missed, address.quiet_until = now, False, now + address.pause
        extra = {"action": "watch", "base": base}
        _log.info("polling for changes whose webhooks to %s may be lost", base, extra=extra)


def bases(runtime: Runtime) -> list[str]:
    """Return the base addresses to which stores send webhooks."""
    query = sa.select(Instance.hooks_base).where(*_HOOKED).distinct()
    with runtime.database.read() as session:
        hooks_bases = session.scalars(query).all()
    found = {base_of(runtime.settings, hooks_base) for hooks_base in hooks_bases}
    return sorted(base for base in found if base)


def base_of(settings: Settings, hooks_base: str | None) -> str | None:
    """Return the base address for an instance's webhooks; ``WOO_EVENTS_PUBLIC_URL`` wins."""
    return settings.public_url or hooks_base


def seconds_up(runtime: Runtime, base: str) -> float | None:
    """Return the uptime of the process that responds at an address; ``None`` if none does."""
    url = base.rstrip("/") + webhook_urls.PATH
    try:
        answer = exchange(
            runtime.store_session,
            "GET",
            url,
            # So that another of several processes may respond the next time.
            headers={"Connection": "close"},
            timeouts=_TIMEOUTS,
            max_bytes=_MAX_BYTES,
        )
        content = orjson.loads(answer.body) if answer.status == 200 else None
    except (TransportError, orjson.JSONDecodeError):
        return None
    up = content.get("upSeconds") if isinstance(content, dict) else None
    return float(up) if isinstance(up, int | float) else None
