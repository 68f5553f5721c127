"""``/``: what an organisation's stores are doing."""

from __future__ import annotations

import flask

from ..db.models import Notification, Subscription, Usage
from ..events import search
from ..runtime import current_runtime
from . import access, chart_data, instance_status
from .access import Answer
from .instance_status import Health

#: Instances with trouble, and events, that the first page shows.
TROUBLED, NEWEST = 8, 8


def register(blueprint: flask.Blueprint) -> None:
    """Add the route."""
    blueprint.add_url_rule("/", view_func=home, endpoint="home")


def home() -> Answer:
    """How many instances are well, what came in and went out, and what needs a look."""
    runtime, who = current_runtime(), access.caller()
    now, mine = runtime.clock(), instance_status.scope(access.caller())
    with runtime.database.read() as session:
        counts = instance_status.counts(session, who, now)
        if not sum(counts.values()):
            return flask.render_template("woo_console/welcome.html")
        chosen = search.EventFilter(organization_id=who.organization_id)
        newest = search.search(session, chosen, None, NEWEST).entries
        return flask.render_template(
            "woo_console/home.html",
            counts=counts,
            healths=Health,
            troubled=instance_status.troubled(session, who, now, TROUBLED),
            idle_since=instance_status.idle_since(session, who, now),
            events=chart_data.events(session, Notification.instance_id.in_(mine), now),
            latency=chart_data.latency(session, Subscription.instance_id.in_(mine), now),
            answers=chart_data.answers(session, Usage.instance_id.in_(mine), now),
            fresh=instance_status.freshness(session, who, now),
            newest=newest,
            names=instance_status.names(session, who, {one.instance_id for one in newest}),
        )
