"""Headless Chromium, and the checks that every page must pass."""

from __future__ import annotations

import collections.abc as cabc
import contextlib
import os
import pathlib
import shutil
import typing as t
import urllib.parse

import axe_playwright_python
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

from tests.waiting import HANG_SECONDS

ARGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_AXE = pathlib.Path(axe_playwright_python.__file__).with_name("axe.min.js")
_RUN = """async ([colours, rest]) => {
  // Rows of a table are alike; to look at the colours of fifty takes most of the time.
  const found = await axe.run({exclude: [["tbody tr:nth-child(n+9)"]]}, {
    runOnly: rest ? ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] : {
      type: "rule", values: ["color-contrast"]
    },
    resultTypes: ["violations"],
    rules: rest ? {"color-contrast": {enabled: colours}} : {},
  });
  return found.violations.map(one => ({
    id: one.id, impact: one.impact, nodes: one.nodes.map(node => node.html.slice(0, 200)),
  }));
}"""

_WIDE = """() => [...document.querySelectorAll("main *")]
  .filter(one => one.getBoundingClientRect().right > document.documentElement.clientWidth
                 && !one.closest(".scroll"))
  .map(one => one.outerHTML.slice(0, 120))"""


class MissingBrowser(Exception):
    """Chromium is not installed."""


def find() -> str:
    """Return the path of Chromium.

    :raises MissingBrowser: nowhere.
    """
    named = os.environ.get("WOO_TEST_BROWSER")
    programs = ("chromium-headless-shell", "chromium", "chromium-browser")
    for one in filter(None, (named, *map(shutil.which, programs))):
        if pathlib.Path(one).exists():
            return one
    raise MissingBrowser(
        "Chromium is not installed (Debian: apt-get install chromium-headless-shell)"
    )


@contextlib.contextmanager
def launched() -> cabc.Iterator[Browser]:
    """Start headless Chromium."""
    path = find()
    playwright: Playwright
    expect.set_options(timeout=HANG_SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGS))
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A browser context that records errors.

    :param host: the only host that may be asked.
    :param colours: check their contrast, too, which takes longer than all other checks.
    :param only_colours: leave the other checks out.
    """

    def __init__(
        self,
        browser: Browser,
        host: str,
        *,
        colours: bool = False,
        only_colours: bool = False,
        **options: t.Any,
    ) -> None:
        self._rules = (colours or only_colours, not only_colours)
        self.context: BrowserContext = browser.new_context(**options)
        self.context.set_default_timeout(HANG_SECONDS * 1000)
        self.page: Page = self.context.new_page()
        self._host = host
        self._scripts = options.get("java_script_enabled", True)
        self.faults: list[str] = []
        self.context.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        self.context.on("request", self._on_request)
        self.context.on("response", self._on_response)

    def _on_console(self, message: t.Any) -> None:
        # An answer with an error status, which a test may provoke, is logged, too.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.faults.append(f"console: {message.text}")

    def _on_request(self, request: t.Any) -> None:
        host = urllib.parse.urlsplit(request.url).netloc
        if host and host != self._host:
            self.faults.append(f"foreign request: {request.url}")

    def _on_response(self, response: t.Any) -> None:
        if response.status >= 500:
            self.faults.append(f"{response.status}: {response.url}")

    def close(self) -> None:
        """Close the context; fail if it recorded an error."""
        self.context.close()
        assert not self.faults, self.faults

    def check(self) -> None:
        """Check accessibility, and that nothing is wider than the window."""
        if self._scripts:
            self.page.evaluate(_AXE.read_text(encoding="utf-8"))
            found = self.page.evaluate(_RUN, self._rules)
            hard = [one for one in found if one["impact"] in ("serious", "critical")]
            assert not hard, hard
        wide = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, f"{self.page.url} is {wide} px too wide: {self.page.evaluate(_WIDE)}"
