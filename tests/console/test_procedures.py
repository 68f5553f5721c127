"""The documented procedures in a browser, with a real application, worker and store."""

from __future__ import annotations

import collections.abc as cabc
import re
import typing as t

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.console.browser import Watched
from tests.console.http_visitor import csrf_token
from tests.console.live_site import KEY, SECRET, SIGNATURE_KEY, LiveSite
from tests.waiting import HANG_SECONDS, wait_until

pytestmark = pytest.mark.browser

#: With and without a script: a procedure has the same steps.
WINDOWS: dict[str, dict[str, t.Any]] = {
    "script": {},
    "no-script": {"java_script_enabled": False},
    "phone": {"viewport": {"width": 390, "height": 780}, "is_mobile": True, "has_touch": True},
}


@pytest.fixture(params=WINDOWS)
def window(
    request: pytest.FixtureRequest, chromium: Browser, site: LiveSite
) -> cabc.Iterator[Watched]:
    """Return a signed-in window of each kind."""
    yield from _window(chromium, site, WINDOWS[request.param])


@pytest.fixture(params=("script", "no-script"))
def either(
    request: pytest.FixtureRequest, chromium: Browser, site: LiveSite
) -> cabc.Iterator[Watched]:
    """Return a signed-in window with JavaScript, and one without."""
    yield from _window(chromium, site, WINDOWS[request.param])


@pytest.fixture
def desk(chromium: Browser, site: LiveSite) -> cabc.Iterator[Watched]:
    """Return a signed-in window with JavaScript."""
    yield from _window(chromium, site, {})


def _window(chromium: Browser, site: LiveSite, options: dict[str, t.Any]) -> cabc.Iterator[Watched]:
    watched = Watched(chromium, f"127.0.0.1:{site.port}", **options)
    # Without a page, which takes longer. The context has the cookies of these requests.
    sign_in = f"{site.console}/sign-in"
    form: dict[str, str | float | bool] = {
        "woo_csrf_token": csrf_token(watched.context.request.get(sign_in).text()),
        "user_secret": site.user_secret,
        "organization_secret": site.organization_secret,
    }
    assert watched.context.request.post(sign_in, form=form, max_redirects=0).status == 302
    watched.page.goto(f"{site.console}/instances/new")
    yield watched
    watched.close()


def _basics(page: Page, site: LiveSite) -> None:
    """Fill in step 1: the basic information."""
    page.get_by_label("Name", exact=False).first.fill("Teapots")
    page.get_by_label("Store URL").fill(site.store_url)
    page.get_by_label("Consumer Key").fill(KEY)
    page.get_by_label("Consumer Secret").fill(SECRET)


def _signature(page: Page) -> None:
    """Fill in step 2: hash verification."""
    page.get_by_text("Show Optional Fields").click()
    page.get_by_label("Callback Notification Signature Key").fill(SIGNATURE_KEY)


def _arrives(page: Page, site: LiveSite, event: tuple[str, str, str]) -> None:
    """Check that the event is delivered, signed and listed."""
    assert site.receiver.wait_for(1, HANG_SECONDS)
    assert site.receiver.events == [event]
    assert site.receiver.received[0].is_signed_with(SIGNATURE_KEY)
    row = page.get_by_role("row").filter(has_text=event[2])

    def listed() -> bool:
        page.goto(f"{site.console}/events?status=delivered")
        return row.count() > 0

    # The callback receives the event a moment before the log shows it as delivered.
    wait_until(listed)
    expect(row.get_by_text(f"{event[0]} {event[1]}")).to_be_visible()
    expect(row.get_by_text("Delivered")).to_be_visible()


def _until_polled(page: Page, site: LiveSite) -> None:
    """Watch the progress until the worker is done."""
    page.goto(f"{site.console}/instances/1/progress")
    expect(page.get_by_text("Done", exact=True)).to_be_visible()


