"""Every kind of message as Teams gets it: Microsoft's own renderer of Adaptive Cards finds no
problem in it, shows its words and links, and reads nothing but the mentions as Markdown."""

import asyncio
from typing import Any

import pytest

from relay.channels.teams.content import card, render
from tests.channels.texts import HOSTILE, carrying
from tests.pictures.payloads import payloads, recorder
from tests.servers import adaptive_cards
from tests.servers.adaptive_cards import Shown
from tests.servers.teams import lines, runs

FUNCTIONS = [
    "{{DATE(2017-02-14T06:00:00Z, SHORT)}}",
    "{{TIME(2017-02-14T06:00:00Z)}}",
    "<at>Ada</at>",
    "[x](https://evil.example) **x** <b>x</b>",
]


def posted() -> dict[str, dict[str, Any]]:
    """A card of each kind of message."""
    with recorder() as to:
        to.settings = {"teams": to.settings["teams"]}
        rows = asyncio.run(payloads(to))
        assert to.servers.teams.failed == []
    return {name: sent["teams"] for name, sent in rows.items()}


def assert_shown(shown: Shown, made: dict[str, Any]) -> None:
    assert shown.problems == []
    assert shown.text == " ".join(" ".join(lines(made)).split())
    links = [
        (" ".join(run["text"].split()), run["selectAction"]["url"])
        for run in runs(made)
        if "selectAction" in run
    ]
    assert [(" ".join(text.split()), url) for text, url in shown.links] == links
    mentions = [element["text"] for element in made["body"] if element["type"] == "TextBlock"]
    assert shown.markdown == mentions


def test_microsofts_renderer_shows_what_is_posted() -> None:
    cards = posted()
    assert len(cards) > 30
    hostile = [card(render(carrying(text, text))) for text in (*FUNCTIONS, *HOSTILE)]
    made = [*cards.values(), *hostile]
    for shown, each in zip(adaptive_cards.render(made), made, strict=True):
        assert_shown(shown, each)


def test_the_renderer_finds_problems() -> None:
    run = {"type": "TextRun", "text": FUNCTIONS[0], "weight": "Heavy"}
    wrong = {
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "text": "**x**"},
            {"type": "RichTextBlock", "inlines": [run]},
            {"type": "Badge", "text": "x"},
        ],
    }
    (shown,) = adaptive_cards.render([wrong])
    assert len(shown.problems) >= 2
    assert shown.markdown == ["**x**"]
    assert "DATE" not in shown.text  # it reads such a function
    with pytest.raises(AssertionError):
        assert_shown(shown, wrong)
