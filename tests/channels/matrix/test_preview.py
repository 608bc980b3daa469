"""Preview of Matrix messages."""

from dataclasses import replace

import pytest
from hypothesis import given

from relay.channels import render_preview
from relay.channels.matrix.preview import sanitized
from relay.messages.escape import clean
from relay.messages.message import Mention, Message
from tests.channels import builders
from tests.channels.matrix.house import MESSAGE
from tests.channels.reader import Reader
from tests.channels.texts import HOSTILE, foreign, messages


@given(messages)
def test_text_is_complete_and_never_markup(message: Message) -> None:
    reader = Reader(render_preview("matrix", message).html)
    name = clean(message.event).replace("\xa0", " ").strip()
    assert name in reader.text.replace("\xa0", " ")
    assert set(reader.links) <= {"https://penpot.example/#/view"}


@given(foreign)
def test_a_templates_html_is_limited_to_the_specification(html: str) -> None:
    Reader(sanitized(html))
    Reader(
        render_preview("matrix", replace(MESSAGE, full=replace(MESSAGE.full, override=html))).html
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_a_templates_hostile_html_runs_nothing(text: str) -> None:
    html = render_preview(
        "matrix",
        replace(
            MESSAGE, full=replace(MESSAGE.full, override=f'<p onclick="x" style="y">{text}</p>')
        ),
    ).html
    Reader(html)
    assert not any(word in html for word in ("<script", "onerror=", "style=", "onclick"))


@pytest.mark.parametrize(
    ("html", "expected"),
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
            '<span class="preview-image" role="img" aria-label="Board">Board</span>',
        ),
        (
            '<a href="https://matrix.to/#/@ada:relay.test">Ada</a>',
            '<span class="preview-pill" title="@ada:relay.test">Ada</span>',
        ),
    ],
)
def test_sanitized_html(html: str, expected: str) -> None:
    assert sanitized(html) == expected


def test_a_message_with_quote_pill_and_picture() -> None:
    ada = Mention(
        "11111111-0000-0000-0000-000000000000", "Ada", addresses={"matrix": "@ada:relay.test"}
    )
    preview = render_preview("matrix", replace(MESSAGE, mentions=(ada,), picture="media"))
    reader = Reader(preview.html)
    assert "Ada Lovelace commented on Landing page" in reader.text
    assert {"preview-pill", "preview-image"} <= reader.classes
    assert {"blockquote", "sub"} <= set(reader.tags)
    assert preview.title == MESSAGE.notice
    assert preview.text == (
        f"{MESSAGE.notice}\n\n@Ada\n\nAcme › Website › Landing page\n{MESSAGE.url}"
    )


def test_too_long_html_is_replaced_with_a_note() -> None:
    preview = render_preview(
        "matrix", replace(MESSAGE, full=replace(MESSAGE.full, override="x" * 60_000))
    )
    assert "Landing page" in preview.html
    assert "too long" in preview.note


@pytest.mark.parametrize("activity", [True, False])
def test_an_image_is_shown_once(activity: bool) -> None:
    message = replace(MESSAGE, picture="media", file="Page", activity=activity)
    settings = builders.matrix("https://m.example.org")
    for thumbnails in (True, "image"):
        shown = settings.model_copy(update={"thumbnails": thumbnails})
        html = render_preview("matrix", message, None, shown).html
        assert html.count('class="preview-image"') == 1
        is_below = html.rindex('class="preview-image"') > html.rindex("</sub>")
        assert is_below == (thumbnails == "image" and not activity)
