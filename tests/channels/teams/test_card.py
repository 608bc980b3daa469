"""A document as elements of a card."""

import re
from typing import Any

import pytest

from relay.channels.teams.card import to_elements
from relay.messages.document import parse
from relay.messages.escape import escape
from tests.servers.teams import check, lines, runs


def card(markdown: str, style: dict[str, Any] | None = None) -> dict[str, Any]:
    body = to_elements(parse(markdown), style or {})
    made = {"type": "AdaptiveCard", "version": "1.2", "body": body}
    check(made)
    return made


def shown(markdown: str) -> list[str]:
    return list(lines(card(markdown)))


def test_styles_are_properties_of_their_runs() -> None:
    made = list(runs(card("a **b** *c* ~~d~~ `e` [f](https://f.example) ***`g`***")))
    styles = {run["text"]: {*run} - {"type", "text"} for run in made if run["text"].strip()}
    assert styles == {
        "a ": set(),
        "b": {"weight"},
        "c": {"italic"},
        "d": {"strikethrough"},
        "e": {"fontType"},
        "f": {"selectAction"},
        "g": {"weight", "italic", "fontType"},
    }


def test_each_line_is_an_element_and_an_empty_line_is_a_space() -> None:
    first, second, third = card("a\\\nb\\\n\\\nc")["body"]
    assert shown("a\\\nb\\\n\\\nc") == ["a", "b", "c"]
    assert (first.get("spacing"), second["spacing"], third.get("spacing")) == (None, "None", None)


def test_headings_are_bold_and_larger() -> None:
    (run,) = runs(card("# One"))
    assert (run["size"], run["weight"]) == ("Large", "Bolder")
    (run,) = runs(card("### Three"))
    assert run["size"] == "Medium"


def test_quotations_and_code_are_boxes() -> None:
    quote, code = card("> a\n>\n> > b\n\n```\nif x:\n    y\n\n```")["body"]
    assert (quote["type"], quote["style"]) == ("Container", "emphasis")
    assert quote["items"][1]["items"][0]["inlines"][0]["text"] == "b"
    assert [item["inlines"][0]["text"] for item in code["items"]] == [
        "if x:",
        "\u00a0\u00a0\u00a0 y",
        "\u00a0",
    ]
    assert {run["fontType"] for run in runs(card("```\na\n```"))} == {"Monospace"}


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("- a\n- b", ["• a", "• b"]),
        ("3. a\n4. b", ["3. a", "4. b"]),
        ("- a\n  - b\n    1. c", ["• a", "\u2003\u2003• b", "\u2003\u2003\u2003\u20031. c"]),
        ("- a\n\n  b\n- > q", ["• a", "b", "• ", "q"]),
        ("- \n- a", ["• ", "• a"]),
        ("- - a", ["• ", "\u2003\u2003• a"]),
    ],
)
def test_the_lines_of_a_list_have_markers(markdown: str, expected: list[str]) -> None:
    assert shown(markdown) == expected


def test_a_rule_is_the_line_before_the_next_element() -> None:
    assert [each.get("separator") for each in card("a\n\n---\n\nb")["body"]] == [None, True]
    assert card("---")["body"] == []
    assert card("> ---")["body"] == []


@pytest.mark.parametrize(
    "text",
    [
        "{{DATE(2017-02-14T06:00:00Z, SHORT)}}",
        "{{ TIME(2017-02-14T06:00:00Z)}}",
        "{{{DATE(2017-02-14T06:00:00Z)}}}",
        "<at>Ada</at>",
        "< AT>Ada</ at >",
        "<<at>>",
    ],
)
@pytest.mark.parametrize("form", ["{}", "**{}**", "`{}`", "> {}", "- {}"])
def test_what_clients_read_in_a_text_is_literal(text: str, form: str) -> None:
    (line,) = shown(form.format(escape(text)))
    assert line.removeprefix("• ").replace("\u200b", "").replace("\u00a0", " ") == text
    assert not re.search(r"\{\{\s*(DATE|TIME)|<\s*/?\s*at\b", line, re.IGNORECASE)


def test_an_address_in_a_text_opens_itself() -> None:
    text = r"[https://good\.example](https://evil.example) mailto"
    (link, _) = runs(card(text))
    assert link["selectAction"]["url"] == "https://good.example"
    (before, link) = runs(card("see https://a.example/x"))
    assert (before["text"], link["selectAction"]["url"]) == ("see ", "https://a.example/x")
    (code,) = runs(card("`https://a.example`"))
    assert "selectAction" not in code


def test_an_address_of_mail_is_no_link() -> None:
    (run,) = runs(card("[Unsubscribe](mailto:it@example.com)"))
    assert run == {"type": "TextRun", "text": "Unsubscribe"}


def test_a_style_applies_to_every_run() -> None:
    made = card("a **b**\n\n- c\n\n> d", {"isSubtle": True})
    assert all(run["isSubtle"] for run in runs(made))
