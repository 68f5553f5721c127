"""``flask woo subscriptions``: what the API does, at the command line."""

from __future__ import annotations

import json
import re
import typing as t

import click.testing
import pytest

from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.values.validation import MASK
from tests.integration.store_to_callback import StoreToCallback
from tests.integration.test_subscriptions_api import SENT, SHOWN

URL = "https://second.example/events"
#: The options that send what ``SENT`` has, without ``paused``.
OPTIONS = (
    "--callback-url", URL,
    "--signature-key", "a-second-key",
    "--header", "X-Api-Key: a-header-secret",
    "--header", "X-Tenant: 7",
    "--username", "me",
    "--password", "a-password",
    "--resource", "orders",
    "--type", "created",
    "--type", "UPDATED",
    "--field", "status",
    "--field", "line_items[].quantity",
    "--format", "cloudevents",
    "--retry-schedule", "60,600",
    "--timeout", "5",
    "--rate", "2.5",
    "--concurrent", "3",
    "--description", "The warehouse",
)  # fmt: skip


def _run(
    env: StoreToCallback, *args: object, stdin: str = "", status: int = 0
) -> click.testing.Result:
    words = ["woo", "subscriptions", *map(str, args)]
    result = env.app.test_cli_runner().invoke(args=words, input=stdin)
    assert result.exit_code == status, result.output
    return result


def _add(env: StoreToCallback, *options: str, stdin: str = "") -> dict[str, t.Any]:
    result = _run(env, "add", env.instance_id, *options, "--json", stdin=stdin)
    return t.cast("dict[str, t.Any]", json.loads(result.output))


def _shown(env: StoreToCallback, number: int) -> dict[str, t.Any]:
    rows = _run(env, "list", env.instance_id, "--json").output.splitlines()
    return next(one for one in map(json.loads, rows) if one["id"] == number)


def test_options_are_the_members_of_a_request(env: StoreToCallback) -> None:
    """``add`` takes every member, and ``list`` shows it without its secrets."""
    added = _add(env, *OPTIONS)
    assert {name: added[name] for name in SENT} == SHOWN | {"paused": False}
    assert added == _shown(env, added["id"])
    assert (
        env.api.call("GET", f"/instances/{env.instance_id}/subscriptions").json[1]["headers"]
        == SHOWN["headers"]
    )
    listed = _run(env, "list", env.instance_id).output
    assert f"{added['id']}   {URL}" in listed
    assert "orders CREATED,UPDATED fields status,line_items[].quantity" in listed
    assert "a-second-key" not in listed and "a-header-secret" not in listed


def test_change_replaces_what_it_names(env: StoreToCallback) -> None:
    """What has no option stays, and an empty value takes a choice back."""
    added = _add(env, *OPTIONS)
    empty = ("--format", "", "--retry-schedule", "", "--type", "", "--rate", "", "--header", "")
    _run(env, "change", env.instance_id, added["id"], *empty, "--resource", "products")
    back: dict[str, t.Any] = {
        "format": None,
        "retrySchedule": None,
        "eventTypes": [],
        "requestsPerSecond": None,
    }
    expected = added | back | {"headers": {}, "resources": ["products"]}
    assert _shown(env, added["id"]) == expected
    _run(env, "change", env.instance_id, added["id"], status=2)


def test_secrets_are_read_from_standard_input(env: StoreToCallback) -> None:
    """``-`` keeps them out of the list of processes and of the shell's history."""
    options = ("--callback-url", URL, "--signature-key", "-", "--username", "me", "--password", "-")
    with CallbackReceiver().serve() as url:
        added = _add(env, *options[:1], url, *options[2:], stdin="a-piped-key\na-password\n")
        assert (added["signatureKey"], added["password"]) == (MASK, MASK)
        assert "200 OK" in _run(env, "test", env.instance_id, added["id"]).output


def test_test_says_what_the_receiver_answered(env: StoreToCallback) -> None:
    """It is signed with the subscription's key; a refusal has the exit status 1."""
    receiver = CallbackReceiver()
    with receiver.serve() as url:
        number = _add(env, "--callback-url", url, "--signature-key", "a-key")["id"]
        assert "accepted" in _run(env, "test", env.instance_id, number).output
        assert receiver.received[0].is_signed_with("a-key")
        receiver.answer = lambda _: 401
        refused = _run(env, "test", env.instance_id, number, status=1)
    assert "did not accept the test notification: 401 Unauthorized" in refused.output


