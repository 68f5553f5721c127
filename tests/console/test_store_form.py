"""The page "Authenticate a store" without JavaScript: fields, errors, the cURL command."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import typing as t

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.console import curl, forms
from flask_woo_events.console.rate_limit import CALLS, WITHIN
from flask_woo_events.console.store_page import example
from flask_woo_events.db.models import Connection, Instance
from flask_woo_events.instances import configuration
from flask_woo_events.instances.polled_resources import default_configuration
from flask_woo_events.runtime import Runtime
from flask_woo_events.simulation.callback_receiver import CallbackReceiver
from flask_woo_events.testing import ServedCallback
from flask_woo_events.values.cloud_elements import Format
from tests.console.http_visitor import HttpVisitor, curl_of, fields_of, tell
from tests.integration.host_app import Api, StubStore, add_account, all_calls_taken, runtime_of

NEW = "/instances/new"
EXAMPLE_KEY = "a-key-of-the-callback"


@pytest.fixture
def form(ann: HttpVisitor, store_server: StubStore) -> dict[str, t.Any]:
    """Return the form of a new instance, filled in as documented."""
    fields = fields_of(ann.get(NEW).text)
    return fields | {
        "name": "API Instance with Polling",
        "store_url": store_server.url,
        "api_key": "ck_test",
        "api_secret": "cs_test",
        "tags": "Docs",
        "enabled": "y",
        "callback_url": "https://mycoolapp.com/events",
    }


def _kept(app: flask.Flask, instance_id: int) -> dict[str, str]:
    """Return the configuration of an instance with decrypted secrets."""
    runtime = runtime_of(app)
    with runtime.database.read() as session:
        return dict(configuration.read(session, runtime.cipher, instance_id).texts)


def _count(app: flask.Flask) -> int:
    with runtime_of(app).database.read() as session:
        return session.scalar(sa.select(sa.func.count(Instance.id))) or 0


def test_new_instance_shows_its_token_once(
    app: flask.Flask, ann: HttpVisitor, form: dict[str, t.Any]
) -> None:
    """The page shows id and token once, and no other page shows the token."""
    page = ann.post(NEW, form)
    assert page.status_code == 200
    token = page.text.split('id="instance-token">')[1].split("<")[0]
    answer: t.Any = app.test_client().get(
        "/elements/api-v2/instances", headers=ann.account.element(token)
    )
    assert answer.json["name"] == "API Instance with Polling"
    assert f"Element {token}" in page.text
    reference = page.text.split(">API reference<")[0].rpartition('href="')[2].rstrip('"')
    assert app.test_client().get(reference).status_code == 200
    assert token not in ann.get(f"/instances/{answer.json['id']}").text


def test_untouched_form_polls_the_four_resources(
    app: flask.Flask, ann: HttpVisitor, form: dict[str, t.Any]
) -> None:
    """The form starts with the documented configuration."""
    ann.post(NEW, form)
    kept = _kept(app, 1)
    assert json.loads(kept["event.poller.configuration"]) == default_configuration()
    assert kept["event.poller.refresh_interval"] == "15"
    assert "event.notification.signature.key" not in kept
    assert kept["event.notification.format"] == "cloud-elements"


def test_webhook_needs_no_poller_keys(ann: HttpVisitor, form: dict[str, t.Any]) -> None:
    """The cURL of an instance for webhooks is the documented one."""
    page = ann.post(NEW, form | {"vendor_type": "webhook", "act": "preview"}).text
    body = _body(curl_of(page))
    assert body["configuration"]["event.vendor.type"] == "webhook"
    assert not [key for key in body["configuration"] if "poller" in key]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "", "Name"),
        ("store_url", "", "Store URL"),
        ("api_key", "ck <x>", "Consumer Key"),
        ("callback_url", "ftp://x", "Event Notification Callback URL"),
        ("refresh_minutes", "soon", "Event poller refresh interval (mins)"),
        ("callback_headers", "Host: x", "Event Notification Callback Headers"),
        ("vendor_type", "pigeon", "Event Type"),
        ("format", "xml", "Format of the notifications"),
    ],
)
def test_error_stands_at_its_field(
    app: flask.Flask, ann: HttpVisitor, form: dict[str, t.Any], field: str, value: str, words: str
) -> None:
    """A wrong field is named and marked, the input is kept, and nothing is saved."""
    page = ann.post(NEW, form | {field: value})
    assert page.status_code == 422
    assert f'<a href="#{field}">{words.replace("&", "&amp;")}</a>' in page.text
    assert "https://mycoolapp.com/events" in page.text or field == "callback_url"
    assert _count(app) == 0


def test_stores_answer_is_shown(
    app: flask.Flask, ann: HttpVisitor, form: dict[str, t.Any], store_server: StubStore
) -> None:
    """The keys are tested before saving, and the store's refusal is shown."""
    store_server.refuse_keys()
    page = ann.post(NEW, form)
    assert page.status_code == 422
    assert "The store responded with 401" in page.text
    assert "Invalid signature - provided signature does not match." in page.text
    assert _count(app) == 0


