"""The stored form of a message, and its times."""

from dataclasses import replace

import pytest

from relay.messages.filters import when
from relay.messages.locale import Locale, using
from relay.messages.message import Author, Change, Content, Mention, Message
from tests.messages.clock import clock_at

ZOE = "6eaf5050-5d0e-81a4-8006-9a5f00000001"
ADA = "6eaf5050-5d0e-81a4-8006-9a5f00000002"


def test_dumps_and_loads_a_message() -> None:
    message = Message(
        "Title",
        Content("Body"),
        reply=Content("Short"),
        mentions=(Mention(ADA, "Ada", "ada@example.com", {"slack": "U1", "email": "a@x"}),),
        to=Mention(ZOE),
        picture="p",
        file="F",
    )

    assert Message.loads(message.dumps()) == message
    assert Message.loads('{"title": "old"}') == Message("old", Content(""))
    assert Message.loads('{"title": "new", "smell": "roses"}') == Message("new", Content(""))
    assert (message.in_thread().content.body, message.in_thread().picture) == ("Short", "")
    assert Message("a", Content("b")).in_thread().content == Content("b")


def test_the_times_of_a_message_that_waited_are_written_again() -> None:
    locale = Locale("en", "Europe/Madrid")
    with using(locale), clock_at("2026-07-25T12:00Z"):
        today = when("2026-07-25T08:17Z")
    content = Content(f"at {today}", f"{today}", "today 10:17")
    fallback = Message("Title", content, zone=locale.zone)
    message = replace(
        fallback,
        title="today 10:17",
        reply=content,
        entry=today,
        author=Author("Ada", full=content, reply=content),
        change=Change(fallback=fallback),
    )
    with clock_at("2026-07-25T21:59Z"):
        assert message.with_current_times() == message
    with clock_at("2026-07-25T22:00Z"):
        later = message.with_current_times()
        other = replace(message, zone="").with_current_times()
    yesterday = today.replace("today", "yesterday")
    link, later_link = (text.replace("\\", "\\\\") for text in (today, yesterday))
    assert later.dumps() == message.dumps().replace(link, later_link)
    assert later.full == Content(f"at {yesterday}", yesterday, "today 10:17")
    assert later.title == "today 10:17"
    assert "[today 08\\:17 UTC]" in other.full.body


@pytest.mark.parametrize(
    "place", ["full", "reply", "entry", "author.full", "author.reply", "fallback"]
)
@pytest.mark.parametrize("part", ["body", "footer"])
def test_a_time_in_any_one_place_is_written_again(place: str, part: str) -> None:
    with using(Locale("en", "Europe/Madrid")), clock_at("2026-07-25T12:00Z"):
        today = when("2026-07-25T08:17Z")
    content = Content(**{part: today})
    plain = Message("Title", Content("text"), zone="Europe/Madrid")
    message = {
        "full": replace(plain, full=content),
        "reply": replace(plain, reply=content),
        "entry": replace(plain, entry=today),
        "author.full": replace(plain, author=Author("Ada", full=content)),
        "author.reply": replace(plain, author=Author("Ada", reply=content)),
        "fallback": replace(plain, change=Change(fallback=replace(plain, full=content))),
    }[place]
    with clock_at("2026-07-25T22:00Z"):
        assert "yesterday" in message.with_current_times().dumps()
        assert plain.with_current_times() is plain
