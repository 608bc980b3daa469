"""Preview of Rocket.Chat messages."""

import json
from dataclasses import replace
from urllib.parse import unquote

from hypothesis import given, settings

from relay.channels import render_preview
from relay.channels.rocketchat.content import TEXT
from relay.channels.rocketchat.preview import draw
from relay.messages.message import Content, Message
from tests.channels.builders import MESSAGE
from tests.channels.marked import visible
from tests.channels.reader import Reader
from tests.channels.rocketchat.place import ADA, BODY, hook
from tests.channels.rocketchat.test_content import foreign
from tests.channels.texts import carrying, messages
from tests.servers.rocketchat_parser import ShownInRocketChat


@given(messages)
def test_any_message_is_shown_without_markup_of_its_own(message: Message) -> None:
    preview = render_preview("rocketchat", message)
    Reader(preview.html)
    assert json.loads(preview.source) == {"text": TEXT.render(message), "parseUrls": False}


@settings(max_examples=50)
@given(foreign, foreign)
def test_the_preview_shows_what_rocketchats_own_parser_reads(name: str, comment: str) -> None:
    text = TEXT.render(carrying(name, comment))
    shown, read = Reader(draw(text, {})), ShownInRocketChat(text)
    assert visible(shown.text).split() == visible(read.text).split()
    assert [*map(unquote, shown.links)] == [unquote(target) for _, target in read.links]


def test_links_mentions_and_styles_are_shown() -> None:
    body = rf"{BODY} **b\*** **b** *i* ~~s~~ `c *d*`"
    message = replace(MESSAGE, full=Content(body, MESSAGE.full.footer), mentions=(ADA,))
    preview = render_preview("rocketchat", message)
    reader = Reader(preview.html)
    assert "Hi @ada\u200b@\u200bBob, not @\u200bAda b* b i s c *d*" in reader.text
    assert "preview-mention" in reader.classes
    assert reader.links == [MESSAGE.url]
    assert preview.notifies
    for tag in ("<strong>b</strong>", "<em>i</em>", "<s>s</s>", "<code>c *d*</code>"):
        assert tag in preview.html


def test_the_sender_is_shown() -> None:
    settings = hook("https://chat.example.com", username="Design")
    preview = render_preview("rocketchat", MESSAGE, None, settings)
    assert json.loads(preview.source)["username"] == "Design"
    assert "Design" in Reader(preview.html).text
