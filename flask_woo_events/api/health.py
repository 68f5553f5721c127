"""``/healthz`` and ``/metrics``: for monitoring."""

from __future__ import annotations

import collections.abc as cabc
import hmac
import typing as t

import flask
import sqlalchemy as sa

from ..db.models import Instance
from ..errors import AccessError, ConfigurationError, NotFoundError, SchemaError
from ..runtime import current_runtime
from . import metrics
from .metrics import Metric
from .responses import MessageResponse, dump


def register(blueprint: flask.Blueprint) -> None:
    """Add the routes."""
    blueprint.add_url_rule("/healthz", view_func=healthz, methods=["GET"])
    blueprint.add_url_rule("/metrics", view_func=show_metrics, methods=["GET"])


def healthz() -> tuple[dict[str, t.Any], int, dict[str, str]]:
    """Check that this process can read its tables."""
    try:
        with current_runtime().database.read() as session:
            session.execute(sa.select(Instance.id).limit(1))
    except SchemaError as exc:
        return dump(MessageResponse(message=str(exc))), 503, {"Retry-After": "60"}
    return dump(MessageResponse(message="well")), 200, {}


def show_metrics() -> flask.Response:
    """Answer the metrics in the format of Prometheus."""
    runtime = current_runtime()
    token = runtime.settings.metrics_token
    if not token:
        raise NotFoundError("WOO_EVENTS_METRICS_TOKEN is not set; without it there are no metrics")
    scheme, _, given = flask.request.headers.get("Authorization", "").partition(" ")
    matches = hmac.compare_digest(given.strip().encode(), token.encode())
    if scheme.lower() != "bearer" or not matches:
        raise AccessError("Authorization must be Bearer and WOO_EVENTS_METRICS_TOKEN")
    with runtime.database.read() as session:
        found = metrics.collect(session, runtime.clock())
    return flask.Response(_exposed(found), content_type="text/plain; version=0.0.4; charset=utf-8")


def _exposed(found: cabc.Sequence[Metric]) -> bytes:
    try:
        import prometheus_client
        import prometheus_client.core
    except ImportError as exc:
        raise ConfigurationError("/metrics needs: pip install 'flask-woo-events[metrics]'") from exc

    class Collected:
        def collect(self) -> cabc.Iterator[prometheus_client.core.GaugeMetricFamily]:
            for one in found:
                names = list(one.values[0][0]) if one.values else []
                family = prometheus_client.core.GaugeMetricFamily(one.name, one.help, labels=names)
                for labels, value in one.values:
                    family.add_metric([labels[name] for name in names], value)
                yield family

    registry = prometheus_client.CollectorRegistry()
    registry.register(t.cast("t.Any", Collected()))
    return prometheus_client.generate_latest(registry)
