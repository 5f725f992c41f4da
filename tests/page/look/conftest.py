"""A real Chromium for the pages of a look, and pages opened in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heedful.inside.record import Record
from heedful.page.look import page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


class Opened:
    """A page in the browser: `tab` is Playwright's, `told` everything that should not be: console messages, errors,
    dialogs, requests for anything but the file."""

    def __init__(self, tab: Any, file: Path) -> None:
        self.tab, self.told = tab, list[str]()
        tab.on("console", lambda message: self._said(message.text))
        tab.on("pageerror", lambda error: self.told.append(f"error: {error}"))
        tab.on("dialog", lambda dialog: (self.told.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        tab.on("request", lambda request: self._asked(request.url, file.as_uri()))
        tab.goto(file.as_uri())
        tab.wait_for_selector("html[data-ready]", state="attached", timeout=30_000)

    def _said(self, text: str) -> None:
        if "willReadFrequently" not in text:  # a hint for whoever reads canvases, which only tests do
            self.told.append(f"console: {text}")

    def _asked(self, url: str, own: str) -> None:
        if url.split("#")[0] != own and not url.startswith("data:"):
            self.told.append(f"request: {url}")


def settle(tab: Any) -> None:
    """Wait for panels that were out of sight when they changed: they follow after those in sight."""
    tab.evaluate("() => new Promise((done) => setTimeout(done, 20))")


@pytest.fixture(scope="package")
def chromium() -> Iterator[Any]:
    # Ended with this folder: two of these do not run side by side in a process.
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def opened(request: pytest.FixtureRequest, chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """One page, of its RECORD, for the tests of a file; each begins with nothing chosen."""
    file = tmp_path_factory.mktemp("look") / "look.html"
    file.write_text(page(request.module.RECORD), "utf-8")
    tab = chromium.new_page(viewport={"width": 1100, "height": 900})
    yield Opened(tab, file)
    tab.close()


@pytest.fixture
def tab(opened: Opened) -> Iterator[Any]:
    opened.tab.reload()
    opened.tab.wait_for_selector("html[data-ready]", state="attached")
    yield opened.tab
    assert opened.told == []


@pytest.fixture
def show(chromium: Any, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """`show(record, width=1100, height=900, dark=False)` opens its page."""
    contexts = []

    def opened(record: Record, *, width: int = 1100, height: int = 900, dark: bool = False, **options: Any) -> Opened:
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", **options
        )
        contexts.append(context)
        file = tmp_path / f"look-{len(contexts)}.html"
        file.write_text(page(record), "utf-8")
        return Opened(context.new_page(), file)

    yield opened
    for context in contexts:
        context.close()
