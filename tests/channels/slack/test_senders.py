"""A comment's author as the sender of its message in Slack."""

import logging
from dataclasses import replace
from typing import Any

import pytest

from relay.channels.base import EditableChannel, Misconfigured, ReplyTo
from relay.channels.slack import senders as slack_senders
from relay.channels.slack.senders import SENDER_SCOPE
from relay.messages.message import Author, Content, Message
from tests.channels.slack.workplace import PICTURE, Workplace, workplace
from tests.servers.fixtures import RunningSlack
from tests.servers.slack import SCOPES
from tests.servers.slack_rules import rich_words

pytestmark = pytest.mark.anyio

FACE = "https://avatars.slack-edge.com/2026-01-30/4703448917447_873b33c8a4d1_72.jpg"
ADA = Author(
    "Ada Lovelace", "ada@example.com", Content("Landing page · Page 1"), Content("> Just the words")
)
COMMENT = Message(
    "Ada Lovelace commented on Landing page",
    Content("**Ada Lovelace** commented on Landing page"),
    Content("**Ada Lovelace** replied"),
    event="create-comment",
    author=ADA,
)
SENDER = {"username": "Ada Lovelace · Penpot", "icon_url": FACE}


def with_face(server: RunningSlack, url: object = FACE) -> RunningSlack:
    server.slack.user = {"profile": {"image_72": url, "image_24": "https://other.example/a.png"}}
    return server


def sender_of(message: Any) -> dict[str, str]:
    return {name: message[name] for name in ("username", "icon_url") if name in message}


async def posted(place: Workplace, message: Message = COMMENT, **more: Any) -> Any:
    await place.channel.send(message, "key", **more)
    return place.server.messages[-1]


async def edited(place: Workplace, message: Message = COMMENT) -> Any:
    assert isinstance(place.channel, EditableChannel)
    ts = next(iter(place.server.shown))
    await place.channel.update(ts, message, "key")
    return place.server.shown[ts]


async def test_a_comment_has_its_authors_name_picture_and_words(slack_server: RunningSlack) -> None:
    async with workplace(with_face(slack_server), author_as_sender=True) as place:
        first = await posted(place)
        reply = await posted(
            place, COMMENT.in_thread(), thread=ReplyTo(*place.server.posted, "", "")
        )

    assert sender_of(first) == sender_of(reply) == SENDER
    assert rich_words(first["blocks"]) == "Landing page · Page 1"
    assert rich_words(reply["blocks"]) == "Just the words"
    assert first["text"] == "Ada Lovelace commented on Landing page"
    assert place.server.calls.count("users.lookupByEmail") == 1


async def test_the_bot_posts_what_has_no_author(slack_server: RunningSlack) -> None:
    async with workplace(with_face(slack_server), author_as_sender=True) as place:
        message = await posted(place, replace(COMMENT, author=None))
    async with workplace(slack_server) as place:  # its setting was changed after the fan-out
        other = await posted(place)

    for each in (message, other):
        assert sender_of(each) == {}
        assert rich_words(each["blocks"]).startswith("Ada Lovelace commented")
    assert place.server.calls == ["chat.postMessage"] * 2


async def test_a_reply_that_shows_in_the_channel_too_is_the_bots(
    slack_server: RunningSlack,
) -> None:
    more = {"author_as_sender": True, "broadcast": True}
    async with workplace(with_face(slack_server), **more) as place:
        first = await posted(place)
        reply = await posted(
            place, COMMENT.in_thread(), thread=ReplyTo(*place.server.posted, "", "")
        )

    assert sender_of(first) == SENDER
    assert sender_of(reply) == {}
    assert rich_words(reply["blocks"]) == "Ada Lovelace replied"


async def test_an_edit_keeps_the_sender_also_after_a_restart(slack_server: RunningSlack) -> None:
    async with workplace(with_face(slack_server), author_as_sender=True) as place:
        await posted(place, picture=PICTURE)
        slack_server.slack.users.clear()  # the picture is not looked up again
        await place.again()
        shown = await edited(place)
        assert sender_of(shown) == SENDER
        assert rich_words(shown["blocks"]) == "Landing page · Page 1"
        assert place.server.calls.count("users.lookupByEmail") == 1

        # As after a deletion: the placeholder has no words of its own for a sender.
        author = replace(ADA, full=None, reply=None)
        shown = await edited(place, replace(COMMENT, full=Content("*Deleted*"), author=author))
        assert sender_of(shown) == SENDER
        assert rich_words(shown["blocks"]) == "Deleted"

        shown = await edited(place, replace(COMMENT, author=None))
        assert sender_of(shown) == {}  # Slack drops what an edit does not repeat


async def test_an_edit_whose_sender_slack_drops_names_the_author(
    slack_server: RunningSlack,
) -> None:
    slack_server.slack.ignores_senders = frozenset({"chat.update"})
    async with workplace(with_face(slack_server), author_as_sender=True) as place:
        await posted(place)
        shown = await edited(place)
        assert sender_of(shown) == {}
        assert rich_words(shown["blocks"]) == "Ada Lovelace commented on Landing page"

        assert sender_of(await posted(place)) == SENDER


