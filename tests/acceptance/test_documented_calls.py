"""The documentation's cURL calls, made by curl against a running application."""

from __future__ import annotations

import collections.abc as cabc
import json
import os
import pathlib
import shutil
import subprocess
import typing as t

import pytest

from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.simulation.store import SimulatedStore
from tests.example_site import ExampleSite

CALLS = pathlib.Path(__file__).parent / "data"
KEYS = ("ck_" + "a" * 40, "cs_" + "b" * 40)
SIGNATURE_KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def site(tmp_path: pathlib.Path) -> cabc.Iterator[ExampleSite]:
    """The running example application with its tables."""
    if shutil.which("curl") is None:
        if os.environ.get("CI") == "true":
            raise RuntimeError("curl is missing; tests/packages.sh installs it")
        pytest.skip("curl is missing: apt install curl")
    made = ExampleSite(tmp_path)
    made.command("db", "upgrade")
    with made.serving():
        yield made


@pytest.fixture
def store() -> cabc.Iterator[tuple[SimulatedStore, str]]:
    """A store with a few objects of each kind."""
    made = SimulatedStore("8.0", consumer_key=KEYS[0], consumer_secret=KEYS[1])
    made.populate(orders=5, products=5, coupons=2, customers=5)
    with made.serve() as url:
        yield made, url


def _call(name: str, changes: dict[str, str]) -> dict[str, t.Any]:
    """Run a documented call with only host and secrets changed."""
    script = CALLS.joinpath(f"{name}.sh").read_text()
    for old, new in changes.items():
        assert old in script, old
        script = script.replace(old, new)
    run = subprocess.run(
        ["bash", "-c", script.rstrip() + " -sS -w '\\n%{http_code}'"],
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, status = run.stdout.rpartition("\n")
    assert status == "200", run.stdout
    return t.cast("dict[str, t.Any]", json.loads(body))


@pytest.mark.parity(1, 10)
def test_polling_call_and_what_follows(
    site: ExampleSite, store: tuple[SimulatedStore, str]
) -> None:
    """The first cURL call connects a store whose changes then arrive under ``contacts``."""
    shop, url = store
    receiver = CallbackReceiver()
    secrets = json.loads(site.command("users", "add", "a", "--organization", "o", "--json"))
    with receiver.serve() as callback:
        answer = _call(
            "polling",
            {
                # The callback's URL also contains the host.
                "https://api.cloud-elements.com/elements/api-v2/events/woocommercerest/": callback,
                "https://api.cloud-elements.com": site.url,
                "<USER_SECRET>": secrets["user_secret"],
                "<ORGANIZATION_SECRET>": secrets["organization_secret"],
                "<http://mycoolstore.com>": url,
                '"xxxxxxxxxxxxxxxxxx"': f'"{KEYS[0]}"',
                '"xxxxxxxxxxxxxxxxxxxxxxxx"': f'"{KEYS[1]}"',
            },
        )
        assert answer["id"] and answer["token"]
        site.command("poll", "--once")
        customer = shop.acts.new_customer("fresh")
        line = site.command("poll", "--once", "--json").strip()
        assert json.loads(line)["events"] == 1
    [notification] = receiver.received
    [event] = notification.events
    assert (event["eventType"], event["objectType"]) == ("CREATED", "contacts")
    assert event["objectId"] == str(customer)


@pytest.mark.parity(1)
def test_webhook_call(site: ExampleSite, store: tuple[SimulatedStore, str]) -> None:
    """The second cURL call answers with an id and a token."""
    secrets = json.loads(site.command("users", "add", "a", "--organization", "o", "--json"))
    answer = _call(
        "webhook",
        {
            "https://api.cloud-elements.com": site.url,
            "<USER_SECRET>": secrets["user_secret"],
            "<ORGANIZATION_SECRET>": secrets["organization_secret"],
            "<http://mycoolstore.com>": store[1],
            '"xxxxxxxxxxxxxxxxxx"': f'"{KEYS[0]}"',
            '"xxxxxxxxxxxxxxxxxxxxxxxx"': f'"{KEYS[1]}"',
            '"xxxxxxxxxxxxxxxxxxxxxxxxx"': f'"{SIGNATURE_KEY}"',
        },
    )
    assert answer["id"] and answer["token"]
