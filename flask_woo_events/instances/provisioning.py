"""Creation, change and removal of instances, with the check and the webhooks of their stores.

The API, the console, the commands and the connect flow all go through this module.
"""

from __future__ import annotations

import collections.abc as cabc
import logging
import typing as t

from sqlalchemy import orm

from ..errors import ConfigurationError, OutOfPatienceError, SecretError, TransportError
from ..runtime import Runtime
from ..woocommerce import endpoints
from ..woocommerce.connection_check import check_store
from . import configuration, lifecycle, problems, specification, webhooks
from .accounts import Caller
from .requests import InstanceRequest
from .specification import CurrentSpec, InstanceSpec

_log = logging.getLogger(__name__)


def create(
    runtime: Runtime,
    caller: Caller,
    request: InstanceRequest,
    base: str,
) -> tuple[int, str]:
    """Connect a store, and return the instance's id and token.

    :param base: URL at which the store reaches the API, with its prefix.
    :raises InputError: names the field that is wrong or missing.
    :raises ConfigurationError: the instance needs webhooks and ``base`` is empty.
    :raises TransportError: the store does not answer, or refuses the keys. Within
        :class:`~..http.patience.WebCalls` a store that does not answer in time is left to a worker.
    """
    cipher = runtime.cipher
    wanted, facts = checked(runtime, request, base)
    keep = runtime.settings.keep_tokens
    with runtime.database.write() as session:
        created = lifecycle.create(
            session, cipher, caller, wanted, facts, runtime.clock(), keep_token=keep
        )
    register(runtime, created[0], base, later=facts is None)
    return created


def checked(
    runtime: Runtime, request: InstanceRequest, base: str
) -> tuple[InstanceSpec, dict[str, t.Any] | None]:
    """Check the store of a new instance; return its specification and what the store reports.

    It reports ``None`` if a worker has to check it.

    The parameters and exceptions are those of :func:`create`.
    """
    wanted = specification.plan(request)
    _require_base(wanted, base)
    return wanted, _ask_in_time(runtime, wanted)


def _require_base(wanted: InstanceSpec, base: str) -> None:
    if wanted.configuration.vendor_type == "webhook" and wanted.configuration.enabled:
        webhooks.require_base(base)


def change(
    runtime: Runtime,
    caller: Caller,
    instance_id: int,
    request: InstanceRequest,
    base: str,
    *,
    partial: bool,
    before: CurrentSpec | None = None,
    reconnect: bool = False,
    register_later: bool = False,
    also: cabc.Callable[[orm.Session], None] = lambda _: None,
) -> None:
    """Apply a request to an instance.

    The store is checked when its address, its keys or the polled resources change.

    :param base: URL at which the store reaches the API, with its prefix.
    :param partial: keep what the request leaves out.
    :param before: the current instance, if the caller has read it already.
    :param reconnect: check the store in any case, and enable disabled pollers.
    :param register_later: leave the registration of webhooks to a worker.
    :param also: called in the transaction of the change, at its end.
    :raises InputError: names the field that is wrong or missing.
    :raises ConfigurationError: the instance needs webhooks and ``base`` is empty.
    :raises TransportError: the store does not answer, or refuses the keys.
    """
    cipher = runtime.cipher
    if before is None:
        with runtime.database.read() as session:
            before = lifecycle.before(session, cipher, caller, instance_id)
    checked = specification.plan(request, before, partial=partial)
    _require_base(checked, base)
    # Outside of any transaction: the store may be slow.
    asks = checked.asks or reconnect
    facts = _ask_in_time(runtime, checked) if asks else None
    check_later = asks and facts is None
    with runtime.database.write() as session:
        wanted = lifecycle.plan_again(
            session, cipher, caller, instance_id, request, checked, partial=partial
        )
        if wanted.access != checked.access:
            facts = None
        now = runtime.clock()
        instance = lifecycle.change(
            session, cipher, caller, instance_id, wanted, facts, now, check_later=check_later
        )
        if reconnect:
            lifecycle.enable_pollers(session, instance, now)
        also(session)
        lost = configuration.unreadable(session, cipher, instance_id)
        changes = problems.compare_keys(instance, lost, now)
        hooked = bool(instance.hooks)
    problems.announce(runtime, instance_id, changes)
    if hooked and wanted.configuration.vendor_type != "webhook":
        _unregister(runtime, instance_id, webhooks.remove)
    elif wanted.reconnects or reconnect or not hooked:
        register(runtime, instance_id, base, later=register_later or check_later)


