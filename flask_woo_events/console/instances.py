"""``/instances``: the list of connected stores, one of them, and its actions."""

from __future__ import annotations

import datetime as dt

import flask

from ..db.models import Notification, Subscription, Usage
from ..errors import InputError
from ..events import search
from ..instances import lifecycle, provisioning, subscriptions, views
from ..instances.health import Health
from ..instances.requests import format_of
from ..runtime import current_runtime
from . import access, chart_data, formatting, instance_status, poll_progress
from .access import INSTANCE, Answer
from .instance_status import InstanceFilter

#: Instances on a page of the list, and newest events on the page of one.
PAGE, NEWEST = 50, 8


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
    add = blueprint.add_url_rule
    one = f"/instances/{INSTANCE}"
    add("/instances", view_func=listed, endpoint="instances")
    add(one, view_func=shown, endpoint="instance")
    add(f"{one}/progress", view_func=progress, endpoint="progress")
    add(f"{one}/poll", view_func=poll, endpoint="poll", methods=["POST"])
    add(f"{one}/pause", view_func=pause, endpoint="pause", methods=["POST"])
    add(f"{one}/resume", view_func=resume, endpoint="resume", methods=["POST"])
    add(f"{one}/accept", view_func=accept, endpoint="accept", methods=["POST"])
    add(f"{one}/token", view_func=token, endpoint="token", methods=["GET", "POST"])
    add(f"{one}/delete", view_func=delete, endpoint="delete", methods=["GET", "POST"])


def listed() -> Answer:
    """List instances, filtered by name, tag and health."""
    args = flask.request.args
    wanted = InstanceFilter(
        search=args.get("search", "").strip()[:200],
        tag=args.get("tag", "")[:200],
        health=Health(args["health"]) if args.get("health") in set(Health) else None,
    )
    runtime, caller = current_runtime(), access.caller()
    now, after = runtime.clock(), access.number("after") or 0
    with runtime.database.read() as session:
        found = instance_status.statuses(
            session, caller, wanted, now, after_id=after, limit=PAGE + 1
        )
        return flask.render_template(
            "woo_console/instances.html",
            statuses=found[:PAGE],
            after=found[PAGE - 1].id if len(found) > PAGE else None,
            wanted=wanted,
            paged=after > 0,
            counts=instance_status.counts(session, caller, now),
            tags=instance_status.tags(session, caller),
            idle_since=instance_status.idle_since(session, caller, now),
        )


def shown(instance_id: int) -> Answer:
    """Show one instance: its resources, webhooks, notices, charts and newest events."""
    runtime, caller = current_runtime(), access.caller()
    now = runtime.clock()
    with runtime.database.read() as session:
        view = views.get(session, caller, instance_id, now)
        read_at = {
            one.resource: one.polled_at for one in poll_progress.progress(session, instance_id)
        }
        chosen = search.EventFilter(instance_id=instance_id)
        stored = {entry.key: entry.value for entry in view.configuration}
        cipher = runtime.cipher_or_none
        return flask.render_template(
            "woo_console/instance.html",
            view=view,
            configuration=stored,
            subscriptions=subscriptions.of_instance(session, cipher, caller, instance_id),
            default_format=format_of(stored),
            status=instance_status.status(session, caller, instance_id, now),
            now=now,
            idle_since=instance_status.idle_since(session, caller, now),
            events=chart_data.events(session, Notification.instance_id == instance_id, now),
            latency=chart_data.latency(session, Subscription.instance_id == instance_id, now),
            answers=chart_data.answers(session, Usage.instance_id == instance_id, now),
            read_at=read_at,
            ages=[
                (resource, max((now - at).total_seconds(), 0.0))
                for resource, at in read_at.items()
                if at is not None
            ],
            newest=search.search(session, chosen, None, NEWEST).entries,
            names={instance_id: view.name},
        )


def progress(instance_id: int) -> Answer:
    """Show how far a requested poll is, and how many events it has recorded."""
    runtime, caller = current_runtime(), access.caller()
    now, asked, after = runtime.clock(), _date("asked"), _date("after")
    with runtime.database.read() as session:
        return flask.render_template(
            "woo_console/progress.html",
            view=views.get(session, caller, instance_id, now),
            status=instance_status.status(session, caller, instance_id, now),
            resources=poll_progress.progress(session, instance_id, after),
            asked=asked,
            found=poll_progress.events_since(session, instance_id, asked) if asked else 0,
            now=now,
        )


def poll(instance_id: int) -> Answer:
    """Make an instance due, so that a worker polls it."""
    runtime = current_runtime()
    now = runtime.clock()
    with runtime.database.write() as session:
        lifecycle.poll_now(session, access.caller(), instance_id, now)
        dates = [
            one.polled_at for one in poll_progress.progress(session, instance_id) if one.polled_at
        ]
    asked = now.isoformat(timespec="milliseconds")
    after = max(dates).isoformat() if dates else None
    return flask.redirect(
        flask.url_for("woo_console.progress", instance_id=instance_id, asked=asked, after=after)
    )


def pause(instance_id: int) -> Answer:
    """Pause polling."""
    return _switch(instance_id, enabled=False)


def resume(instance_id: int) -> Answer:
    """Resume polling, including resources that were disabled after failures."""
    return _switch(instance_id, enabled=True)


def accept(instance_id: int) -> Answer:
    """Confirm the deletions that a poll held back."""
    runtime = current_runtime()
    with runtime.database.write() as session:
        lifecycle.accept(session, access.caller(), instance_id, runtime.clock())
    return _back(instance_id)


def delete(instance_id: int) -> Answer:
    """Ask for the instance's name; delete the instance if it matches."""
    runtime, caller = current_runtime(), access.caller()
    with runtime.database.read() as session:
        view = views.get(session, caller, instance_id, runtime.clock())
    typed = flask.request.form.get("typed", "")
    if flask.request.method == "POST" and typed.strip() == view.name:
        with access.calling():
            provisioning.remove(runtime, caller, instance_id)
        formatting.flash(f"{view.name} was deleted.")
        return flask.redirect(flask.url_for("woo_console.instances"))
    wrong = flask.request.method == "POST"
    page = flask.render_template(
        "woo_console/delete.html", view=view, typed=typed if wrong else "", wrong=wrong
    )
    return page, 400 if wrong else 200


def token(instance_id: int) -> Answer:
    """Show the token of an instance if it is kept; make a new one on request."""
    runtime, caller = current_runtime(), access.caller()
    made = None
    if flask.request.method == "POST":
        made = provisioning.replace_token(runtime, caller, instance_id)
    with runtime.database.read() as session:
        view = views.get(session, caller, instance_id, runtime.clock())
        kept = provisioning.kept_tokens(runtime, session, [instance_id])
    return flask.render_template(
        "woo_console/token.html",
        view=view,
        token=made or kept.get(instance_id),
        made=made is not None,
        keeps=runtime.settings.keep_tokens,
    )


def _switch(instance_id: int, *, enabled: bool) -> Answer:
    runtime, caller = current_runtime(), access.caller()
    with runtime.database.write() as session:
        lifecycle.set_enabled(session, caller, instance_id, enabled, runtime.clock())
    return _back(instance_id)


def _back(instance_id: int) -> Answer:
    return flask.redirect(flask.url_for("woo_console.instance", instance_id=instance_id))


def _date(name: str) -> dt.datetime | None:
    """Return a date of the query; ``None`` if it is missing or not a date."""
    try:
        return formatting.date(flask.request.args.get(name, ""))
    except InputError:
        return None
