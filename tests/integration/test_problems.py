"""Problems: whatever sends less or later than it should is shown everywhere until it ends."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import typing as t

import flask
import pytest

from flask_woo_events import problem_began, problem_ended
from flask_woo_events.db.models import Instance
from flask_woo_events.instances import problems
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.woocommerce import client, oddities
from flask_woo_events.woocommerce.oddities import Oddity
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import runtime_of
from tests.integration.store_to_callback import StoreToCallback

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
Sent = list[tuple[str, str | None, str]]
ODD = Oddity("odd", costs="Nothing is late.", ends="The end of the test.")


@contextlib.contextmanager
def _signals() -> t.Iterator[Sent]:
    """Collect the signals in the block: which, the resource, and the code."""
    sent: Sent = []

    def began(_app: flask.Flask, **values: t.Any) -> None:
        assert values["instance_id"] == 1 and values["costs"] and values["ends"]
        sent.append(("began", values["resource"], values["code"]))

    def ended(_app: flask.Flask, **values: t.Any) -> None:
        sent.append(("ended", values["resource"], values["code"]))

    with problem_began.connected_to(began), problem_ended.connected_to(ended):
        yield sent


def _instance(env: StoreToCallback) -> dict[str, t.Any]:
    result = env.app.test_cli_runner().invoke(args=["woo", "instances", "show", "1", "--json"])
    return t.cast("dict[str, t.Any]", json.loads(result.output))


def _shown(env: StoreToCallback) -> list[tuple[str, str | None]]:
    return [(one["code"], one["resource"]) for one in _instance(env)["problems"]]


def _metric(env: StoreToCallback) -> dict[str, int]:
    with runtime_of(env.app).database.read() as session:
        return problems.counts(session)


def test_a_failing_resource(env: StoreToCallback, caplog: pytest.LogCaptureFixture) -> None:
    """It is a problem from its first failure to its next success, and each is sent once."""
    assert _shown(env) == []
    env.store.faults.add("status", code=500, match="products", times=1000)
    with _signals() as sent:
        env.poll()
        env.poll()
    (shown,) = _instance(env)["problems"]
    assert (shown["code"], shown["resource"]) == ("failing", "products")
    assert "--resource 'products'" in shown["command"] and shown["costs"] and shown["since"]
    assert sent == [("began", "products", "failing")]
    assert _metric(env) == {"failing": 1}
    warned = [one for one in caplog.records if getattr(one, "code", "") == "failing"]
    assert [one.levelname for one in warned] == ["WARNING"]
    assert _instance(env)["name"] in warned[0].getMessage()
    env.store.faults.clear()
    with _signals() as sent:
        env.poll()
    assert sent == [("ended", "products", "failing")]
    assert _shown(env) == [] and _metric(env) == {}


def test_callbacks(env: StoreToCallback) -> None:
    """Each receiver that fails is a problem of its own, named by its host; a paused one is none."""
    receiver, path = CallbackReceiver(lambda _: 410), f"/instances/{env.instance_id}/subscriptions"
    with receiver.serve() as url:
        body = {"callbackUrl": f"{url}?token=a-secret", "signatureKey": "a-key"}
        number = env.api.call("POST", path, body).json["id"]
        env.receiver.answer = lambda _: 410
        env.store.acts.status(env.first("orders"), "completed")
        env.poll()
        Worker(runtime_of(env.app)).deliver_once()
        with _signals() as sent:
            env.poll()
        assert sent == [("began", None, "callback-stopped")] * 2
        first, second = _instance(env)["problems"]
        assert first["text"].startswith("deliveries to the callback at 127.0.0.1 are stopped: 410")
        assert second["text"].startswith(f"deliveries to subscription {number} at 127.0.0.1 are")
        assert (first["subscriptionId"], second["subscriptionId"]) == (None, number)
        assert "a-secret" not in str(_instance(env)["problems"])
        assert _metric(env) == {"callback-stopped": 2}
        receiver.answer = lambda _: 200
        words = second["command"].split()[1:]
        assert words[-2:] == ["--subscription", str(number)]
        assert env.app.test_cli_runner().invoke(args=words).exit_code == 0
        Worker(runtime_of(env.app)).deliver_once()
        with _signals() as sent:
            env.poll()
        assert sent == [("ended", None, "callback-stopped")]
        assert _shown(env) == [("callback-stopped", None)]
        [first_id] = [one["id"] for one in env.api.call("GET", path).json if one["first"]]
        env.api.call("PATCH", f"{path}/{first_id}", {"paused": True})
        assert _shown(env) == []


def test_a_subscription_that_is_held(env: StoreToCallback) -> None:
    """Three failures in a row are a problem that says when it is tried again."""
    path = f"/instances/{env.instance_id}/subscriptions"
    added = env.api.call("POST", path, {"callbackUrl": "http://127.0.0.1:9/"}).json
    for status in ("completed", "on-hold", "cancelled"):
        env.store.acts.status(env.first("orders"), status)
        env.store.acts.stock(env.first("products"), len(status))
        env.store.acts.new_customer(status)
        env.arrivals()
    (shown,) = _instance(env)["problems"]
    assert (shown["code"], shown["subscriptionId"]) == ("callback-failing", added["id"])
    assert re.match(rf"subscription {added['id']} at 127.0.0.1 failed \d+ times", shown["text"])


def test_an_oddity(env: StoreToCallback, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a resource survives is a problem until it is read without it."""
    monkeypatch.setattr(oddities, "ODD", ODD, raising=False)
    get_list = client.StoreClient.get_list

    def odd(self: client.StoreClient, path: str, *args: t.Any, **more: t.Any) -> t.Any:
        if path == "orders":
            self.oddities.add(ODD, "2 of them")
        return get_list(self, path, *args, **more)

    with monkeypatch.context() as patch, _signals() as sent:
        patch.setattr(client.StoreClient, "get_list", odd)
        env.poll()
        env.poll()
    assert sent == [("began", "orders", "odd")]
    (shown,) = _instance(env)["problems"]
    since = shown.pop("since")
    assert shown == {
        "code": "odd", "resource": "orders", "text": "2 of them", "costs": ODD.costs,
        "ends": ODD.ends, "command": "", "subscriptionId": None,
    }  # fmt: skip
    doctor = env.app.test_cli_runner().invoke(args=["woo", "doctor"]).output
    assert "orders: 2 of them\n    costs: Nothing is late.\n    fix: The end of the test." in doctor
    with runtime_of(env.app).database.read() as session:
        kept = session.get_one(Instance, 1).problems
    assert kept is not None and kept[0]["since"][:19] == since[:19]
    with _signals() as sent:
        env.poll()
    assert sent == [("ended", "orders", "odd")]
    assert [one["kind"] for one in env.notices] == ["odd", "odd ended"]


