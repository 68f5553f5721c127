"""Every page in a browser: light and dark, wide and narrow, with and without JavaScript.

With ``WOO_SCREENSHOTS=1`` the screenshots of the documentation are updated.
"""

from __future__ import annotations

import collections.abc as cabc
import os
import pathlib
import typing as t

import pytest
from playwright.sync_api import Browser, Page

from tests.console.browser import Watched
from tests.console.sample_console import SampleConsole

pytestmark = pytest.mark.browser

SCREENSHOTS = pathlib.Path(__file__).parents[2] / "docs" / "screenshots"
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 780}

#: What is wider than its place: the page itself, or what is shown in parts that can be scrolled.
_OVERFLOW = """() => [document.documentElement, ...document.querySelectorAll(".scroll")]
  .filter(one => one.clientWidth && one.scrollWidth > one.clientWidth + 1
                 && !one.closest("details:not([open])"))
  .map(one => one.outerHTML.slice(0, 200))"""

#: Values of a card on a phone that stand on their own head.
_COVERED = """() => [...document.querySelectorAll("td[data-label]")]
  .filter(one => getComputedStyle(one, "::before").position === "absolute"
                 && getComputedStyle(one, "::before").content !== "none"
                 && parseFloat(getComputedStyle(one).paddingLeft)
                    < parseFloat(getComputedStyle(one, "::before").width))
  .map(one => one.outerHTML.slice(0, 200))"""

#: Pixels of a picture; the log goes on like its beginning.
HIGHEST = 1500

#: How a page is looked at: options of the browser's context.
LOOKS: dict[str, dict[str, t.Any]] = {
    "light": {"viewport": DESKTOP, "colours": True},
    # Of the same page only the colours differ.
    "dark": {"viewport": DESKTOP, "color_scheme": "dark", "only_colours": True},
    "phone": {"viewport": PHONE, "device_scale_factor": 1, "is_mobile": True, "has_touch": True},
    "no-script": {"viewport": DESKTOP, "java_script_enabled": False},
}


@pytest.fixture(scope="module")
def sample_console(tmp_path_factory: pytest.TempPathFactory) -> cabc.Iterator[SampleConsole]:
    """Serve a console with sample data."""
    one = SampleConsole(tmp_path_factory.mktemp("sample_console"))
    one.fill()
    with one.serving():
        yield one


@pytest.fixture(params=LOOKS)
def look(
    request: pytest.FixtureRequest, chromium: Browser, sample_console: SampleConsole
) -> cabc.Iterator[tuple[str, Watched]]:
    """Return a signed-in window of each kind."""
    host = sample_console.url.removeprefix("http://")
    options = {"locale": "en-GB", "timezone_id": "UTC", **LOOKS[request.param]}
    watched = Watched(chromium, host, **options)
    sign_in(watched.page, sample_console)
    yield request.param, watched
    watched.close()


def sign_in(page: Page, sample_console: SampleConsole) -> None:
    """Sign in as ann."""
    page.goto(f"{sample_console.url}/woo/")
    page.fill("#user_secret", sample_console.account.user)
    page.fill("#organization_secret", sample_console.account.organization)
    page.locator("main button[type=submit]").click()
    page.wait_for_url("**/woo/")


def _act(name: str) -> cabc.Callable[[Page], None]:
    return lambda page: page.locator(f"button[name=act][value={name}]").first.click()


def _wrong_json(page: Page) -> None:
    _act("json")(page)
    text = page.locator("#poller_json")
    text.wait_for()
    # Before the end of the page has come, the text may lack its end, and the form its buttons.
    page.wait_for_load_state()
    text.fill(text.input_value().replace("yyyy-MM-dd'T'HH:mm:ss", "YYYY-MM-dd", 1))
    preview = page.get_by_role("button", name="Preview")
    problem = page.locator("#json-problem .field-error")
    if preview.is_visible():  # Without a script the button shows the problem.
        preview.click()
    problem.wait_for()


def _open_sheet(page: Page) -> None:
    page.locator("[title='Configure orders']").click()
    page.locator(".sheet:visible").first.wait_for()


def _missing(page: Page) -> None:
    page.locator("#name").fill("Bologna shop")
    page.locator("#store_url").fill("shop")
    page.evaluate("document.getElementById('store').noValidate = true")
    page.locator(".finish .btn-primary").click()
    page.locator(".invalid-feedback:visible").first.wait_for()


def _fill(page: Page) -> None:
    page.locator("#name").fill("Bologna shop")
    page.locator("#store_url").fill("https://bologna.example.com")
    page.locator("#callback_url").fill("https://hooks.example.com/woo/bologna")
    page.locator("label[for=enabled]").click()


def _wrong_subscription(page: Page) -> None:
    page.locator("#callback_url").fill("https://warehouse.example.com/shipping")
    page.locator("#retries summary").click()
    page.locator("label[for=schedule-own]").click()
    page.locator("#waits").fill("soon")
    page.locator(".finish .btn-primary").click()
    page.locator(".invalid-feedback:visible").first.wait_for()


def _dry_run(page: Page) -> None:
    page.locator("#instance").select_option("1")
    page.locator("#since").fill("2026-11-23T12:00")
    page.locator("#resource").fill("orders")
    page.locator("button[value=dry]").click()
    page.locator("#result").wait_for()


