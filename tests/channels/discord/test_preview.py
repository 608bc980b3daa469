"""Preview of Discord messages."""

import json
from dataclasses import replace

from hypothesis import given

from relay.channels import render_preview
from relay.channels.discord.content import render
from relay.messages.message import Content, Message
from tests.channels.builders import MESSAGE
from tests.channels.discord.place import ADA, BODY, hook
from tests.channels.reader import Reader
from tests.channels.texts import messages


@given(messages)
def test_any_message_is_shown_without_markup_of_its_own(message: Message) -> None:
    preview = render_preview("discord", message)
    Reader(preview.html)
    assert json.loads(preview.source) == render(message)


def test_links_small_type_and_mentions_are_shown() -> None:
    message = replace(MESSAGE, full=Content(BODY, MESSAGE.full.footer), mentions=(ADA,))
    preview = render_preview("discord", message)
    reader = Reader(preview.html)
    assert "Hi @Ada@\u200bBob, not @\u200bAda" in reader.text
    assert {"preview-mention", "preview-context", "preview-embed"} <= reader.classes
    assert reader.links == [MESSAGE.url]
    assert preview.notifies


def test_times_are_shown_in_the_browsers_zone() -> None:
    markdown = r"[10:17](<relay-time:1785000000>) \<t:1:f\>"
    preview = render_preview("discord", replace(MESSAGE, full=Content(markdown, markdown)))
    assert preview.html.count("<time ") == 3  # with that of the message
    assert "<\u200bt:1:f>" in Reader(preview.html).text


def test_a_picture_is_shown_where_the_channel_has_pictures() -> None:
    message = replace(MESSAGE, picture="1", file="Landing page")
    settings = hook("https://discord.com", thumbnails=True)
    assert "preview-image" in render_preview("discord", message, None, settings).html
    assert "preview-image" not in render_preview("discord", message).html
