"""Origins: whether a webhook comes from the store that its instance knows.

A copy of a store has its webhooks and their secret, and sends them from another address.
"""

from __future__ import annotations

import dataclasses
import time
import urllib.parse

from ...db.models import Instance
from ...instances import notices
from ...runtime import Runtime
from ..belief import Belief

#: Seconds for which an instance's address is kept, so that intake does not read it each time.
_KEPT = 60.0


@dataclasses.dataclass(slots=True)
class _Known:
    host: str
    until: float
    noticed: bool = False


class Origins:
    """Knows the address of each instance's store, and notices webhooks of another."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._known: dict[int, _Known] = {}

    def admits(self, instance_id: int, source: str) -> bool:
        """Return whether a webhook with a right signature is of the known store.

        :param source: the ``X-WC-Webhook-Source`` header: the address of the store
            (WooCommerce 5.9 to 11.0).
        """
        host = _host(source)
        if not host:
            return True
        known = self._known.get(instance_id)
        if known is not None and known.host in ("", host) and time.monotonic() < known.until:
            return True
        # Also when it differs: a person may have accepted another address.
        fresh = self._known[instance_id] = self._read(instance_id)
        if fresh.host in ("", host):
            return True
        fresh.noticed = known is not None and known.noticed
        if not fresh.noticed:
            self._notice(instance_id, host, fresh.host)
            fresh.noticed = True
        return False

    def _read(self, instance_id: int) -> _Known:
        with self._runtime.database.read() as session:
            instance = session.get(Instance, instance_id)
            belief = Belief.from_json(None if instance is None else instance.belief)
        return _Known(belief.root.partition("/")[0], time.monotonic() + _KEPT)

    def _notice(self, instance_id: int, host: str, known: str) -> None:
        with self._runtime.database.write() as session:
            instance = session.get(Instance, instance_id, with_for_update=True)
            if instance is not None:
                text = (
                    f"webhooks of {host} are dropped: the store is {known}. A copy of the store "
                    "sends them; delete them there"
                )
                notices.add(instance, "webhooks", text, self._runtime.clock())


def _host(source: str) -> str:
    try:
        return (urllib.parse.urlsplit(source.strip()).hostname or "").removeprefix("www.")
    except ValueError:
        return ""
