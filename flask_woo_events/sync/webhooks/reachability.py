"""The watch: whether stores reach the intake, as far as we can see.

WooCommerce does not repeat a webhook, and its REST API does not tell of a failed one until the
store disables it, seven failures in a row later (5.9 to 11.0). What a short outage of ours lost is
found by nobody but us.
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

from ...db.models import Instance
from ...errors import TransportError
from ...http.exchange import Timeouts, exchange
from ...instances import webhook_urls, webhooks
from ...runtime import Runtime
from ...settings import Settings

_log = logging.getLogger(__name__)

#: Stores are polled because of an address at most this often, seconds; again and again less often.
APART, APART_AT_MOST = 60.0, 300.0
#: How long the intake may take to answer.
_PATIENCE = Timeouts(connect=5.0, read=5.0, total=10.0)
#: Bytes of its answer.
_MOST = 4096
#: Instances that live on webhooks.
_HOOKED = (Instance.vendor_type == "webhook", Instance.events_enabled, sa.not_(Instance.disabled))


@dataclasses.dataclass(slots=True)
class _Base:
    """What is known of one address at which the intake is reached."""

    reached: bool = False
    #: Until when what may have been missed was polled, or is being polled; seconds, monotonic.
    covered: float = -math.inf
    #: Something may have been missed since.
    missed: bool = False
    #: Before this there is no other poll.
    quiet_until: float = -math.inf
    pause: float = APART


class Watch:
    """Asks the intake as stores do, and lets their polls find what it may have missed.

    That is when it answers again, when a process of it is a new one, and once when the watch
    begins. Each worker may have a watch of its own: a poll more costs requests, no events.

    :param ticks: seconds, monotonic.
    """

    def __init__(self, runtime: Runtime, ticks: cabc.Callable[[], float] = time.monotonic) -> None:
        self._runtime = runtime
        self._ticks = ticks
        self._bases: dict[str, _Base] = {}

    def look(self) -> None:
        """Ask at each address once."""
        try:
            found = bases(self._runtime)
            self._bases = {base: self._bases.get(base) or _Base() for base in found}
            for base, seen in self._bases.items():
                self._look_at(base, seen)
        except sa.exc.SQLAlchemyError:
            # The intake needs the database too: what came meanwhile was not taken.
            for seen in self._bases.values():
                seen.reached = False

    def _look_at(self, base: str, seen: _Base) -> None:
        up = seconds_up(self._runtime, base)
        now = self._ticks()
        if up is None:
            if seen.reached:
                extra = {"action": "watch", "base": base}
                _log.warning("webhooks do not reach %s", base, extra=extra)
            seen.reached = False
            return
        # By its age, not by a name: that a process was not met before does not make it new.
        seen.missed = seen.missed or not seen.reached or now - up > seen.covered
        seen.reached = True
        if seen.missed and now >= seen.quiet_until:
            self._fill(base, seen, now)

    def _fill(self, base: str, seen: _Base, now: float) -> None:
        settings, clock = self._runtime.settings, self._runtime.clock()
        lease = dt.timedelta(seconds=settings.lease_seconds)
        with self._runtime.database.write() as session:
            mine = [] if settings.public_url else [Instance.hooks_base == base]
            webhooks.poll_missed(session, clock, *_HOOKED, *mine)
            webhooks.check_soon(session, clock, lease, *_HOOKED, *mine)
        # One after the other: processes that are replaced all the time, or an intake that fails so.
        ran_on = now < seen.quiet_until + APART
        seen.pause = min(2 * seen.pause, APART_AT_MOST) if ran_on else APART
        seen.covered, seen.missed, seen.quiet_until = now, False, now + seen.pause
        extra = {"action": "watch", "base": base}
        _log.info("what webhooks to %s may have missed is polled", base, extra=extra)


def bases(runtime: Runtime) -> list[str]:
    """The addresses of the API to which stores send webhooks."""
    query = sa.select(Instance.hooks_base).where(*_HOOKED).distinct()
    with runtime.database.read() as session:
        found = session.scalars(query).all()
    return sorted({base for one in found if (base := base_of(runtime.settings, one))})


def base_of(settings: Settings, hooks_base: str | None) -> str | None:
    """The address of the API for an instance's store; the deployment's own goes first."""
    return settings.public_url or hooks_base


def seconds_up(runtime: Runtime, base: str) -> float | None:
    """How long the process that answers at an address has been there; ``None`` if none does."""
    url = base.rstrip("/") + webhook_urls.PATH
    try:
        answer = exchange(
            runtime.store_session,
            "GET",
            url,
            # Of several processes another one may answer the next time.
            headers={"Connection": "close"},
            timeouts=_PATIENCE,
            max_bytes=_MOST,
        )
        told = orjson.loads(answer.body) if answer.status == 200 else None
    except (TransportError, orjson.JSONDecodeError):
        return None
    up = told.get("upSeconds") if isinstance(told, dict) else None
    return float(up) if isinstance(up, int | float) else None
