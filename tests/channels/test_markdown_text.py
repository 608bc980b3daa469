"""A message as one text in the Markdown of a chat."""

from dataclasses import replace

import pytest

from relay.channels.markdown_text import MarkdownText, utf16_length
from relay.channels.mattermost.content import DIALECT
from relay.messages.message import Content, Mention, Message

TEXT = MarkdownText(dialect=DIALECT, people="chat", max_length=1000)
UTF16 = replace(TEXT, size=utf16_length)
ADA = Mention("1", "Ada", addresses={"chat": "ada"})


def test_the_footer_follows_the_body_and_a_title_stands_in_for_both() -> None:
    assert TEXT.render(Message("T", Content("body", "footer"))) == "body\n\nfooter"
    assert TEXT.render(Message("- T")) == "\\- T"
    assert TEXT.render(Message("")) == "Penpot"


def test_only_people_with_a_name_in_this_chat_are_pinged() -> None:
    other = Mention("2", "Bob", addresses={"another": "bob"})
    message = Message("T", Content("body"), mentions=(ADA, other))
    assert TEXT.pinged(message) == [ADA]
    assert TEXT.render(message) == "body\n\n@ada\u200b"


@pytest.mark.parametrize("limit", [100, 0])
def test_a_text_is_cut_to_the_limit_as_the_chat_counts(limit: int) -> None:
    message = Message("T", Content("😀" * 2000, "footer"))
    for text, count in ((TEXT, len), (UTF16, utf16_length)):
        shown = text.render(message, limit)
        assert count(shown) <= (limit or 1000)
        assert shown.endswith("…\n\nfooter")
        assert not text.fits(message)
    assert len(TEXT.render(message)) > 900 > len(UTF16.render(message))


def test_what_has_its_whole_text_in_one_message_fits() -> None:
    fitting = Message("T", Content("x" * 900, "footer"))
    assert TEXT.fits(fitting)
    assert not TEXT.fits(replace(fitting, full=Content("x", "f" * 301)))
