"""A running service and a browser that looks at it.

Playwright's loop runs on in the thread that started it, so a module that uses ``browser`` has no
asynchronous tests.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.service import Service, running

STDOUT = '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\nevents = ["*"]\n'
# What Chromium would ask of the world by itself stays unasked.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SERIOUS = ("serious", "critical")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """The service, with a team ``acme`` that has one channel for all."""
    with running(tmp_path, STDOUT) as started:
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is missing: on Debian, apt install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield started
        started.close()


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens a window, with the arguments of ``new_context``. When the test ends, none may have
    asked for anything from elsewhere, logged an error (as for what the policy forbids), or shown a
    dialog."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_(address: str, *, expect: tuple[str, ...] = (), **options: Any) -> Page:
        """``expect`` are words of errors that may be logged."""
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        origin = "/".join(address.split("/")[:3])

        def asked(url: str) -> None:
            if not url.startswith((f"{origin}/", "data:", "blob:", "about:")):
                faults.append(f"asked for {url}")

        def logged(kind: str, text: str) -> None:
            if kind == "error" and not any(word in text for word in expect):
                faults.append(text)

        page.on("request", lambda request: asked(request.url))
        page.on("console", lambda message: logged(message.type, message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))

        def told(dialog: Any) -> None:
            faults.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        page.on("dialog", told)
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not faults


def serious_faults(page: Page) -> list[str]:
    """What axe-core finds that keeps somebody from using the page, in light and in dark."""
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_timeout(50)
        for violation in Axe().run(page).response["violations"]:
            if violation["impact"] in SERIOUS:
                places = [node["html"] for node in violation["nodes"]]
                found.append(f"{scheme}: {violation['id']}: {violation['help']}: {places[:3]}")
    page.emulate_media(color_scheme="light")
    return found


def too_wide(page: Page) -> bool:
    """Whether the page scrolls sideways."""
    return bool(
        page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    )


def keep_picture(page: Page, name: str) -> None:
    """Keep a screenshot where ``RELAY_PICTURES`` names a folder: to be looked at by people."""
    if folder := os.environ.get("RELAY_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
