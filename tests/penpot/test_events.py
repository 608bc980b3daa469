"""Normalizing decoded bodies."""

import json
import re
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.penpot.catalogue import CATALOGUE
from relay.penpot.events import (
    MAX_FILES,
    Comment,
    Event,
    File,
    Font,
    NotAnEvent,
    Person,
    Subject,
    Thread,
    normalize,
)
from relay.penpot.facts import Fact, enrich, facts_from_event
from relay.penpot.links import add_links
from relay.penpot.text import (
    MAX_ENTRIES,
    MAX_NAME_LENGTH,
    MAX_TEXT_LENGTH,
    MAX_TOTAL_LENGTH,
    CommentText,
    plain_text,
)
from relay.penpot.wire import decode

PAYLOADS = Path(__file__).parent / "payloads"
EXPECTED = [
    (path, body)
    for path in sorted(PAYLOADS.rglob("*.expect.json"))
    for body in sorted(path.parent.glob(path.name.removesuffix("expect.json") + "*json"))
    if body != path
]
ADA = "6eaf5050-5d0e-81a4-8006-9a5f00000001"
ZOE = "6eaf5050-5d0e-81a4-8006-9a5f00000002"
LANDING = "4c8d3e30-5d0e-81a4-8006-9a3f00000001"
WEB = "3b7c2d20-5d0e-81a4-8006-9a2f00000001"
PAGE = "5d9e4f40-5d0e-81a4-8006-9a4f00000001"
ORIGINAL_IS_TOLD = {"duplicate-file", "duplicate-project"}


def _event(path: Path) -> Event:
    kind = "application/transit+json" if ".transit." in path.name else "application/json"
    return normalize(decode(path.read_bytes(), kind))


def _one_line(name: str | None) -> str:
    return re.sub(r"[\r\n\t]+", " ", name or "")


