"""Mails of every kind in Chromium, at the widths of phones and of a mail program's window."""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from relay.delivery.renderer import render
from relay.messages.message import Message, Picture
from tests.channels.email.kinds import LONG_URL, TEMPLATES, mails_of_every_kind
from tests.channels.email.parts import html_of, received
from tests.delivery.examples import EXAMPLES
from tests.inspector.conftest import browser
from tests.penpot.paint import board

__all__ = ["browser"]

WIDTHS = (320, 375, 560)
PICTURE = Picture(board(800, 500), "image/png", 800, 500)
# WCAG 2.2: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
CONTRASTS = """() => {
  const parts = color => color.match(/[\\d.]+/g).map(Number);
  const luminance = color => parts(color).slice(0, 3)
    .map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const background = element => {
    const color = getComputedStyle(element).backgroundColor;
    return (parts(color)[3] ?? 1) === 0 ? background(element.parentElement) : color;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
    const [light, dark] = [getComputedStyle(element).color, background(element)]
      .map(luminance).sort((a, b) => b - a);
    found.push([texts.currentNode.data, (light + 0.05) / (dark + 0.05)]);
  }
  return found;
}"""
OVERFLOWS = """() => [document.documentElement, ...document.querySelectorAll("body *")]
  .filter(each => each.checkVisibility() && each.scrollWidth > each.clientWidth + 1)
  .filter(each => getComputedStyle(each).display !== "inline")
  .map(each => each.outerHTML.slice(0, 80))"""


def document(message: Message) -> str:
    picture = PICTURE if message.file else None
    html = html_of(received(message, picture=picture, unsubscribe=LONG_URL[:800]))
    data = base64.b64encode(PICTURE.content).decode()
    return re.sub('src="cid:[^"]*"', f'src="data:image/png;base64,{data}"', html)


@pytest.fixture(scope="module")
def documents() -> Mapping[str, str]:
    return {kind: document(message) for kind, message in mails_of_every_kind()}


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


def test_no_mail_is_wider_than_its_window(page: Page, documents: Mapping[str, str]) -> None:
    assert len(documents) > 2 * len(EXAMPLES)
    for kind, html in documents.items():
        page.set_content(html)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 600})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (kind, width)
            assert page.evaluate(OVERFLOWS) == [], (kind, width)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_is_readable_in_light_and_dark(
    scheme: Any, page: Page, documents: Mapping[str, str]
) -> None:
    page.emulate_media(color_scheme=scheme)
    seen = set()
    for kind, html in documents.items():
        page.set_content(html)
        for text, contrast in page.evaluate(CONTRASTS):
            assert contrast >= 4.5, (kind, text)
            seen.add(round(contrast, 2))
    assert len(seen) >= 4  # text, links, quotes, button, small print


def test_buttons_and_pictures_have_their_sizes(page: Page, documents: Mapping[str, str]) -> None:
    for kind, html in documents.items():
        page.set_content(html)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 600})
            for button in page.locator(".button").all():
                box = button.bounding_box()
                assert box is not None
                assert box["height"] >= 44, kind
            for image in page.locator("img").all():
                shown = image.bounding_box()
                assert shown is not None
                assert 250 <= shown["width"] <= 322, (kind, width)  # with its border
                assert (image.get_attribute("alt") or "").startswith("Thumbnail of "), kind
    assert 'class="button"' in documents["create-file"]
    assert "<img" in documents["create-file"]


def test_a_quote_from_right_to_left_has_its_bar_at_the_right(page: Page) -> None:
    event = EXAMPLES["create-comment-thread"]
    for text, side in (("See שלום", "Left"), ("שלום, see 24px", "Right")):
        written = replace(event, comment=replace(event.comment, text=text))
        page.set_content(document(render(TEMPLATES, written, "acme", "email").message))
        bars = page.evaluate(
            "['Left', 'Right'].filter(side => parseFloat("
            "getComputedStyle(document.querySelector('.quote'))[`border${side}Width`]))"
        )
        assert bars == [side]
