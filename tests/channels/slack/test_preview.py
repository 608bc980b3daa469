"""Preview of Slack blocks."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.channels import render_preview
from relay.channels.base import ReplyTo
from relay.channels.slack.preview import draw, mrkdwn
from relay.messages.escape import clean
from relay.messages.message import Author, Content, Mention, Message
from tests.channels.builders import MESSAGE, slack_bot, slack_hook
from tests.channels.reader import Reader
from tests.channels.texts import foreign, messages

values = st.recursive(
    st.none() | st.booleans() | st.integers() | foreign,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(foreign, inner, max_size=3),
    max_leaves=5,
)
KEYS = (
    *("type", "text", "elements", "style", "url", "fields", "accessory", "title", "alt_text"),
    *("timestamp", "format", "fallback"),
)
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


def render(*blocks: Any) -> Reader:
    return Reader(draw({"blocks": list(blocks)}, {"U0ADA0000": "Ada"}))


def test_text_for_another_host_is_shown() -> None:
    other, own = slack_hook("https://chat.example/hooks/x"), slack_bot("https://slack.com/api")
    assert render_preview("slack", MESSAGE, settings=other).text.endswith(MESSAGE.url)
    assert render_preview("slack", MESSAGE, settings=own).text == ""


@given(messages)
def test_text_is_complete_and_never_markup(message: Message) -> None:
    reader = Reader(render_preview("slack", message).html)
    assert clean(message.event).strip() in reader.text
    assert all(link == message.url or link in reader.text for link in reader.links)
    assert "preview-unknown" not in reader.classes
    assert "preview-mention" not in reader.classes


@settings(max_examples=50)
@given(st.lists(blocks, max_size=3))
def test_a_template_may_produce_any_json(given: list[Any]) -> None:
    Reader(
        render_preview(
            "slack", replace(MESSAGE, full=replace(MESSAGE.full, override=json.dumps(given)))
        ).html
    )


@pytest.mark.parametrize("depth", [300, 430, 1300])
@pytest.mark.parametrize("begin", ['{"type":"rich_text_section","elements":[', '{"elements":['])
def test_deep_nesting_is_no_error(begin: str, depth: int) -> None:
    blocks = f'[{{"type": "rich_text", "elements": [{begin * depth}{{}}{"]}" * depth}]}}]'
    preview = render_preview("slack", replace(MESSAGE, full=replace(MESSAGE.full, override=blocks)))
    if depth == 1300:
        assert "nested too deeply" in preview.note or "20,000 characters" in preview.note
    else:
        assert "preview-unknown" in Reader(preview.html).classes


def test_a_message_with_quote_and_context() -> None:
    preview = render_preview("slack", MESSAGE)
    reader = Reader(preview.html)
    assert reader.text == (
        "PPenpot APP 2026-07-25 08:17:02 UTCAda Lovelace commented on Landing page"
        "The button is too small.\n<!channel> please"
        "Website · Acme · Open in Penpot"
    )
    assert reader.links == ["https://penpot.example/#/view?a=1&b=2"] * 2
    assert "preview-quote" in reader.classes
    assert (preview.title, preview.note) == ("Ada commented on Landing page", "")


def test_pinged_people_are_shown_as_mentions() -> None:
    ada = Mention("11111111-0000-0000-0000-000000000000", "Ada", addresses={"slack": "U0ADA0000"})
    bob = Mention("22222222-0000-0000-0000-000000000000", "Bob", email="bob@example.com")
    eve = Mention("33333333-0000-0000-0000-000000000000", "Eve")
    message = Message(
        "t", Content(f"[@Ada](<penpot-profile:{ada.id}>) look"), mentions=(ada, bob, eve)
    )
    html = render_preview("slack", message).html
    assert html.count("preview-mention") == 2
    assert '<span class="preview-mention">@Ada</span> look' in html
    assert '<span class="preview-mention">@Bob</span>' in html
    assert "Eve" not in html


def test_a_comment_is_shown_as_its_authors_where_the_channel_does_so() -> None:
    author = Author("Ada <i>", full=Content("Landing page"), reply=Content("Just the words"))
    message = replace(MESSAGE, author=author)
    bot = slack_bot("http://127.0.0.1:9/api")
    shown = bot.model_copy(update={"author_as_sender": True})
    thread = ReplyTo("", "", "")

    first = Reader(render_preview("slack", message, None, shown).html).text
    reply = Reader(render_preview("slack", message, thread, shown).html).text

    assert first == "AAda <i> · Penpot APP 2026-07-25 08:17:02 UTCLanding page"
    assert reply == "AAda <i> · Penpot APP 2026-07-25 08:17:02 UTCJust the words"
    for other in (bot, None):
        text = Reader(render_preview("slack", message, None, other).html).text
        assert text.startswith("PPenpot APP 2026-07-25 08:17:02 UTCAda Lovelace commented on")


def test_a_picture_is_a_labelled_box() -> None:
    html = render_preview("slack", replace(MESSAGE, picture="media", file="Landing page")).html
    assert 'aria-label="Landing page"' in html
    assert "<img" not in html


def test_invalid_blocks_are_replaced_with_a_note() -> None:
    preview = render_preview(
        "slack", replace(MESSAGE, full=replace(MESSAGE.full, override='{"blocks": 1}'))
    )
    assert "Landing page" in preview.html
    assert 'must be a list of blocks or {"blocks"' in preview.note


def test_lists_keep_style_depth_and_numbers() -> None:
    html = render_preview("slack", Message("t", Content("3. three\n   - *inner*\n4. four"))).html
    assert '<ol class="preview-indent-0" start="3"><li>' in html
    assert (
        '<ul class="preview-indent-1"><li><div class="preview-text"><i>inner</i></div></li>' in html
    )
    assert '<ol class="preview-indent-0" start="4">' in html


def test_a_users_own_blocks_are_rendered() -> None:
    reader = render(
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
        {"type": "markdown", "text": "**bold** <https://x.example/?a=1>"},
    )
    assert reader.text == "NewAda look @Adaa <b>BoardOpen Pick ▾bold https://x.example/?a=1"
    assert reader.links == ["https://x.example", "https://y.example", "https://x.example/?a=1"]
    assert {
        "preview-header",
        "preview-fields",
        "preview-image",
        "preview-primary",
    } <= reader.classes
    assert "preview-unknown" not in reader.classes


def test_an_unknown_block_is_a_box_with_its_type() -> None:
    reader = render({"type": "table"}, "words", {"type": "context", "elements": [{"type": 7}]})
    assert reader.text == "block tableblock without a typetext without a type"
    assert reader.classes == {"preview-unknown", "preview-context"}


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
        ("a\n&gt; b\n> *c*\nd", 'a\n<div class="preview-quote">b\n<b>c</b></div>d'),
        ("<!channel>", '<span class="preview-mention">@channel</span>'),
        ("<!subteam^S1|@team>", '<span class="preview-mention">@team</span>'),
        ("<#C1|design>", '<span class="preview-mention">#design</span>'),
        (
            "<!date^1^{date} {time}|today>",
            '<time datetime="1970-01-01T00:00:01.000Z" data-form="{date} {time}">today</time>',
        ),
        ("<!date^1|x> <!date^-1^{date}|y> <!date^" + "9" * 5000 + "^{date}|z>", "x y z"),
        ("<javascript:alert(1)|x>", "x"),
    ],
)
def test_mrkdwn_is_parsed_as_in_slack(text: str, html: str) -> None:
    assert mrkdwn(text, {}) == html


def test_a_bare_address_is_a_link_unless_the_text_is_verbatim() -> None:
    assert Reader(mrkdwn("see https://x.example/a", {})).links == ["https://x.example/a"]
    assert Reader(mrkdwn("see https://x.example/a", {}, verbatim=True)).links == []


@given(foreign)
def test_mrkdwn_of_any_text_contains_no_foreign_markup(text: str) -> None:
    Reader(mrkdwn(text, {}))
