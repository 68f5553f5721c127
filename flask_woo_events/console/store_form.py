"""``/instances/new`` and ``/instances/<id>/edit``: a store authenticated, updated, tried."""

from __future__ import annotations

import dataclasses
import math
import secrets
import typing as t
import urllib.parse

import flask
import werkzeug.exceptions

from ..api.request import base_url
from ..delivery import sample
from ..delivery.retry import AttemptOutcome
from ..errors import ConfigurationError, DatePatternError, InputError, TransportError
from ..instances import lifecycle, provisioning, specification, views, wc_auth
from ..instances.configuration import DEFINITIONS, Definition
from ..instances.polled_resources import (
    CONFIGURATION_KEY,
    default_configuration,
    parse_poller_configuration,
)
from ..instances.requests import InstanceConfiguration, InstanceRequest, key_of
from ..instances.specification import CurrentSpec, InstanceSpec
from ..runtime import current_runtime
from ..values.java_dates import DatePattern
from ..values.validation import MASK, validated
from . import access, curl, formatting, forms, instance_status, json_errors
from .access import INSTANCE, Answer
from .forms import StoreForm
from .instance_status import Health
from .json_errors import Problem
from .rate_limit import Attempts, refusal

_POLLERS = f"configuration.{CONFIGURATION_KEY}"
#: Fields that must not be empty.
NEEDED = (
    "name",
    *(
        field
        for field, name in forms.KEYS.items()
        if DEFINITIONS.get(key_of(name), Definition(name=name)).required
    ),
)
#: Tags that are offered, the most frequent.
TAGS_OFFERED = 40


@dataclasses.dataclass(kw_only=True)
class FormPage:
    """What the page shows besides the form."""

    form: StoreForm
    #: How often this user has stores and callbacks called.
    calls: Attempts
    #: The instance that is edited; ``None`` for a new one.
    instance: views.InstanceView | None = None
    reveal: bool = False
    optional: bool = False
    #: What is wrong, by the name of the field; ``""`` is the whole form.
    errors: dict[str, str] = dataclasses.field(default_factory=dict)
    problem: Problem | None = None
    #: What the store said when it was asked.
    store: dict[str, t.Any] | None = None
    refusal: TransportError | None = None
    outcome: AttemptOutcome | None = None
    command: str = ""
    #: Seconds to wait for the next call to a store or a callback, when there were too many.
    wait: float = 0.0
    #: Why the instance that is edited is not healthy.
    ailing: str = ""

    def blame(self, error: InputError) -> None:
        """Put an error where it belongs."""
        field = error.field or ""
        if field.startswith(_POLLERS):
            text = self.form.poller_json.data or ""
            if self.form.mode.data != "json":
                text = ""
            self.problem = json_errors.problem(text, error, _POLLERS)
            return
        name = forms.FIELDS.get(field, "")
        message = str(error).removeprefix(f"{field}: ")
        self.errors[name] = message[:1].upper() + message[1:]
        self.optional |= name in forms.OPTIONAL


def register(blueprint: flask.Blueprint, calls: Attempts) -> None:
    """Add the routes.

    :param calls: how often each user has stores and callbacks called.
    """

    def new() -> Answer:
        if flask.request.method == "GET":
            return _shown(FormPage(form=forms.blank(), calls=calls))
        page = _sent_page(None, calls)
        return _ACTS.get(flask.request.form.get("act", ""), _create)(page)

    def edit(instance_id: int) -> Answer:
        view = _view(instance_id)
        if flask.request.method == "GET":
            form = forms.of_instance(view.name, view.tags, _kept(view) or {}, _known_tags())
            optional = any(form[field].data for field in forms.OPTIONAL)
            page = FormPage(form=form, calls=calls, instance=view, optional=optional)
            page.ailing = _ailing(instance_id)
            return _shown(page)
        page = _sent_page(view, calls)
        return _ACTS.get(flask.request.form.get("act", ""), _change)(page)

    def preview(instance_id: int | None = None) -> Answer:
        return _previewed(_sent_page(None if instance_id is None else _view(instance_id), calls))

    add = blueprint.add_url_rule
    add("/instances/new", view_func=new, methods=["GET", "POST"])
    add("/instances/new/preview", view_func=preview, endpoint="preview", methods=["POST"])
    one = f"/instances/{INSTANCE}"
    add(f"{one}/edit", view_func=edit, methods=["GET", "POST"])
    add(f"{one}/edit/preview", view_func=preview, endpoint="preview_edit", methods=["POST"])
    add(f"{one}/test", view_func=_test_of(calls), endpoint="test", methods=["POST"])


def _previewed(page: FormPage) -> Answer:
    """The cURL of the form as it is now, what is wrong in it, and examples of its formats."""
    _check(page)
    page.command = _command(page)
    examples = {
        entry.form[field].id: example(entry.form[field].data)
        for entry in page.form.resources.entries
        for field in ("updated_format", "created_format")
    }
    problem = None
    if page.problem is not None and page.form.mode.data == "json":
        problem = dataclasses.asdict(page.problem)
    return flask.jsonify(command=page.command, problem=problem, examples=examples)


