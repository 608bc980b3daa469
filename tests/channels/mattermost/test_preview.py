"""Preview of Mattermost messages."""

import json
from dataclasses import replace

from hypothesis import given

from relay.channels import render_preview
from relay.channels.base import ReplyTo
from relay.channels.mattermost.content import TEXT
from relay.messages.message import Content, Message
from tests.channels.builders import MESSAGE
from tests.channels.mattermost.place import ADA, BODY, bot, hook
from tests.channels.reader import Reader
from tests.channels.texts import messages


@given(messages)
def test_any_message_is_shown_without_markup_of_its_own(message: Message) -> None:
    preview = render_preview("mattermost", message)
    Reader(preview.html)
    assert json.loads(preview.source) == {"message": TEXT.render(message)}


def test_links_and_mentions_are_shown() -> None:
    message = replace(MESSAGE, full=Content(BODY, MESSAGE.full.footer), mentions=(ADA,))
    preview = render_preview("mattermost", message)
    reader = Reader(preview.html)
    assert "Hi @ada\u200b@\u200bBob, not @\u200bAda" in reader.text
    assert "preview-mention" in reader.classes
    assert reader.links == [MESSAGE.url]
    assert preview.notifies


def test_each_way_is_shown_with_its_keys() -> None:
    settings = hook("https://chat.example.com", username="Design")
    preview = render_preview("mattermost", MESSAGE, None, settings)
    assert json.loads(preview.source).keys() == {"text"}
    assert "Design" in Reader(preview.html).text
    settings = bot("https://chat.example.com", thumbnails=True)
    thread = ReplyTo("root", "root", "T")
    preview = render_preview("mattermost", MESSAGE, thread, settings)
    assert json.loads(preview.source)["root_id"] == "root"
    assert "preview-image" not in preview.html
    message = replace(MESSAGE, picture="1", file="Landing page")
    assert "preview-image" in render_preview("mattermost", message, None, settings).html
