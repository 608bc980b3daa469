"""What each channel gets when a comment was resolved, reopened, edited or deleted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from relay.config import AnyChannel
from relay.delivery.people import pinged
from relay.delivery.rewording import ChangeRenderer, is_own
from relay.delivery.wording import RenderedMessage
from relay.examples import example
from relay.messages.message import Change, Message
from relay.messages.templates import Templates
from relay.penpot.events import Event
from relay.penpot.links import add_links

pytestmark = pytest.mark.anyio

ADA = "28fbd360-8a3c-81b0-8004-6c1b90e4c571"
SLACK = {"type": "slack", "token": "t", "channel": "#a"}
HOOK = {"type": "slack", "webhook_url": "https://h/x"}
MATRIX = {"type": "matrix", "homeserver": "http://m", "access_token": "t", "room": "!a:m"}
DIRECT = {"type": "slack", "token": "t", "direct": "mentioned"}
MAIL = {"type": "email", "to": ["a@b.c"], "sender": "p@b.c", "smtp": {"host": "h"}}
STDOUT = {"type": "stdout"}
OWN = ("resolve-comment-thread", "reopen-comment-thread", "update-comment", "delete-comment")


async def stored(
    event: Event, templates: Path | None = None, picture: str = "", **settings: Any
) -> list[RenderedMessage]:
    linked = add_links(event, "https://design.example.com")
    wording = ChangeRenderer(Templates(templates), linked, "acme", pinged(linked, {}), picture)
    kind: TypeAdapter[AnyChannel] = TypeAdapter(AnyChannel)
    found = await wording.messages(kind.validate_python({"name": "a"} | settings))
    assert not wording.problems
    return found


async def worded(event: Event, **settings: Any) -> list[Message]:
    return [Message.loads(one.message) for one in await stored(event, **settings)]


async def changes(name: str, **settings: Any) -> list[Change | None]:
    return [one.change for one in await worded(example(name), **settings)]


@pytest.mark.parametrize("settings", [SLACK, MATRIX])
async def test_a_resolved_thread_gets_a_line_and_its_first_message_a_mark(
    settings: dict[str, Any],
) -> None:
    event = example("resolve-comment-thread")

    line, first = await worded(event, **settings)
    _, again = await worded(example("reopen-comment-thread"), **settings)

    assert (line.change, line.in_thread().body, line.mentions) == (None, "✓ Resolved", ())
    assert first.change == Change()
    assert first.event == "create-comment-thread"
    assert first.body.startswith("**Ada Lovelace** commented on")
    assert "· ✓ resolved" in first.body
    assert [one.name for one in first.mentions] == ["Grace Hopper"]
    assert "✓" not in again.body
    assert again.body == first.body.replace("\n· ✓ resolved", "")


async def test_a_thread_whose_first_comment_was_deleted_is_resolved_in_a_line() -> None:
    """The text that Penpot lists then is the next comment's, which stands elsewhere."""
    event = example("resolve-comment-thread")
    rest = replace(event.comment, text="", is_first=False)
    (line,) = await worded(replace(event, comment=rest), **SLACK)
    assert (line.change, line.in_thread().body) == (None, "✓ Resolved")


async def test_the_marked_message_is_the_only_one_that_the_store_finds_again() -> None:
    event = example("resolve-comment-thread")

    line, first = await stored(event, **SLACK)

    assert line[1:] == ("", "")
    assert first[1:] == (event.thread.id, "")


async def test_an_edited_comment_is_shown_by_its_own_template(tmp_path: Path) -> None:
    (tmp_path / "create-comment.md.j2").write_text("MINE {{ comment.text }}")

    (message,) = await stored(example("update-comment"), tmp_path, **SLACK)

    assert Message.loads(message.message).body.startswith("MINE Good catch")
    assert message[1:] == (
        example("update-comment").thread.id,
        example("update-comment").comment.id,
    )


async def test_an_edit_is_marked_where_the_channel_does_not_do_so() -> None:
    (slack,) = await worded(example("update-comment"), **SLACK)
    (matrix,) = await worded(example("update-comment"), **MATRIX)

    assert "· edited" in slack.body
    assert "· edited" in slack.in_thread().body
    assert "edited" not in matrix.body
    assert "9\\:1 now" in matrix.in_thread().body
    assert "**Grace Hopper** replied" in matrix.body