def test_credentials_can_be_tried(
    app: flask.Flask, ann: HttpVisitor, form: dict[str, t.Any], store_server: StubStore
) -> None:
    """Testing the connection shows the store's name and version and saves nothing."""
    page = ann.post(NEW, form | {"act": "try"})
    assert "Connected." in page.text and "WooCommerce 9.4.2" in page.text
    assert _count(app) == 0


@pytest.mark.parity(92, 93)
def test_list_and_json_say_the_same(ann: HttpVisitor, form: dict[str, t.Any]) -> None:
    """List and JSON convert into each other without losing parameters."""
    extra = default_configuration()
    extra["orders"] |= {"pollDelay": 60, "pageSize": 20}
    extra["orders"]["datesConfiguration"]["updatedDateTimezone"] = "EST"
    text = json.dumps(extra)
    listed = ann.post(NEW, form | {"mode": "json", "poller_json": text, "act": "list"}).text
    fields = fields_of(listed)
    assert fields["mode"] == "list"
    again = fields_of(ann.post(NEW, fields | {"act": "json"}).text)
    assert json.loads(again["poller_json"]) == extra


@pytest.mark.parity(91)
def test_resources_can_be_left_out_and_added(
    app: flask.Flask, ann: HttpVisitor, form: dict[str, t.Any]
) -> None:
    """A resource that is not selected is not polled; an added one is."""
    form.pop("resources-0-selected")
    more = fields_of(ann.post(NEW, form | {"act": "add"}).text)
    more |= {"resources-4-name": "contacts", "resources-4-url": "/hubs/ecommerce/customers"}
    ann.post(NEW, more)
    kept = json.loads(_kept(app, 1)["event.poller.configuration"])
    assert sorted(kept) == ["contacts", "discounts", "orders", "products"]
    assert kept["contacts"]["url"] == "/hubs/ecommerce/customers"


@pytest.mark.parity(93)
def test_filtering_switched_off_is_an_empty_object(
    app: flask.Flask, ann: HttpVisitor, form: dict[str, t.Any]
) -> None:
    """Without Advanced Filtering the documented ``datesConfiguration`` is empty."""
    form.pop("resources-2-advanced")
    ann.post(NEW, form)
    kept = json.loads(_kept(app, 1)["event.poller.configuration"])
    assert kept["orders"]["datesConfiguration"] == {}
    assert kept["products"]["datesConfiguration"] != {}


@pytest.mark.parity(92)
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{\n  "orders": {\n    "url": \n}', "Line 4"),
        ('{\n  "orders": {"url": "/orders"},\n  "x": {"url": "nowhere"}\n}', "Line 3"),
        ('{\n "a": {\n  "url": "/orders",\n  "datesConfiguration": {\n   '
         '"createdDateFormat": "YYYY"\n  }\n }\n}', "Line 5"),
        ('{\n "a.b": {\n  "url": "/orders",\n  "pageSize": 0\n }\n}', "Line 4"),
        ("[]", "expected an object of resources to poll"),
        ("", "this is not JSON"),
    ],
)  # fmt: skip
def test_json_errors_stand_at_their_line(
    ann: HttpVisitor, form: dict[str, t.Any], text: str, words: str
) -> None:
    """An error in the JSON is shown with its line, whether the parser or a rule found it."""
    page = ann.post(NEW, form | {"mode": "json", "poller_json": text})
    assert page.status_code == 422
    problem = page.text.split('id="json-problem"')[1]
    assert words in problem[:600]
    preview = ann.post("/instances/new/preview", form | {"mode": "json", "poller_json": text}).json
    assert words in f"Line {preview['problem']['line']} {preview['problem']['message']}"


