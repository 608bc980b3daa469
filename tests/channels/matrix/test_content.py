"""A message as the content of an event."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from hypothesis import given

from relay.channels.matrix import content as module
from relay.channels.matrix.content import Image, render
from relay.messages.message import Content, Mention, Message
from tests.channels.builders import MESSAGE, opened
from tests.channels.matrix.house import BOB, BODY, House
from tests.channels.matrix.rooms import Room
from tests.channels.texts import messages

pytestmark = pytest.mark.anyio


async def test_the_longest_message_fits_into_an_event(room: Room) -> None:
    worst = Message(
        "t", Content("\\\\" * 20_000 + "\n\n" + "[“\\&”](https://x.example/&&&&) " * 2000)
    )
    async with opened(room.settings()) as channel:
        await channel.send(worst, "delivery-1")
        await channel.send(Message("t", Content("> &\\\n" * 12_000)), "delivery-2")
        await channel.send(Message("t", Content("- &\n" * 12_000)), "delivery-3")
        await channel.send(
            replace(MESSAGE, full=replace(MESSAGE.full, override="<p>" * 70_000)), "delivery-4"
        )
        await channel.send(Message("Only rules", Content("---\n\n" * 15_000)), "delivery-5")
    contents = [event["content"] for event in room.ada.messages(room.id)]
    assert all(len(content["body"]) > 100 for content in contents[:4])
    assert contents[4]["body"] == "Only rules"
    assert contents[0]["body"].endswith("…")
    assert "<strong>Ada Lovelace</strong>" in contents[3]["formatted_body"]


ALLOWED = {
    "p": set(),
    "strong": set(),
    "blockquote": set(),
    "br": set(),
    "sub": set(),
    "a": {"href"},
}


class Tags(HTMLParser):
    """Collects what a client shows of HTML."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.other: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


@given(messages)
def test_no_text_becomes_markup_or_a_mention(message: Message) -> None:
    content = module.render(message)
    assert content["m.mentions"] == {}
    assert len(json.dumps(content, ensure_ascii=False).encode()) < 50_000
    tags = Tags()
    tags.feed(content["formatted_body"])
    tags.close()
    assert tags.open == []
    assert tags.other == []
    for tag, attributes in tags.elements:
        assert attributes.keys() == ALLOWED[tag]
        assert attributes.get("href", message.url) == message.url


async def test_only_mentioned_people_are_notified_and_shown_as_pills(house: House) -> None:
    message = Message("T", Content(BODY), mentions=(house.mention(house.ada), Mention(BOB, "Bob")))
    async with house.channel() as channel:
        await channel.send(message, "1")

    [event] = house.bob.messages(house.room)
    content = event["content"]
    pill = f'<a href="https://matrix.to/#/{quote(house.ada.id, "@:")}">Ada</a>'
    assert content["m.mentions"] == {"user_ids": [house.ada.id]}
    assert content["formatted_body"] == f"<p>{pill} and @Bob, not @Ada</p>"
    assert content["body"] == "T\n\n@Ada and @Bob, not @Ada"
    assert len(house.ada.pings()) == 1
    assert house.bob.pings() == []


async def test_a_mention_missing_in_the_text_gets_a_line(house: House) -> None:
    mention = house.mention(house.ada)
    plain = render(Message("T", Content("Text"), mentions=(mention, Mention(BOB, "Bob"))))
    own = render(Message("T", Content("Text", override="<b>Own</b>"), mentions=(mention,)))
    named = render(
        Message(
            "T",
            Content("Text", override=f"<b>{mention.address('matrix')}</b>"),
            mentions=(mention,),
        )
    )

    for content in (plain, own, named):
        assert content["m.mentions"] == {"user_ids": [mention.address("matrix")]}
    assert plain["formatted_body"].count("matrix.to") == 1
    assert plain["body"] == "Text\n\n@Ada"
    assert own["formatted_body"].startswith("<b>Own</b><p><a href=")
    assert named["formatted_body"] == f"<b>{mention.address('matrix')}</b>"


def test_a_wide_picture_is_shown_smaller() -> None:
    content = render(Message("T", Content("x")), Image("mxc://a/b", 2000, 1000))

    assert 'width="400" height="200"' in content["formatted_body"]
    assert content["body"] == "T\n\nx"
