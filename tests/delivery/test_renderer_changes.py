"""What each channel gets when a thread or a comment is resolved, reopened, edited or deleted."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from relay.config.settings import AnyChannel
from relay.delivery.renderer import ChangeRenderer, RenderedMessage, is_synthetic, mentions_to_ping
from relay.messages.message import Change, Message
from relay.messages.templates import Templates
from relay.penpot.events import Event
from relay.penpot.links import add_links
from tests.delivery.examples import example

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
    renderer = ChangeRenderer(
        Templates(templates), linked, "acme", mentions_to_ping(linked, {}), picture
    )
    kind: TypeAdapter[AnyChannel] = TypeAdapter(AnyChannel)
    found = await renderer.messages(kind.validate_python({"name": "a"} | settings))
    assert not renderer.problems
    return found


async def rendered(event: Event, **settings: Any) -> list[Message]:
    return [Message.loads(row.message) for row in await stored(event, **settings)]


async def changes(name: str, **settings: Any) -> list[Change | None]:
    return [message.change for message in await rendered(example(name), **settings)]


@pytest.mark.parametrize("settings", [SLACK, MATRIX])
async def test_a_resolved_thread_gets_a_line_and_an_edit_of_its_first_message(
    settings: dict[str, Any],
) -> None:
    event = example("resolve-comment-thread")

    line, first = await rendered(event, **settings)
    _, reopened = await rendered(example("reopen-comment-thread"), **settings)

    assert (line.change, line.in_thread().body, line.mentions) == (None, "✓ Resolved", ())
    assert first.change == Change()
    assert first.event == "create-comment-thread"
    assert first.body.startswith("**Ada Lovelace** commented on")
    assert "· ✓ resolved" in first.body
    assert [person.name for person in first.mentions] == ["Grace Hopper"]
    assert "✓" not in reopened.body
    assert reopened.body == first.body.replace("\n· ✓ resolved", "")


async def test_a_thread_without_its_first_comment_is_resolved_in_a_line() -> None:
    """Penpot then lists the text of the next comment, which another message shows."""
    event = example("resolve-comment-thread")
    rest = replace(event.comment, text="", is_first=False)
    (line,) = await rendered(replace(event, comment=rest), **SLACK)
    assert (line.change, line.in_thread().body) == (None, "✓ Resolved")


async def test_only_the_edit_is_stored_with_the_ids_of_thread_and_comment() -> None:
    event = example("resolve-comment-thread")

    line, first = await stored(event, **SLACK)

    assert line[1:] == ("", "")
    assert first[1:] == (event.thread.id, "")


async def test_an_edited_comment_is_rendered_by_its_original_template(tmp_path: Path) -> None:
    (tmp_path / "create-comment.md.j2").write_text("MINE {{ comment.text }}")

    (message,) = await stored(example("update-comment"), tmp_path, **SLACK)

    assert Message.loads(message.message).body.startswith("MINE Good catch")
    assert message[1:] == (
        example("update-comment").thread.id,
        example("update-comment").comment.id,
    )


async def test_an_edit_is_marked_where_the_clients_do_not() -> None:
    (slack,) = await rendered(example("update-comment"), **SLACK)
    (matrix,) = await rendered(example("update-comment"), **MATRIX)

    assert "· edited" in slack.body
    assert "· edited" in slack.in_thread().body
    assert "edited" not in matrix.body
    assert "9\\:1 now" in matrix.in_thread().body
    assert "**Grace Hopper** replied" in matrix.body


async def test_an_edit_pings_new_mentions() -> None:
    event = example("update-comment")
    known = replace(event.comment, before=event.comment.text)

    (message,) = await rendered(event, **SLACK)
    (same,) = await rendered(replace(event, comment=known), **SLACK)
    (unknown,) = await rendered(replace(event, comment=replace(known, before="")), **SLACK)

    assert message.change is not None
    assert message.change.new_mentions == (ADA,)
    assert [person.id for person in Message.loads(message.change.fallback).mentions] == [ADA]
    for other in (same, unknown):
        assert other.change is not None
        assert other.change.new_mentions == ()
        assert Message.loads(other.change.fallback).mentions == ()
        assert [person.id for person in other.mentions] == [ADA]


async def test_new_mentions_of_an_edit_get_a_direct_message() -> None:
    event = example("update-comment")

    (message,) = await rendered(event, **DIRECT)

    assert message.to is not None
    assert message.to.id == ADA
    assert message.change is None
    known = replace(event, comment=replace(event.comment, before=event.comment.text))
    assert await rendered(known, **DIRECT) == []
    assert await rendered(example("resolve-comment-thread"), **DIRECT) == []


async def test_an_edited_first_comment_edits_the_first_message() -> None:
    event = example("update-comment")
    first = replace(event, comment=replace(event.comment, is_first=True))

    (message,) = await rendered(first, **SLACK)

    assert message.event == "create-comment-thread"
    assert message.change is not None
    assert message.change.comment == ""


async def test_a_deleted_comment_or_thread_is_removed() -> None:
    comment = example("delete-comment").comment.id
    for settings in (SLACK, MATRIX):
        (single,) = await changes("delete-comment", **settings)
        (whole,) = await changes("delete-comment-thread", **settings)
        assert single is not None
        assert whole is not None
        assert (single.comment, single.removes, single.whole_thread) == (comment, True, False)
        assert (whole.comment, whole.removes, whole.whole_thread) == ("", True, True)
        assert Message.loads(single.fallback).in_thread().body.endswith("was deleted")
    (message,) = await rendered(example("delete-comment"), **SLACK)
    assert "Good catch" not in message.dumps()


@pytest.mark.parametrize(
    ("settings", "expected"),
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
async def test_edits_by_channel_and_config(settings: dict[str, Any], expected: list[str]) -> None:
    found = [
        " ".join("change" if change else "line" for change in await changes(name, **settings))
        for name in OWN
    ]
    assert found == expected


async def test_a_comment_without_an_id_gets_a_line() -> None:
    event = example("delete-comment")
    nameless = replace(event, comment=replace(event.comment, id=""))

    (message,) = await rendered(nameless, **SLACK)

    assert message.change is None


async def test_the_first_message_keeps_its_picture() -> None:
    _, first = await rendered(
        example("resolve-comment-thread"), picture="m1", **SLACK, thumbnails=True
    )
    (gone,) = await rendered(example("delete-comment"), picture="m1", **SLACK, thumbnails=True)

    assert (first.picture, gone.picture) == ("m1", "")


def test_synthetic_events() -> None:
    assert all(is_synthetic(example(name)) for name in OWN)
    assert not is_synthetic(example("create-comment"))
    assert not is_synthetic(Event("publish-file-version"))


async def test_a_change_survives_the_store() -> None:
    (message,) = await rendered(example("update-comment"), **MATRIX)

    assert message.change is not None
    assert Message.loads(message.dumps()) == message
    newer = message.dumps().replace('"change": {', '"change": {"smell": "roses", ')
    assert Message.loads(newer) == message
