"""``/instances/new`` and ``/instances/<id>/edit``: connect a store, change it, and test it."""

from __future__ import annotations

import dataclasses
import secrets
import typing as t

import flask

from ..delivery import sample
from ..delivery.payload import Sender
from ..errors import ConfigurationError, InputError, TransportError
from ..instances import provisioning, views, wc_auth
from ..instances.connecting import ConnectionState
from ..instances.polled_resources import default_configuration
from ..instances.requests import key_of
from ..runtime import current_runtime
from ..values.cloud_elements import Format
from . import access, formatting, forms, store_page
from .access import INSTANCE, Answer
from .rate_limit import RateLimiter
from .store_page import StorePage, rendered


def register(blueprint: flask.Blueprint, calls: RateLimiter) -> None:
    """Add the routes.

    :param calls: limits how often each user calls stores and callbacks.
    """

    def new() -> Answer:
        if flask.request.method == "GET":
            return rendered(store_page.new_page(calls))
        page = store_page.submitted_page(None, calls)
        return _BUTTONS.get(flask.request.form.get("act", ""), _create)(page)

    def edit(instance_id: int) -> Answer:
        view = store_page.view_of(instance_id)
        if flask.request.method == "GET":
            return rendered(store_page.edit_page(view, calls))
        page = store_page.submitted_page(view, calls)
        return _BUTTONS.get(flask.request.form.get("act", ""), _update)(page)

    def preview(instance_id: int | None = None) -> Answer:
        view = None if instance_id is None else store_page.view_of(instance_id)
        return _preview_json(store_page.submitted_page(view, calls))

    add = blueprint.add_url_rule
    add("/instances/new", view_func=new, methods=["GET", "POST"])
    add("/instances/new/preview", view_func=preview, endpoint="preview", methods=["POST"])
    one = f"/instances/{INSTANCE}"
    add(f"{one}/edit", view_func=edit, methods=["GET", "POST"])
    add(f"{one}/edit/preview", view_func=preview, endpoint="preview_edit", methods=["POST"])


def _preview_json(page: StorePage) -> Answer:
    """Return the form's cURL command, the error in its JSON, and examples of its date formats."""
    store_page.check(page)
    examples = {
        entry.form[field].id: store_page.example(entry.form[field].data)
        for entry in page.form.resources.entries
        for field in ("updated_format", "created_format")
    }
    problem = None
    if page.problem is not None and page.form.mode.data == "json":
        problem = dataclasses.asdict(page.problem)
    return flask.jsonify(command=store_page.command(page), problem=problem, examples=examples)


def _show_json(page: StorePage) -> Answer:
    try:
        page.form.poller_json.data = forms.polled_json(page.form)
        page.form.mode.data = "json"
    except InputError as exc:
        page.add_error(exc)
    return rendered(page)


def _show_list(page: StorePage) -> Answer:
    try:
        blocks = forms.read_json(page.form)
        forms.fill_resources(page.form, blocks, offered=default_configuration())
        page.form.mode.data = "list"
    except InputError as exc:
        page.add_error(exc)
    return rendered(page)


def _add_resource(page: StorePage) -> Answer:
    forms.add_resource(page.form)
    return rendered(page)


def _generate_key(page: StorePage) -> Answer:
    page.form.signature_key.data = secrets.token_urlsafe(32)
    page.optional = True
    return rendered(page)


def _preview(page: StorePage) -> Answer:
    store_page.check(page)
    return rendered(page)


def _toggle_secrets(page: StorePage) -> Answer:
    page.reveal = not page.reveal
    return rendered(page)


def _test_credentials(page: StorePage) -> Answer:
    spec = store_page.check(page)
    if spec is not None and store_page.may_call(page):
        try:
            with access.calling():
                page.store = provisioning.ask(current_runtime(), spec)
        except TransportError as exc:
            page.store_error = exc
        except InputError as exc:
            page.add_error(exc)
    return rendered(page)


def _test_callback(page: StorePage) -> Answer:
    configuration = store_page.check_callback(page)
    if configuration is not None and store_page.may_call(page):
        with access.calling():
            page.outcome = sample.send(current_runtime(), configuration, _sender(page))
    return rendered(page)


