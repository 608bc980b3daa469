"""A message as a card."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.channels.teams.content import MAX_SIZE, card, fits, render, size
from relay.messages.message import Content, Mention, Message
from tests.channels.builders import MESSAGE
from tests.channels.teams.place import ADA, BODY
from tests.channels.texts import HOSTILE, foreign, messages
from tests.servers.teams import check, elements, lines, pings, runs

PINGS = ["@channel", "@all", "@here", "<!channel>", "@everyone", "<@U123>", "<at>Ada</at>"]


def texts(message: Message) -> list[str]:
    return list(lines(card(render(message))))


@given(messages)
def test_no_text_pings_formats_or_breaks_a_limit(message: Message) -> None:
    body = render(message)
    made = card(body)
    check(made)
    assert list(pings(made)) == []
    assert made["msteams"] == {"width": "Full"}
    assert size(body) <= MAX_SIZE
    # Of the templates: a name is bold, and links are to Penpot or to the address that is shown.
    assert all({*run} <= {"type", "text", "weight", "selectAction", "size", "isSubtle"}
               for run in runs(made))  # fmt: skip
    assert {element["type"] for element in elements(made)} <= {"RichTextBlock", "Container"}
    for run in runs(made):
        if "selectAction" in run:
            url = run["selectAction"]["url"]
            assert url in ("https://penpot.example/#/view", run["text"])
    if fits(message):
        shown = "".join(lines(made))
        assert shown.count("…") == (message.full.body + message.full.footer).count("…")


@given(foreign, foreign, st.sampled_from(HOSTILE))
def test_no_name_of_a_person_who_is_pinged_pings_or_formats(
    name: str, other: str, comment: str
) -> None:
    people = tuple(
        Mention(str(number), text, addresses={"teams": f"user{number}@example.com"})
        for number, text in enumerate((name, other, name, "Ada 2", "Ada"))
    )
    made = card(render(replace(MESSAGE, title=comment, mentions=people)))
    check(made)
    assert list(pings(made)) == [person.address("teams") for person in people]
    first, *others = elements(made)
    assert first["type"] == "TextBlock"
    assert all(element["type"] != "TextBlock" for element in others)
    tags = [entity["text"] for entity in made["msteams"]["entities"]]
    assert first["text"] == " ".join(tags)
    assert len(set(tags)) == len(tags)
    for entity in made["msteams"]["entities"]:
        shown = entity["mentioned"]["name"]
        assert entity["text"] == f"<at>{shown}</at>"
        assert 0 < len(shown) <= 64
        assert not set(shown) & set("*_[]()<>`~#&@\\/.:|\n")


@pytest.mark.parametrize("ping", PINGS)
def test_a_ping_of_another_chat_is_text(ping: str) -> None:
    escaped = "".join(f"\\{each}" if not each.isalnum() else each for each in ping)
    message = Message("T", Content(f"**{escaped}**\n\n> {escaped}", escaped), mentions=(ADA,))
    made = card(render(message))
    assert list(pings(made)) == ["ada@example.com"]
    first, *rest = [text.replace("\u200b", "") for text in lines(made)]
    assert (first, rest) == ("<at>Ada</at>", [ping] * 3)


def test_names_are_shown_with_their_letters() -> None:
    names = [
        "Ada Lovelace",
        "Zoë O\u2019Neill-Król",
        "नेहा",
        "J. R. (Tolkien)",
        "\u0338 \u0301a",
        "***",
    ]
    people = [
        Mention(str(number), name, addresses={"teams": f"{number}x@example.com"})
        for number, name in enumerate(names)
    ]
    made = card(render(replace(MESSAGE, mentions=tuple(people))))
    shown = [entity["mentioned"]["name"] for entity in made["msteams"]["entities"]]
    assert shown == ["Ada Lovelace", "Zoë O\u2019Neill-Król", "नेहा", "J R Tolkien", "a", "5x"]


def test_more_people_than_a_message_may_mention_are_pinged_as_far_as_possible() -> None:
    people = tuple(
        Mention(str(number), "N" * 100, addresses={"teams": f"{'x' * 60}{number}@example.com"})
        for number in range(50)
    )
    body = render(replace(MESSAGE, mentions=people))
    assert len(list(pings(card(body)))) == 20
    assert size(body) <= MAX_SIZE


def test_somebody_mentioned_twice_is_pinged_once() -> None:
    message = Message("T", Content("x"), mentions=(ADA, replace(ADA, id="other")))
    assert list(pings(card(render(message)))) == ["ada@example.com"]


def test_a_person_who_is_pinged_stands_out_in_the_text() -> None:
    made = card(render(Message("T", Content(BODY, BODY), mentions=(ADA,))))
    accents = [run["text"] for run in runs(made) if "color" in run]
    assert accents == ["@Ada"]  # not in the footer


def test_long_texts_and_footers_do_not_fit() -> None:
    assert fits(MESSAGE)
    assert not fits(replace(MESSAGE, full=Content("x" * 14_000)))
    assert not fits(replace(MESSAGE, full=Content("\\*" * 14_000)))
    assert not fits(replace(MESSAGE, full=Content("x", "f" * 301)))


def test_a_footer_with_too_long_addresses_has_none() -> None:
    footer = "Acme · [Open](https://x.example/%s)" % ("y" * 9000)
    made = card(render(replace(MESSAGE, full=Content("x", footer))))
    *_, last = runs(made)
    assert last == {"type": "TextRun", "text": "Acme · Open", "size": "Small", "isSubtle": True}


def test_a_link_that_needs_all_of_the_room_is_left_out() -> None:
    body = "[words](https://x.example/%s)" % ("y" * 30_000)
    assert texts(replace(MESSAGE, full=Content(body))) == ["words"]


def test_a_message_without_words_shows_its_title() -> None:
    assert texts(Message("Only a title_")) == ["Only a title_"]
    assert texts(Message("")) == ["Penpot"]


def test_a_time_is_shown_in_words() -> None:
    markdown = "[yesterday 10:17](<relay-time:1785000000>)"
    assert texts(Message("T", Content(markdown))) == ["yesterday 10:17"]


def test_the_size_is_that_of_the_encoding_that_needs_more() -> None:
    assert size({"a": "x"}) == 18
    assert size({"a": "界" * 10}) == len(json.dumps({"a": "界" * 10}, ensure_ascii=False,
                                            separators=(",", ":")).encode())  # fmt: skip