def replace_token(runtime: Runtime, caller: Caller, instance_id: int) -> str:
    """Give an instance a new token, and return it; the one before is refused immediately.

    :raises NotFoundError: the caller's organisation has no instance with this id.
    """
    cipher = runtime.cipher if runtime.settings.keep_tokens else None
    with runtime.database.write() as session:
        return lifecycle.replace_token(session, cipher, caller, instance_id)


def kept_tokens(
    runtime: Runtime, session: orm.Session, instance_ids: cabc.Collection[int]
) -> dict[int, str]:
    """Return the tokens to show with instances, by id; none without the setting."""
    if not runtime.settings.keep_tokens:
        return {}
    return configuration.tokens(session, runtime.cipher_or_none, instance_ids)


def remove(runtime: Runtime, caller: Caller, instance_id: int) -> None:
    """Delete an instance and its webhooks at the store.

    :raises NotFoundError: the caller's organisation has no instance with this id.
    """
    with runtime.database.read() as session:
        hooked = lifecycle.find(session, caller, instance_id).hooks
    if hooked:
        # If we are killed before the deletion, a worker repairs the instance's webhooks.
        _unregister(runtime, instance_id, webhooks.remove_from_store)
    with runtime.database.write() as session:
        lifecycle.delete(session, caller, instance_id)


def ask(runtime: Runtime, wanted: InstanceSpec) -> dict[str, t.Any]:
    """Check the store of a specification, and return what it reports about itself.

    :raises InputError: stored keys that are needed cannot be decrypted.
    :raises TransportError: the store does not answer, or refuses the keys.
    """
    wanted.require_access()
    client = runtime.store_client(wanted.access)
    return check_store(client, [endpoints.resolve(poller.url) for poller in wanted.pollers])


def _ask_in_time(runtime: Runtime, wanted: InstanceSpec) -> dict[str, t.Any] | None:
    """Check the store of a specification; return ``None`` if the request cannot wait for it."""
    try:
        return ask(runtime, wanted)
    except OutOfPatienceError as exc:
        extra = {"action": "connect"}
        _log.warning("a worker has to check %s: %s", wanted.access.url, exc, extra=extra)
        return None


def register(runtime: Runtime, instance_id: int, base: str, *, later: bool = False) -> None:
    """Register the webhooks of an instance that uses them; errors show in its view.

    :param later: a worker registers them, because the store waits for our answer.
    """
    due = runtime.clock() if later else runtime.clock() + webhooks.RETRY_AFTER
    with runtime.database.write() as session:
        if not webhooks.enroll(session, instance_id, base, due) or later:
            return
    try:
        webhooks.reconcile(runtime, instance_id)
    except OutOfPatienceError:
        with runtime.database.write() as session:
            webhooks.enroll(session, instance_id, base, runtime.clock())
    except (TransportError, SecretError):
        pass  # Its view shows why, and a problem which secrets are lost.


def _unregister(
    runtime: Runtime, instance_id: int, remove: cabc.Callable[[Runtime, int], int]
) -> None:
    try:
        remove(runtime, instance_id)
    except (TransportError, SecretError, ConfigurationError) as exc:
        # Their deliveries get 404, after which the store disables them.
        extra = {"action": "unregister", "instance": instance_id}
        _log.warning(
            "the webhooks of instance %d stay at its store: %s", instance_id, exc, extra=extra
        )
