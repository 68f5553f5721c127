"""Connecting a store through WooCommerce's approval, without copying keys."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import dataclasses
import datetime as dt
import json
import pathlib
import re
import shutil
import typing as t
import urllib.parse

import flask
import pytest
import sqlalchemy as sa

from flask_woo_events.db.clock import utc_now
from flask_woo_events.db.models import Configuration, Connection, Instance, Organization, User
from flask_woo_events.errors import ConfigurationError
from flask_woo_events.instances import access as profiles
from flask_woo_events.instances import configuration, lifecycle, wc_auth
from flask_woo_events.instances.accounts import Caller
from flask_woo_events.runtime import Runtime
from flask_woo_events.simulation.store import SimulatedStore
from flask_woo_events.values.crypto import hash_token
from flask_woo_events.worker.worker import Worker
from tests.integration.host_app import (
    PREFIX,
    add_account,
    all_calls_taken,
    dispose,
    make_app,
    runtime_of,
)

BASE = f"https://events.test{PREFIX}"
PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "companion.md"


class Desk:
    """An application to connect stores to, and one store."""

    def __init__(self, app: flask.Flask, store: SimulatedStore, url: str) -> None:
        self.app = app
        self.store = store
        self.url = url
        self.client = app.test_client()

    @property
    def runtime(self) -> Runtime:
        return runtime_of(self.app)

    def caller(self, name: str = "ann") -> Caller:
        with self.runtime.database.read() as session:
            row = session.scalars(sa.select(User).where(User.name == name)).one()
            return Caller(organization_id=row.organization_id, user_id=row.id)

    def invite(self, *options: str) -> str:
        """Print an invitation with the command line; return its token."""
        command = ["woo", "instances", "invite", "--organization", "acme", "--user", "ann"]
        result = self.app.test_cli_runner().invoke(args=[*command, *options])
        assert result.exit_code == 0, result.output
        head, _mark, token = str(result.output).strip().partition("?invitation=")
        assert head == f"{BASE}/connect"
        return token

    def open(self, invitation: str, **args: str) -> t.Any:
        query = {"invitation": invitation, **args}
        return self.client.get(f"{PREFIX}/connect", query_string=query)

    def state(self, invitation: str, **args: str) -> str:
        """Press the plugin's button; return the state that the store's page received."""
        answer = self.open(invitation, store_url=self.url, **args)
        assert answer.status_code == 303, answer.text
        query = urllib.parse.urlsplit(str(answer.location)).query
        return urllib.parse.parse_qs(query)["user_id"][0]

    def send(self, state: str, key: str = "ck_test", secret: str = "cs_test") -> int:
        """Send keys as a store does after the approval; return the response's status."""
        body = {
            "key_id": 1,
            "user_id": state,
            "consumer_key": key,
            "consumer_secret": secret,
            "key_permissions": "read_write",
        }
        answer = self.client.post(f"{PREFIX}/connect/callback", json=body)
        return answer.status_code

    def returned(self, state: str, success: str = "1") -> t.Any:
        query = {"user_id": state, "success": success}
        return self.client.get(f"{PREFIX}/connect/return", query_string=query)

    def instances(self) -> list[Instance]:
        with self.runtime.database.read() as session:
            return list(session.scalars(sa.select(Instance).order_by(Instance.id)))


@pytest.fixture
def desk(tmp_path: pathlib.Path, tables: pathlib.Path) -> cabc.Iterator[Desk]:
    shutil.copy(tables, tmp_path / "host.sqlite3")
    store = SimulatedStore("11.0", consumer_key="ck_test", consumer_secret="cs_test")
    store.populate(orders=2, products=2, coupons=1, customers=1)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(store.serve())
        app = make_app(tmp_path, WOO_EVENTS_PUBLIC_URL=BASE)
        stack.callback(dispose, app)
        add_account(app, "ann", "acme")
        yield Desk(app, store, url)


def test_a_store_is_connected(desk: Desk) -> None:
    """The store sends its keys, they are tested, and the instance belongs to the inviting user."""
    back = f"{desk.url}/wp-admin/admin.php?page=wc-settings"
    state = desk.state(desk.invite(), return_url=back)
    assert desk.send(state) == 200
    [instance] = desk.instances()
    assert instance.user_id == desk.caller().user_id
    with desk.runtime.database.read() as session:
        access = profiles.load_access(session, desk.runtime.cipher, instance.id)
    assert (access.url, access.consumer_key, access.consumer_secret) == (
        desk.url,
        "ck_test",
        "cs_test",
    )
    page = desk.returned(state)
    assert (page.status_code, "is connected" in page.text) == (200, True)
    assert "flask_woo_events=connected" in page.text


