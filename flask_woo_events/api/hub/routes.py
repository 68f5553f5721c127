"""``/hubs/ecommerce/{resource}``: read and write the store of an instance with its token."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import functools
import re
import typing as t

import flask
import orjson
import werkzeug.exceptions

from ...delivery.payload import without_nulls
from ...errors import (
    ForbiddenError,
    InputError,
    NotFoundError,
    StoreAccessError,
    StoreBusyError,
    StoreError,
    StoreFirewallError,
    StoreRejectedError,
)
from ...instances import access, lifecycle
from ...instances.access import HubProfile
from ...instances.accounts import Caller
from ...runtime import current_runtime
from ...values.dates import iso_z
from ...values.validation import whole_number
from ...woocommerce import endpoints
from ...woocommerce.ceql import LENGTH_MOST, Condition, Value, Where, conjuncts, parse_where
from ...woocommerce.client import StoreClient
from ..errors import answer
from ..request import caller, flag, instance_of, json_object, page_size, refuse_others
from ..responses import HubObjectResponse, PingResponse, dump, dump_all
from . import collections
from .collections import CollectionAccess
from .pages import OFFSET_MOST, PageQuery

#: Parameters of a query that are not filters.
CONTROLS = ("where", "fields", "orderBy", "page", "pageSize", "nextPage", "returnTotalCount")
#: Seconds that a call may take: proxies before us wait no longer (nginx's default).
SECONDS = 60.0
#: Most fields of one request.
FIELDS_MOST = 100
_FIELD = re.compile(r"[\w-]+(?:\.[\w-]+)*\Z", re.ASCII)
_ORDER = re.compile(r"`?(?P<field>[\w.-]{1,100})`?(?:\s+(?P<direction>asc|desc))?\Z", re.IGNORECASE)
#: Codes of WooCommerce's 400 for a change of an object that does not exist (5.9 to 11.0).
_INVALID_ID = re.compile(r"woocommerce_rest_(?:\w+_)?invalid_id|woocommerce_rest_\w+_invalid\Z")
#: Codes of WooCommerce's and WordPress's 400 and 500 for a code, an e-mail address, a user name or
#: the name of a term that another object has (5.9 to 11.0).
_EXISTS = re.compile(r"(?<!not)[_-]exists\Z")

Answer = tuple[t.Any, int] | flask.Response
View = cabc.Callable[..., Answer]


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes; with a prefix, known resources also have routes without a hub."""
    bases = ["/hubs/<hub>"]
    if blueprint.url_prefix:
        # Without a prefix they might belong to the host application.
        bases.append("")
    for base in bases:
        quoted = ",".join(f"'{name}'" for name in collections.NAMES)
        named = "" if base else f"any({quoted}):"
        listed, one = f"{base}/<{named}resource>", f"{base}/<{named}resource>/<object_id>"
        _add(blueprint, f"{base}/ping", {"GET": ping})
        _add(blueprint, f"{base}/objects", {"GET": objects})
        for path in (listed, f"{one}/<child>"):
            _add(blueprint, path, {"GET": list_, "POST": create})
        for path in (one, f"{one}/<child>/<child_id>"):
            calls: dict[str, View] = {"GET": get, "PUT": change, "PATCH": change, "DELETE": delete}
            _add(blueprint, path, calls)


def _add(blueprint: flask.Blueprint, path: str, calls: cabc.Mapping[str, View]) -> None:
    for method, view in calls.items():
        endpoint = f"hub_{view.__name__.rstrip('_')}"
        blueprint.add_url_rule(path, endpoint, view, methods=[method])


def _hub_call(view: View) -> View:
    """Answer the errors of a store as the documented service does."""

    @functools.wraps(view)
    def call(hub: str = "", **parts: str) -> Answer:
        # Any hub segment is ignored (Cloud Elements: /hubs/crap/orders is /orders).
        with contextlib.ExitStack() as flask.g.woo_hub_call:
            try:
                return view(**parts)
            except StoreError as exc:
                return _store_error(exc, parts)

    return call


@_hub_call
def ping() -> Answer:
    """Check that the store accepts the instance's keys."""
    client, _profile = _open()
    date = collections.ping(client) or current_runtime().clock()
    return dump(PingResponse(dateTime=iso_z(date))), 200


