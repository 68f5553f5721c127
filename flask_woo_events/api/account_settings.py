"""``/accounts/settings``: the settings of an organization."""

from __future__ import annotations

import typing as t

import flask
import pydantic

from ..errors import NotFoundError
from ..instances import accounts
from ..instances.accounts import FAILURE_POLICY, RETRY_SCHEDULE
from ..runtime import Runtime, current_runtime
from ..settings import FailurePolicy, Schedule
from .request import account, body


class _Settings(pydantic.BaseModel):
    """The settings that exist; others are refused, so that no client relies on them."""

    model_config = pydantic.ConfigDict(extra="forbid")

    failure_policy: FailurePolicy | None = pydantic.Field(
        None, alias="notification.webhook.failure.policy"
    )
    retry_schedule: Schedule | None = pydantic.Field(
        None, alias="notification.webhook.retry.schedule"
    )


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
    add = blueprint.add_url_rule
    for path in ("/accounts/settings", "/accounts/<account_id>/settings"):
        add(path, view_func=show_settings, methods=["GET"])
        add(path, view_func=change_settings, methods=["POST", "PATCH"])


def show_settings(account_id: str | None = None) -> dict[str, t.Any]:
    """Show the account's settings."""
    who, runtime = account(), current_runtime()
    _own(account_id, who.user_id)
    with runtime.database.read() as session:
        return _shown(accounts.settings(session, who), runtime)


def change_settings(account_id: str | None = None) -> dict[str, t.Any]:
    """Change the settings in the body; they take effect with the next attempt."""
    who, runtime = account(), current_runtime()
    _own(account_id, who.user_id)
    named = body(_Settings).model_dump(by_alias=True, exclude_unset=True)
    with runtime.database.write() as session:
        kept = accounts.change_settings(session, who, named)
    return _shown(kept, runtime)


def _own(account_id: str | None, user_id: int) -> None:
    if account_id not in (None, str(user_id)):
        raise NotFoundError("No account found")


def _shown(kept: dict[str, t.Any], runtime: Runtime) -> dict[str, t.Any]:
    defaults = {
        FAILURE_POLICY: runtime.settings.failure_policy,
        RETRY_SCHEDULE: runtime.settings.retry_schedule,
    }
    return {name: kept.get(name) or default for name, default in defaults.items()}