@pytest.mark.parametrize(
    ("path", "body"), EXPECTED, ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_a_payload_becomes_the_expected_event(path: Path, body: Path) -> None:
    expect = json.loads(path.read_text())
    told = set(expect["props-keys"])

    event = _event(body)

    name = expect["event"]
    assert (event.name, event.group) == (name, CATALOGUE[name].group)
    assert event.at == datetime.fromisoformat(expect["tracked-at"])
    assert event.actor.id == expect["actor-id"]
    assert event.actor.name == (expect["actor-name"] if "owner-fullname" in told else "")
    file, project = event.file, event.project
    if name in ORIGINAL_IS_TOLD:
        assert not file.id
        assert not project.id
        original = expect["file-id"] if name == "duplicate-file" else expect["project-id"]
        assert event.previous == Subject(original)
    else:
        moved_one = expect["file-ids"][0] if len(expect["file-ids"] or ()) == 1 else ""
        assert file.id == (expect["file-id"] or moved_one)
        tells_project = "project-id" in told or (event.group == "projects" and "id" in told)
        assert project.id == (expect["project-id"] if tells_project else "")
    assert file.name == _one_line(expect["file-name-in-payload"])
    assert project.name == _one_line(expect["project-name-in-payload"])
    assert event.team.id == (expect["team-id"] if "team-id" in told else "")
    assert [one.id for one in event.files] == sorted(expect["file-ids"] or [])
    assert event.page == Subject(expect["page-id"] or "", _one_line(expect["page-name"]))
    assert event.thread.id == (expect["thread-id"] or "")
    assert event.thread.number == expect["thread-seqn"]
    assert event.comment.id == (expect["comment-id"] or "")
    assert event.comment.text == plain_text(expect["text"] or "")
    assert [person.id for person in event.comment.mentions] == sorted(expect["mentioned-ids"] or [])
    shared = expect["file-id"] if name == "set-file-shared" else ""
    assert event.library.id == (expect["library-id"] or shared)
    assert event.font.name == (expect["font-family"] or "")
    if name not in ORIGINAL_IS_TOLD:
        assert event.previous.name == _one_line(expect["prev-project-name"])


@pytest.mark.parametrize("path", sorted(PAYLOADS.rglob("*.transit.json")), ids=str)
def test_both_encodings_give_the_same_event(path: Path) -> None:
    from_transit = _event(path)
    from_json = _event(path.with_name(path.name.replace(".transit.json", ".json")))

    assert from_transit.variables() | {"event": None} == from_json.variables() | {"event": None}
    assert from_transit.at == from_json.at
    assert from_transit.more_files == from_json.more_files


OLD_THREAD = "c0000001-5d0e-81a4-8006-9b00000000aa"


@pytest.mark.parametrize("version", ["v2.0", "v2.3-2.4", "v2.5-2.13"])
def test_older_versions_send_fewer_fields(version: str) -> None:
    events = {path.stem: _event(path) for path in (PAYLOADS / "legacy" / version).glob("*.json")}

    thread, reply = events["create-comment-thread"], events["create-comment"]
    assert all(event.at is None and event.actor.id == ADA for event in events.values())
    assert thread.comment.text == "Legacy thread – ünï 😀 <b>"
    assert thread.thread.id == ("" if version == "v2.0" else OLD_THREAD)
    assert (thread.file.id, thread.page.id) == (LANDING, PAGE)
    assert reply.comment.text == "Legacy reply"
    assert reply.thread.id == OLD_THREAD
    assert bool(thread.actor) == (version == "v2.5-2.13")
    assert events["rename-file"].file.name == "Überblick / v2"
    assert events["update-file"].file == File(LANDING, "Landing page")
    assert events["delete-project"].project == Subject(WEB, "Website Redesign")


def test_a_font_variant_has_its_style_and_weight() -> None:
    event = _event(PAYLOADS / "create-font-variant" / "upload-ttf.json")

    assert event.font == Font(
        "9bd28380-5d0e-81a4-8006-9a8f00000001", "Inter", style="normal", weight=400
    )


def test_a_thread_has_its_first_comment_and_whether_it_is_resolved() -> None:
    event = _event(PAYLOADS / "create-comment-thread" / "plain.json")

    assert event.thread.first == event.comment.text
    assert event.thread.resolved is False


def test_an_import_of_a_map_has_all_its_names() -> None:
    one = normalize(_body("import-binfile", name={LANDING: "One"}, projectId=WEB))
    two = normalize(_body("import-binfile", name={LANDING: "One", ADA: "T\nwo", ZOE: 3}))

    assert (one.file.name, [file.name for file in one.files]) == ("One", ["One"])
    assert (two.file.name, [file.name for file in two.files]) == ("", ["One", "T wo"])


def test_files_beyond_the_limit_are_only_counted() -> None:
    ids = [f"4c8d3e30-5d0e-81a4-8006-{number:012}" for number in range(29_000)]
    moved = normalize(_body("move-files", ids=[*ids[::-1], ids[0].upper(), None, "x"]))
    imported = normalize(_body("import-binfile", name=dict.fromkeys(ids, "A") | {"x": " \n"}))

    assert [file.id for file in moved.files] == ids[:MAX_FILES]
    assert [file.name for file in imported.files] == ["A"] * MAX_FILES
    for event in (moved, imported):
        assert event.variables()["event"]["file_count"] == 29_000
        assert not event.file


def test_props_are_limited_in_size() -> None:
    props = normalize(
        _body(
            "x",
            text="t" * MAX_TOTAL_LENGTH,
            map={f"k{number}": number for number in range(2 * MAX_ENTRIES)},
            deep=[[[{"a": list(range(2 * MAX_ENTRIES))}]]],
            **{"k" * 1_000_000: 1},
        )
    ).props

    assert props == {
        "text": "t" * MAX_TEXT_LENGTH,
        "map": {f"k{number}": number for number in range(MAX_ENTRIES)},
        "deep": [[[{"a": list(range(MAX_ENTRIES))}]]],
    }


@pytest.mark.parametrize("sent", [
    {"a": ["x" * 500] * 29_000},
    {"a": [["x" * 500] * 30] * 900},
    {"a": {f"{number}-{'x' * 200}": "" for number in range(29_000)}},
])  # fmt: skip
def test_many_texts_are_limited_together(sent: Any) -> None:
    assert (
        MAX_TOTAL_LENGTH / 2
        < len(json.dumps(normalize(_body("x", **sent)).props))
        < 3 * MAX_TOTAL_LENGTH
    )


def test_a_value_within_the_limits_is_not_copied() -> None:
    body = _body("x", text="t", map={"a": [1, {"b": None}], "c": ("d", True)}, empty=[])

    assert normalize(body).props is body["props"]


@pytest.mark.parametrize(("name", "field", "subject"), [
    ("restore-file", "file", File(LANDING, "Landing page")),
    ("archive-project", "project", Subject(LANDING, "Landing page")),
    ("rename-page", "page", Subject(LANDING, "Landing page")),
    ("rename-team", "team", Subject(LANDING, "Landing page")),
    ("paint-it-black", "file", File(ZOE)),
    ("pin-comment-thread", "thread", Thread(LANDING, 7, resolved=True)),
    ("pin-comment", "comment", Comment(LANDING, author=Person(ADA))),
])  # fmt: skip
def test_an_unknown_event_is_read_by_its_name_and_the_common_keys(
    name: str, field: str, subject: Any
) -> None:
    body = _body(name, id=LANDING, name="Landing page", fileId=ZOE, seqn=7, isResolved=True)

    event = normalize(body)

    assert event.group == ""
    assert getattr(event, field) == subject


@pytest.mark.parametrize(("body", "reason"), [
    (None, "not an object"),
    ([], "not an object"),
    ("create-file", "not an object"),
    ({}, "no name"),
    ({"name": ""}, "no name"),
    ({"name": " \n\u202e"}, "no name"),
    ({"name": 7, "props": {}}, "no name"),
    ({"name": ["create-file"]}, "no name"),
])  # fmt: skip
def test_a_body_without_a_name_is_not_an_event(body: Any, reason: str) -> None:
    with pytest.raises(NotAnEvent, match=reason):
        normalize(body)


def _body(event: str, /, **props: Any) -> dict[str, Any]:
    return {"name": event, "props": props, "profileId": ADA}


@pytest.mark.parametrize(("props", "field", "value"), [
    ({"content": "hi"}, "mentions", ()),
    ({"content": "hi", "mentions": "all"}, "mentions", ()),
    ({"content": "hi", "mentions": [ADA.upper(), ADA, 3, None, "x"]}, "mentions", (Person(ADA),)),
    ({"content": ""}, "text", ""),
    ({"content": None}, "text", ""),
    ({"content": {"a": 1}}, "text", ""),
    ({"content": "a\r\nb\rc\u2028d\te\x00\x7f\u202ef\u2066\ud800"}, "text", "a\nb\nc\nd ef"),
    ({"content": "x" * 11_000}, "text", "x" * (MAX_TEXT_LENGTH - 1) + "…"),
    ({"content": "hi", "id": "../x"}, "id", ""),
    ({"content": "hi", "id": "00000000-0000-0000-0000-000000000000"}, "id", ""),
])  # fmt: skip
def test_invalid_parts_of_comments_are_dropped(props: Any, field: str, value: Any) -> None:
    assert getattr(normalize(_body("create-comment", **props)).comment, field) == value


@pytest.mark.parametrize(("sent", "name"), [
    ("  a\nb\t\x00c\x85d  ", "a b c d"),
    ("n" * 250, "n" * 250),
    ("n" * 5000, "n" * MAX_NAME_LENGTH),
    ("\u202egnp.exe\u202c \u2067x\u2069", "gnp.exe x"),
    ("עיצוב כפתור", "עיצוב כפתור"),
    ("a\ud800b", "ab"),
    (" \n ", ""),
    (7, ""),
    (None, ""),
    (["a"], ""),
    ({"a": "b"}, ""),
])  # fmt: skip
def test_names_become_one_clean_line(sent: Any, name: str) -> None:
    event = normalize(_body("rename-file", id=LANDING, name=sent))

    assert event.file == File(LANDING, name)


@pytest.mark.parametrize("seqn", [None, "15", 1.5, True, -1, 10**12, [15]])
def test_an_invalid_thread_number_is_dropped(seqn: Any) -> None:
    thread = normalize(_body("create-comment-thread", id=LANDING, seqn=seqn)).thread

    assert (thread.number, thread.name, bool(thread)) == (None, "", False)


@pytest.mark.parametrize(("tracked", "created", "at"), [
    ("2026-07-25T08:17:02.555Z", "2027-01-01T00:00:00Z",
     datetime(2026, 7, 25, 8, 17, 2, 555000, UTC)),
    ("2026-07-25T10:17:02+02:00", None, datetime(2026, 7, 25, 8, 17, 2, tzinfo=UTC)),
    (None, "2026-07-25T08:17:02", datetime(2026, 7, 25, 8, 17, 2, tzinfo=UTC)),
    ("yesterday", "2026-07-25T08:17:02Z", datetime(2026, 7, 25, 8, 17, 2, tzinfo=UTC)),
    (1784967422468, None, None),
    ("0001-01-01T00:00:00+14:00", None, None),
    (None, None, None),
])  # fmt: skip
def test_the_time_is_in_utc_or_unknown(tracked: Any, created: Any, at: datetime | None) -> None:
    event = normalize({"name": "create-file", "trackedAt": tracked, "createdAt": created})

    assert event.at == at
    assert at is None or event.at.tzinfo is UTC


@pytest.mark.parametrize(("owner", "actor"), [
    ({"ownerId": ADA, "ownerFullname": "Ada", "ownerEmail": "a@b.c"},
     Person(ADA, "Ada", email="a@b.c")),
    ({"ownerId": ZOE, "ownerFullname": "Zoë"}, Person(ZOE, "Zoë")),
    ({"ownerFullname": "Ada", "ownerEmail": "a@b.c, x@y.z"}, Person(ADA, "Ada")),
    ({}, Person(ADA)),
])  # fmt: skip
def test_the_author_of_a_comment_is_its_owner(owner: dict[str, str], actor: Person) -> None:
    assert normalize(_body("create-comment", content="hi", **owner)).actor == actor


def test_subjects_are_truthy_when_they_have_readable_text() -> None:
    assert not any([Subject(ADA, url="x"), Person(ADA, email="x@y"), Font(ADA, weight=400)])
    assert not any([Thread(ADA, first="x"), Comment(ADA, " \n")])
    assert all([Subject(name="a"), Person(name="a"), Thread(number=0), Comment(text="x")])
    assert [str(Subject(ADA, "a")), str(Thread(number=15)), str(Comment(text="x"))] == [
        "a",
        "#15",
        "x",
    ]


# --- arbitrary input ---

KEYS = [
    "id", "name", "prevName", "teamId", "projectId", "fileId", "libraryId", "pageId", "pageName",
    "threadId", "commentId", "content", "mentions", "ids", "seqn", "isResolved", "ownerId",
    "ownerFullname", "ownerEmail", "fontId", "fontFamily", "fontStyle", "fontWeight", "profileId",
]  # fmt: skip
odd_text = st.text() | st.text("@[]()aÀ\n\r\t\x00\x1b\x9b\u202e\u2028\ud800 ", max_size=20)
ids = st.sampled_from([ADA, ZOE, LANDING, WEB, PAGE, ADA.upper()])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | odd_text | ids
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(odd_text, inner, max_size=4),
)
bodies = st.fixed_dictionaries(
    {"name": st.sampled_from([*CATALOGUE, "restore-file", "update-comment-thread"]) | anything},
    optional={
        "props": st.dictionaries(st.sampled_from(KEYS), anything, max_size=20) | anything,
        "profileId": anything,
        "trackedAt": anything,
        "createdAt": anything,
    },
)


