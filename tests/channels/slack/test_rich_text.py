"""Documents as ``rich_text``: addresses, lists and times."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.channels.slack import blocks as slack_blocks
from relay.channels.slack.rich_text import DATE_FORMATS, to_blocks
from relay.messages.document import parse
from relay.messages.escape import escape as escaped
from relay.messages.filters import quote
from relay.messages.message import Content, Message
from relay.messages.times import FORMS
from tests.servers.slack_rules import block_faults, rich_inlines, too_long


def inlines(markdown: str) -> list[tuple[str, str]]:
    """Text and address of each inline; the address is empty for text that is no link."""
    blocks = slack_blocks.render(Message("t", Content(markdown)))["blocks"]
    return [(element["text"], element.get("url", "")) for element in rich_inlines(blocks)]


def test_the_addresses_in_a_comment_are_links_without_closing_punctuation() -> None:
    text = "See https://a.example/x_(y)?q=1&r=a,b#c, (https://b.example/). HTTPS://C.example!? or"
    assert inlines(quote(text)) == [
        ("See ", ""),
        ("https://a.example/x_(y)?q=1&r=a,b#c", "https://a.example/x_(y)?q=1&r=a,b#c"),
        (", (", ""),
        ("https://b.example/", "https://b.example/"),
        ("). ", ""),
        ("HTTPS://C.example", "HTTPS://C.example"),
        ("!? or", ""),
    ]


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("http://localhost:8080/a http://[fd00::1]:80/b", "http://localhost:8080/a http://[fd00::1]:80/b"),
        ("看https://例え.jp/道。次「http://b.example」", "https://例え.jp/道 http://b.example"),
        ("«https://a.example» “https://b.example”…", "https://a.example https://b.example"),
        ("[https://good.example](https://evil.example)", "https://good.example https://evil.example"),
        ("<https://evil.example|https://good.example>", "https://evil.example https://good.example"),
        ("**https://a.example**, 'https://b.example'", "https://a.example https://b.example"),
        ("https://a.example/\u200b@x https://b\u00ad.example", "https://a.example/ https://b"),
        ("https://bank.example@evil.example/ https://bank.example%40evil.example@x", ""),
        ("https:// http://. https://:80 https://a.example:99999/ https://[::1 ftp://a.example", ""),
        ("javascript:alert(1) www.a.example a.example git+https://a.example mailto:a@b.c", ""),
        ("https://a.example/a-long-address-that-was-cu…", ""),
    ],
)  # fmt: skip
def test_only_a_whole_web_address_is_a_link_to_itself(text: str, links: str) -> None:
    found = inlines(quote(text))
    assert "".join(part for part, _ in found) == text
    assert [url for _, url in found if url] == links.split()
    assert all(url in ("", part) for part, url in found)


def test_no_link_shows_another_address_than_it_opens() -> None:
    file = escaped("brief https://good.example/x, https://bank.example@evil.example")
    rest = "~~https://a.example~~ `https://c`"
    assert inlines(f"**on** [{file}](https://penpot.example/) and {rest}") == [
        ("on", ""),
        (" ", ""),
        ("brief ", "https://penpot.example/"),
        ("https://good.example/x", "https://good.example/x"),
        (", ", "https://penpot.example/"),
        ("https://bank.example@evil.example and ", ""),
        ("https://a.example", "https://a.example"),
        (" ", ""),
        ("https://c", ""),
    ]  # fmt: skip


def test_a_name_in_a_mention_that_is_no_ping_is_no_disguise() -> None:
    assert inlines("[@https://evil\\.example](<penpot-profile:x>)") == [
        ("@", ""),
        ("https://evil.example", "https://evil.example"),
    ]


structures = st.recursive(
    st.sampled_from(["text", "# head", "---", "```\ncode\n```", "a **b** [c](https://d.example)"]),
    lambda inner: st.builds(
        lambda sign, parts: "\n".join(
            (sign if number == 0 else " " * len(sign)) + line if sign != "> " else sign + line
            for part in parts
            for number, line in enumerate(part.split("\n"))
        ),
        st.sampled_from(["> ", "- ", "7. "]),
        st.lists(inner, min_size=1, max_size=6),
    ),
    max_leaves=12,
)


@settings(max_examples=50)
@given(st.lists(structures, max_size=5).map("\n\n".join), st.integers(1, 60))
def test_any_structure_becomes_valid_blocks(markdown: str, times: int) -> None:
    body = slack_blocks.render(
        Message("t", Content("\n\n".join([markdown] * times), footer=markdown))
    )
    assert not too_long(body.get("blocks", []))
    assert "blocks" not in body or block_faults(body["blocks"]) == []


def test_a_nested_list_is_indented_and_numbering_continues() -> None:
    [block] = slack_blocks.render(Message("t", Content("3. one\n   - inner\n4. two")))["blocks"]
    shown = [
        (part["style"], part.get("indent", 0), part.get("offset", 0)) for part in block["elements"]
    ]
    assert shown == [("ordered", 0, 2), ("bullet", 1, 0), ("ordered", 0, 3)]


DATE = {
    "type": "date",
    "timestamp": 1785000000,
    "format": "{date_short_pretty} {time}",
    "fallback": "today 10:17",
}
TODAY = "[today 10\\:17](<relay-time:1785000000>)"


def elements(markdown: str) -> list[dict[str, Any]]:
    blocks = list(to_blocks(parse(markdown)))
    assert block_faults(blocks) == []
    return list(rich_inlines(blocks))


def test_a_time_is_a_date_that_slack_shows_in_each_reader_s_zone() -> None:
    text = {"type": "text"}
    for before, after in (("", ""), ("> ", ""), ("- ", ""), ("> 1. ", "\n>    - x")):
        found = elements(f"{before}from {TODAY}, {TODAY}!{after}")
        assert DATE in found
        assert found.count(DATE) == 2
        assert text | {"text": ", "} in found
    bold = elements(f"***~~{TODAY}~~***")
    assert bold == [DATE | {"style": {"bold": True, "italic": True, "strike": True}}]
    heading = elements(f"# {TODAY}")
    assert heading == [DATE | {"style": {"bold": True}}]


def test_each_form_has_a_format() -> None:
    assert DATE_FORMATS.keys() == {"", *FORMS}
    for form in FORMS:
        (date,) = elements(f"[x](<relay-time:1:{form}>)")
        assert date["format"] == DATE_FORMATS[form]


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        (f"`{TODAY}`", "today 10:17"),
        ("[`x`](<relay-time:1>)", "x"),  # a date can't be code
        (f"```\n{TODAY}\n```", "today 10:17"),
        (escaped(TODAY), TODAY),
    ],
)
def test_where_no_date_can_be_it_is_text(markdown: str, text: str) -> None:
    (element,) = elements(markdown)
    assert element["type"] == "text"
    assert element["text"] == text


def test_an_address_as_the_text_of_a_time_is_no_link() -> None:
    assert elements("[https://evil\\.example](<relay-time:1>)")[0]["type"] == "date"
