"""A Matrix message as a client shows it."""

from dataclasses import replace

import pytest
from hypothesis import given

from relay.inspector.look import shown
from relay.inspector.look.matrix import sanitized
from relay.messages.escape import clean
from relay.messages.message import Mention, Message
from tests.channels.builders import MESSAGE
from tests.channels.texts import HOSTILE, foreign, messages
from tests.inspector.look.reader import Reader


@given(messages)
def test_no_text_becomes_markup_and_none_is_lost(message: Message) -> None:
    reader = Reader(shown("matrix", message).html)
    name = clean(message.event).replace("\xa0", " ").strip()
    assert name in reader.text.replace("\xa0", " ")
    assert set(reader.links) <= {"https://penpot.example/#/view"}


@given(foreign)
def test_html_of_a_template_shows_what_the_specification_permits(html: str) -> None:
    Reader(sanitized(html))
    Reader(shown("matrix", replace(MESSAGE, override=html)).html)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_html_of_a_template_runs_nothing(text: str) -> None:
    html = shown("matrix", replace(MESSAGE, override=f'<p onclick="x" style="y">{text}</p>')).html
    Reader(html)
    assert not any(word in html for word in ("<script", "onerror=", "style=", "onclick"))


@pytest.mark.parametrize(
    ("html", "seen"),
    [
        ("<mx-reply>before</mx-reply>now", "now"),
        ("<script>x</script><style>y</style>z", "z"),
        ('<a href="javascript:x">y</a>', "y"),
        ('<span data-mx-color="#ff0000">red</span>', '<font color="#ff0000">red</font>'),
        ('<span data-mx-color="red">x</span>', "<span>x</span>"),
        ('<ol start="3"><li>x</li></ol>', '<ol start="3"><li>x</li></ol>'),
        ("<marquee>x</marquee>", "x"),
        (
            '<img src="https://x.example/y.png" alt="Board">',
            '<span class="look-image" role="img" aria-label="Board">Board</span>',
        ),
        (
            '<a href="https://matrix.to/#/@ada:relay.test">Ada</a>',
            '<span class="look-pill" title="@ada:relay.test">Ada</span>',
        ),
    ],
)
def test_a_client_shows(html: str, seen: str) -> None:
    assert sanitized(html) == seen


def test_a_message_stands_there_with_its_quote_its_pill_and_its_picture() -> None:
    ada = Mention("11111111-0000-0000-0000-000000000000", "Ada", matrix="@ada:relay.test")
    look = shown("matrix", replace(MESSAGE, mentions=(ada,), picture="media", file="Page"))
    reader = Reader(look.html)
    assert "Ada Lovelace commented on Landing page" in reader.text
    assert {"look-pill", "look-image"} <= reader.classes
    assert {"blockquote", "sub"} <= set(reader.tags)
    assert look.text.startswith("Ada Lovelace commented on Landing page (https://")


def test_html_that_is_too_long_for_an_event_gives_way_and_the_look_says_so() -> None:
    look = shown("matrix", replace(MESSAGE, override="x" * 60_000))
    assert "Landing page" in look.html
    assert "too long" in look.note