def _texts(event: Event) -> list[str]:
    """The texts of an event that a person may read, except comments."""
    named = [event.actor, event.team, event.project, event.file, event.page, event.library]
    named += [event.font, event.previous, event.thread, *event.files]
    return [event.name, event.actor.email, event.font.style, *(one.name for one in named)]


def _is_clean(text: str, allowed: str = "") -> bool:
    bad = {"Cc", "Cs", "Zl", "Zp"}
    return not any(
        (unicodedata.category(char) in bad and char not in allowed)
        or char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
        for char in text
    )


@settings(max_examples=300)
@given(body=anything | bodies, earlier=st.lists(bodies, max_size=4))
def test_any_body_becomes_a_clean_event_or_none(body: Any, earlier: list[Any]) -> None:
    memory: dict[tuple[str, str], Fact] = {}
    for other in earlier:
        try:
            facts = facts_from_event(normalize(other))
        except NotAnEvent:
            continue
        for fact in facts:
            again = Fact.loads(*fact.key, fact.dumps())
            assert again == fact
            memory[fact.key] = Fact.merged(memory.get(fact.key), again)
    try:
        event = normalize(body)
    except NotAnEvent:
        return
    known: dict[tuple[str, str], Fact] = {}
    for _ in range(6):
        enriched, missing = enrich(event, known, team_key="acme")
        known |= {key: memory.get(key, Fact(*key)) for key in missing}
    enriched, missing = enrich(event, known, team_key="acme")
    final = add_links(enriched, "https://penpot.example")

    assert not missing
    assert final.team
    assert all(map(_is_clean, _texts(final)))
    assert all(_is_clean(text, "\n") for text in (final.comment.text, final.thread.first))
    json.dumps([*_texts(final), final.url, final.comment.text], ensure_ascii=False).encode()


