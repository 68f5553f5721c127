"""``/sign-in``: signing in with the user secret and the organization secret."""

from __future__ import annotations

import datetime as dt
import math

import flask
import wtforms

from ..errors import AccessError
from ..instances import accounts
from ..runtime import current_runtime
from . import access
from .access import Answer
from .rate_limit import RateLimiter

#: Secrets are too long to guess; the limit protects the database.
ATTEMPTS, WITHIN = 10, dt.timedelta(minutes=5)


class SecretsForm(wtforms.Form):
    """The secrets that ``flask woo users add`` printed."""

    user_secret = wtforms.PasswordField("User secret")
    organization_secret = wtforms.PasswordField("Organization secret")


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
    attempts = RateLimiter(ATTEMPTS, WITHIN)

    def sign_in() -> Answer:
        form = SecretsForm(flask.request.form)
        if flask.request.method == "GET":
            return _page(form)
        runtime = current_runtime()
        origin = flask.request.remote_addr or ""
        wait = attempts.wait(origin, runtime.clock())
        if wait:
            minutes = math.ceil(wait / 60)
            error = f"Too many attempts. Try again in {minutes} minutes."
            return _page(form, error, 429, {"Retry-After": str(math.ceil(wait))})
        user, organization = form.user_secret.data or "", form.organization_secret.data or ""
        header = f"User {user.strip()}, Organization {organization.strip()}"
        try:
            with runtime.database.read() as session:
                caller = accounts.authenticate(session, header)
        except AccessError:
            error = "The secrets are not valid, or they belong to different organizations."
            return _page(form, error, 401)
        # Many users may share the address of a proxy.
        attempts.forgive(origin)
        access.remember(caller)
        return flask.redirect(access.onward(flask.request.form.get("next", "")))

    blueprint.add_url_rule("/sign-in", view_func=sign_in, methods=["GET", "POST"])
    blueprint.add_url_rule("/sign-out", view_func=sign_out, methods=["POST"])


def sign_out() -> Answer:
    """End the session."""
    access.end()
    return flask.redirect(flask.url_for("woo_console.sign_in"))


def _page(
    form: SecretsForm, error: str = "", status: int = 200, headers: dict[str, str] | None = None
) -> Answer:
    onward = flask.request.form.get("next") or flask.request.args.get("next", "")
    page = flask.render_template("woo_console/sign_in.html", form=form, error=error, onward=onward)
    return page, status, headers or {}
