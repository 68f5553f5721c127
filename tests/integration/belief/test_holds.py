"""What is held is shown, with the command that ends it, and that it has ended is noticed."""

from __future__ import annotations

from flask_woo_events.api.responses import InstanceResponse, dump
from flask_woo_events.cli import doctor_checks
from flask_woo_events.instances import views
from tests.integration.belief.belief_env import BeliefEnv, deleted
from tests.integration.belief.conftest import Connect


def _view(env: BeliefEnv) -> views.InstanceView:
    with env.database.read() as session:
        return views.get(session, env.caller, env.instance_id, env.runtime.clock())


def _kind(env: BeliefEnv) -> str | None:
    hold = _view(env).hold
    return None if hold is None else hold.kind


def _kinds(env: BeliefEnv) -> list[str]:
    return [notice["kind"] for notice in env.notices]


def test_held_deletions(connect: Connect) -> None:
    """Missing objects are shown with their number, since when, and the command that sends them."""
    env = connect(resources=("orders", "products"), counts=(40, 6, 0, 0))
    assert dump(InstanceResponse.of_view(_view(env)))["hold"] is None
    with env.without("orders", *env.ids("orders")[10:]):
        env.poll()
        since = env.runtime.clock().strftime("%Y-%m-%dT%H:%M")
        env.poll(5)
        view = _view(env)
    hold = dump(InstanceResponse.of_view(view))["hold"]
    assert hold.pop("since").startswith(since)
    assert "30 of 40 orders are missing" in hold.pop("reason")
    command = f"flask woo instances accept {env.instance_id}"
    assert hold == {
        "kind": "deletions",
        "resources": [{"resource": "orders", "objects": 30, "eventType": "DELETED"}],
        "command": command,
    }
    assert [one.fix for one in doctor_checks.of_problems(view)] == [command]
    assert _kinds(env) == ["hold"]
    env.poll(1)
    assert _kind(env) is None
    assert _kinds(env) == ["hold", "hold ended"]


def test_deletions_that_are_sent(connect: Connect) -> None:
    """Deletions that a second reading confirms are held no more."""
    env = connect(resources=("orders", "products"), counts=(40, 6, 0, 0))
    missing = env.ids("orders")[10:]
    with env.without("orders", *missing):
        env.poll()
        assert sorted(env.poll()) == deleted("orders", missing)
        assert _kind(env) is None


def test_held_store(connect: Connect) -> None:
    """Another store is shown with what accepting it deletes."""
    env = connect()
    with env.answered_by(env.other_shop(40, 15, 9, 50)):
        env.poll()
        view = _view(env)
    assert view.hold is not None
    assert view.hold.kind in ("another", "unknown")
    assert {one.resource: one.objects for one in view.hold.resources} == {
        "orders": 12, "products": 6, "discounts": 3, "customers": 5,
    }  # fmt: skip
    assert [one.fix for one in doctor_checks.of_problems(view)] == [view.hold.command]
    env.poll()
    assert _kind(env) is None
    assert _kinds(env) == ["hold", "hold ended"]


def test_accepted_store(connect: Connect) -> None:
    """Accepting a store ends the hold."""
    env = connect()
    with env.answered_by(env.other_shop(40, 15, 9, 50)):
        env.poll()
        env.accept()
        assert _kind(env) is None
    assert _kinds(env) == ["hold", "hold ended"]


# Backends that alternate


def _alternate(env: BeliefEnv, times: int) -> None:
    other = env.other_shop(40, 15, 9, 50)
    for _ in range(times):
        with env.answered_by(other):
            assert env.poll(5) == []
        assert env.poll(5) == []


def test_another_store_answers_in_turn(connect: Connect) -> None:
    """A store that becomes another one three times in an hour holds until an hour without it."""
    env = connect()
    _alternate(env, 2)
    assert _kind(env) is None
    _alternate(env, 1)
    assert _kind(env) == "alternating"
    order = env.ids("orders")[0]
    env.edit("orders", order)
    with env.answered_by(env.other_shop(40, 15, 9, 50)):
        assert env.poll(40) == []
    assert env.poll(50) == []
    assert _kind(env) == "alternating"
    assert env.poll(20) == [("orders", str(order), "UPDATED")]
    assert _kind(env) is None
    env.converge()


def test_accepting_goes_on_at_once(connect: Connect) -> None:
    """Accepting stores that alternate keeps the ledger, and goes on with the known one."""
    env = connect()
    _alternate(env, 3)
    env.edit("orders", env.ids("orders")[0])
    assert env.accept() == ["*"]
    assert len(env.poll(1)) == 1
    env.converge()


def test_old_copy_answers_in_turn(connect: Connect) -> None:
    """An old copy at the same address that is believed again and again is held, too."""
    env = connect(resources=("orders",))
    old = env.copy()
    env.pass_time(60)
    env.edit("orders", env.ids("orders")[0])
    env.converge()
    for number in range(5):
        assert (_kind(env) == "alternating") is (number == 4), number
        with env.answered_by(old):
            env.poll(1)
            env.poll(1)
        env.poll(1)
    assert env.poll(10) == []
    env.poll(60)
    env.converge()


def test_a_restore_does_not_alternate(connect: Connect) -> None:
    """A restored backup is sent, and what is changed afterwards; nothing is held."""
    env = connect(resources=("orders",), counts=(12, 6, 0, 5), page_size=5)
    backup = env.acts.snapshot()
    env.pass_time(60)
    for order in env.ids("orders")[:9]:
        env.edit("orders", order)
    env.converge()
    env.acts.restore_backup(backup)
    env.polls(5, 1)
    for order in env.ids("orders")[:9]:
        env.edit("orders", order)
    env.polls(5, 1)
    assert _kind(env) is None
    env.converge()