@_hub_call
def objects() -> Answer:
    """List the resources, even if the instance is disabled."""
    _instance()
    names = [name for name in collections.NAMES if not name.startswith("reports")]
    if flask.request.headers.get("Elements-Version", "").lower() != "helium":
        return names, 200
    paths = {name: collections.place(name).collection.path for name in names}
    shown = (
        HubObjectResponse(
            name=name,
            vendorName=path,
            type="ceCanonical" if name in endpoints.DEFAULT_RESOURCES else "vendor",
        )
        for name, path in paths.items()
    )
    return dump_all(shown), 200


@_hub_call
def list_(resource: str, object_id: str | None = None, child: str = "") -> Answer:
    """List the objects of a resource, or of a child collection."""
    client, profile = _open()
    place = _place(resource, object_id, child, item=False)
    found = collections.read(client, place, _query(place))
    response = _json(_shown(found.rows, profile))
    response.headers["Elements-Returned-Count"] = str(len(found.rows))
    if found.total is not None:
        response.headers["Elements-Total-Count"] = str(found.total)
    if found.token:
        response.headers["Elements-Next-Page-Token"] = found.token
    return response


@_hub_call
def create(resource: str, object_id: str | None = None, child: str = "") -> Answer:
    """Create an object."""
    client, profile = _open()
    place = _place(resource, object_id, child, item=False)
    return _json(_shown(collections.create(client, place, json_object()), profile))


@_hub_call
def get(resource: str, object_id: str, child: str = "", child_id: str = "") -> Answer:
    """Show an object."""
    client, profile = _open()
    place = _place(resource, object_id, child)
    number = _number(child_id or object_id)
    refuse_others("fields")
    return _json(_shown(collections.get(client, place, number, _fields()), profile))


@_hub_call
def change(resource: str, object_id: str, child: str = "", child_id: str = "") -> Answer:
    """Change the members in the body of an object."""
    client, profile = _open()
    place = _place(resource, object_id, child)
    number = _number(child_id or object_id)
    return _json(_shown(collections.change(client, place, number, json_object()), profile))


@_hub_call
def delete(resource: str, object_id: str, child: str = "", child_id: str = "") -> Answer:
    """Move an object to the store's trash, or delete it where there is none."""
    client, profile = _open()
    place = _place(resource, object_id, child)
    number = _number(child_id or object_id)
    refuse_others("force", "reassign")
    params = {}
    if flag("force"):
        params["force"] = "true"
    if "reassign" in flask.request.args:
        params["reassign"] = str(_user_id(flask.request.args["reassign"]))
    return _json(_shown(collections.delete(client, place, number, params), profile))


def _instance() -> tuple[Caller, int]:
    """Return the caller and the token's instance; every answer of the hub names the instance."""
    who = caller()
    number = instance_of(who, None)
    flask.g.woo_hub_instance = number
    return who, number


def _open() -> tuple[StoreClient, HubProfile]:
    """Return a client for the store of the token's instance.

    :raises ForbiddenError: the instance is disabled.
    """
    (who, number), runtime = _instance(), current_runtime()
    with runtime.database.read() as session:
        lifecycle.find(session, who, number)
        profile = access.load_hub(session, runtime.cipher, number)
    if profile.disabled:
        raise ForbiddenError(
            f"The instance is disabled; PUT /instances/{number}/enabled enables it"
        )
    call: contextlib.ExitStack = flask.g.woo_hub_call
    call.enter_context(runtime.web_calls.limited(who.organization_id, SECONDS))
    return runtime.store_client(profile.access), profile


def _place(
    resource: str, object_id: str | None, child: str, *, item: bool = True
) -> CollectionAccess:
    parent = _number(object_id) if child and object_id is not None else None
    place = collections.place(resource, parent, child)
    calls = place.item_calls if item else place.calls
    if not calls:
        raise NotFoundError(f"No {resource} found by id; they can only be listed")
    if flask.request.method not in (*calls, "HEAD"):
        raise werkzeug.exceptions.MethodNotAllowed(valid_methods=calls)
    return place


def _number(text: str) -> int:
    number = whole_number(text)
    if number is None:
        raise NotFoundError("No object found; ids are whole numbers")
    return number


