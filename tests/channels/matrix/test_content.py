"""A message as the content of an event."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.channels.matrix import content as module
from relay.channels.matrix.content import Image, image_content, render
from relay.delivery.notices import NOTICES
from relay.messages.filters import when
from relay.messages.message import Change, Content, Mention, Message
from relay.penpot.catalogue import CATALOGUE
from relay.preview import render_previews
from tests.channels.builders import MESSAGE, opened
from tests.channels.matrix.house import ADA, BOB, BODY, PICTURE, House
from tests.channels.matrix.rooms import Room
from tests.channels.texts import foreign, messages
from tests.messages.clock import clock_at

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
        if tag not in ("br", "hr", "img"):
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
    image = Image("mxc://a/b", replace(PICTURE, width=2000, height=1000))
    content = render(Message("T", Content("x")), image)

    assert 'width="400" height="200"' in content["formatted_body"]
    assert content["body"] == "T\n\nx"


# https://spec.matrix.org/v1.16/client-server-api/#mroommessage-msgtypes: what clients must not
# remove. Of src and href also the schemes.
PLAIN_TAGS = {
    *("del", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "p", "ul", "sup", "sub", "li", "b"),
    *("i", "u", "strong", "em", "s", "hr", "br", "table", "thead", "tbody", "tr", "th", "td"),
    *("caption", "pre", "details", "summary"),
}
SPECIFIED = {tag: set[str]() for tag in PLAIN_TAGS} | {
    "span": {"data-mx-bg-color", "data-mx-color", "data-mx-spoiler", "data-mx-maths"},
    "a": {"target", "href"},
    "img": {"width", "height", "alt", "title", "src"},
    "ol": {"start"},
    "code": {"class"},
    "div": {"data-mx-maths"},
}
LINKS = ("https://", "http://", "ftp://", "mailto:", "magnet:")


def assert_specified(html: str) -> None:
    tags = Tags()
    tags.feed(html)
    tags.close()
    assert (tags.open, tags.other) == ([], [])
    for tag, attributes in tags.elements:
        assert attributes.keys() <= SPECIFIED[tag], tag
        assert (attributes.get("href") or "https://").startswith(LINKS)
        assert (attributes.get("src") or "mxc://").startswith("mxc://")


IMAGE = Image("mxc://relay.test/a", PICTURE)


MARKUP = [
    *("# h", "###### h", "> quote\n> > more", "- a\n  - b\n- c", "7. x\n8. y", "---", "a\\\nb"),
    *("```html\ncode\n```", "**b** *i* ~~s~~ `c`", "![alt](https://a.example)", "<b>x</b>"),
    *("[link](https://a.example/?x=1&y=2 'title')", "| a |\n|---|\n| b |"),
    f"[x](<penpot-profile:{ADA}>)",
]


@given(st.lists(st.sampled_from(MARKUP) | foreign).map("\n\n".join))
def test_all_markup_is_in_the_specification(body: str) -> None:
    mentions = (Mention(ADA, "Ada", addresses={"matrix": "@ada:relay.test"}),)
    message = Message("T", Content(body, body), mentions=mentions, file=body)
    assert_specified(render(message, IMAGE)["formatted_body"])


@pytest.mark.parametrize("name", [*CATALOGUE, *NOTICES])
def test_every_kind_of_message(name: str) -> None:
    """What it says to a room: the allowed elements, one address in the plain text, and a
    notification for what people say and for alerts."""
    line, *edited = map(json.loads, render_previews(None, name, kind="matrix"))
    is_said = name in NOTICES or name in SAID
    assert line["msgtype"] == ("m.text" if is_said else "m.notice")
    assert [content["msgtype"] for content in edited] == ["m.text"] * len(edited)
    for content in (line, *edited):
        assert_specified(content["formatted_body"])
        first, *others = content["body"].splitlines()
        assert "://" not in first
        assert "://" not in "\n".join(others[:-1])


SAID = {"create-comment-thread", "create-comment", "update-comment"}


def test_a_time_is_its_words() -> None:
    with clock_at("2026-07-25T12:00Z"):
        time = when("2026-07-25T08:17Z")
    content = render(Message("T", Content(f"a *{time}*", f"at {time}")))
    words = "today 08:17 UTC"
    assert content["formatted_body"] == (f"<p>a <em>{words}</em></p><p><sub>at {words}</sub></p>")
    assert content["body"] == f"T\n\na {words}\n\nat {words}"


def test_what_pings_or_edits_notifies() -> None:
    message = Message("T", Content("x"), activity=True)
    ada = Mention(ADA, "Ada", addresses={"matrix": "@ada:relay.test"})
    assert render(message)["msgtype"] == "m.notice"
    assert render(replace(message, mentions=(Mention(BOB, "Bob"),)))["msgtype"] == "m.notice"
    assert render(replace(message, mentions=(ada,)))["msgtype"] == "m.text"
    assert render(replace(message, to=ada))["msgtype"] == "m.text"
    assert render(replace(message, change=Change()))["msgtype"] == "m.text"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Landing page", "Landing page.png"),
        ("", "Thumbnail.png"),
        ("../..", "_.png"),
        ('a/b\\c:d*"<>|\ne', "a_b_c_d_ e.png"),
        ("\u202egnp.exe", "gnp.exe.png"),
        ("x" * 300, "x" * 200 + ".png"),
    ],
)
def test_an_image_has_a_safe_file_name(name: str, expected: str) -> None:
    assert image_content(IMAGE, name)["body"] == expected
