"""Limits of subscriptions while requests fail: what can be accepted arrives, in its order."""

from __future__ import annotations

import collections.abc as cabc
import typing as t

import sqlalchemy as sa

from flask_woo_events.db.database import Database
from flask_woo_events.db.models import Subscription
from flask_woo_events.delivery import claims, results
from flask_woo_events.delivery.claims import ClaimedDelivery
from flask_woo_events.delivery.results import AttemptResult
from flask_woo_events.simulation.callback_receiver import Received
from tests.integration.ledger_env import LedgerEnv, at, build
from tests.integration.test_outbox import FAILED, LEASE
from tests.integration.test_subscriptions import Subscribers
from tests.integration.test_subscriptions import subscribers as subscribers


def _ids(received: cabc.Iterable[Received]) -> list[str]:
    return [one.json["subject"].removeprefix("orders/") for one in received]


def _claim(ledger: LedgerEnv, seconds: float) -> list[ClaimedDelivery]:
    with ledger.database.write() as session:
        return claims.claim(session, at(seconds), LEASE, 50)


def _fail(ledger: LedgerEnv, claimed: cabc.Sequence[ClaimedDelivery], seconds: float) -> None:
    with ledger.database.begin() as connection:
        results.write(connection, [AttemptResult(one, FAILED) for one in claimed], at(seconds))


def _limited(database: Database, **options: t.Any) -> LedgerEnv:
    ledger = build(database)
    with database.write() as session:
        session.execute(sa.update(Subscription).values(options=options))
    return ledger


def _pass(subscribers: Subscribers, seconds: int, steps: int) -> None:
    for _ in range(steps):
        subscribers.env.clock.move(seconds)
        subscribers.env.dispatch()