#: Each picture: its page, and what is done there before it is taken.
PAGES: dict[str, tuple[str, cabc.Callable[[Page], None] | None]] = {
    "overview": ("/", None),
    "instances": ("/instances", None),
    "instances-none": ("/instances?search=nothing", None),
    "authenticate": ("/instances/new", _fill),
    "authenticate-json": ("/instances/new", _wrong_json),
    "instance": ("/instances/1", None),
    "instance-webhook": ("/instances/4", None),
    "instance-failing": ("/instances/5", None),
    "progress": ("/instances/8/progress", None),
    "edit": ("/instances/1/edit", None),
    "delete": ("/instances/1/delete", None),
    "subscription": ("/instances/1/subscriptions/{subscription}/edit", None),
    "subscription-errors": ("/instances/1/subscriptions/new", _wrong_subscription),
    "subscription-remove": ("/instances/1/subscriptions/{subscription}/remove", None),
    "token": ("/instances/1/token", None),
    "events": ("/events", None),
    "events-none": ("/events?text=nowhere", None),
    "event": ("/events/{order}", None),
    "event-types": ("/events/types", None),
    "object": ("/instances/1/objects/orders/1729", None),
    "deliveries": ("/deliveries", None),
    "replay": ("/deliveries/replay", _dry_run),
    "not-found": ("/nothing", None),
}
#: Those that need a script.
SCRIPTED: dict[str, tuple[str, cabc.Callable[[Page], None] | None]] = {
    "authenticate-sheet": ("/instances/new", _open_sheet),
    "authenticate-errors": ("/instances/new", _missing),
}


def test_every_page(look: tuple[str, Watched], sample_console: SampleConsole) -> None:
    """Pages are accessible, fit the window, load nothing from elsewhere and log no errors."""
    kind, watched = look
    pages = PAGES if kind == "no-script" else PAGES | SCRIPTED
    for name, (path, act) in pages.items():
        watched.page.goto(
            f"{sample_console.url}/woo"
            + path.format(
                order=sample_console.order_event, subscription=sample_console.subscription
            )
        )
        if act is not None:
            act(watched.page)
            watched.page.wait_for_load_state("networkidle")
        watched.check()
        assert watched.page.evaluate(_COVERED) == [], name
        _picture(watched.page, name, kind)


def test_hostile_data_breaks_no_page(chromium: Browser, tmp_path: pathlib.Path) -> None:
    """Long and odd data does not make a page or a table wider than its window."""
    one = SampleConsole(tmp_path)
    one.fill()
    path = f"/instances/1/objects/orders/{one.spoil()}"
    with one.serving():
        for kind in ("light", "phone"):
            watched = Watched(chromium, one.url.removeprefix("http://"), **LOOKS[kind])
            sign_in(watched.page, one)
            for address in ("/", "/instances", "/instances/1", "/instances/1/edit", "/events",
                            "/deliveries", "/events/1", path,
                            f"/instances/1/subscriptions/{one.subscription}/edit",
                            f"/instances/1/subscriptions/{one.subscription}/remove"):  # fmt: skip
                watched.page.goto(f"{one.url}/woo{address}")
                wide = watched.page.evaluate(_OVERFLOW)
                assert not wide, (kind, address, wide)
            watched.close()


def test_sign_in_page(chromium: Browser, sample_console: SampleConsole) -> None:
    """The sign-in page passes the same checks."""
    for kind in ("light", "dark", "phone"):
        watched = Watched(chromium, sample_console.url.removeprefix("http://"), **LOOKS[kind])
        watched.page.goto(f"{sample_console.url}/woo/sign-in")
        watched.check()
        _picture(watched.page, "sign-in", kind)
        watched.close()


def test_empty_console(chromium: Browser, tmp_path: pathlib.Path) -> None:
    """Empty pages say what to do."""
    empty = SampleConsole(tmp_path)
    with empty.serving():
        watched = Watched(chromium, empty.url.removeprefix("http://"), viewport=DESKTOP)
        sign_in(watched.page, empty)
        for name, path in (
            ("welcome", "/"),
            ("events-empty", "/events"),
            ("queue-empty", "/deliveries"),
        ):
            watched.page.goto(f"{empty.url}/woo{path}")
            watched.check()
            _picture(watched.page, name, "light")
        watched.close()


#: Of these pages a part is shown.
PARTS = {"authenticate-json": "#events", "subscription-errors": "#retries"}
#: Of these pages the documentation has pictures in the dark and on a phone, too.
MORE = ("overview", "authenticate", "instance", "event", "subscription")


def _picture(page: Page, name: str, kind: str) -> None:
    """Take a screenshot for the documentation if ``WOO_SCREENSHOTS`` is set."""
    if os.environ.get("WOO_SCREENSHOTS") != "1" or kind == "no-script":
        return
    if kind != "light" and name not in MORE:
        return
    SCREENSHOTS.mkdir(exist_ok=True)
    page.mouse.move(0, 0)
    page.evaluate("scrollTo(0, 0)")
    if name in PARTS:
        page.locator(PARTS[name]).screenshot(
            path=SCREENSHOTS / f"{name}.png", animations="disabled"
        )
        return
    modal = name == "authenticate-sheet"
    suffix = "" if kind == "light" else f"-{kind}"
    width, height = page.evaluate("[innerWidth, document.documentElement.scrollHeight]")
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, HIGHEST)}
    page.screenshot(
        path=SCREENSHOTS / f"{name}{suffix}.png",
        full_page=not modal,
        animations="disabled",
        clip=None if modal else clip,  # type: ignore[arg-type]
    )
