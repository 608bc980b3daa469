"""Adaptive Cards as npm's ``adaptivecards``, Microsoft's renderer for the web, shows them in
Chromium.

The package is in an environment of its own, ``.venv-node`` in the root of the checkout.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from tests.servers.slack_jsx import NODE, ROOT

_LIBRARY = NODE / "node_modules/adaptivecards/dist/adaptivecards.min.js"
_RENDER = """cards => cards.map(source => {
  const {AdaptiveCard, SerializationContext, Version} = AdaptiveCards;
  const context = new SerializationContext(new Version(1, 4));
  const markdown = [], problems = [];
  AdaptiveCard.onProcessMarkdown = text => markdown.push(text);
  const card = new AdaptiveCard();
  card.parse(source, context);
  for (let at = 0; at < context.eventCount; at++)
    problems.push(context.getEventAt(at).message);
  for (const event of card.validateProperties().validationEvents)
    problems.push(event.message);
  const element = card.render();
  document.body.replaceChildren(element);
  const links = [...element.querySelectorAll("a")]
    .map(link => [link.innerText, link.getAttribute("href")]);
  return {text: element.innerText, links, markdown, problems};
})"""


@dataclass(frozen=True)
class Shown:
    """What a reader sees of a card, and what the renderer says about it."""

    text: str  # with single spaces
    links: list[tuple[str, str]]  # text and address
    markdown: list[str]  # the texts that are read as Markdown
    problems: list[str]


def render(cards: Sequence[dict[str, Any]], picture: Path | None = None) -> list[Shown]:
    """As version 1.4 of the schema. ``picture``: a file for a screenshot of the last card."""
    if not _LIBRARY.exists():
        raise RuntimeError(
            f"adaptivecards is not installed; in {ROOT}: make {NODE.name}/.installed"
        )
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is missing: on Debian, apt install chromium")
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 640, "height": 800})
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.set_content("<!doctype html><body></body>")
        page.add_script_tag(path=_LIBRARY)
        shown = page.evaluate(_RENDER, list(cards))
        if picture is not None:
            page.screenshot(path=picture, full_page=True)
        browser.close()
    assert problems == []
    return [
        Shown(
            " ".join(each["text"].split()),
            [(text, url) for text, url in each["links"]],
            each["markdown"],
            each["problems"],
        )
        for each in shown
    ]
