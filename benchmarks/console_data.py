"""Data for the console benchmark: many instances and events of one organisation."""

from __future__ import annotations

import datetime as dt

import orjson
import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.instances import accounts
from flask_woo_events.instances.accounts import NewUser
from flask_woo_events.simulation.store import SimulatedStore

#: Days over which the events are spread, which is their retention.
DAYS = 7

_FILL = (
    """
    INSERT INTO woo_instance (id, organization_id, user_id, name, token_hash, tags, vendor_type,
        events_enabled, disabled, refresh_minutes, created_at, store_facts, notices, hooks,
        hooks_epoch, journal, next_poll_at, lease_fence)
    SELECT i, :organization, :user, 'Store ' || i, md5(i::text) || md5('x' || i::text),
        ('["' || (ARRAY['eu','us','asia'])[1 + i % 3] || '"]')::json, 'polling', true,
        i % 50 = 0, 15, :since, '{}', '[]', '[]', 1, '{}',
        :now + ((i % 15) || ' minutes')::interval, 0
    FROM generate_series(1, :instances) i
    """,
    """
    INSERT INTO woo_configuration (instance_id, key, value, sealed)
    SELECT i, 'event.notification.callback.url', 'https://example.com/' || i, false
    FROM generate_series(1, :instances) i
    """,
    """
    INSERT INTO woo_poller (id, instance_id, resource, configuration, selected, state, backfill,
        baseline_offset, compare_offset, memory, stamp, polled_at, failures, error, created_at)
    SELECT 4 * (i - 1) + r, i, (ARRAY['customers','discounts','orders','products'])[r],
        '{"url": "/hubs/ecommerce/orders"}', true, 'active', false, 0, 0, '{}', 0,
        :now, CASE WHEN i % 40 = 0 AND r = 3 THEN 3 ELSE 0 END,
        CASE WHEN i % 40 = 0 AND r = 3 THEN 'the store answered 502' END, :since
    FROM generate_series(1, :instances) i, generate_series(1, 4) r
    """,
    """
    INSERT INTO woo_subscription (id, instance_id, channel, url, active, current, failures,
        created_at)
    SELECT i, i, 'webhook', 'https://example.com/' || i, i % 100 <> 0, true, 0, :since
    FROM generate_series(1, :instances) i
    """,
    """
    INSERT INTO woo_notification (id, instance_id, poller_id, event_id, resource, poll_date,
        size, created_at)
    SELECT n, 1 + n % :instances, 4 * (n % :instances) + 1 + n % 4,
        lpad(n::text, 20, '0'), (ARRAY['customers','discounts','orders','products'])[1 + n % 4],
        :since + make_interval(secs => :days * 86400.0 * n / :notifications), :each,
        :since + make_interval(secs => :days * 86400.0 * n / :notifications)
    FROM generate_series(1, :notifications) n
    """,
    """
    INSERT INTO woo_event (instance_id, poller_id, notification_id, resource, object_id, version,
        event_type, date, source, changed_fields, body, created_at)
    SELECT n.instance_id, n.poller_id, n.id, n.resource, (n.id * 7 % 900 + e)::text,
        1 + n.id % 9, (ARRAY['CREATED','UPDATED','UPDATED','UPDATED','DELETED'])[1 + n.id % 5],
        n.created_at, 'poll', '["status"]', :body, n.created_at
    FROM woo_notification n, generate_series(1, :each) e ORDER BY n.id
    """,
    """
    INSERT INTO woo_delivery (id, notification_id, subscription_id, status, attempts, due_at,
        created_at, updated_at)
    SELECT n.id, n.id, n.instance_id,
        CASE WHEN n.instance_id % 100 = 0 THEN 'queued'
             WHEN n.id > :notifications - 200 THEN 'retry' ELSE 'delivered' END,
        1, CASE WHEN n.instance_id % 100 <> 0 AND n.id > :notifications - 200
                THEN :now + interval '5 minutes' END,
        n.created_at, n.created_at + interval '1 second'
    FROM woo_notification n
    """,
    """
    INSERT INTO woo_attempt (delivery_id, at, seconds, status_code, reason, answer)
    SELECT d.id, d.updated_at, 0.05 + (d.id % 100) / 400.0,
        CASE WHEN d.status = 'delivered' THEN 200 ELSE 503 END,
        CASE WHEN d.status = 'delivered' THEN '200 OK' ELSE '503 Service Unavailable' END, '{}'
    FROM woo_delivery d
    """,
    """
    INSERT INTO woo_usage (instance_id, hour, turns, requests, seconds, failures)
    SELECT i, date_trunc('hour', :now - (h || ' hours')::interval), 4, 24, 6.5, 0
    FROM generate_series(1, :instances) i, generate_series(0, 167) h
    """,
)


def fill(
    database: Database, now: dt.datetime, *, instances: int, events: int, each: int
) -> NewUser:
    """Create instances and events of one organisation; PostgreSQL only.

    :param each: events in a notification.
    """
    with database.write() as session:
        user = accounts.add_user(session, "ann", "acme", now)
    values = {
        "organization": user.organization_id,
        "user": user.user_id,
        "now": now.replace(tzinfo=None),
        "since": (now - dt.timedelta(days=DAYS)).replace(tzinfo=None),
        "days": DAYS,
        "instances": instances,
        "notifications": events // each,
        "each": each,
        "body": _body(),
    }
    with database.engine.begin() as connection:
        for statement in _FILL:
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(sa.text(statement), used)
        for table in ("notification", "event", "delivery", "instance", "poller", "subscription"):
            connection.execute(
                sa.text(
                    f"SELECT setval(pg_get_serial_sequence('woo_{table}', 'id'), "
                    f"(SELECT max(id) FROM woo_{table}))"
                )
            )
    with database.engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(
            sa.text("VACUUM ANALYZE")
        )
    return user


def _body() -> bytes:
    """Return the JSON of an order, as a store sends it."""
    store = SimulatedStore("11.0", consumer_key="ck", consumer_secret="cs")
    store.populate(orders=1, products=3, coupons=1, customers=1)
    return orjson.dumps(next(iter(store.truth("orders").values())))