def test_synthetic_events_have_an_author_and_no_actor() -> None:
    thread = {"id": LANDING, "seqn": 7, "content": "Too dark", "ownerId": ADA, "isResolved": True}
    comment = {"id": LANDING, "threadId": ZOE, "seqn": 7, "content": "Light", "ownerId": ADA}
    comment |= {"previousContent": "Dark", "isFirst": True, "ownerFullname": "Ada"}

    resolved = normalize({"name": "resolve-comment-thread", "props": thread})
    reopened = normalize({"name": "reopen-comment-thread", "props": thread})
    edited = normalize({"name": "update-comment", "props": comment})
    deleted = normalize({"name": "delete-comment", "props": comment | {"isFirst": None}})

    assert resolved.thread == Thread(LANDING, 7, first="Too dark", resolved=True)
    assert resolved.comment == Comment(text="Too dark", author=Person(ADA), is_first=True)
    assert reopened.thread.resolved is False
    assert edited.thread == Thread(ZOE, 7, first="Light")
    assert edited.comment == Comment(
        LANDING, "Light", author=Person(ADA, "Ada"), is_first=True, before="Dark", edited=True
    )
    assert (deleted.thread.first, deleted.comment.is_first) == ("", False)
    assert {one.actor for one in (resolved, reopened, edited, deleted)} == {Person()}
    assert {one.group for one in (resolved, reopened, edited, deleted)} == {"comments"}


