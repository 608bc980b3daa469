"""The messages and edits of changed comments and threads."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.delivery.changes import NO_EDITS, ChangeRenderer, is_synthetic
from relay.delivery.renderer import NOT_MENTIONED, RenderContext
from relay.messages.message import Change, Message
from relay.messages.templates import Templates
from relay.penpot.events import Event
from tests.delivery.examples import example
from tests.delivery.renders import (
    ADA,
    AS_SENDER,
    DIRECT,
    HOOK,
    MAIL,
    MATRIX,
    SLACK,
    STDOUT,
    by_member,
    channel,
    rendered_change,
    rendered_with,
    stored,
)

pytestmark = pytest.mark.anyio

OWN = ("resolve-comment-thread", "reopen-comment-thread", "update-comment", "delete-comment")


async def changes(name: str, **settings: Any) -> list[Change | None]:
    return [message.change for message in await rendered_change(example(name), **settings)]


@pytest.mark.parametrize("settings", [SLACK, MATRIX])
async def test_a_resolved_thread_gets_a_line_and_an_edit_of_its_first_message(
    settings: dict[str, Any],
) -> None:
    event = example("resolve-comment-thread")

    line, first = await rendered_change(event, **settings)
    _, reopened = await rendered_change(example("reopen-comment-thread"), **settings)

    body = line.in_thread().content.body
    assert (line.change, body, line.mentions) == (None, "✅ **Resolved**", ())
    assert first.change == Change()
    assert first.event == "create-comment-thread"
    assert first.content.body.startswith("✅ **Resolved** · [Landing page")
    assert "> **Ada Lovelace**: " in first.content.body
    assert first.content.body.count("\n> ") == 1
    assert [person.name for person in first.mentions] == ["Grace Hopper"]
    assert reopened.content.body.startswith("**Ada Lovelace** commented on [Landing page")
    assert "✅" not in reopened.content.body


async def test_a_thread_without_its_first_comment_is_resolved_in_a_line() -> None:
    """Penpot then lists the text of the next comment, which another message shows."""
    event = example("resolve-comment-thread")
    rest = replace(event.comment, text="", is_first=False)
    (line,) = await rendered_change(replace(event, comment=rest), **SLACK)
    assert (line.change, line.in_thread().content.body) == (None, "✅ **Resolved**")


async def test_only_the_edit_is_stored_with_the_ids_of_thread_and_comment() -> None:
    event = example("resolve-comment-thread")

    line, first = await stored(event, **SLACK)

    assert line[1:] == ("", "")
    assert first[1:] == (event.thread.id, "")


async def test_an_edited_comment_is_rendered_by_its_original_template(tmp_path: Path) -> None:
    (tmp_path / "create-comment.md.j2").write_text("MINE {{ comment.text }}")

    (message,) = await stored(example("update-comment"), tmp_path, **SLACK)

    assert Message.loads(message.message).content.body.startswith("MINE Good catch")
    assert message[1:] == (
        example("update-comment").thread.id,
        example("update-comment").comment.id,
    )


async def test_an_edit_is_marked_where_the_clients_do_not() -> None:
    (slack,) = await rendered_change(example("update-comment"), **SLACK)
    (matrix,) = await rendered_change(example("update-comment"), **MATRIX)

    assert "· edited" in slack.content.body
    assert "· edited" in slack.in_thread().content.body
    assert "edited" not in matrix.content.body
    assert "9\\:1 now" in matrix.in_thread().content.body
    assert "**Grace Hopper** replied" in matrix.content.body


async def test_an_edit_pings_new_mentions() -> None:
    event = example("update-comment")
    known = replace(event.comment, before=event.comment.text)

    (message,) = await rendered_change(event, **SLACK)
    (same,) = await rendered_change(replace(event, comment=known), **SLACK)
    (unknown,) = await rendered_change(replace(event, comment=replace(known, before="")), **SLACK)

    assert message.change is not None
    assert message.change.new_mentions == (ADA,)
    assert [person.id for person in message.change.fallback.mentions] == [ADA]
    for other in (same, unknown):
        assert other.change is not None
        assert other.change.new_mentions == ()
        assert other.change.fallback.mentions == ()
        assert [person.id for person in other.mentions] == [ADA]


async def test_new_mentions_of_an_edit_get_a_direct_message() -> None:
    event = example("update-comment")

    (message,) = await rendered_change(event, **DIRECT)

    assert message.to is not None
    assert message.to.id == ADA
    assert message.change is None
    known = replace(event, comment=replace(event.comment, before=event.comment.text))
    assert await rendered_change(known, **DIRECT) == []
    assert await rendered_change(example("resolve-comment-thread"), **DIRECT) == []


async def test_an_edited_first_comment_edits_the_first_message() -> None:
    event = example("update-comment")
    first = replace(event, comment=replace(event.comment, is_first=True))

    (message,) = await rendered_change(first, **SLACK)

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
        reply = single.fallback.in_thread().content.body
        assert reply == "*Grace Hopper deleted this comment*"
        assert "deleted a comment on" in single.fallback.content.body
    (message,) = await rendered_change(example("delete-comment"), **SLACK)
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

    (message,) = await rendered_change(nameless, **SLACK)

    assert message.change is None


def test_synthetic_events() -> None:
    assert all(is_synthetic(example(name)) for name in OWN)
    assert not is_synthetic(example("create-comment"))
    assert not is_synthetic(Event("publish-file-version"))


async def test_a_change_survives_the_store() -> None:
    (message,) = await rendered_change(example("update-comment"), **MATRIX)

    assert message.change is not None
    assert Message.loads(message.dumps()) == message
    newer = message.dumps().replace('"change":{', '"change":{"smell":"roses",')
    assert Message.loads(newer) == message


@pytest.mark.parametrize("name", ["update-comment", "resolve-comment-thread", "delete-comment"])
async def test_an_edit_has_the_author_of_the_edited_message(tmp_path: Path, name: str) -> None:
    *lines, edit = await rendered_with(tmp_path, by_member(name), **AS_SENDER)

    assert edit.author is not None
    assert edit.author.name == "Grace Hopper"
    assert edit.by_author().content.body == ("WHO no" if name == "delete-comment" else "PLACE no")
    assert edit.change is not None
    fallbacks = [edit.change.fallback] if edit.change.fallback else []
    assert all(message.author is None for message in (*lines, *fallbacks))


async def test_a_deleted_thread_of_several_authors_has_none(tmp_path: Path) -> None:
    (edit,) = await rendered_with(tmp_path, by_member("delete-comment-thread"), **AS_SENDER)
    assert edit.author is None


@pytest.mark.parametrize(
    ("edits", "people"),
    [
        ({}, ["Ada Lovelace"]),
        ({"edits": "none"}, []),
        ({"edits": "messages"}, ["", "Ada Lovelace"]),
    ],
)
async def test_a_person_whom_an_edit_mentions_gets_a_mail(
    edits: dict[str, str], people: list[str]
) -> None:
    event = example("update-comment")
    messages = await rendered_change(event, **MAIL, mention_by_mail=True, **edits)
    assert [message.to.name if message.to else "" for message in messages] == people
    assert all("mentioned you on" in message.title for message in messages if message.to)


NIGHTS = {"quiet": ["22:00-07:00"]}
COMMENT_CHANGES = ("update-comment", "delete-comment", "delete-comment-thread")


@pytest.mark.parametrize("name", COMMENT_CHANGES)
@pytest.mark.parametrize(
    ("settings", "has_line"),
    [
        (STDOUT, True),
        (MAIL, False),
        (MAIL | {"edits": "messages"}, True),
        (MATRIX | {"edits": "messages"}, True),
        (SLACK | {"edits": "none"}, False),
        (DIRECT, False),
    ],
)
async def test_a_channel_that_holds_gets_the_change_for_what_it_holds(
    settings: dict[str, Any], name: str, has_line: bool
) -> None:
    event = example(name)
    first, *direct = await stored(event, **settings, **NIGHTS)
    assert first[1:] == ("", "")  # no edit may find it
    message = Message.loads(first.message)
    change = message.change
    assert change is not None
    assert (change.only_held, change.removes) == (True, name != "update-comment")
    assert change.comment == ("" if event.comment.is_first else event.comment.id)
    lines = await rendered_change(event, **settings)
    assert (change.fallback is not None) == has_line
    if change.fallback is not None:
        assert change.fallback.full == lines[0].full
    assert [Message.loads(each.message).to for each in direct] == [
        line.to for line in lines if line.to
    ]
    if name == "update-comment":
        assert (message.event, message.comment) == ("create-comment", event.comment.id)
        assert message.content.body.count("Good catch") == 1


@pytest.mark.parametrize("settings", [MAIL, STDOUT, SLACK])
async def test_a_channel_that_holds_gets_states_as_others(settings: dict[str, Any]) -> None:
    for name in ("resolve-comment-thread", "reopen-comment-thread"):
        held = await rendered_change(example(name), **settings, **NIGHTS)
        found = await rendered_change(example(name), **settings)
        assert [one.change for one in held] == [one.change for one in found]


@pytest.mark.parametrize("settings", [DIRECT, MAIL | {"mention_by_mail": True}])
async def test_an_edit_carries_the_text_of_held_direct_messages(settings: dict[str, Any]) -> None:
    message, *_ = await rendered_change(example("update-comment"), **settings, **NIGHTS)
    assert message.change is not None
    mentioned, other = message.change.direct
    assert (mentioned.mentioned, other.mentioned) == (True, False)
    assert "mentioned you on" in mentioned.title
    assert "mentioned you" not in other.title
    for form in (mentioned, other):
        assert (form.to, form.change, form.comment) == (None, None, message.comment)
        assert "Good catch" in form.full.body
    (removal, *_) = await rendered_change(example("delete-comment"), **settings, **NIGHTS)
    assert removal.change is not None
    assert removal.change.direct == ()


async def test_a_channel_that_sends_no_edits_skips_them_unless_it_holds_messages() -> None:
    event = example("update-comment")
    renderer = ChangeRenderer(RenderContext(Templates(), event, "acme"))
    for settings, reason in ((MAIL, NO_EDITS), (DIRECT, NOT_MENTIONED)):
        assert renderer.skips(channel(**settings)) == reason
        assert renderer.skips(channel(**settings, **NIGHTS)) == ""
    assert await renderer.messages(channel(**MAIL)) == []