@pytest.mark.parity(91)
def test_polling_through_the_ui(window: Watched, site: LiveSite) -> None:
    """Authenticate a store with polling, change an order, and see its event arrive."""
    page = window.page
    _basics(page, site)
    _signature(page)
    page.get_by_label("Events Enabled").check()
    page.get_by_label("Event Type").select_option("polling")
    page.get_by_label("Event Notification Callback URL").fill(site.callback_url)
    page.get_by_role("spinbutton", name="Event poller refresh interval (mins)").fill("1")
    page.locator(".pick", has_text="customers").click()
    page.get_by_label("Element Instance Tags").fill("Docs")
    page.locator(".finish").get_by_role("button", name="Create Instance").click()
    expect(page.get_by_role("heading", name="Teapots is connected")).to_be_visible()
    window.check()
    assert re.fullmatch(r"[\w-]{43}", page.locator("#instance-token").inner_text())
    with site.worker():
        _until_polled(page, site)
        order = min(site.store.truth("orders"))
        site.store.acts.order_meta(order)
        page.goto(f"{site.console}/instances/1")
        page.get_by_role("button", name="Poll now").click()
        expect(page.get_by_text("Done", exact=True)).to_be_visible()
        _arrives(page, site, ("orders", str(order), "UPDATED"))
    page.goto(f"{site.console}/instances/1")
    resources = page.get_by_role("region", name="Resources")
    expect(resources.get_by_role("link", name="orders", exact=True)).to_be_visible()
    expect(resources.get_by_role("link", name="customers", exact=True)).to_have_count(0)
    window.check()


def test_webhooks_through_the_ui(either: Watched, site: LiveSite) -> None:
    """Authenticate a store with webhooks, change an order, and see its event arrive."""
    page = either.page
    _basics(page, site)
    _signature(page)
    page.get_by_label("Events Enabled").check()
    page.get_by_label("Event Type").select_option("webhook")
    expect(page.get_by_role("spinbutton", name="Event poller refresh interval")).to_be_hidden()
    page.get_by_label("Event Notification Callback URL").fill(site.callback_url)
    page.get_by_label("Element Instance Tags").fill("Docs")
    page.locator(".finish").get_by_role("button", name="Create Instance").click()
    expect(page.get_by_role("heading", name="Teapots is connected")).to_be_visible()
    with site.worker():
        _until_polled(page, site)
        order = min(site.store.truth("orders"))
        site.store.acts.order_meta(order)
        site.store.webhooks.run_queue()
        _arrives(page, site, ("orders", str(order), "UPDATED"))
        expect(page.get_by_role("row").filter(has_text="webhook")).to_have_count(1)
    page.goto(f"{site.console}/instances/1")
    hooks = page.get_by_role("region", name="Webhooks at the store")
    expect(hooks.get_by_text("order.updated", exact=True)).to_be_visible()
    expect(hooks.get_by_text("Missing")).to_have_count(0)
    either.check()


@pytest.mark.parity(92)
def test_json_through_the_ui(either: Watched, site: LiveSite) -> None:
    """Edit the polling configuration as JSON; a mistake is shown at its line."""
    page = either.page
    _basics(page, site)
    page.get_by_role("button", name="Toggle Edit Raw JSON").click()
    text = page.get_by_label("Event Poller Resources Configuration")
    text.fill('{\n  "contacts": {\n    "url": "/hubs/ecommerce/people"\n  }\n}')
    page.locator(".finish").get_by_role("button", name="Create Instance").click()
    expect(page.locator("#json-problem")).to_contain_text("Line 3")
    expect(page.locator("#json-problem")).to_contain_text("the hub has no resource")
    either.check()
    text.fill('{\n  "contacts": {\n    "url": "/hubs/ecommerce/customers"\n  }\n}')
    page.get_by_role("button", name="Show the list").click()
    expect(page.locator(".pick", has_text="contacts")).to_be_visible()
    page.locator(".finish").get_by_role("button", name="Create Instance").click()
    expect(page.get_by_role("heading", name="Teapots is connected")).to_be_visible()


