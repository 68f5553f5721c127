"""``/instances``: connected stores."""

from __future__ import annotations

import collections.abc as cabc
import functools
import typing as t

import flask
import pydantic

from ..errors import InputError, NotFoundError
from ..instances import configuration, lifecycle, provisioning, views
from ..instances.accounts import Caller
from ..instances.requests import InstanceRequest
from ..instances.specification import CurrentSpec
from ..instances.views import InstanceView
from ..runtime import current_runtime
from ..values.cloud_elements import ELEMENT_KEY
from ..values.validation import whole_number
from .elements import require_element
from .request import account, body, caller, instance_of, page_size
from .responses import (
    ConfigurationEntryResponse,
    EmptyResponse,
    InstanceResponse,
    TokenResponse,
    dump,
    dump_all,
)

Answer = tuple[dict[str, t.Any], int] | flask.Response


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes; those of one instance also without its id, for the token's instance."""
    add = blueprint.add_url_rule
    add("/instances", view_func=create, methods=["POST"])
    add("/elements/<element>/instances", view_func=create, methods=["POST"])
    add("/instances", view_func=list_or_get, methods=["GET"])
    for path in ("/instances", "/instances/<instance_id>"):
        add(path, view_func=replace, methods=["PUT"])
        add(path, view_func=patch, methods=["PATCH"])
        add(path, view_func=delete, methods=["DELETE"])
        add(f"{path}/enabled", view_func=enable, methods=["PUT"])
        add(f"{path}/enabled", view_func=disable, methods=["DELETE"])
        add(f"{path}/configuration", view_func=list_entries, methods=["GET"])
        add(f"{path}/configuration/<entry_id>", view_func=show_entry, methods=["GET"])
        add(f"{path}/configuration/<entry_id>", view_func=patch_entry, methods=["PATCH"])
    add("/instances/<instance_id>/token", view_func=replace_token, methods=["POST"])
    add("/instances/<instance_id>", view_func=get, methods=["GET"])
    _add_by_element(blueprint)


def _add_by_element(blueprint: flask.Blueprint) -> None:
    """Add the same routes below the element; those that create are above."""
    every = "/elements/<element>/instances"
    one, both = f"{every}/<instance_id>", (every, f"{every}/<instance_id>")
    for method, view, paths in (
        ("GET", list_or_get, (every,)),
        ("GET", get, (one,)),
        ("PUT", replace, both),
        ("PATCH", patch, both),
        ("DELETE", delete, both),
        ("POST", replace_token, (f"{one}/token",)),
    ):
        of_element, name = _of_element(view), f"element_{view.__name__}"
        for path in paths:
            blueprint.add_url_rule(path, name, of_element, methods=[method])


def _of_element(view: cabc.Callable[..., Answer]) -> cabc.Callable[..., Answer]:
    """Refuse another element than the one here; each instance belongs to it."""

    @functools.wraps(view)
    def call(element: str, **parts: str) -> Answer:
        require_element(element)
        return view(**parts)

    return call


def create(element: str | None = None) -> Answer:
    """Connect a store."""
    who = account()
    if element is not None:
        require_element(element)
    request = body(InstanceRequest)
    if element is None and request.element is None:
        raise InputError(f"element.key is missing; it is {ELEMENT_KEY}", "element.key")
    runtime = current_runtime()
    with runtime.web_calls.limited(who.organization_id):
        instance_id, token = provisioning.create(runtime, who, request, runtime.api_base())
    with runtime.database.read() as session:
        view = views.get(session, who, instance_id, runtime.clock())
    return dump(InstanceResponse.of_view(view, token)), 200


def list_or_get() -> Answer:
    """List the organization's instances, or show the only one that the caller may reach."""
    who = caller()
    if who.instance_id is not None:
        return _shown(who, who.instance_id)
    args = flask.request.args
    after, limit = args.get("nextPage", "0"), page_size()
    number = whole_number(after)
    if number is None:
        raise InputError("nextPage is not the value of Elements-Next-Page-Token", "nextPage")
    runtime = current_runtime()
    with runtime.database.read() as session:
        found = views.list_(
            session,
            who,
            runtime.clock(),
            tags=args.getlist("tags[]") or args.getlist("tags"),
            search=args.get("searchText", ""),
            after_id=number,
            limit=limit + 1,
        )
        kept = provisioning.kept_tokens(runtime, session, [view.id for view in found])
    if not found:
        raise NotFoundError("No instances found")
    response = flask.jsonify(
        dump_all(InstanceResponse.of_view(view, kept.get(view.id)) for view in found[:limit])
    )
    response.headers["Elements-Returned-Count"] = str(len(found[:limit]))
    if len(found) > limit:
        response.headers["Elements-Next-Page-Token"] = str(found[limit - 1].id)
    return response


