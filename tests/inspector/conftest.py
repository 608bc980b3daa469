"""A running service and a browser.

Playwright's event loop keeps running in its thread, so a module that uses ``browser`` has no
asynchronous tests.
"""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.service import Service, running

STDOUT = (
    '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\nevents = ["*"]\nactivity = "each"\n'
)
# No background requests to the internet.
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=20_000)  # milliseconds, for a machine that runs other tests as well
SERIOUS = ("serious", "critical")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """The service, with a team ``acme`` that has one channel for all."""
    with running(tmp_path, STDOUT) as started:
        yield started


def client_of(service: Service, **headers: str) -> httpx.Client:
    """A client that sends forms as the inspector's pages do."""
    return httpx.Client(base_url=service.admin, headers={"origin": service.admin} | headers)


def form_token(page: str) -> str:
    """The CSRF token of a page's forms."""
    (token,) = set(re.findall(r'name="token" value="([^"]+)"', page))
    return str(token)


def log_in(client: httpx.Client, password: str, **fields: str) -> httpx.Response:
    token = form_token(client.get("/inspector/login").text)
    data = {"token": token, "password": password} | fields
    return client.post("/inspector/login", data=data)


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
    """Opens a page, with the arguments of ``new_context``. At the end no page may have requested
    another host, logged an error (such as a policy violation), or shown a dialog."""
    contexts: list[BrowserContext] = []
    problems: list[str] = []

    def open_(address: str, *, expect: tuple[str, ...] = (), **options: Any) -> Page:
        """``expect``: parts of errors that may be logged."""
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        origin = "/".join(address.split("/")[:3])

        def on_request(url: str) -> None:
            if not url.startswith((f"{origin}/", "data:", "blob:", "about:")):
                problems.append(f"requested {url}")

        def on_console(kind: str, text: str) -> None:
            if kind == "error" and not any(word in text for word in expect):
                problems.append(text)

        page.on("request", lambda request: on_request(request.url))
        page.on("console", lambda message: on_console(message.type, message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))

        def on_dialog(dialog: Any) -> None:
            problems.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        page.on("dialog", on_dialog)
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not problems


def accessibility_problems(page: Page) -> list[str]:
    """Serious problems that axe-core reports, in light and in dark."""
    problems = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_timeout(50)
        for violation in Axe().run(page).response["violations"]:
            if violation["impact"] in SERIOUS:
                nodes = [node["html"] for node in violation["nodes"]]
                problems.append(f"{scheme}: {violation['id']}: {violation['help']}: {nodes[:3]}")
    page.emulate_media(color_scheme="light")
    return problems


def too_wide(page: Page) -> bool:
    """Whether the page scrolls sideways."""
    return bool(
        page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    )


def keep_picture(page: Page, name: str) -> None:
    """Keep a screenshot where ``RELAY_PICTURES`` names a folder: for people."""
    if folder := os.environ.get("RELAY_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)