@pytest.mark.parity(91, 93)
def test_pencil_through_the_ui(desk: Watched, site: LiveSite) -> None:
    """The pencil's side sheet changes the resource and the cURL; Cancel leaves both alone."""
    page = desk.page
    _basics(page, site)
    page.get_by_title("Configure orders").click()
    sheet = page.get_by_role("dialog", name='Event Poller Configuration for "orders"')
    sheet.get_by_label("ID Field").fill("number")
    sheet.get_by_label("Updated Date Format").fill("yyyy")
    expect(sheet.locator("output").first).to_have_text(re.compile(r"^\d{4}$"))
    desk.check()
    sheet.get_by_role("button", name="Save").click()
    curl = page.locator("#curl")
    expect(curl).to_contain_text('"idField": "number"')
    page.get_by_title("Configure orders").click()
    sheet.get_by_label("ID Field").fill("else")
    sheet.get_by_label("Advanced Filtering").uncheck()
    expect(sheet.get_by_label("Updated Date Field")).to_be_hidden()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(curl).to_contain_text('"idField": "number"')
    expect(curl).not_to_contain_text("else")


@pytest.mark.parity(90)
def test_curl_follows_the_form(desk: Watched, site: LiveSite) -> None:
    """The cURL follows every keystroke, and shows secrets only on request."""
    page, curl = desk.page, desk.page.locator("#curl")
    _basics(page, site)
    expect(curl).to_contain_text('"name": "Teapots"')
    expect(curl).not_to_contain_text(SECRET)
    page.get_by_role("button", name="Show secrets").click()
    expect(curl).to_contain_text(SECRET)
    page.get_by_role("button", name="Hide secrets").click()
    expect(curl).not_to_contain_text(SECRET)
    page.get_by_role("slider").fill("120")
    expect(page.get_by_role("spinbutton", name="refresh interval")).to_have_value("120")
    expect(curl).to_contain_text('"event.poller.refresh_interval": "120"')
    assert page.url.endswith("/instances/new"), "the page was not reloaded"


def test_keyboard_alone_is_enough(desk: Watched, site: LiveSite) -> None:
    """Connect a store, and open and leave the side sheet, without a mouse."""
    page = desk.page
    page.reload()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    typed = {"name": "Teapots", "store_url": site.store_url, "api_key": KEY, "api_secret": SECRET}
    for name, text in typed.items():
        _tab_to(page, f"#{name}")
        page.keyboard.type(text)
    _tab_to(page, "#enabled")
    page.keyboard.press("Space")
    _tab_to(page, "#vendor_type")
    _tab_to(page, "#resources-0-selected")
    page.keyboard.press("Space")
    _tab_to(page, "[title='Configure customers']")
    page.keyboard.press("Enter")
    sheet = page.locator("dialog:modal")
    expect(sheet).to_be_visible()
    _tab_to(page, "#resources-0-id_field")
    page.keyboard.press("Escape")
    expect(page.get_by_title("Configure customers")).to_be_focused()
    _tab_to(page, ".finish .btn-primary")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Teapots is connected")).to_be_visible()