def test_the_token_of_a_connected_store_is_kept(desk: Desk) -> None:
    """With the setting, the token that no answer contains is stored, too."""
    desk.runtime.settings = dataclasses.replace(desk.runtime.settings, keep_tokens=True)
    assert desk.send(desk.state(desk.invite())) == 200
    [instance] = desk.instances()
    with desk.runtime.database.read() as session:
        kept = configuration.tokens(session, desk.runtime.cipher, [instance.id])
    assert hash_token(kept[instance.id]) == instance.token_hash


def test_a_store_is_connected_while_no_call_is_possible(desk: Desk) -> None:
    """The store keeps its keys after a 200, so the worker checks them; the page says so."""
    state = desk.state(desk.invite())
    with all_calls_taken(desk.app):
        assert desk.send(state) == 200
    assert "checked again before its first poll" in desk.returned(state).text
    [instance] = desk.instances()
    assert instance.connecting is not None
    Worker(desk.runtime).poll_once([instance.id])
    assert desk.instances()[0].connecting is None
    assert "checked again" not in desk.returned(state).text


@pytest.mark.parametrize(
    ("page", "shown"),
    [("https://events.test/woo/instances", True), ("https://events.test.evil/woo", False)],
)
def test_back_to_the_application(desk: Desk, page: str, shown: bool) -> None:
    """The approval leads back to the application's page where it began, and to no other site."""
    with desk.runtime.database.write() as session:
        target = wc_auth.begin(
            session,
            desk.runtime.cipher,
            desk.caller(),
            store_url=desk.url,
            request={},
            base=BASE,
            now=utc_now(),
            page=page,
        )
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)["user_id"][0]
    assert desk.send(state) == 200
    assert (f'href="{page}"' in desk.returned(state).text) is shown
    assert ("Back to the application" in desk.returned(state).text) is shown


def test_what_the_store_is_asked(desk: Desk) -> None:
    """The store receives the URL for its keys, and a state that cannot be guessed."""
    answer = desk.open(desk.invite(), store_url=desk.url)
    target = urllib.parse.urlsplit(answer.location)
    asked = {name: value[0] for name, value in urllib.parse.parse_qs(target.query).items()}
    assert f"{target.scheme}://{target.netloc}{target.path}" == f"{desk.url}/wc-auth/v1/authorize"
    assert len(asked.pop("user_id")) >= 43
    assert asked == {
        "app_name": "Flask Woo Events",
        "scope": "read_write",
        "return_url": f"{BASE}/connect/return",
        "callback_url": f"{BASE}/connect/callback",
    }
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_nothing_secret_goes_through_the_browser(desk: Desk) -> None:
    """Pages and the database contain neither keys nor the state."""
    secret = "cs_test"
    link = desk.invite()
    answer = desk.open(link, store_url=desk.url)
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(answer.location).query)["user_id"][0]
    desk.send(state)
    page = desk.returned(state)
    assert secret not in answer.location + answer.text + page.text
    with desk.runtime.database.read() as session:
        row = session.scalars(sa.select(Connection)).one()
        kept = json.dumps([row.state_hash, row.request, row.store_url, row.error])
    assert state not in kept
    assert secret not in kept


def test_a_state_is_good_once(desk: Desk) -> None:
    """Keys that arrive twice, too late, or with another state are refused."""
    state = desk.state(desk.invite())
    assert desk.send("another") == 404
    assert desk.send(state) == 200
    assert desk.send(state) == 404
    late = desk.state(desk.invite())
    desk.runtime.clock = lambda: utc_now() + dt.timedelta(hours=1, seconds=1)
    assert desk.send(late) == 404
    assert len(desk.instances()) == 1


def test_wrong_keys_connect_nothing(desk: Desk) -> None:
    """Keys that the store refuses create no instance, and the page shows the reason."""
    state = desk.state(desk.invite())
    assert desk.send(state, secret="cs_wrong") == 400
    assert desk.instances() == []
    assert "could not be connected" in desk.returned(state).text
    assert desk.send(state) == 404


def _refuse(desk: Desk, event: str) -> None:
    """Let the database refuse an event, such as the insertion of a row."""
    with desk.runtime.database.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TRIGGER refuse_{event.split()[-1]} BEFORE {event} "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )


def test_an_approval_whose_database_failed(desk: Desk) -> None:
    """The page says so, without the database's words, and the store removes its keys."""
    state = desk.state(desk.invite())
    _refuse(desk, "INSERT ON woo_instance")
    desk.app.testing = False
    assert desk.send(state) == 500
    page = desk.returned(state).text
    assert "could not be connected" in page
    assert "woo_instance" not in page


def test_an_approval_whose_failure_could_not_be_stored(desk: Desk) -> None:
    """Nothing is connected, and the page says so a few minutes later."""
    state = desk.state(desk.invite())
    _refuse(desk, "UPDATE OF error, instance_id ON woo_connection")
    desk.app.testing = False
    assert desk.send(state) == 500
    assert "has not sent its keys yet" in desk.returned(state).text
    desk.runtime.clock = lambda: utc_now() + wc_auth.ENDED_AFTER
    assert "could not be connected" in desk.returned(state).text
    assert desk.instances() == []


def test_an_approval_that_was_never_given(desk: Desk) -> None:
    """When its time is over, the page no longer waits for keys."""
    state = desk.state(desk.invite())
    desk.runtime.clock = lambda: utc_now() + wc_auth.VALID + wc_auth.ENDED_AFTER
    assert "could not be connected" in desk.returned(state).text


def test_connecting_again_gives_new_keys(desk: Desk) -> None:
    """A store that is connected already keeps its instance."""
    desk.store.add_key("ck_new", "cs_new")
    assert desk.send(desk.state(desk.invite())) == 200
    assert desk.send(desk.state(desk.invite()), "ck_new", "cs_new") == 200
    [instance] = desk.instances()
    with desk.runtime.database.read() as session:
        access = profiles.load_access(session, desk.runtime.cipher, instance.id)
    assert access.consumer_key == "ck_new"


def test_another_organization_is_not_touched(desk: Desk) -> None:
    """The same store is a separate instance in another organization."""
    assert desk.send(desk.state(desk.invite())) == 200
    add_account(desk.app, "eve", "rivals")
    token = wc_auth.invite(desk.runtime, desk.caller("eve")).partition("invitation=")[2]
    assert desk.send(desk.state(token)) == 200
    assert len({one.organization_id for one in desk.instances()}) == 2


def test_what_the_invitation_wants(desk: Desk, tmp_path: pathlib.Path) -> None:
    """An invitation may contain the instance's configuration, which the link does not reveal."""
    wanted = {
        "name": "Their shop",
        "tags": ["a"],
        "configuration": {
            "event.notification.callback.url": "https://app.test/events",
            "event.notification.signature.key": "a-signature-key",
        },
    }
    file = tmp_path / "request.json"
    file.write_text(json.dumps(wanted))
    token = desk.invite("--request", str(file))
    assert "a-signature-key" not in token
    assert desk.send(desk.state(token)) == 200
    [instance] = desk.instances()
    assert (instance.name, instance.tags) == ("Their shop", ["a"])


def test_an_invitation_for_one_store(desk: Desk) -> None:
    """An invitation for one store connects no other, and needs no address."""
    token = desk.invite("--store", desk.url)
    assert desk.open(token).status_code == 303
    answer = desk.open(token, store_url="https://another.test")
    assert (answer.status_code, "is for" in answer.text) == (400, True)


def test_invitations_that_do_not_work(desk: Desk) -> None:
    """Forged and expired invitations, and those of a removed user, show an error page."""
    good = desk.invite("--days", "1")
    for token in ("", "x", good[:-2] + "xx"):
        assert desk.open(token, store_url=desk.url).status_code == 404
    before = desk.runtime.clock
    desk.runtime.clock = lambda: utc_now() + dt.timedelta(days=1, seconds=1)
    assert desk.open(good, store_url=desk.url).status_code == 404
    desk.runtime.clock = before
    assert desk.open(good, store_url=desk.url).status_code == 303
    with desk.runtime.database.write() as session:
        session.execute(sa.delete(Connection))
        session.execute(sa.delete(User))
    assert desk.open(good, store_url=desk.url).status_code == 404


def test_invitation_of_a_removed_user(desk: Desk) -> None:
    """Another user does not get the store of an invitation, even with the id of its sender."""
    sent = desk.invite()
    with desk.runtime.database.write() as session:
        user = session.scalars(sa.select(User).where(User.name == "ann")).one()
        again = {"organization_id": user.organization_id, "created_at": user.created_at}
        session.delete(user)
        session.flush()
        session.add(User(id=user.id, name="ann", secret_hash="another", **again))
    assert desk.open(sent, store_url=desk.url).status_code == 404
    assert desk.open(desk.invite(), store_url=desk.url).status_code == 303