def test_store_can_send_its_keys_itself(
    app: flask.Flask, ann: HttpVisitor, form: dict[str, t.Any]
) -> None:
    """The store's approval needs only name and URL."""
    runtime = runtime_of(app)
    public = dataclasses.replace(
        runtime.settings, public_url="https://events.example.com/elements/api-v2"
    )
    runtime.settings = public
    empty = form | {"api_key": "", "api_secret": "", "act": "connect"}
    page = ann.post(NEW, empty)
    assert page.status_code == 200
    assert f'href="{form["store_url"]}/wc-auth/v1/authorize?app_name=' in page.text
    with runtime.database.read() as session:
        assert session.scalar(sa.select(sa.func.count(Connection.id))) == 1
    assert "This field is required" in ann.post(NEW, empty | {"name": ""}).text
    script = ann.post(NEW, empty | {"store_url": "javascript:alert(1)"})
    assert script.status_code == 422 and 'href="javascript' not in script.text
    runtime.settings = dataclasses.replace(public, public_url=None)
    assert "WOO_EVENTS_PUBLIC_URL" in ann.post(NEW, empty).text


def _body(command: str) -> dict[str, t.Any]:
    """Return the body that a shell would send with a command."""
    script = f'curl() {{ printf %s "${{!#}}"; }}\n{command}'
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    body: dict[str, t.Any] = json.loads(run.stdout)
    return body


@pytest.mark.parity(90)
def test_curl_does_what_the_form_does(
    app: flask.Flask, ann: HttpVisitor, form: dict[str, t.Any]
) -> None:
    """The body of the cURL, secrets shown, creates the same instance over the API."""
    hard = form | {"name": 'it\'s "quoted" $HOME `x` \\', "signature_key": "o'clock"}
    page = ann.post(NEW, hard | {"act": "reveal"}).text
    command = curl_of(page)
    assert command.startswith("curl -X POST \\\n  'http://localhost/elements/api-v2/instances'")
    answer = app.test_client().post(
        "/elements/api-v2/instances", json=_body(command), headers=ann.account.headers
    )
    assert answer.status_code == 200
    ann.post(NEW, hard)
    ours, theirs = _kept(app, 1), _kept(app, 2)
    polled = [json.loads(one.pop("event.poller.configuration")) for one in (ours, theirs)]
    assert ours == theirs and polled[0] == polled[1]


def test_curl_hides_secrets_until_asked(ann: HttpVisitor, form: dict[str, t.Any]) -> None:
    """The cURL command shows secrets only on request."""
    secrets = {"signature_key": "a-signature-key", "basic_password": "a-password",
               "basic_username": "user", "callback_headers": "X-Key: a-header"}  # fmt: skip
    hidden = curl_of(ann.post(NEW, form | secrets | {"act": "preview"}).text)
    shown = curl_of(ann.post(NEW, form | secrets | {"act": "reveal"}).text)
    for secret in ("cs_test", "ck_test", "a-signature-key", "a-password", "a-header"):
        assert secret not in hidden and secret in shown, secret
    assert "********" in hidden and "********" not in shown


@pytest.mark.parity(90)
@pytest.mark.parametrize("reveal", ["0", "1"])
def test_live_preview_is_the_same_text(
    ann: HttpVisitor, form: dict[str, t.Any], reveal: str
) -> None:
    """The live preview equals the preview without JavaScript."""
    form |= {"reveal": reveal, "name": "it's"}
    with_script = ann.post("/instances/new/preview", form).json
    without = ann.post(NEW, form | {"act": "preview"}).text
    assert with_script["command"] == curl_of(without)
    assert with_script["problem"] is None


@pytest.mark.parity(93)
def test_preview_has_examples_of_formats(ann: HttpVisitor, form: dict[str, t.Any]) -> None:
    """A date format is shown with an example, or with its error."""
    preview = ann.post(
        "/instances/new/preview",
        form | {"resources-0-updated_format": "yyyy", "resources-0-created_format": "QQ"},
    ).json["examples"]
    assert preview["resources-0-updated_format"].isdigit()
    assert "not known" in preview["resources-0-created_format"]


