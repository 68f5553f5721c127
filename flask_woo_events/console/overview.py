"""``/``: the overview of an organization's stores."""

from __future__ import annotations

import flask

from ..db.models import Notification, Subscription, Usage
from ..events import search
from ..instances.health import Health
from ..runtime import current_runtime
from . import access, chart_data, instance_status, poll_progress
from .access import Answer

#: Instances that need attention, and newest events, on the page.
ATTENTION, NEWEST = 8, 8


def register(blueprint: flask.Blueprint) -> None:
    """Add the route."""
    blueprint.add_url_rule("/", view_func=home, endpoint="home")


def home() -> Answer:
    """Show the health of instances, charts of the last day, and the newest events."""
    runtime, caller = current_runtime(), access.caller()
    now, mine = runtime.clock(), instance_status.scope(caller)
    with runtime.database.read() as session:
        counts = instance_status.counts(session, caller, now)
        if not sum(counts.values()):
            return flask.render_template("woo_console/welcome.html")
        chosen = search.EventFilter(organization_id=caller.organization_id)
        newest = search.search(session, chosen, None, NEWEST).entries
        return flask.render_template(
            "woo_console/home.html",
            counts=counts,
            healths=Health,
            attention=instance_status.needing_attention(session, caller, now, ATTENTION),
            idle_since=instance_status.idle_since(session, caller, now),
            events=chart_data.events(session, Notification.instance_id.in_(mine), now),
            latency=chart_data.latency(session, Subscription.instance_id.in_(mine), now),
            answers=chart_data.answers(session, Usage.instance_id.in_(mine), now),
            freshness=poll_progress.freshness(session, caller, now),
            newest=newest,
            names=instance_status.names(session, caller, {one.instance_id for one in newest}),
        )