def get(instance_id: str) -> Answer:
    """Show one instance."""
    who = caller()
    return _shown(who, instance_of(who, instance_id))


def replace(instance_id: str | None = None) -> Answer:
    """Replace the name and configuration of an instance by those of the body."""
    return _change(instance_id, partial=False)


def patch(instance_id: str | None = None) -> Answer:
    """Change the members in the body and keep the others."""
    return _change(instance_id, partial=True)


def delete(instance_id: str | None = None) -> Answer:
    """Delete an instance."""
    who = caller()
    number, runtime = instance_of(who, instance_id), current_runtime()
    with runtime.web_calls.limited(who.organization_id):
        provisioning.remove(runtime, who, number)
    return dump(EmptyResponse()), 200


def replace_token(instance_id: str) -> Answer:
    """Make a new token, which ends the one before; a token is not enough to ask for it."""
    who = account()
    number, runtime = instance_of(who, instance_id), current_runtime()
    return dump(TokenResponse(token=provisioning.replace_token(runtime, who, number))), 200


def enable(instance_id: str | None = None) -> Answer:
    """Enable an instance and its disabled pollers."""
    return _switch(instance_id, True)


def disable(instance_id: str | None = None) -> Answer:
    """Disable an instance."""
    return _switch(instance_id, False)


def list_entries(instance_id: str | None = None) -> Answer:
    """List the configuration of an instance."""
    return flask.jsonify(
        dump_all(ConfigurationEntryResponse.of(one) for one in _view(instance_id).configuration)
    )


def show_entry(entry_id: str, instance_id: str | None = None) -> Answer:
    """Show one entry of the configuration."""
    for one in _view(instance_id).configuration:
        if one.id == whole_number(entry_id):
            return dump(ConfigurationEntryResponse.of(one)), 200
    raise NotFoundError("No configuration found")


class EntryRequest(pydantic.BaseModel):
    """The body of ``PATCH .../configuration/{id}``."""

    propertyValue: t.Any


def patch_entry(entry_id: str, instance_id: str | None = None) -> Answer:
    """Change one entry of the configuration."""
    who = caller()
    number, key_id = instance_of(who, instance_id), whole_number(entry_id)
    with current_runtime().database.read() as session:
        lifecycle.find(session, who, number)
        key = configuration.key_of_entry(session, number, key_id or 0)
    value = body(EntryRequest).propertyValue
    request = InstanceRequest.model_validate({"configuration": {key: value}})
    _change(instance_id, request, partial=True)
    return show_entry(entry_id, instance_id)


def _change(
    instance_id: str | None, request: InstanceRequest | None = None, *, partial: bool
) -> Answer:
    """Change an instance; the caller and the instance are checked before the body."""
    who = caller()
    number = instance_of(who, instance_id)
    runtime = current_runtime()
    with runtime.database.read() as session:
        before: CurrentSpec = lifecycle.before(session, runtime.cipher, who, number)
    request = request or body(InstanceRequest)
    base = runtime.api_base()
    with runtime.web_calls.limited(who.organization_id):
        provisioning.change(runtime, who, number, request, base, partial=partial, before=before)
    return _shown(who, number)


def _switch(instance_id: str | None, enabled: bool) -> Answer:
    who = caller()
    number = instance_of(who, instance_id)
    runtime = current_runtime()
    with runtime.database.write() as session:
        lifecycle.set_enabled(session, who, number, enabled, runtime.clock())
    return _shown(who, number)


def _view(instance_id: str | None) -> InstanceView:
    who = caller()
    number = instance_of(who, instance_id)
    runtime = current_runtime()
    with runtime.database.read() as session:
        return views.get(session, who, number, runtime.clock())


def _shown(who: Caller, instance_id: int) -> Answer:
    runtime = current_runtime()
    with runtime.database.read() as session:
        view = views.get(session, who, instance_id, runtime.clock())
        kept = provisioning.kept_tokens(runtime, session, [instance_id])
    return dump(InstanceResponse.of_view(view, kept.get(instance_id))), 200