def _sender(page: StorePage) -> Sender:
    """Return the instance of the form; one that does not exist yet has the id 0."""
    caller, chosen = access.caller(), page.form.format.data
    kind = Format(chosen) if chosen in set(Format) else Format.CLOUD_ELEMENTS
    return Sender(
        instance_id=page.instance.id if page.instance is not None else 0,
        name=page.form.name.data or "",
        tags=tuple(page.form.tag_list),
        account_id=caller.user_id,
        company_id=caller.organization_id,
        user_id=caller.user_id,
        format=kind,
    )


def _connect(page: StorePage) -> Answer:
    """Start WooCommerce's approval, after which the store itself sends its keys."""
    runtime = current_runtime()
    complete = page.require(("name", "store_url"))
    try:
        if not complete or page.instance is not None:
            return rendered(page)
        body = forms.request_of(page.form)
        for name in ("store_url", "api_key", "api_secret"):
            body["configuration"].pop(key_of(name))
        with runtime.database.write() as session:
            target = wc_auth.begin(
                session,
                runtime.cipher,
                access.caller(),
                store_url=(page.form.store_url.data or "").strip(),
                request=body,
                base=runtime.api_base(),
                now=runtime.clock(),
                page=flask.url_for("woo_console.instances", _external=True),
            )
    except (InputError, ConfigurationError) as exc:
        page.add_error(exc if isinstance(exc, InputError) else InputError(str(exc)))
        return rendered(page)
    # A link, because the policy lets forms of the console submit and redirect only to itself.
    return flask.render_template(
        "woo_console/approve.html", target=target, store=page.form.store_url.data
    )


def _create(page: StorePage) -> Answer:
    created = access.created_by(page.form_id)
    if created is not None:
        # The browser sent the form again, as it does when the page with the token is reloaded.
        return flask.redirect(flask.url_for("woo_console.instance", instance_id=created))
    if store_page.check(page) is None or not store_page.may_call(page):
        return rendered(page)
    runtime, caller = current_runtime(), access.caller()
    request = store_page.request_of(page)
    try:
        with access.calling():
            instance_id, token = provisioning.create(runtime, caller, request, runtime.api_base())
    except TransportError as exc:
        page.store_error = exc
        return rendered(page)
    access.remember_created(page.form_id, instance_id)
    with runtime.database.read() as session:
        view = views.get(session, caller, instance_id, runtime.clock())
    # No redirect: the token is shown once, unless tokens are kept.
    return flask.render_template(
        "woo_console/created.html",
        view=view,
        token=token,
        api=runtime.api_base(),
        keeps=runtime.settings.keep_tokens,
    )


def _update(page: StorePage, *, reconnect: bool = False) -> Answer:
    assert page.instance is not None
    spec = store_page.check(page)
    if spec is None or ((spec.asks or reconnect) and not store_page.may_call(page)):
        return rendered(page)
    runtime, instance_id = current_runtime(), page.instance.id
    try:
        with access.calling():
            provisioning.change(
                runtime, access.caller(), instance_id, store_page.request_of(page),
                runtime.api_base(), partial=True, reconnect=reconnect,
            )  # fmt: skip
    except TransportError as exc:
        page.store_error = exc
        return rendered(page)
    except InputError as exc:
        page.add_error(exc)
        return rendered(page)
    done = "authenticated again" if reconnect else "updated"
    if store_page.view_of(instance_id).state is ConnectionState.CONNECTING:
        done = "updated. Its store did not answer in time; the worker checks it"
    formatting.flash(f"{page.form.name.data} was {done}.")
    return flask.redirect(flask.url_for("woo_console.instance", instance_id=instance_id))


def _reauthenticate(page: StorePage) -> Answer:
    return _create(page) if page.instance is None else _update(page, reconnect=True)


#: The form's buttons other than Create Instance and Update.
_BUTTONS: dict[str, t.Callable[[StorePage], Answer]] = {
    "json": _show_json,
    "list": _show_list,
    "add": _add_resource,
    "key": _generate_key,
    "preview": _preview,
    "reveal": _toggle_secrets,
    "try": _test_credentials,
    "connect": _connect,
    "test": _test_callback,
    "reauthenticate": _reauthenticate,
}