def test_lost_encryption_key(desk: Desk) -> None:
    """Keys for an approval that cannot be read connect nothing; the pages say what to do."""
    state = desk.state(desk.invite())
    with desk.runtime.database.write() as session:
        session.scalars(sa.select(Connection)).one().request = "damaged"
    assert desk.send(state) == 404 and desk.instances() == []
    assert desk.returned(state).status_code == 200
    with desk.runtime.database.write() as session:
        expired = session.scalars(sa.select(Connection)).one().expires_at - wc_auth.ENDED_AFTER * 99
        session.scalars(sa.select(Connection)).one().expires_at = expired
    assert "Connect the store again" in desk.returned(state).text
    state = desk.state(desk.invite())
    assert desk.send(state) == 200


def test_new_keys_by_approval(desk: Desk) -> None:
    """An instance whose secrets cannot be decrypted is repaired by another approval."""
    assert desk.send(desk.state(desk.invite())) == 200
    with desk.runtime.database.write() as session:
        for row in session.scalars(sa.select(Configuration).where(Configuration.sealed)):
            row.value = "damaged"
    assert desk.send(desk.state(desk.invite())) == 200
    [instance] = desk.instances()
    with desk.runtime.database.read() as session:
        access = profiles.load_access(session, desk.runtime.cipher, instance.id)
    assert (access.consumer_key, access.consumer_secret) == ("ck_test", "cs_test")


def test_without_the_plugin_the_page_asks_for_the_store(desk: Desk) -> None:
    """A page asks for the store's address, and escapes it."""
    token = desk.invite()
    page = desk.open(token)
    assert (page.status_code, "Address of the store" in page.text) == (200, True)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    wrong = desk.open(token, store_url="ftp://<script>")
    assert (wrong.status_code, "<script>" in wrong.text) == (400, False)


def test_the_browser_goes_back_to_the_store_only(desk: Desk) -> None:
    """The page does not link to another site."""
    for back in ("https://evil.test/", f"{desk.url}.evil.test/", "javascript:alert(1)"):
        state = desk.state(desk.invite(), return_url=back)
        assert desk.send(state) == 200
        assert "evil" not in desk.returned(state).text
        assert "javascript" not in desk.returned(state).text


def test_pages_while_nothing_came_of_it(desk: Desk) -> None:
    """Denied, pending and unknown approvals have different pages."""
    state = desk.state(desk.invite())
    assert "did not approve" in desk.returned(state, success="0").text
    assert "has not sent its keys yet" in desk.returned(state).text
    assert desk.returned("unknown").status_code == 404


def test_stores_send_keys_to_https_only(desk: Desk) -> None:
    """A callback address that WooCommerce would refuse is refused, naming the setting."""
    with pytest.raises(ConfigurationError, match="WOO_EVENTS_PUBLIC_URL"):
        wc_auth.public_base("http://events.test")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"user_id": 1}', b"x" * 20_000])
def test_rubbish_is_refused(desk: Desk, body: bytes) -> None:
    """A body that no store sends is refused before any query."""
    answer = desk.client.post(
        f"{PREFIX}/connect/callback", data=body, content_type="application/json"
    )
    assert answer.status_code in (400, 413)


def test_the_page_shows_a_view_that_works(desk: Desk) -> None:
    """The example of the documentation leads to a store, which is then connected."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    [code] = [block for block in blocks if "wc_auth.begin(" in block]
    namespace: dict[str, t.Any] = {}
    add_account(desk.app, "alice", "example")
    exec(code, namespace)
    with desk.app.test_request_context():
        location = namespace["connect_store"](desk.url).location
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)["user_id"][0]
    assert desk.send(state) == 200
    [instance] = desk.instances()
    assert instance.name == "Their shop"


def test_the_console_begins_by_itself(desk: Desk) -> None:
    """A signed-in user needs no invitation."""
    with desk.runtime.database.write() as session:
        target = wc_auth.begin(
            session,
            desk.runtime.cipher,
            desk.caller(),
            store_url=desk.url,
            request={},
            base=BASE,
            now=desk.runtime.clock(),
        )
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(target).query)["user_id"][0]
    assert desk.send(state) == 200
    with desk.runtime.database.read() as session:
        home = session.scalars(sa.select(Organization)).one()
        assert lifecycle.find(session, desk.caller(), 1).organization_id == home.id
