"""``/connect``: the pages where a shop owner connects a store."""

from __future__ import annotations

import base64
import hashlib
import typing as t

import flask

from ..errors import ConfigurationError, InputError, NotFoundError
from ..instances import wc_auth
from ..instances.wc_auth import ConnectionResult
from ..runtime import current_runtime
from ..values.validation import load_json
from ..woocommerce.client import store_root
from .request import raw_body

#: Most bytes of the body that a store sends: two keys and the state.
_MAX_BYTES = 16 * 1024

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1rem;"
    "color:#1d2327}h1{font-size:1.5rem}input{font:inherit;width:100%;padding:.5rem;"
    "box-sizing:border-box;margin:.3rem 0 1rem}button,.button{font:inherit;background:#2271b1;"
    "color:#fff;border:0;border-radius:3px;padding:.6rem 1.2rem;text-decoration:none;"
    "display:inline-block;cursor:pointer}.problem{background:#fcf0f1;border-left:4px solid #d63638;"
    "padding:.6rem 1rem;overflow-wrap:anywhere}"
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
{% if again %}<meta http-equiv="refresh" content="2">{% endif %}
<style>{{ style|safe }}</style></head>
<body><h1>{{ title }}</h1>
{% for text in texts %}<p>{{ text }}</p>
{% endfor %}{% if problem %}<p class="problem">{{ problem }}</p>
{% endif %}{% if invitation %}<form method="get" action="">
<input type="hidden" name="invitation" value="{{ invitation }}">
<label for="store">Address of the store</label>
<input id="store" type="url" name="store_url" required placeholder="https://shop.example.com">
<button>Connect</button></form>
{% endif %}{% if back %}<p><a class="button" href="{{ back }}">Back to the store</a></p>
{% elif page %}<p><a class="button" href="{{ page }}">Back to the application</a></p>
{% endif %}</body></html>
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    # The URLs contain the invitation and the state.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
    add = blueprint.add_url_rule
    add(wc_auth.PATH, view_func=ask_for_keys, methods=["GET"])
    add(wc_auth.CALLBACK_PATH, view_func=take_keys, methods=["POST"])
    add(wc_auth.RETURN_PATH, view_func=come_back, methods=["GET"])


def ask_for_keys() -> flask.Response:
    """Redirect the shop owner to the store, which asks them to approve API keys."""
    runtime, args = current_runtime(), flask.request.args
    token = args.get("invitation", "")
    try:
        allowed = wc_auth.read_invitation(runtime, token)
        store = args.get("store_url", "") or allowed.store_url
        if not store:
            text = "Where is the store that you want to connect?"
            return _page("Connect a store", text, invitation=token)
        _check_store(store, allowed.store_url)
        with runtime.database.write() as session:
            target = wc_auth.begin(
                session,
                runtime.cipher,
                allowed.caller,
                store_url=store,
                request=allowed.request,
                base=runtime.api_base(),
                now=runtime.clock(),
                back=args.get("return_url", ""),
            )
    except NotFoundError as exc:
        return _page("This link does not work", problem=str(exc), status=404)
    except InputError as exc:
        return _page("Connect a store", problem=str(exc), invitation=token, status=400)
    except ConfigurationError as exc:
        return _page("Stores cannot be connected yet", problem=str(exc), status=500)
    response = flask.redirect(target, 303)
    response.headers.update(_HEADERS)
    return t.cast(flask.Response, response)


def take_keys() -> tuple[dict[str, t.Any], int]:
    """Receive the keys from the store, which keeps them only after a 200."""
    runtime = current_runtime()
    sent = load_json(raw_body(_MAX_BYTES, "keys are short"))
    texts = [sent.get(name) if isinstance(sent, dict) else None
             for name in ("user_id", "consumer_key", "consumer_secret")]  # fmt: skip
    if not all(isinstance(text, str) and text for text in texts):
        raise InputError("user_id, consumer_key and consumer_secret are expected")
    state, key, secret = t.cast("list[str]", texts)
    instance_id = wc_auth.finish(runtime, state, key, secret, runtime.api_base())
    return {"id": instance_id}, 200


def come_back() -> flask.Response:
    """Show the shop owner the result; the store's own page shows it as well."""
    args = flask.request.args
    try:
        found = wc_auth.outcome(current_runtime(), args.get("user_id", ""))
    except NotFoundError as exc:
        return _page("Nothing was connected", problem=str(exc), status=404)
    if args.get("success") == "0":
        text = "You did not approve, and nothing was connected."
        return _ended("Nothing was connected", text, found, "denied")
    if found.instance_id is not None:
        text = f"{found.store_url} is connected."
        if not found.checked:
            text += " It answers slowly, so it is checked again before its first poll."
        return _ended("The store is connected", text, found, "connected")
    if found.error is not None:
        text = f"{found.store_url} could not be connected."
        return _ended("Nothing was connected", text, found, "failed")
    return _page("One moment", "The store has not sent its keys yet.", again=True)


def _check_store(store: str, allowed: str) -> None:
    if allowed and store_root(store) != allowed:
        raise InputError(f"this invitation is for {allowed}, not for {store_root(store)}")


def _ended(title: str, text: str, found: ConnectionResult, result: str) -> flask.Response:
    back = _with_result(found.back, result)
    return _page(title, text, problem=found.error or "", back=back, page=found.page)


def _with_result(back: str, result: str) -> str:
    """Return the URL of the store's own page, which shows the result in its language."""
    if not back:
        return ""
    return f"{back}{'&' if '?' in back else '?'}flask_woo_events={result}"


def _page(
    title: str,
    *texts: str,
    problem: str = "",
    invitation: str = "",
    back: str = "",
    page: str = "",
    again: bool = False,
    status: int = 200,
) -> flask.Response:
    html = flask.render_template_string(
        _PAGE,
        title=title,
        texts=texts,
        problem=problem,
        invitation=invitation,
        back=back,
        page=page,
        again=again,
        style=_STYLE,
    )
    return flask.Response(html, status, _HEADERS, mimetype="text/html")