@pytest.mark.parity(93)
@pytest.mark.parametrize("pattern", forms.FORMATS)
def test_every_offered_format_can_be_used(app: flask.Flask, pattern: str) -> None:
    """Each format of the list has an example."""
    with app.app_context():
        assert any(character.isdigit() for character in example(pattern))


@pytest.mark.parity(94)
def test_key_is_generated(ann: HttpVisitor, form: dict[str, t.Any]) -> None:
    """The button generates a long key, a different one each time."""
    keys = {fields_of(ann.post(NEW, form | {"act": "key"}).text)["signature_key"] for _ in "12"}
    assert len(keys) == 2 and all(len(key) >= 40 for key in keys)


@pytest.mark.parity(95)
def test_tags_are_typed_and_chosen(
    app: flask.Flask, ann: HttpVisitor, form: dict[str, t.Any]
) -> None:
    """Existing tags can be selected in addition to typed ones."""
    ann.post(NEW, form | {"tags": "eu, retail"})
    page = ann.get(NEW).text
    assert 'name="chosen_tags" value="eu"' in page
    ann.post(NEW, form | {"form_id": "2", "tags": "new", "chosen_tags": ["eu"]})
    with runtime_of(app).database.read() as session:
        assert session.get_one(Instance, 2).tags == ["new", "eu"]


def test_test_notification_is_signed_and_marked(
    ann: HttpVisitor, form: dict[str, t.Any], woo_callback: ServedCallback
) -> None:
    """The callback receives one signed notification of low severity that is marked as a test."""
    page = ann.post(
        NEW,
        form | {"callback_url": woo_callback.url, "signature_key": EXAMPLE_KEY, "act": "test",
                "callback_headers": "X-Own: yes"},
    )  # fmt: skip
    assert "The callback accepted the test notification." in page.text
    [received] = woo_callback.receiver.received
    assert received.is_signed_with(EXAMPLE_KEY)
    assert received.json["severity"] == "low" and received.json["action"] == "test"
    assert received.json["message"]["events"] == []
    assert "test" not in received.json["message"]
    assert received.headers["X-Own"] == "yes"
    ann.post(NEW, form | {"callback_url": woo_callback.url, "format": "extended", "act": "test"})
    assert woo_callback.receiver.received[-1].json["message"]["test"] is True


def test_failed_test_says_why(ann: HttpVisitor, form: dict[str, t.Any]) -> None:
    """A failed test shows the callback's response."""
    receiver = CallbackReceiver(lambda received: 500)
    with receiver.serve() as url:
        page = ann.post(NEW, form | {"callback_url": url, "act": "test"})
    assert "The callback did not accept the test notification." in page.text
    assert "500 Internal Server Error" in page.text


def test_test_obeys_the_address_guard(
    app: flask.Flask, form: dict[str, t.Any], ann: HttpVisitor, woo_callback: ServedCallback
) -> None:
    """The address guard applies to test notifications."""
    runtime = runtime_of(app)
    settings = dataclasses.replace(runtime.settings, allow_private_callbacks=False)
    guarded = Runtime(settings, runtime.database)
    app.extensions["woo_events"] = guarded
    page = ann.post(NEW, form | {"callback_url": woo_callback.url, "act": "test"})
    guarded.callback_session.close()
    guarded.store_session.close()
    app.extensions["woo_events"] = runtime
    assert "The callback did not accept the test notification." in page.text
    assert not woo_callback.receiver.received


