"""Connecting: the check of a store that a web request could not wait for, and a worker makes."""

from __future__ import annotations

import collections.abc as cabc
import datetime as dt
import enum
import typing as t

from sqlalchemy import orm

from ..db.models import Instance
from ..db.states import PollerState
from ..errors import StoreAccessError, WooEventsError
from ..runtime import Runtime
from ..woocommerce import endpoints
from ..woocommerce.connection_check import check_store
from . import access, pollers


class ConnectionState(enum.StrEnum):
    """Whether the store of an instance was checked."""

    CONNECTING = "connecting"  #: a worker checks it before its first poll
    REFUSED = "refused"  #: it refused the keys in that check, which is repeated
    CONNECTED = "connected"  #: it was checked


def state_of(instance: Instance) -> ConnectionState:
    """Return whether the store of an instance was checked."""
    if instance.connecting is None:
        return ConnectionState.CONNECTED
    refused = instance.connecting.get("refused")
    return ConnectionState.REFUSED if refused else ConnectionState.CONNECTING


def since(instance: Instance) -> dt.datetime | None:
    """Return since when the check is to be made; ``None`` if it was made."""
    kept = instance.connecting
    return None if kept is None else dt.datetime.fromisoformat(kept["since"])


def pending(now: dt.datetime) -> dict[str, t.Any]:
    """Return what an instance's row keeps of a check that is to be made."""
    return {"since": now.isoformat(timespec="seconds")}


def check(runtime: Runtime, instance_id: int) -> dict[str, t.Any]:
    """Check the store of an instance, and return what it reports about itself.

    :raises SecretError: its keys cannot be decrypted.
    :raises TransportError: the store does not answer, or refuses the keys.
    """
    with runtime.database.read() as session:
        client = runtime.store_client(access.load_access(session, runtime.cipher, instance_id))
        urls = [one.configuration["url"] for one in pollers.of_instance(session, instance_id)
                if one.selected]  # fmt: skip
    return check_store(client, [endpoints.resolve(url) for url in urls])


def finish(
    session: orm.Session, instance: Instance, facts: cabc.Mapping[str, t.Any], now: dt.datetime
) -> None:
    """Store what a check reported: the store is connected."""
    instance.connecting = None
    instance.store_facts = stored(facts)
    users = {"users": facts.get("users", [])} | (instance.belief or {})
    instance.belief = users | {"root": facts.get("root", "")}
    seen = pollers.StoreSnapshot.of(facts)
    for poller in pollers.of_instance(session, instance.id):
        if poller.state == PollerState.BASELINE and poller.baseline_at is None:
            # What happened in the store since the resource was added is sent.
            waited = max(now - poller.created_at, dt.timedelta())
            poller.baseline_at = seen.since and seen.since - waited
            poller.memory = {**poller.memory, **seen.memory_of(poller.configuration["url"])}


def fail(instance: Instance, exc: WooEventsError) -> None:
    """Store why a check failed; it is repeated before the next poll."""
    if instance.connecting is not None:
        refused = isinstance(exc, StoreAccessError)
        instance.connecting = {**instance.connecting, "error": str(exc), "refused": refused}


def stored(facts: cabc.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the facts of a checked store that are stored with the instance."""
    left_out = ("totals", "users", "root")
    return {name: value for name, value in facts.items() if name not in left_out}