def example(pattern: str | None) -> str:
    """A date in a format, or what is wrong with it."""
    if not pattern:
        return ""
    try:
        return DatePattern(pattern).format(current_runtime().clock())
    except DatePatternError as exc:
        return str(exc)


def _show_json(page: FormPage) -> Answer:
    try:
        page.form.poller_json.data = forms.polled_json(page.form)
        page.form.mode.data = "json"
    except InputError as exc:
        page.blame(exc)
    return _shown(page)


def _show_list(page: FormPage) -> Answer:
    try:
        blocks = forms.read_json(page.form)
        forms.fill_resources(page.form, blocks, beside=default_configuration())
        page.form.mode.data = "list"
    except InputError as exc:
        page.blame(exc)
    return _shown(page)


def _add(page: FormPage) -> Answer:
    forms.add_resource(page.form)
    return _shown(page)


def _make_key(page: FormPage) -> Answer:
    page.form.signature_key.data = secrets.token_urlsafe(32)
    page.optional = True
    return _shown(page)


def _preview(page: FormPage) -> Answer:
    _check(page)
    return _shown(page)


def _reveal(page: FormPage) -> Answer:
    page.reveal = not page.reveal
    return _shown(page)


def _try(page: FormPage) -> Answer:
    wanted = _check(page)
    if wanted is not None and _may_call(page):
        try:
            page.store = provisioning.ask(current_runtime(), wanted)
        except TransportError as exc:
            page.refusal = exc
    return _shown(page)


def _test(page: FormPage) -> Answer:
    configuration = _checked_callback(page)
    if configuration is not None and _may_call(page):
        page.outcome = sample.send(
            current_runtime(),
            configuration.callback_url,
            sample.credentials_of(configuration),
            page.form.name.data or "",
        )
    return _shown(page)


def _connect(page: FormPage) -> Answer:
    """Have the store's owner approve keys, which then come from the store itself."""
    missing = [
        field for field in ("name", "store_url") if not (page.form[field].data or "").strip()
    ]
    page.errors |= dict.fromkeys(missing, "This is needed")
    runtime = current_runtime()
    try:
        if missing or page.instance is not None:
            return _shown(page)
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
                base=base_url(runtime),
                now=runtime.clock(),
                page=flask.url_for("woo_console.instances", _external=True),
            )
    except (InputError, ConfigurationError) as exc:
        page.blame(exc if isinstance(exc, InputError) else InputError(str(exc)))
        return _shown(page)
    # A link and not a redirect: forms of the console lead nowhere else.
    return flask.render_template(
        "woo_console/approve.html", target=target, store=page.form.store_url.data
    )


def _create(page: FormPage) -> Answer:
    if _check(page) is None or not _may_call(page):
        return _shown(page)
    runtime, who = current_runtime(), access.caller()
    try:
        instance_id, token = provisioning.create(runtime, who, _request(page), base_url(runtime))
    except TransportError as exc:
        page.refusal = exc
        return _shown(page)
    with runtime.database.read() as session:
        view = views.get(session, who, instance_id)
    # Answered here and not after a redirect: the token is told once, and kept nowhere.
    return flask.render_template(
        "woo_console/created.html", view=view, token=token, api=base_url(runtime)
    )


def _change(page: FormPage, *, anew: bool = False) -> Answer:
    assert page.instance is not None
    wanted = _check(page)
    if wanted is None or ((wanted.asks or anew) and not _may_call(page)):
        return _shown(page)
    runtime, number = current_runtime(), page.instance.id
    try:
        provisioning.change(
            runtime, access.caller(), number, _request(page), base_url(runtime),
            partial=True, anew=anew,
        )  # fmt: skip
    except TransportError as exc:
        page.refusal = exc
        return _shown(page)
    done = "authenticated again" if anew else "updated"
    formatting.tell(f"{page.form.name.data} is {done}.")
    return flask.redirect(flask.url_for("woo_console.instance", instance_id=number))


def _reauthenticate(page: FormPage) -> Answer:
    return _create(page) if page.instance is None else _change(page, anew=True)


#: What the buttons of the form do that neither create nor update.
_ACTS: dict[str, t.Callable[[FormPage], Answer]] = {
    "json": _show_json,
    "list": _show_list,
    "add": _add,
    "key": _make_key,
    "preview": _preview,
    "reveal": _reveal,
    "try": _try,
    "connect": _connect,
    "test": _test,
    "reauthenticate": _reauthenticate,
}