@pytest.mark.parametrize("names_scopes", [True, False])
@pytest.mark.parametrize("ignored", [(), ("chat.postMessage", "chat.update")])
async def test_without_the_scope_the_bot_posts_as_before(
    slack_server: RunningSlack,
    names_scopes: bool,
    ignored: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    slack = slack_server.slack
    slack.names_scopes, slack.ignores_senders = names_scopes, frozenset(ignored)
    slack.scopes = SCOPES - {SENDER_SCOPE}
    async with workplace(with_face(slack_server), author_as_sender=True) as place:
        for _ in range(3):
            message = await posted(place)
            assert sender_of(message) == {}
            assert rich_words(message["blocks"]).startswith("Ada Lovelace commented")
        assert rich_words((await edited(place))["blocks"]).startswith("Ada Lovelace commented")

    assert slack.calls == ["auth.test", *["chat.postMessage"] * 3, "chat.update"]
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == 1
    reason = f"give the Slack app the scope {SENDER_SCOPE} and reinstall it"
    assert (reason if names_scopes else "let the proxy in between pass their header") in caplog.text


async def test_a_scope_that_is_taken_away_and_given_back(
    slack_server: RunningSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slack_senders, "REFUSED_DELAY", 0.0)
    async with workplace(with_face(slack_server), author_as_sender=True) as place:
        assert sender_of(await posted(place)) == SENDER
        place.server.scopes = SCOPES - {SENDER_SCOPE}
        for _ in range(2):  # Slack refuses the first one, whose answer names the scopes
            assert sender_of(await posted(place)) == {}
        assert sender_of(await edited(place)) == {}
        place.server.scopes = SCOPES
        await posted(place)
        assert sender_of(await posted(place)) == SENDER


async def test_a_missing_scope_to_post_stops_the_queue(slack_server: RunningSlack) -> None:
    slack_server.slack.scopes = frozenset({SENDER_SCOPE})
    async with workplace(slack_server, author_as_sender=True) as place:
        with pytest.raises(Misconfigured, match="missing_scope"):
            await posted(place)


async def test_a_failed_question_for_the_scopes_costs_no_message(
    slack_server: RunningSlack, caplog: pytest.LogCaptureFixture
) -> None:
    async with workplace(with_face(slack_server), author_as_sender=True) as place:
        slack_server.slack.next.append("internal_error")
        assert sender_of(await posted(place)) == {}
        assert sender_of(await posted(place)) == SENDER  # the first answer named the scopes
    assert "Slack did not say which scopes the token has (internal_error" in caplog.text
    assert SENDER_SCOPE not in caplog.text


async def test_a_failed_question_for_the_scopes_is_asked_again(
    slack_server: RunningSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no other answer names them."""
    monkeypatch.setattr(slack_senders, "REFUSED_DELAY", 0.0)
    slack_server.slack.names_scopes = False
    async with workplace(with_face(slack_server), author_as_sender=True) as place:
        assert sender_of(await posted(place)) == {}
        slack_server.slack.names_scopes = True
        assert sender_of(await posted(place)) == SENDER


@pytest.mark.parametrize(
    "url",
    [
        "https://secure.gravatar.com/avatar/06f1a2f73d247.jpg?s=72&d=https%3A%2F%2Fa.slack-edge.com",
        "https://avatars.slack-edge.com.evil.example/a.png",
        "https://avatars.slack-edge.com@evil.example/a.png",
        "https://evil.example@avatars.slack-edge.com/a.png",
        "https://evilslack-edge.com/a.png",
        "http://avatars.slack-edge.com/a.png",
        "https://avatars.slack-edge.com/" + "a" * 1000,
        "https://[::1/a.slack-edge.com",
        "https://avatars.slack-edge.com/ä.png",
        "",
        7,
        None,
    ],
)
async def test_only_a_picture_that_slack_stores_is_shown(
    slack_server: RunningSlack, url: object
) -> None:
    async with workplace(with_face(slack_server, url), author_as_sender=True) as place:
        assert sender_of(await posted(place)) == {"username": "Ada Lovelace · Penpot"}


async def test_a_person_whom_slack_does_not_know_has_a_name_only(
    slack_server: RunningSlack,
) -> None:
    unknown = replace(COMMENT, author=replace(ADA, email="bob@example.com"))
    nameless = replace(COMMENT, author=replace(ADA, email=""))
    async with workplace(with_face(slack_server), author_as_sender=True) as place:
        for message in (unknown, unknown, nameless):
            assert sender_of(await posted(place, message)) == {"username": "Ada Lovelace · Penpot"}
        assert place.server.calls.count("users.lookupByEmail") == 1

        place.server.next.extend(["ratelimited"])
        assert sender_of(await posted(place)) == {"username": "Ada Lovelace · Penpot"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ada\u202e <!channel>\n*x*", "Ada <!channel> *x* · Penpot"),
        ("أحمد", "\u2068أحمد\u2069 · Penpot"),
    ],
)
async def test_a_name_can_not_reorder_what_follows_it(
    slack_server: RunningSlack, name: str, shown: str
) -> None:
    message = replace(COMMENT, author=replace(ADA, name=name))
    async with workplace(slack_server, author_as_sender=True) as place:
        assert (await posted(place, message))["username"] == shown


async def test_a_long_name_is_cut_before_penpots(slack_server: RunningSlack) -> None:
    long = replace(COMMENT, author=replace(ADA, name="👩‍💻" * 200))
    async with workplace(slack_server, author_as_sender=True) as place:
        name = (await posted(place, long))["username"]
    assert name.endswith("… · Penpot")
    assert len(name) <= 80
