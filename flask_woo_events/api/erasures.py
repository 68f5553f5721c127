"""``/accounts/erasures``: persons who are erased from an organization's data."""

from __future__ import annotations

import time
import typing as t

import flask
import pydantic
import sqlalchemy as sa

from ..db.models import User
from ..errors import NotFoundError
from ..instances.accounts import Caller
from ..runtime import current_runtime
from ..sync.erasure import erasures
from ..values.validation import whole_number
from .erasure_responses import ErasureResponse, RecordedErasureResponse
from .request import PAGE_SIZE, account, body
from .responses import EmptyResponse, dump, dump_all

Answer = tuple[dict[str, t.Any], int]


class ErasureRequest(pydantic.BaseModel):
    """A person to erase."""

    model_config = pydantic.ConfigDict(extra="forbid")

    email: str = pydantic.Field(description="The person's e-mail address, in any case")
    dryRun: bool = pydantic.Field(False, description="Only count what would be erased")


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
    add = blueprint.add_url_rule
    for path in ("/accounts/erasures", "/accounts/<account_id>/erasures"):
        add(path, view_func=erase, methods=["POST"])
        add(path, view_func=list_erasures, methods=["GET"])
    add("/accounts/erasures/<erasure_id>", view_func=lift_erasure, methods=["DELETE"])


def erase(account_id: str | None = None) -> Answer:
    """Erase a person; what takes longer than one request goes on with the next one."""
    who, runtime = _own(account_id), current_runtime()
    request = body(ErasureRequest)
    until = time.monotonic() + runtime.settings.web_call_seconds

    def stopped() -> bool:
        return time.monotonic() >= until

    if request.dryRun:
        result = erasures.search(runtime, who.organization_id, request.email, stopped=stopped)
    else:
        result = erasures.erase(
            runtime, who.organization_id, request.email, _name(who), stopped=stopped
        )
    return dump(ErasureResponse.of(result, dryRun=request.dryRun)), 200


def list_erasures(account_id: str | None = None) -> list[dict[str, t.Any]]:
    """List the latest erasures, the newest first, without the addresses."""
    who = _own(account_id)
    with current_runtime().database.read() as session:
        rows = erasures.recorded(session, who.organization_id, PAGE_SIZE)
    return dump_all(map(RecordedErasureResponse.of, rows))


def lift_erasure(erasure_id: str) -> Answer:
    """End the suppression of the person of an erasure."""
    who, number = account(), whole_number(erasure_id)
    if number is None:
        raise NotFoundError("No erasure found")
    erasures.lift_by_id(current_runtime(), who.organization_id, number, _name(who))
    return dump(EmptyResponse()), 200


def _own(account_id: str | None) -> Caller:
    who = account()
    if account_id not in (None, str(who.user_id)):
        raise NotFoundError("No account found")
    return who


def _name(who: Caller) -> str:
    with current_runtime().database.read() as session:
        return session.scalars(sa.select(User.name).where(User.id == who.user_id)).one()
