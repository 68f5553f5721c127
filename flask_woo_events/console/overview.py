"""``/``: what an organisation's stores are doing."""

from __future__ import annotations

import flask

from .. import charts, overview
from ..flow import log
from ..models import Notification, Subscription, Usage
from ..overview import Health
from ..runtime import current_runtime
from . import access
from .access import Answer

#: Instances with trouble, and events, that the first page shows.
TROUBLED, NEWEST = 8, 8


def register(blueprint: flask.Blueprint) -> None:
    """Add the route."""
    blueprint.add_url_rule("/", view_func=home, endpoint="home")


def home() -> Answer:
    """How many instances are well, what came in and went out, and what needs a look."""
    runtime, who = current_runtime(), access.caller()
    now, mine = runtime.clock(), overview.scope(access.caller())
    with runtime.database.read() as session:
        counts = overview.counts(session, who, now)
        if not sum(counts.values()):
            return flask.render_template("woo_console/welcome.html")
        chosen = log.Choice(organization_id=who.organization_id)
        newest = log.search(session, chosen, None, NEWEST).entries
        return flask.render_template(
            "woo_console/home.html",
            counts=counts,
            healths=Health,
            troubled=overview.troubled(session, who, now, TROUBLED),
            idle_since=overview.idle_since(session, who, now),
            events=charts.events(session, Notification.instance_id.in_(mine), now),
            latency=charts.latency(session, Subscription.instance_id.in_(mine), now),
            answers=charts.answers(session, Usage.instance_id.in_(mine), now),
            fresh=overview.freshness(session, who, now),
            newest=newest,
            names=overview.names(session, who, {one.instance_id for one in newest}),
        )