def _tab_to(page: Page, selector: str) -> None:
    """Press Tab until an element has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached by Tab")


def test_reloading_connects_once(either: Watched, site: LiveSite) -> None:
    """Reloading the page with the token does not connect the store again."""
    page = either.page
    _basics(page, site)
    page.locator(".finish").get_by_role("button", name="Create Instance").click()
    expect(page.get_by_role("heading", name="Teapots is connected")).to_be_visible()
    page.reload()
    assert page.url == f"{site.console}/instances/1"
    page.goto(f"{site.console}/instances")
    expect(page.get_by_role("link", name="Teapots")).to_have_count(1)


def test_a_second_click_connects_once(desk: Watched, site: LiveSite) -> None:
    """A second click while the store is asked does not connect it again."""
    page = desk.page
    _basics(page, site)
    page.locator(".finish").get_by_role("button", name="Create Instance").dblclick()
    expect(page.get_by_role("heading", name="Teapots is connected")).to_be_visible()
    page.goto(f"{site.console}/instances")
    expect(page.get_by_role("link", name="Teapots")).to_have_count(1)


def test_log_is_live(desk: Watched, site: LiveSite) -> None:
    """The live log shows a new event without a reload."""
    page = desk.page
    _basics(page, site)
    page.get_by_label("Events Enabled").check()
    page.locator(".finish").get_by_role("button", name="Create Instance").click()
    expect(page.get_by_role("heading", name="Teapots is connected")).to_be_visible()
    with site.worker():
        _until_polled(page, site)
        page.goto(f"{site.console}/events")
        page.get_by_role("link", name="Live", exact=True).click()
        expect(page.get_by_text("No matching events")).to_be_visible()
        site.store.acts.new_product("A new teapot")
        site.command("poll", "--once")
        expect(page.locator(".kind-created")).to_be_visible()
        desk.check()


def test_missing_worker_is_shown(desk: Watched, site: LiveSite) -> None:
    """If no worker runs, the progress names the command."""
    page = desk.page
    _basics(page, site)
    page.get_by_label("Events Enabled").check()
    page.locator(".finish").get_by_role("button", name="Create Instance").click()
    page.get_by_role("link", name="Watch its progress").click()
    expect(page.get_by_text("Waiting for a worker")).to_be_visible()
    expect(page.get_by_text("flask woo poll")).to_have_count(0)
    site.wait_for_nobody(20)
    expect(page.get_by_text("flask woo poll")).to_be_visible()
    desk.check()


@pytest.mark.parity(97)
def test_update_and_reauthenticate(either: Watched, site: LiveSite) -> None:
    """Rename an instance, then authenticate it again with a wrong and a valid key."""
    page = either.page
    _basics(page, site)
    page.locator(".finish").get_by_role("button", name="Create Instance").click()
    page.goto(f"{site.console}/instances/1/edit")
    page.get_by_label("Name", exact=False).first.fill("Renamed")
    page.locator(".finish").get_by_role("button", name="Update").click()
    expect(page.get_by_text("Renamed was updated.")).to_be_visible()
    page.goto(f"{site.console}/instances/1/edit")
    page.get_by_label("Consumer Secret").fill("cs_wrong")
    page.get_by_role("button", name="Re-Authenticate").click()
    expect(page.get_by_role("alert")).to_contain_text("The store responded with 401")
    either.check()
    page.get_by_label("Consumer Secret").fill(SECRET)
    page.get_by_role("button", name="Re-Authenticate").click()
    expect(page.get_by_text("Renamed was authenticated again.")).to_be_visible()


def test_pause_resume_and_delete(either: Watched, site: LiveSite) -> None:
    """An instance is paused, resumed, and deleted by typing its name."""
    page = either.page
    _basics(page, site)
    page.get_by_label("Events Enabled").check()
    page.locator(".finish").get_by_role("button", name="Create Instance").click()
    page.get_by_role("link", name="Go to the instance").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Polling is paused")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Polling is paused")).to_have_count(0)
    page.get_by_role("link", name="Delete").click()
    page.get_by_label("to confirm").fill("Teapots")
    page.get_by_role("button", name="Delete instance").click()
    expect(page.get_by_text("Teapots was deleted.")).to_be_visible()
    either.check()


def test_failed_callback_is_redelivered(either: Watched, site: LiveSite) -> None:
    """A failed delivery is shown on the event's page, and sent again by a button."""
    page = either.page
    site.receiver.answer = lambda received: 503
    _basics(page, site)
    _signature(page)
    page.get_by_label("Events Enabled").check()
    page.get_by_label("Event Notification Callback URL").fill(site.callback_url)
    page.get_by_role("button", name="Send a test notification").click()
    expect(page.get_by_text("The callback did not accept the test notification.")).to_be_visible()
    site.receiver.clear()
    page.locator(".finish").get_by_role("button", name="Create Instance").click()
    with site.worker():
        _until_polled(page, site)
        product = site.store.acts.new_product("A new teapot")
        page.goto(f"{site.console}/instances/1")
        page.get_by_role("button", name="Poll now").click()
        expect(page.get_by_text("Done", exact=True)).to_be_visible()
        assert site.receiver.wait_for(1, HANG_SECONDS)
        page.goto(f"{site.console}/events")
        page.get_by_role("row").nth(1).get_by_role("link", name="1", exact=True).click()
        expect(page.get_by_text("503 Service Unavailable").first).to_be_visible()
        site.receiver.answer = lambda received: 200
        site.receiver.clear()
        page.goto(f"{site.console}/deliveries?status=retry")
        page.get_by_role("button", name="Redeliver all").click()
        _arrives(page, site, ("products", str(product), "CREATED"))
