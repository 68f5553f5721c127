"""``state``, ``reconcile`` and ``checkpoint`` of an instance: does a consumer have everything?"""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import typing as t

import flask
import orjson

from ..errors import BusyError, InputError
from ..instances import checkpoint, lifecycle
from ..runtime import current_runtime
from ..sync.reconcile import reconciliation, states
from ..sync.reconcile.copies import LINES_MOST, IdRange
from ..sync.reconcile.reconciliation import Reconciliation, Request
from ..values.validation import whole_number
from .reconcile_responses import (
    CheckpointResponse,
    ObjectStateResponse,
    ResourceCheckpointResponse,
    StatePageResponse,
)
from .request import body_chunks, caller, flag, instance_of, refuse_others
from .responses import dump

Answer = tuple[dict[str, t.Any], int]
#: Objects on a page of the state, by default and at most.
PAGE, PAGE_MOST = 1_000, 10_000


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
    add, one = blueprint.add_url_rule, "/instances/<instance_id>"
    add(f"{one}/state", "show_state", show_state, methods=["GET"])
    add(f"{one}/checkpoint", "show_checkpoint", show_checkpoint, methods=["GET"])
    add(f"{one}/reconcile", "reconcile", reconcile, methods=["POST"])


def show_state(instance_id: str) -> Answer:
    """List the objects of a resource with their versions, page by page."""
    who = caller()
    number, args = instance_of(who, instance_id), flask.request.args
    with current_runtime().database.read() as session:
        lifecycle.find(session, who, number)
        refuse_others("resource", "cursor", "limit")
        limit = whole_number(args.get("limit", str(PAGE)))
        if limit is None or not 1 <= limit <= PAGE_MOST:
            raise InputError(f"limit must be a number from 1 to {PAGE_MOST:,}", "limit")
        poller = reconciliation.poller_of(session, who, number, args.get("resource", ""))
        shown, cursor = states.page(session, poller.id, args.get("cursor"), limit)
    objects = [
        ObjectStateResponse(
            objectId=one.object_id, version=one.version, digest=one.digest, live=one.live
        )
        for one in shown
    ]
    page = StatePageResponse(resource=poller.resource, objects=objects, cursor=cursor)
    return dump(page), 200


def show_checkpoint(instance_id: str) -> Answer:
    """Show count and digest of the live objects of each resource."""
    who = caller()
    number = instance_of(who, instance_id)
    with current_runtime().database.read() as session:
        lifecycle.find(session, who, number)
        refuse_others()
        found = checkpoint.of_instance(session, number)
    resources = [ResourceCheckpointResponse.of(one) for one in found]
    return dump(CheckpointResponse(instanceId=number, resources=resources)), 200


def reconcile(instance_id: str) -> flask.Response:
    """Compare the copies in the body with the ledger, and send what differs if that is asked for.

    The caller, the instance and the parameters are checked before the body.
    """
    who = caller()
    number, runtime = instance_of(who, instance_id), current_runtime()
    with runtime.database.read() as session:
        lifecycle.find(session, who, number)
    refuse_others("resource", "after", "until", "send", "subscription")
    args = flask.request.args
    request = Request(
        instance_id=number,
        resource=args.get("resource", ""),
        part=IdRange(_number("after"), _number("until")),
        send=flag("send"),
        subscription_id=_number("subscription"),
    )
    with contextlib.ExitStack() as stack:
        if not stack.enter_context(runtime.reconciles.taken(who.organization_id)):
            raise BusyError("Too many comparisons at the same time; send it again")
        found = reconciliation.reconcile(runtime, who, request, body_chunks(LINES_MOST))
        stack.callback(found.close)
        response = flask.Response(_document(found), mimetype="application/json")
        response.call_on_close(stack.pop_all().close)  # Also if the client leaves.
    response.headers["Elements-Returned-Count"] = str(found.count)
    return response


def _document(found: Reconciliation) -> cabc.Iterator[bytes]:
    """Yield the answer piece by piece: there may be as many differences as objects."""
    with contextlib.closing(found):
        head = orjson.dumps(
            {"resource": found.resource, "compared": found.compared, "counts": found.counts}
        )
        yield head[:-1] + b',"differences":['
        for place, row in enumerate(found.rows()):
            yield (b",\n" if place else b"\n") + row[:-1]
        yield b"\n]}\n"


def _number(name: str) -> int | None:
    text = flask.request.args.get(name)
    if text is None:
        return None
    number = whole_number(text)
    if number is None:
        raise InputError(f"{name} must be a whole number", name)
    return number