def _user_id(text: str) -> int:
    number = whole_number(text)
    if number is None:
        raise InputError("reassign must be the id of a customer", "reassign")
    return number


def _json(value: t.Any) -> flask.Response:
    # Keeps the members in the store's order.
    return flask.Response(orjson.dumps(value), mimetype="application/json")


def _shown(value: t.Any, profile: HubProfile) -> t.Any:
    return without_nulls(value) if profile.filter_nulls else value


def _query(place: CollectionAccess) -> PageQuery:
    args = flask.request.args
    page = whole_number(args.get("page", "1"))
    size = page_size()
    if not page or page * size > OFFSET_MOST:
        raise InputError(f"page must be a number from 1 to {OFFSET_MOST // size}", "page")
    return PageQuery(
        where=(*_where(args.getlist("where")), *_parameters(place)),
        fields=_fields(),
        order=_order(args.get("orderBy", "")),
        page=page,
        page_size=size,
        token=args.get("nextPage", ""),
        count=flag("returnTotalCount"),
    )


def _where(texts: list[str]) -> cabc.Iterator[Where]:
    """Read ``where``; several mean the same as one with ``and``."""
    if sum(map(len, texts)) > LENGTH_MOST:
        raise InputError(f"where has more than {LENGTH_MOST} characters", "where")
    for text in texts:
        if text.strip():
            yield from conjuncts(parse_where(text))


def _parameters(place: CollectionAccess) -> cabc.Iterator[Condition]:
    """Read the filters that are parameters of their own.

    :raises InputError: the list has no such parameter, or it has no value: a store would ignore it.
    """
    args, abilities = flask.request.args, place.abilities
    for name in sorted({name.removesuffix("[]") for name in args if name not in CONTROLS}):
        values = args.getlist(name) + args.getlist(f"{name}[]")
        value = ",".join(values)
        if not abilities.has_parameter(name):
            shown = ", ".join(abilities.names)
            raise InputError(
                f"this list has no parameter {name[:100]!r}; it has {shown}, and where takes any "
                "member",
                name[:100],
            )
        if not all(one.strip() for one in values):
            shown = name[:100]
            hint = f", or select empty members by where={shown} = ''"
            said = hint if abilities.has_text(name) else ""
            raise InputError(f"{shown} has no value: leave it out{said}", shown)
        yield Condition(name, "=", (Value(value),), f"{name}={value[:100]}")


def _fields() -> tuple[str, ...]:
    names = [name.strip() for name in flask.request.args.get("fields", "").split(",")]
    names = [name for name in names if name]
    if len(names) > FIELDS_MOST or not all(_FIELD.match(name) for name in names):
        raise InputError(f"fields must be up to {FIELDS_MOST} names joined by commas", "fields")
    return tuple(dict.fromkeys(names))


def _order(text: str) -> tuple[str, str] | None:
    if not text.strip():
        return None
    match = _ORDER.match(text.strip())
    if match is None:
        raise InputError("orderBy must be a field, asc or desc: date_created desc", "orderBy")
    return match["field"], (match["direction"] or "asc").lower()


def _store_error(exc: StoreError, parts: cabc.Mapping[str, str]) -> flask.Response:
    """Answer the error of a store as the documented service does."""
    name, said = parts.get("child") or parts.get("resource", "store"), exc.said or str(exc)
    about_one = "object_id" in parts
    match exc:
        case StoreFirewallError():
            return answer(502, "A firewall refused the request to the store", said)
        case StoreAccessError():
            return answer(403, "The store forbids this to the instance's keys", said)
        case StoreBusyError(status=429):
            response = answer(429, "The store has had too many requests", said)
            if exc.retry_after is not None:
                response.headers["Retry-After"] = str(int(exc.retry_after) + 1)
            return response
        case StoreRejectedError(status=404 | 410):
            return answer(404, f"No {name} found", said)
        case StoreRejectedError() if about_one and _INVALID_ID.match(exc.code):
            return answer(404, f"No {name} found", said)
        case StoreRejectedError() if _EXISTS.search(exc.code):
            return answer(409, "The store has such an object already", said)
        case StoreRejectedError() if exc.status >= 400:
            status = exc.status if exc.status in (400, 409, 413) else 400
            return answer(status, "The store refused this request", said)
    return answer(502, "The store at configuration.store.url could not be used", said)
