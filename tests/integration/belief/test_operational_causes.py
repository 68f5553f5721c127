"""What a store shows wrongly, and the end of that, is one operational event each."""

from __future__ import annotations

import typing as t

import sqlalchemy as sa

from flask_woo_events.db.models import OperationalRecord
from tests.integration.belief.belief_env import BeliefEnv
from tests.integration.belief.conftest import Connect


def _recorded(env: BeliefEnv) -> list[tuple[str, str, dict[str, t.Any]]]:
    query = sa.select(OperationalRecord.kind, OperationalRecord.subject, OperationalRecord.record)
    with env.database.read() as session:
        rows = session.execute(query.order_by(OperationalRecord.id)).all()
    return [(row.kind, row.subject, row.record) for row in rows]


def _kinds(env: BeliefEnv) -> list[str]:
    return [kind for kind, _, _ in _recorded(env)]


def test_deletions_that_wait(connect: Connect) -> None:
    """A mass deletion is reported once for its resource, and its end."""
    env = connect(resources=("orders", "products"), counts=(40, 6, 0, 0))
    with env.without("orders", *env.ids("orders")[10:]):
        env.poll(1)
        env.poll(1)
        [(kind, subject, record)] = _recorded(env)
        assert (kind, record["resource"]) == ("deletion.held", "orders")
        assert "30 of 40 orders are missing" in record["text"] and record["command"]
    env.poll(1)
    env.poll(1)
    _, (kind, ended, record) = _recorded(env)
    assert (kind, ended, record["resource"]) == ("deletion.released", subject, "orders")


def test_deletions_that_are_sent(connect: Connect) -> None:
    """A mass deletion that is confirmed has ended, too."""
    env = connect(resources=("orders", "products"), counts=(40, 6, 0, 0))
    with env.without("orders", *env.ids("orders")[10:]):
        env.polls(3)
        assert _kinds(env) == ["deletion.held", "deletion.released"]


def test_another_store(connect: Connect) -> None:
    """A store that is replaced is reported once for all polls that meet it."""
    env = connect()
    with env.answered_by(env.other_shop(40, 15, 9, 50)):
        env.polls(3)
        [(kind, _, record)] = _recorded(env)
        assert kind == "store.replaced" and record["since"] and record["ends"]
    env.polls(2)
    assert _kinds(env) == ["store.replaced", "store.recognized"]


def test_another_store_that_is_accepted(connect: Connect) -> None:
    """A person who accepts it ends it, in the transaction of the acceptance."""
    env = connect()
    with env.answered_by(env.other_shop(40, 15, 9, 50)):
        env.poll()
        env.accept()
        assert _kinds(env) == ["store.replaced", "store.recognized"]


def test_restored_backup(connect: Connect) -> None:
    """A restore is one event, however many objects and resources it reverts."""
    env = connect(counts=(12, 8, 3, 5))
    backup = env.acts.snapshot()
    for _ in range(2):
        env.pass_time(180)
        for product in env.ids("products")[:4]:
            env.acts.post_update(product, "After the backup")
        env.edit("orders", env.ids("orders")[0])
        env.converge()
        before = len(_recorded(env))
        env.acts.restore_backup(backup)
        env.converge()
        [(kind, _, record)] = _recorded(env)[before:]
        assert kind == "store.restored" and record["resource"]
