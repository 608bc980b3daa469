"""Slack messages as npm's slack-blocks-to-jsx renders them, in Chromium.

The package is in an environment of its own, ``.venv-node`` in the root of the checkout.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / ".venv-node"
READER_ZONE = "Asia/Tokyo"  # in which times are shown
_SCRIPT = Path(__file__).with_name("node") / "slack_blocks.mjs"
_PAGE = """<!doctype html><meta charset="utf-8"><style>{css}</style>{articles}"""
_READ = """() => [...document.querySelectorAll("article")].map(article => ({
  text: article.innerText,
  links: [...article.querySelectorAll("a")]
    .map(link => [link.innerText, link.getAttribute("href")]),
}))"""


@dataclass(frozen=True)
class Posted:
    """What Slack gets."""

    sender: str
    blocks: list[dict[str, Any]]


@dataclass(frozen=True)
class Rendered:
    """What a reader sees."""

    text: str  # with single spaces
    links: list[tuple[str, str]]  # text and address


def render(
    messages: Sequence[Posted], users: dict[str, str], folder: Path, picture: Path | None = None
) -> list[Rendered]:
    """``users``: names by Slack user id. ``picture``: a file for a screenshot of all messages."""
    if not NODE.exists():
        raise RuntimeError(f"Node is not installed; in {ROOT}: make {NODE.name}/.installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is missing: on Debian, apt install chromium")
    given = folder / "messages.json"
    people = [{"id": id_, "name": name} for id_, name in users.items()]
    values = [{"name": each.sender, "blocks": each.blocks, "users": people} for each in messages]
    given.write_text(json.dumps(values), encoding="utf-8")
    done = subprocess.run(
        [NODE / "bin/node", "--input-type=module", "-", str(given)],
        cwd=NODE,
        env=os.environ | {"TZ": READER_ZONE},
        input=_SCRIPT.read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout)
    assert answer["complaints"] == []
    css = (NODE / "node_modules/slack-blocks-to-jsx/dist/style.css").read_text(encoding="utf-8")
    articles = "".join(f"<article>{html}</article>" for html in answer["html"])
    page_file = folder / "messages.html"
    page_file.write_text(_PAGE.format(css=css, articles=articles), encoding="utf-8")
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 640, "height": 800})
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda line: problems.append(line.text) if line.type == "error" else None,
        )
        page.goto(page_file.as_uri())
        shown = page.evaluate(_READ)
        if picture is not None:
            page.screenshot(path=picture, full_page=True)
        browser.close()
    assert problems == []
    return [
        Rendered(" ".join(each["text"].split()), [(text, url) for text, url in each["links"]])
        for each in shown
    ]
