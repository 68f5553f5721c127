"""Provisioning: instances created, changed and removed together with what their stores say."""

from __future__ import annotations

import contextlib
import typing as t

from ..errors import TransportError
from ..runtime import Runtime
from ..woocommerce import endpoints
from ..woocommerce.connection_check import check_store
from . import lifecycle, specification, views, webhooks
from .accounts import Caller
from .requests import InstanceRequest
from .specification import CurrentSpec, InstanceSpec


def create(
    runtime: Runtime, caller: Caller, request: InstanceRequest, base: str
) -> tuple[int, str]:
    """Connect a store that answers; returns the instance's id and its token, told only now.

    :param base: where the store is to reach the API, with its prefix.
    :raises InputError: names the field that is wrong or missing.
    :raises TransportError: the store does not answer, or not with these keys.
    """
    wanted = specification.plan(request)
    cipher = runtime.cipher
    facts = ask(runtime, wanted)
    with runtime.database.write() as session:
        created = lifecycle.create(session, cipher, caller, wanted, facts, runtime.clock())
    register(runtime, created[0], base)
    return created


def change(
    runtime: Runtime,
    caller: Caller,
    instance_id: int,
    request: InstanceRequest,
    base: str,
    *,
    partial: bool,
    before: CurrentSpec | None = None,
    anew: bool = False,
) -> None:
    """Make an instance what a request says; the store is asked when that concerns it.

    :param base: where the store is to reach the API, with its prefix.
    :param partial: what the request leaves out stays.
    :param before: the instance as it is, if the caller has read it already.
    :param anew: ask the store even when neither it, its keys nor the resources change.
    :raises InputError: names the field that is wrong or missing.
    :raises TransportError: the store does not answer, or not with these keys.
    """
    cipher = runtime.cipher
    if before is None:
        with runtime.database.read() as session:
            before = lifecycle.before(session, cipher, caller, instance_id)
    checked = specification.plan(request, before, partial=partial)
    # Outside of any transaction: the store may be slow.
    facts = ask(runtime, checked) if checked.asks or anew else None
    with runtime.database.write() as session:
        wanted = lifecycle.plan_again(
            session, cipher, caller, instance_id, request, checked, partial=partial
        )
        told = facts if wanted.access == checked.access else None
        lifecycle.change(session, cipher, caller, instance_id, wanted, told, runtime.clock())
        if anew:
            lifecycle.enable_pollers(session, caller, instance_id, runtime.clock())
        hooked = bool(views.get(session, caller, instance_id).webhooks)
    if hooked and wanted.configuration.vendor_type != "webhook":
        _unregister(runtime, instance_id)
    elif wanted.reconnects or anew or not hooked:
        register(runtime, instance_id, base)


def remove(runtime: Runtime, caller: Caller, instance_id: int) -> None:
    """Delete an instance, and its webhooks at the store.

    :raises NotFoundError: the caller's organisation has none of this id.
    """
    with runtime.database.read() as session:
        hooked = views.get(session, caller, instance_id).webhooks
    if hooked:
        _unregister(runtime, instance_id)
    with runtime.database.write() as session:
        lifecycle.delete(session, caller, instance_id)


def ask(runtime: Runtime, wanted: InstanceSpec) -> dict[str, t.Any]:
    """What the store of a plan tells of itself.

    :raises TransportError: it does not answer, or not with these keys.
    """
    client = runtime.store_client(wanted.access)
    return check_store(client, [endpoints.resolve(poller.url) for poller in wanted.pollers])


def register(runtime: Runtime, instance_id: int, base: str) -> None:
    """Register an instance's webhooks, if it is one for them; its view says what came of it."""
    with runtime.database.write() as session:
        if not webhooks.enroll(session, instance_id, base, runtime.clock()):
            return
    with contextlib.suppress(TransportError):
        webhooks.reconcile(runtime, instance_id)


def _unregister(runtime: Runtime, instance_id: int) -> None:
    # A store that is gone keeps them; their deliveries find nobody here, and it disables them.
    with contextlib.suppress(TransportError):
        webhooks.remove(runtime, instance_id)
