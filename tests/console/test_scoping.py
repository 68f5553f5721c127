"""The console never shows one organization the data of another."""

from __future__ import annotations

import flask

from flask_woo_events.db.states import DeliveryStatus
from tests.console.http_visitor import HttpVisitor, rows, tell
from tests.integration.host_app import Api

#: Bodies of forms that do something when they are one's own.
FORMS: tuple[dict[str, str], ...] = (
    {},
    {"act": "reauthenticate", "name": "x", "store_url": "http://x.test"},
    {"typed": "shop"},
    {"act": "test", "callback_url": "http://127.0.0.1:9/"},
    {"callback_url": "http://127.0.0.1:9/", "act": "key"},
    {"callback_url": "http://127.0.0.1:9/"},
)


def _paths(app: flask.Flask, instance_id: int, event_id: int) -> list[tuple[str, str]]:
    """Return every method and path of the console that names an instance or an event."""
    found = []
    for rule in app.url_map.iter_rules():
        if not rule.endpoint.startswith("woo_console."):
            continue
        if not rule.arguments & {"instance_id", "event_id", "subscription_id"}:
            continue
        path = rule.rule.replace(f"<int(max={2**63 - 1}):instance_id>", str(instance_id))
        path = path.replace(f"<int(max={2**63 - 1}):event_id>", str(event_id))
        path = path.replace(f"<int(max={2**63 - 1}):subscription_id>", "1")
        path = path.replace("<resource>", "orders").replace("<path:object_id>", "7")
        assert "<" not in path, f"{rule.rule} has a parameter that this test does not know"
        found += [(method, path) for method in (rule.methods or set()) & {"GET", "POST"}]
    return sorted(found)


def test_other_organizations_things_do_not_exist(
    app: flask.Flask, api: Api, ann: HttpVisitor, bob: HttpVisitor
) -> None:
    """Pages of another organization's instances and events are not found and change nothing."""
    created = api.create()
    [event_id] = tell(app, created["id"], {"id": 7, "status": "secret"})
    before = rows(app)
    paths = _paths(app, created["id"], event_id)
    assert len(paths) >= 24
    for method, path in paths:
        for form in FORMS:
            data = {"woo_csrf_token": bob.token(), **form}
            if method == "GET":
                answer = bob.client.get(path)
            else:
                answer = bob.client.post(path, data=data)
            expected = (400, 404) if path.endswith(f"/events/{event_id}/replay") else (404,)
            assert answer.status_code in expected, (method, path, answer.text)
            assert "secret" not in answer.text
    assert rows(app) == before


def test_paths_need_a_session(app: flask.Flask, api: Api) -> None:
    """Without a session, none of these pages shows or changes anything."""
    created = api.create()
    [event_id] = tell(app, created["id"], {"id": 7})
    before = rows(app)
    client = app.test_client()
    for method, path in _paths(app, created["id"], event_id):
        answer = client.open(path, method=method)
        assert answer.status_code == (302 if method == "GET" else 400), (method, path)
    assert rows(app) == before


def test_lists_show_only_ones_own(app: flask.Flask, api: Api, bob: HttpVisitor) -> None:
    """No list, filter, file or number includes data of another organization."""
    created = api.create(name="secret shop", tags=["secret tag"])
    number = created["id"]
    tell(app, number, {"id": 7, "x": "secret"}, status=DeliveryStatus.QUEUED)
    for path in (
        "/",
        "/instances",
        "/instances?search=secret",
        "/instances?tag=secret+tag",
        "/instances/new",
        "/events",
        f"/events?instance={number}",
        "/events?notification=1",
        f"/events?instance={number}&object=7",
        "/events?text=secret",
        "/events.csv",
        f"/events.csv?instance={number}",
        "/deliveries",
        "/deliveries?subscription=1",
        "/deliveries/replay",
    ):
        page = bob.get(path)
        assert page.status_code == 200, path
        shown = page.text.replace("?search=secret", "").replace('value="secret"', "")
        assert "secret shop" not in shown and "mycoolapp" not in shown, path
        assert ">7<" not in shown and ",7," not in shown, path


def test_redelivery_is_scoped(
    app: flask.Flask, api: Api, bob: HttpVisitor, ann: HttpVisitor
) -> None:
    """A user cannot redeliver or replay another organization's notifications."""
    number = api.create()["id"]
    tell(app, number, {"id": 7}, status=DeliveryStatus.QUEUED)
    before = rows(app)
    for form in (
        {"what": "all"},
        {"what": "subscription", "id": "1"},
        {"what": "selected", "delivery": "1-1"},
    ):
        assert bob.post("/deliveries/redeliver", form).status_code == 302
    window = {"instance": str(number), "since": "2020-01-01T00:00", "act": "send"}
    assert "No matching events" in bob.post("/deliveries/replay", window).text
    assert rows(app) == before
    ann.post("/deliveries/redeliver", {"what": "all"})
    assert rows(app) != before
