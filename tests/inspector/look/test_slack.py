"""Slack's blocks as they look in Slack."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.inspector.look import shown
from relay.inspector.look.mrkdwn import mrkdwn
from relay.inspector.look.slack import draw
from relay.messages.escape import clean
from relay.messages.message import Mention, Message
from tests.channels.builders import MESSAGE
from tests.channels.texts import foreign, messages
from tests.inspector.look.reader import Reader

values = st.recursive(
    st.none() | st.booleans() | st.integers() | foreign,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(foreign, inner, max_size=3),
    max_leaves=5,
)
KEYS = ("type", "text", "elements", "style", "url", "fields", "accessory", "title", "alt_text")
KINDS = (
    *("rich_text", "rich_text_section", "rich_text_list", "rich_text_quote", "section", "context"),
    *("header", "image", "actions", "button", "mrkdwn", "plain_text", "text", "link", "user"),
    *("emoji", "date", "divider", "markdown", "static_select", "rich_text_preformatted"),
)
blocks = st.recursive(
    values,
    lambda inner: st.dictionaries(
        st.sampled_from(KEYS), st.sampled_from(KINDS) | inner | st.lists(inner, max_size=3)
    ),
    max_leaves=12,
)


def drawn(*blocks: Any) -> Reader:
    return Reader(draw({"blocks": list(blocks)}, {"U0ADA0000": "Ada"}))


@given(messages)
def test_no_text_becomes_markup_and_none_is_lost(message: Message) -> None:
    reader = Reader(shown("slack", message).html)
    assert clean(message.event).strip() in reader.text
    assert set(reader.links) <= {"https://penpot.example/#/view"}
    assert "look-unknown" not in reader.classes
    assert "look-mention" not in reader.classes


@settings(max_examples=50)
@given(st.lists(blocks, max_size=3))
def test_a_template_may_give_any_json_at_all(given: list[Any]) -> None:
    Reader(shown("slack", replace(MESSAGE, override=json.dumps(given))).html)


@pytest.mark.parametrize("depth", [300, 450, 600, 950])
def test_what_is_nested_without_end_is_no_error(depth: int) -> None:
    inner = "{}"
    for _ in range(depth):
        inner = f'{{"type": "rich_text_section", "elements": [{inner}]}}'
    blocks = f'[{{"type": "rich_text", "elements": [{inner}]}}]'
    look = shown("slack", replace(MESSAGE, override=blocks))
    assert "look-unknown" in Reader(look.html).classes or "nested too deeply" in look.note


def test_a_message_stands_there_as_slack_shows_it() -> None:
    look = shown("slack", MESSAGE)
    reader = Reader(look.html)
    assert reader.text == (
        "PPenpot APP 08:17Ada Lovelace commented on Landing page"
        "The button is too small.\n<!channel> please"
        "Website · Acme · Open in Penpot"
    )
    assert reader.links == ["https://penpot.example/#/view?a=1&b=2"] * 2
    assert {"look-quote", "look-context"} <= reader.classes
    assert (look.title, look.note) == ("Ada commented on Landing page", "")


def test_who_is_pinged_stands_out_by_name() -> None:
    ada = Mention("11111111-0000-0000-0000-000000000000", "Ada", slack="U0ADA0000")
    bob = Mention("22222222-0000-0000-0000-000000000000", "Bob", email="bob@example.com")
    eve = Mention("33333333-0000-0000-0000-000000000000", "Eve")
    message = Message("t", f"[@Ada](<penpot-profile:{ada.id}>) look", mentions=(ada, bob, eve))
    html = shown("slack", message).html
    assert html.count("look-mention") == 2
    assert '<span class="look-mention">@Ada</span> look' in html
    assert '<span class="look-mention">@Bob</span>' in html
    assert "Eve" not in html


def test_a_picture_is_a_box_with_its_words() -> None:
    html = shown("slack", replace(MESSAGE, picture="media", file="Landing page")).html
    assert 'aria-label="Landing page"' in html
    assert "<img" not in html


def test_blocks_that_can_not_be_used_give_way_and_the_look_says_why() -> None:
    look = shown("slack", replace(MESSAGE, override='{"blocks": 1}'))
    assert "Landing page" in look.html
    assert 'must be a list of blocks or {"blocks"' in look.note


def test_lists_keep_their_kind_their_depth_and_their_numbers() -> None:
    html = shown("slack", Message("t", "3. three\n   - *inner*\n4. four")).html
    assert '<ol class="look-indent-0" start="3"><li>' in html
    assert '<ul class="look-indent-1"><li><div class="look-text"><i>inner</i></div></li>' in html
    assert '<ol class="look-indent-0" start="4">' in html


def test_a_users_own_blocks_are_drawn() -> None:
    reader = drawn(
        {"type": "header", "text": {"type": "plain_text", "text": "New"}},
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": "*Ada* <https://x.example|look> <@U0ADA0000>"},
            "fields": [{"type": "plain_text", "text": "a &lt;b&gt;"}],
            "accessory": {"type": "image", "alt_text": "Board"},
        },
        {"type": "divider"},
        {
            "type": "actions",
            "elements": [
                {
                    "type": "button",
                    "text": {"type": "plain_text", "text": "Open"},
                    "url": "https://y.example",
                    "style": "primary",
                },
                {"type": "static_select", "placeholder": {"type": "plain_text", "text": "Pick"}},
            ],
        },
        {"type": "markdown", "text": "**bold**"},
    )
    assert reader.text == "NewAda look @Adaa <b>BoardOpen Pick ▾bold"
    assert reader.links == ["https://x.example", "https://y.example"]
    assert {"look-header", "look-fields", "look-image", "look-primary"} <= reader.classes
    assert "look-unknown" not in reader.classes


def test_what_is_not_known_is_a_box_with_its_name() -> None:
    reader = drawn({"type": "table"}, "words", {"type": "context", "elements": [{"type": 7}]})
    assert reader.text == "block tableblock without a typetext without a type"
    assert reader.classes == {"look-unknown", "look-context"}


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("*a* _b_ ~c~ `d`", "<b>a</b> <i>b</i> <s>c</s> <code>d</code>"),
        ("*_both_*", "<b><i>both</i></b>"),
        ("2*3*4 snake_case_name a ~ b ~ c", "2*3*4 snake_case_name a ~ b ~ c"),
        ("* no* *no *", "* no* *no *"),
        ("&lt;b&gt; &amp;amp; <&amp;>", "&lt;b&gt; &amp;amp; &amp;"),
        ("`*a*`", "<code>*a*</code>"),
        ("```\nx *y*\n```", "<pre>x *y*\n</pre>"),
        ("a\n&gt; b\n> *c*\nd", 'a\n<div class="look-quote">b\n<b>c</b></div>d'),
        ("<!channel>", '<span class="look-mention">@channel</span>'),
        ("<!subteam^S1|@team>", '<span class="look-mention">@team</span>'),
        ("<#C1|design>", '<span class="look-mention">#design</span>'),
        ("<!date^1^{date}^https://x.example|today>", "today"),
        ("<javascript:alert(1)|x>", "x"),
    ],
)
def test_mrkdwn_is_read_as_slack_reads_it(text: str, html: str) -> None:
    assert mrkdwn(text, {}) == html


def test_a_bare_address_is_a_link_unless_the_text_is_verbatim() -> None:
    assert Reader(mrkdwn("see https://x.example/a", {})).links == ["https://x.example/a"]
    assert Reader(mrkdwn("see https://x.example/a", {}, verbatim=True)).links == []


@given(foreign)
def test_mrkdwn_of_any_text_holds_no_markup_but_its_own(text: str) -> None:
    Reader(mrkdwn(text, {}))
