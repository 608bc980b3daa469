"""The Markdown of a chat as HTML."""

from hypothesis import given
from hypothesis import strategies as st

from relay.channels.markdown_preview import to_preview
from tests.channels.reader import Reader
from tests.channels.texts import HOSTILE, foreign


@given(st.one_of(foreign, st.sampled_from(HOSTILE)))
def test_any_text_is_safe_html(text: str) -> None:
    Reader(to_preview(text, {"@ada": "Ada <b>"}))


def test_only_a_whole_mention_is_shown_as_one() -> None:
    html = to_preview("@ada @adam <@1> @\u200bada", {"@ada": "Ada", "<@1>": "Bob"})
    assert Reader(html).text.strip() == "@Ada @adam @Bob @\u200bada"
    assert html.count("preview-mention") == 2


def test_line_ends_links_and_code() -> None:
    html = to_preview("a\nb <https://x.example> [c](https://y.example) `d`", {})
    assert "<br" in html
    assert Reader(html).links == ["https://x.example", "https://y.example"]
    assert "<code>d</code>" in html