def test_a_comment_text_has_the_places_of_its_mentions() -> None:
    text = f"@[Zoë]({ZOE})\r\nask @[a]b]({ADA.upper()}) or @[Nobody](x), not @Zoë\u202e"

    words = normalize(_body("create-comment", content=text)).comment.text

    assert isinstance(words, CommentText)
    assert words == "@Zoë\nask @a]b or @Nobody, not @Zoë"
    assert [(words[begin:end], person) for begin, end, person in words.mentions] == [
        ("@Zoë", ZOE),
        ("@a]b", ADA),
    ]


def test_listed_ids_find_the_mentions_in_a_comment_and_in_its_earlier_text() -> None:
    name = "Eve | [link](x) <!channel>"
    sent = {"content": f"@[{name}]({ZOE})", "previousContent": f"hi @[{name}]({ZOE})"}
    comment = normalize(_body("create-comment", mentions=[ZOE], **sent)).comment

    assert (comment.text, comment.before) == (f"@{name}", f"hi @{name}")
    assert comment.text.mentions == ((0, len(name) + 1, ZOE),)


def test_an_invisible_name_or_comment_is_unknown() -> None:
    sent = {"ownerFullname": "\u3164\u200b", "content": "\u2800\n\u200b", "mentions": []}
    event = normalize(_body("create-comment", **sent))
    assert (event.actor.name, event.comment.text, bool(event.comment)) == ("", "", False)


def test_email_addresses_can_be_removed_from_an_event() -> None:
    event = _event(PAYLOADS / "create-comment" / "mention.json")
    assert event.actor.email
    assert "ownerEmail" in event.props

    shown = event.without_emails()

    assert "@example" not in json.dumps(shown.variables(), default=str)
    assert shown.actor.name == shown.comment.author.name == event.actor.name
    assert shown.comment.text == event.comment.text


def test_an_event_that_sync_found_is_marked_as_missed() -> None:
    assert normalize({"name": "create-comment", "props": {}, "missed": True}).missed
    assert not normalize({"name": "create-comment", "props": {}, "missed": "yes"}).missed
