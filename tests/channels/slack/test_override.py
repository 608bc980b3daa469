import pytest

from relay.channels.slack.override import escape, parse_block_kit

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