def _test_of(calls: Attempts) -> t.Callable[[int], Answer]:
    def test(instance_id: int) -> Answer:
        """Send a test notification to the callback URL of an instance."""
        if wait := _wait(calls):
            raise werkzeug.exceptions.TooManyRequests(refusal(wait))
        runtime, before = current_runtime(), _before(_view(instance_id))
        configuration = validated(
            InstanceConfiguration, {key: text for key, text in before.texts.items() if text}
        )
        if not configuration.callback_url:
            raise InputError("this instance has no callback URL; give it one on its edit page")
        outcome = sample.send(
            runtime, configuration.callback_url, sample.credentials_of(configuration), before.name
        )
        word = "took" if outcome.delivered else "did not take"
        formatting.tell(f"The callback {word} the test notification: {outcome.reason[:300]}")
        return flask.redirect(flask.url_for("woo_console.instance", instance_id=instance_id))

    return test


def _may_call(page: FormPage) -> bool:
    """Count a call to a store or a callback; say on the page when there were too many."""
    page.wait = _wait(page.calls)
    if page.wait:
        page.errors[""] = refusal(page.wait)
    return not page.wait


def _wait(calls: Attempts) -> float:
    return calls.wait(str(access.caller().user_id), current_runtime().clock())


def _view(instance_id: int) -> views.InstanceView:
    with current_runtime().database.read() as session:
        return views.get(session, access.caller(), instance_id)


def _kept(view: views.InstanceView | None) -> dict[str, str] | None:
    return {entry.key: entry.value for entry in view.configuration} if view is not None else None


def _ailing(instance_id: int) -> str:
    runtime = current_runtime()
    with runtime.database.read() as session:
        glance = instance_status.glance(session, access.caller(), instance_id, runtime.clock())
    return glance.why if glance.health in (Health.FAILING, Health.DISABLED) else ""


def _known_tags() -> list[str]:
    """Tags to choose from."""
    with current_runtime().database.read() as session:
        return instance_status.tags(session, access.caller())[:TAGS_OFFERED]


def _before(view: views.InstanceView) -> CurrentSpec:
    runtime = current_runtime()
    with runtime.database.read() as session:
        return lifecycle.before(session, runtime.cipher, access.caller(), view.id)


def _sent_page(view: views.InstanceView | None, calls: Attempts) -> FormPage:
    fields = flask.request.form
    form = forms.sent(fields)
    return FormPage(
        form=form,
        calls=calls,
        instance=view,
        reveal=fields.get("reveal") == "1",
        optional=any(form[field].data for field in forms.OPTIONAL),
    )


def _request(page: FormPage) -> InstanceRequest:
    return validated(InstanceRequest, forms.request_of(page.form, _kept(page.instance)))


def _check(page: FormPage) -> InstanceSpec | None:
    """The plan that the form makes, or ``None`` after blaming what is wrong."""
    missing = [field for field in NEEDED if not (page.form[field].data or "").strip()]
    page.errors |= dict.fromkeys(missing, "This is needed")
    try:
        if page.form.mode.data == "json":
            parse_poller_configuration(forms.read_json(page.form))
        if missing:
            return None
        before = _before(page.instance) if page.instance is not None else None
        return specification.plan(_request(page), before, partial=before is not None)
    except InputError as exc:
        page.blame(exc)
        return None


def _checked_callback(page: FormPage) -> InstanceConfiguration | None:
    """What the form says of the callback, whatever else is wrong in it."""
    texts = _before(page.instance).texts if page.instance is not None else {}
    given = {}
    here = _host(page.form.callback_url.data or "")
    elsewhere = here != _host(texts.get(key_of(forms.KEYS["callback_url"]), ""))
    try:
        for field in ("callback_url", *forms.OPTIONAL):
            key, value = key_of(forms.KEYS[field]), (page.form[field].data or "").strip()
            if value == MASK and elsewhere:
                raise InputError(
                    "it is kept for another host; to try this one, enter it again",
                    f"configuration.{key}",
                )
            given[key] = texts.get(key, "") if value == MASK else value
        filled = {key: value for key, value in given.items() if value}
        configuration = validated(InstanceConfiguration, filled, ("configuration",))
        sample.credentials_of(configuration)
        if not configuration.callback_url:
            raise InputError("a URL is needed", f"configuration.{key_of('callback_url')}")
        return configuration
    except InputError as exc:
        page.blame(exc)
        return None


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url.strip()).netloc.lower()


def _command(page: FormPage) -> str:
    creates = page.instance is None
    try:
        body = forms.request_of(page.form, _kept(page.instance))
    except InputError:
        return ""
    url = f"{base_url(current_runtime())}/instances"
    if page.instance is not None:
        url += f"/{page.instance.id}"
    return curl.command("POST" if creates else "PATCH", url, body, reveal=page.reveal)


def _shown(page: FormPage) -> Answer:
    page.command = _command(page)
    failed = page.errors or page.problem or page.refusal
    body = flask.render_template(
        "woo_console/store.html",
        page=page,
        form=page.form,
        tags=_known_tags(),
        formats=[(pattern, example(pattern)) for pattern in forms.FORMATS],
        example=example,
    )
    if page.wait:
        return body, 429, {"Retry-After": str(math.ceil(page.wait))}
    return body, 422 if failed and flask.request.method == "POST" else 200
