"""Messages as Block Kit: any text, any length."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.channels.slack import blocks as slack_blocks
from relay.channels.slack.blocks import escape, parse_block_kit
from relay.messages.message import Content, Mention, Message
from tests.channels.texts import messages
from tests.servers.slack_rules import block_faults, pings, rich_inlines, too_long


def every_text(blocks: list[dict[str, object]]) -> str:
    return "".join(element.get("text", "") for element in rich_inlines(blocks))


@given(messages)
def test_no_text_pings_links_or_breaks_a_limit(message: Message) -> None:
    body = slack_blocks.render(message)
    assert not re.search(r"[<>]", body["text"])
    assert not re.search(r"&(?!amp;|lt;|gt;)", body["text"])
    assert 1 <= len(body["text"]) <= 2000
    assert block_faults(body["blocks"]) == []
    assert not too_long(body["blocks"])
    assert not pings(body["blocks"])
    for element in rich_inlines(body["blocks"]):
        assert element["type"] in ("text", "link")
        assert element.get("url", message.url) == message.url
    for block in body["blocks"]:
        for element in block["elements"] if block["type"] == "context" else ():
            if element["type"] == "mrkdwn":
                assert element["text"] == f"<{message.url}|Open in Penpot>"
            else:
                assert not re.search(r"[<>]|&(?!amp;|lt;|gt;)", element["text"])
                assert element["emoji"] is False


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


def test_a_long_text_ends_in_an_ellipsis_between_two_visible_characters() -> None:
    family = "👩‍👩‍👧‍👦"
    blocks = slack_blocks.render(Message("t", Content(family * 2000)))["blocks"]
    text = every_text(blocks)
    assert text.endswith("…")
    assert set(text[:-1].split(family)) == {""}
    assert len(text) > 2900


def test_a_nested_list_is_indented_and_numbering_continues() -> None:
    [block] = slack_blocks.render(Message("t", Content("3. one\n   - inner\n4. two")))["blocks"]
    shown = [
        (part["style"], part.get("indent", 0), part.get("offset", 0)) for part in block["elements"]
    ]
    assert shown == [("ordered", 0, 2), ("bullet", 1, 0), ("ordered", 0, 3)]


def test_a_footer_link_with_formatting_characters_is_literal() -> None:
    footer = r"Acme · [\*Website\*](https://penpot.example/#/x)"
    [block] = slack_blocks.render(Message("t", Content("", footer=footer)))["blocks"]
    assert block["type"] == "rich_text"
    assert every_text([block]) == "Acme · *Website*"


def test_a_mention_in_the_footer_is_text() -> None:
    ada = Mention("6eaf5050-5d0e-81a4-8006-9a5f00000001", "Ada")
    mention = f"[@Ada](<penpot-profile:{ada.id}>)"
    for footer in (mention, rf"{mention} [\*a\*](https://x.example)"):  # a context, and none
        message = Message("t", Content("b", footer), mentions=(ada,))
        body = slack_blocks.render(message, {ada.id: "U0ADA"})
        assert "@Ada" in str(body["blocks"][-1])
        assert ada.id not in str(body)
        users = [element for element in rich_inlines(body["blocks"]) if element["type"] == "user"]
        assert users == [{"type": "user", "user_id": "U0ADA"}]


def test_an_empty_message_has_a_text() -> None:
    assert slack_blocks.render(Message(" ", Content(""))) == {"text": "Penpot"}


# The templates for Slack alone


BLOCKS = [{"type": "divider"}]


def test_no_name_can_ping_or_link() -> None:
    assert escape("<!channel> & <https://a|b>") == "&lt;!channel&gt; &amp; &lt;https://a|b&gt;"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (BLOCKS, ""),
        ({"blocks": BLOCKS}, ""),
        ({"blocks": BLOCKS, "text": None}, ""),
        ({"blocks": BLOCKS, "text": "Ada: hi"}, "Ada: hi"),
    ],
)
def test_the_forms_of_a_template_for_slack(value: object, text: str) -> None:
    assert parse_block_kit(value) == (BLOCKS, text)


@pytest.mark.parametrize(
    "value",
    ["text", None, {}, {"blocks": {}}, {"blocks": BLOCKS, "text": 1}, {"blocks": BLOCKS, "x": 1}],
)
def test_any_other_form_is_an_error(value: object) -> None:
    with pytest.raises(ValueError, match="must be a list of blocks"):
        parse_block_kit(value)