def test_calls_to_others_are_limited(
    app: flask.Flask,
    ann: HttpVisitor,
    form: dict[str, t.Any],
    store_server: StubStore,
    woo_callback: ServedCallback,
) -> None:
    """Calls are limited per user; the input is kept, and other users are not limited."""
    form |= {"callback_url": woo_callback.url, "act": "test"}
    del form["woo_csrf_token"]
    for number, act in enumerate(("try", "test", "") * (CALLS // 3)):
        assert ann.post(NEW, form | {"act": act, "form_id": number}).status_code == 200
    store_server.asked.clear()
    woo_callback.receiver.clear()
    for act in ("try", "test", ""):
        page = ann.post(NEW, form | {"act": act})
        assert page.status_code == 429 and 0 < int(page.headers["Retry-After"]) <= 300
        assert "calls to stores and callbacks within 5 minutes" in page.text
        assert fields_of(page.text)["name"] == form["name"]
    assert ann.post(NEW, form | {"act": "json"}).status_code == 200, "this button calls nobody"
    assert store_server.asked == [] and not woo_callback.receiver.received
    assert _count(app) == CALLS // 3
    bea = HttpVisitor(app, add_account(app, "bea", "globex"))
    bea.sign_in()
    assert bea.post(NEW, form).status_code == 200
    runtime = runtime_of(app)
    later = runtime.clock() + WITHIN
    runtime.clock = lambda: later
    assert ann.post(NEW, form).status_code == 200


def test_every_way_of_calling_counts(
    app: flask.Flask,
    ann: HttpVisitor,
    api: Api,
    store_server: StubStore,
    woo_callback: ServedCallback,
) -> None:
    """Re-Authenticate, the test of an instance and a replay to another URL share the limit."""
    number = api.create(**{"event.notification.callback.url": woo_callback.url})["id"]
    tell(app, number, {"id": 7})
    fields = fields_of(ann.get(f"/instances/{number}/edit").text)
    ann.post(f"/instances/{number}/edit", fields)
    for _ in range(CALLS):
        ann.post(f"/instances/{number}/subscriptions/1/test")
    assert ann.post(f"/instances/{number}/edit", fields | {"name": "x"}).status_code == 302
    store_server.asked.clear()
    woo_callback.receiver.clear()
    again = ann.post(f"/instances/{number}/edit", fields | {"act": "reauthenticate"})
    replay = {"instance": number, "since": "2020-01-01", "where": "elsewhere",
              "url": woo_callback.url, "act": "send"}  # fmt: skip
    refused = ann.post("/deliveries/replay", replay)
    assert again.status_code == 429 and "Try again in" in refused.text
    assert ann.post(f"/instances/{number}/subscriptions/1/test").status_code == 429
    assert store_server.asked == [] and not woo_callback.receiver.received


def test_filled_optional_fields_stay_open(ann: HttpVisitor, form: dict[str, t.Any]) -> None:
    """Filled optional fields stay visible after a button is pressed."""
    assert 'id="optional" open' not in ann.post(NEW, form | {"act": "add"}).text
    page = ann.post(NEW, form | {"basic_username": "u", "act": "add"}).text
    assert 'id="optional" open' in page


def test_quoting_survives_every_shell_character() -> None:
    """A quoted text is one word of the shell."""
    text = "".join(chr(code) for code in range(32, 127)) + "'\n\t''é"
    script = f"printf %s {curl.quoted(text)}"
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == text


class TestEdit:
    """The same page for an existing instance."""

    def test_untouched_changes_nothing(self, app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
        """Saving the unchanged form changes nothing, secrets included."""
        number = api.create(**{"event.notification.signature.key": "kept",
                               "event.poller.refresh_interval": "7"})["id"]  # fmt: skip
        before = _kept(app, number)
        fields = fields_of(ann.get(f"/instances/{number}/edit").text)
        assert fields["api_secret"] == fields["signature_key"] == "********"
        answer = ann.post(f"/instances/{number}/edit", fields)
        assert answer.headers["Location"] == f"/woo/instances/{number}"
        after = _kept(app, number)
        after.pop("event.poller.configuration")
        assert {**before, "event.vendor.type": "polling"} == after

    def test_emptied_secret_is_gone(self, app: flask.Flask, api: Api, ann: HttpVisitor) -> None:
        """An optional field that is emptied is removed."""
        number = api.create(**{"event.notification.signature.key": "kept"})["id"]
        fields = fields_of(ann.get(f"/instances/{number}/edit").text)
        ann.post(f"/instances/{number}/edit", fields | {"signature_key": ""})
        assert _kept(app, number)["event.notification.signature.key"] == ""

    @pytest.mark.parametrize("chosen", list(Format))
    def test_format_stays_and_is_changed(
        self, app: flask.Flask, api: Api, ann: HttpVisitor, chosen: Format
    ) -> None:
        """The form keeps the format that the API chose until another one is selected."""
        number = api.create(**{"event.notification.format": chosen.value})["id"]
        edit = f"/instances/{number}/edit"
        fields = fields_of(ann.get(edit).text)
        ann.post(edit, fields | {"name": "renamed"})
        assert _kept(app, number)["event.notification.format"] == chosen
        other = next(one for one in Format if one is not chosen)
        ann.post(edit, fields | {"format": other.value})
        assert _kept(app, number)["event.notification.format"] == other

    @pytest.mark.parametrize("act", ["", "try", "reauthenticate"])
    def test_keys_do_not_move_to_another_address(
        self, api: Api, ann: HttpVisitor, store_server: StubStore, act: str
    ) -> None:
        """Stored keys are sent neither to another host nor to another path of the same one."""
        number = api.create()["id"]
        edit = f"/instances/{number}/edit"
        fields = fields_of(ann.get(edit).text) | {"act": act}
        store_server.asked.clear()
        for url in ("https://evil.test", f"{api.store}/shop"):
            for given in ({}, {"api_secret": "cs_test"}, {"api_key": "ck_test"}):
                page = ann.post(edit, fields | {"store_url": url} | given)
                assert page.status_code == 422 and "another address than before" in page.text
        assert store_server.asked == []

    def test_legacy_urls_become_the_list(self, api: Api, ann: HttpVisitor) -> None:
        """An instance with the legacy key shows its resources in the list."""
        number = api.create(**{"event.poller.urls": "orders|products"})["id"]
        fields = fields_of(ann.get(f"/instances/{number}/edit").text)
        assert fields["resources-0-name"] == "orders"
        assert "resources-2-selected" not in fields

    def test_reauthenticating_asks_the_store(
        self, api: Api, ann: HttpVisitor, store_server: StubStore
    ) -> None:
        """Update does not call an unchanged store; Re-Authenticate does, and shows a refusal."""
        number = api.create()["id"]
        ann.post(f"/instances/{number}/edit", fields_of(ann.get(f"/instances/{number}/edit").text))
        fields = fields_of(ann.get(f"/instances/{number}/edit").text)
        store_server.asked.clear()
        ann.post(f"/instances/{number}/edit", fields | {"name": "renamed"})
        assert store_server.asked == []
        ann.post(f"/instances/{number}/edit", fields | {"act": "reauthenticate"})
        assert store_server.asked
        store_server.refuse_keys()
        page = ann.post(f"/instances/{number}/edit", fields | {"act": "reauthenticate"})
        assert page.status_code == 422 and "The store responded with 401" in page.text

    def test_curl_is_a_patch(self, api: Api, ann: HttpVisitor) -> None:
        """The cURL of an existing instance is a PATCH, and never shows its stored secrets."""
        number = api.create(**{"event.notification.signature.key": "kept"})["id"]
        fields = fields_of(ann.get(f"/instances/{number}/edit").text)
        page = ann.post(f"/instances/{number}/edit", fields | {"act": "reveal"}).text
        command = curl_of(page)
        assert command.startswith("curl -X PATCH") and f"/instances/{number}'" in command
        assert "kept" not in command and "cs_test" not in command


def test_kept_secrets_are_tried_at_their_own_host_only(
    api: Api, ann: HttpVisitor, woo_callback: ServedCallback
) -> None:
    """A test of another host needs the secrets again; stored ones are not sent there."""
    number = api.create(**{"event.notification.signature.key": EXAMPLE_KEY})["id"]
    edit = f"/instances/{number}/edit"
    fields = fields_of(ann.get(edit).text) | {"callback_url": woo_callback.url, "act": "test"}
    assert "belongs to another host" in ann.post(edit, fields).text
    assert not woo_callback.receiver.received
    ann.post(edit, fields | {"signature_key": EXAMPLE_KEY})
    [received] = woo_callback.receiver.received
    assert received.is_signed_with(EXAMPLE_KEY)


def test_store_is_connected_later_while_others_hold_all_places(
    app: flask.Flask, ann: HttpVisitor, form: dict[str, t.Any]
) -> None:
    """Tests say so; a new instance is created, and its page says that the worker checks it."""
    with all_calls_taken(app):
        tried = ann.post(NEW, form | {"act": "try"})
        assert tried.status_code == 422 and "too many requests are waiting" in tried.text
        tested = ann.post(NEW, form | {"act": "test"})
        assert "too many requests are waiting" in tested.text
        page = ann.post(NEW, form)
    assert page.status_code == 200 and "is being connected" in page.text
    with runtime_of(app).database.read() as session:
        number = session.scalars(sa.select(Instance.id)).one()
    shown = ann.get(f"/instances/{number}").text
    assert "the store is not checked yet" in shown and "flask woo poll" in shown
