"""Whether an instance has recorded an object, so that the next change of it has its own event."""

from __future__ import annotations

import collections.abc as cabc
import time

from ..instances import pollers
from ..runtime import Runtime
from ..sync.ledger import lookup
from ..woocommerce import endpoints
from ..worker.worker import Worker

#: How long a worker that polls the instance at the moment is waited for, seconds.
PATIENCE = 60.0
_PAUSE = 0.2


class LedgerWait:
    """Polls an instance until it knows an object as it is; for :class:`ChangingStore`.

    :param say: prints one line, before something that may take long.
    """

    def __init__(self, runtime: Runtime, instance_id: int, say: cabc.Callable[[str], None]) -> None:
        self._runtime = runtime
        self._instance_id = instance_id
        self._say = say
        with runtime.database.read() as session:
            self._pollers = {
                endpoints.resolve(one.configuration["url"]).hub_name: one.id
                for one in pollers.of_instance(session, instance_id)
                if one.selected
            }

    @property
    def resources(self) -> frozenset[str]:
        """The hub's names of the polled resources."""
        return frozenset(self._pollers)

    def __call__(self, resource: str, number: int, live: bool) -> None:
        """Wait until the object is known as live or as gone, and poll for it."""
        poller_id = self._pollers.get(resource)
        if poller_id is None or self._knows(poller_id, number, live):
            return
        state = f"{resource} {number} {'' if live else 'is gone '}".rstrip()
        self._say(f"polling instance {self._instance_id}, which does not know yet: {state}")
        end = time.monotonic() + PATIENCE
        while True:
            reports = Worker(self._runtime).poll_once([self._instance_id])
            failed = [one.error for one in reports if one.error]
            if self._knows(poller_id, number, live) or time.monotonic() > end or failed:
                break
            time.sleep(_PAUSE)
        if not self._knows(poller_id, number, live):
            why = failed[0] if failed else "it was not recorded in time"
            self._say(f"the event may be another one than was promised: {why}")

    def _knows(self, poller_id: int, number: int, live: bool) -> bool:
        with self._runtime.database.read() as session:
            known = lookup.known(session, poller_id, [str(number)]).get(str(number))
        return (known is not None and known.live) is live