def test_a_subscription_that_is_only_read(env: StoreToCallback) -> None:
    """It needs no URL, is listed as what it is, and is neither tested nor paused."""
    added = _add(env, "--feed", "--resource", "orders")
    assert re.search(rf"{added['id']} +- +feed ", _run(env, "list", env.instance_id).output)
    for command in ("test", "pause"):
        refused = _run(env, command, env.instance_id, added["id"], status=1).output
        assert "only read" in refused
    _run(env, "add", env.instance_id, "--feed", "--rate", "1", status=1)
    doctor = env.app.test_cli_runner().invoke(args=["woo", "doctor", str(env.instance_id)])
    assert f"subscription {added['id']}" not in doctor.output


def test_a_paused_subscription_waits(env: StoreToCallback) -> None:
    """Between ``pause`` and ``resume`` nothing is sent, and nothing is lost."""
    receiver = CallbackReceiver()
    with receiver.serve() as url:
        number = _add(env, "--callback-url", url)["id"]
        _run(env, "pause", env.instance_id, number)
        env.store.acts.status(order := env.first("orders"), "completed")
        events = env.arrivals()
        assert events and receiver.events == []
        assert "paused" in _run(env, "list", env.instance_id).output
        said = _run(env, "resume", env.instance_id, number).output
        assert "It applies to" in said and "not sent yet" in said
        env.delivered()
        assert ("orders", str(order), "UPDATED") in receiver.events
        assert set(receiver.events) == events


def test_remove_asks_first(env: StoreToCallback) -> None:
    """The one of the configuration cannot be removed; the message says how to."""
    added = _add(env, "--callback-url", URL)
    _run(env, "remove", env.instance_id, added["id"], stdin="n\n", status=1)
    assert _shown(env, added["id"]) == added
    _run(env, "remove", env.instance_id, added["id"], "--yes")
    rows = _run(env, "list", env.instance_id, "--json").output.splitlines()
    [first] = map(json.loads, rows)
    refused = _run(env, "remove", env.instance_id, first["id"], "--yes", status=1)
    assert "event.notification.callback.url" in refused.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--callback-url", "nonsense"), "callbackUrl"),
        (("--callback-url", URL, "--retry-schedule", "5,x"), "retrySchedule"),
        (("--callback-url", URL, "--rate", "fast"), "requestsPerSecond"),
        (("--callback-url", URL, "--resource", "unicorns"), "the instance polls no 'unicorns'"),
        (("--callback-url", URL, "--header", "nonsense"), "headers"),
        ((), "callbackUrl is missing"),
    ],
)
def test_wrong_options_are_named(env: StoreToCallback, options: tuple[str, ...], said: str) -> None:
    """A wrong value is an error that names the member."""
    assert said in _run(env, "add", env.instance_id, *options, status=1).output


def test_unknown_ids(env: StoreToCallback) -> None:
    """An instance or a subscription that does not exist is an error."""
    assert "There is no instance 99" in _run(env, "list", 99, status=1).output
    for command in ("test", "pause", "resume"):
        found = _run(env, command, env.instance_id, 99, status=1).output
        assert "No subscription found" in found


def _replay(env: StoreToCallback, *args: object, status: int = 0) -> str:
    words = ["woo", "events", "replay", *map(str, args)]
    result = env.app.test_cli_runner().invoke(args=words)
    assert result.exit_code == status, result.output
    return result.output


def test_a_replay_to_one_subscription(env: StoreToCallback) -> None:
    """Recorded events go to the subscription that is named, also if it is new; not to others."""
    env.store.acts.status(env.first("orders"), "completed")
    events = env.arrivals()
    receiver = CallbackReceiver()
    with receiver.serve() as url:
        number = _add(env, "--callback-url", url, "--type", "UPDATED")["id"]
        env.receiver.clear()
        chosen = ("--since", "2026-01-01", "--subscription", number)
        assert "would be sent" in _replay(env, *chosen, "--dry-run")
        _replay(env, *chosen)
        env.delivered()
    assert events and env.receiver.events == []
    assert set(receiver.events) == {one for one in events if one[2] == "UPDATED"}


def test_a_replay_needs_a_subscription_of_its_instance(env: StoreToCallback) -> None:
    """Another instance's subscription, one that does not exist, and ``--to`` are refused."""
    other = env.api.create()
    path = f"/instances/{other['id']}/subscriptions"
    [first] = env.api.call("GET", path).json
    chosen = ("--instance", env.instance_id, "--subscription")
    assert "belongs to instance" in _replay(env, *chosen, first["id"], status=1)
    assert "There is no subscription 99" in _replay(env, *chosen, 99, status=1)
    assert "exclude each other" in _replay(env, *chosen, 1, "--to", URL, status=2)
    assert "select events" in _replay(env, "--subscription", 1, status=2)