async def test_an_edit_pings_whom_it_mentions_for_the_first_time() -> None:
    event = example("update-comment")
    known = replace(event.comment, before=event.comment.text)

    (message,) = await worded(event, **SLACK)
    (same,) = await worded(replace(event, comment=known), **SLACK)
    (unknown,) = await worded(replace(event, comment=replace(known, before="")), **SLACK)

    assert message.change is not None
    assert message.change.news == (ADA,)
    assert [one.id for one in Message.loads(message.change.otherwise).mentions] == [ADA]
    for other in (same, unknown):
        assert other.change is not None
        assert other.change.news == ()
        assert Message.loads(other.change.otherwise).mentions == ()
        assert [one.id for one in other.mentions] == [ADA]


async def test_who_is_mentioned_by_an_edit_is_written_to_directly() -> None:
    event = example("update-comment")

    (message,) = await worded(event, **DIRECT)

    assert message.to is not None
    assert message.to.id == ADA
    assert message.change is None
    known = replace(event, comment=replace(event.comment, before=event.comment.text))
    assert await worded(known, **DIRECT) == []
    assert await worded(example("resolve-comment-thread"), **DIRECT) == []


async def test_a_first_comment_is_changed_as_the_one_that_begins_the_thread() -> None:
    event = example("update-comment")
    first = replace(event, comment=replace(event.comment, is_first=True))

    (message,) = await worded(first, **SLACK)

    assert message.event == "create-comment-thread"
    assert message.change is not None
    assert message.change.comment == ""


async def test_a_deleted_comment_or_thread_is_taken_away() -> None:
    comment = example("delete-comment").comment.id
    for settings in (SLACK, MATRIX):
        (one,) = await changes("delete-comment", **settings)
        (whole,) = await changes("delete-comment-thread", **settings)
        assert one is not None
        assert whole is not None
        assert (one.comment, one.removes, one.whole_thread) == (comment, True, False)
        assert (whole.comment, whole.removes, whole.whole_thread) == ("", True, True)
        assert Message.loads(one.otherwise).in_thread().body.endswith("was deleted")
    (message,) = await worded(example("delete-comment"), **SLACK)
    assert "Good catch" not in message.dumps()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (STDOUT, ["line"] * 4),
        (MAIL, ["line", "line", "", ""]),
        (HOOK, ["line", "line", "", ""]),
        (SLACK, ["line change", "line change", "change", "change"]),
        (MATRIX, ["line change", "line change", "change", "change"]),
        (MATRIX | {"edits": "messages"}, ["line"] * 4),
        (SLACK | {"edits": "none"}, ["line", "line", "", ""]),
        (MAIL | {"edits": "messages"}, ["line"] * 4),
    ],
)
async def test_channels_tell_edits_as_the_config_says(
    settings: dict[str, Any], told: list[str]
) -> None:
    found = [
        " ".join("change" if change else "line" for change in await changes(name, **settings))
        for name in OWN
    ]
    assert found == told


async def test_a_comment_that_can_t_be_told_apart_is_told_in_a_line() -> None:
    event = example("delete-comment")
    nameless = replace(event, comment=replace(event.comment, id=""))

    (message,) = await worded(nameless, **SLACK)

    assert message.change is None


async def test_the_first_message_keeps_its_picture() -> None:
    _, first = await worded(
        example("resolve-comment-thread"), picture="m1", **SLACK, thumbnails=True
    )
    (gone,) = await worded(example("delete-comment"), picture="m1", **SLACK, thumbnails=True)

    assert (first.picture, gone.picture) == ("m1", "")


def test_only_relays_own_events_change_something() -> None:
    assert all(is_own(example(name)) for name in OWN)
    assert not is_own(example("create-comment"))
    assert not is_own(Event("publish-file-version"))


async def test_a_change_survives_the_store() -> None:
    (message,) = await worded(example("update-comment"), **MATRIX)

    assert message.change is not None
    assert Message.loads(message.dumps()) == message
    newer = message.dumps().replace('"change": {', '"change": {"smell": "roses", ')
    assert Message.loads(newer) == message