def test_a_failure_keeps_what_was_odd(
    env: StoreToCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a reading that reaches the end shows that an oddity has ended."""
    monkeypatch.setattr(oddities, "ODD", ODD, raising=False)
    with monkeypatch.context() as patch:
        patch.setattr(
            client.StoreClient, "_check_root", lambda self, _: self.oddities.add(ODD, "all")
        )
        env.poll()
    assert {code for code, _ in _shown(env)} == {"odd"}
    env.store.faults.add("status", code=500, match="orders", times=1000)
    env.poll()
    assert _shown(env) == [("failing", "orders"), ("odd", "orders")]


def test_a_paused_instance_has_no_problems(env: StoreToCallback) -> None:
    """Nothing is expected of it."""
    env.store.faults.add("status", code=500, match="orders", times=1000)
    env.poll()
    assert _shown(env) == [("failing", "orders")]
    env.app.test_cli_runner().invoke(args=["woo", "instances", "pause", "1"])
    assert _shown(env) == [] and _metric(env) == {}


def test_every_code_is_documented() -> None:
    """The page lists what an instance may show."""
    source = pathlib.Path(problems.__file__).read_text(encoding="utf-8")
    codes = set(re.findall(r'code="([a-z-]+)"', source))
    codes |= {one.code for one in vars(oddities).values() if isinstance(one, Oddity)}
    page = (DOCS / "polling.md").read_text(encoding="utf-8")
    section = page.partition("## Problems")[2].partition("## ")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)) == codes


def test_problems_of_a_later_release(env: StoreToCallback) -> None:
    """A worker that runs on after an upgrade reads what a newer one has written."""
    env.store.faults.add("status", code=500, match="orders", times=1000)
    env.poll()
    with runtime_of(env.app).database.write() as session:
        instance = session.get_one(Instance, 1)
        assert instance.problems is not None
        instance.problems = [{**one, "severity": "high"} for one in instance.problems]
    assert _shown(env) == [("failing", "orders")]
    env.store.faults.clear()
    env.poll()
    assert _shown(env) == [] and _metric(env) == {}
