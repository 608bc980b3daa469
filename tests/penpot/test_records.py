"""Records from arbitrary rows."""

import struct
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.messages.message import Picture
from relay.penpot.client import RpcResponse
from relay.penpot.events import Thread
from relay.penpot.records import (
    FileRecord,
    ProjectRecord,
    TeamRecord,
    WebhookRecord,
    many,
    one,
    person,
    picture,
    template,
    thread,
)
from tests.penpot.rows import uri_parts

KINDS = [
    thread,
    FileRecord.from_row,
    person,
    ProjectRecord.from_row,
    TeamRecord.from_row,
    template,
    WebhookRecord.from_row,
]
ID = "6eaf5050-5d0e-81a4-8006-9a5f00000001"

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from([ID, ID.upper(), "2026-07-25T08:17:02.555Z", "9999-12-31T23:59:59-23:00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(
    [
        "id",
        "profileId",
        "teamId",
        "fileId",
        "projectId",
        "pageId",
        "frameId",
        "ownerId",
        "name",
        "fullname",
        "email",
        "fileName",
        "pageName",
        "ownerFullname",
        "ownerEmail",
        "content",
        "mentions",
        "participants",
        "seqn",
        "countComments",
        "isResolved",
        "createdAt",
        "modifiedAt",
        "deletedAt",
        "isDefault",
        "isShared",
        "thumbnailId",
        "uri",
        "mtype",
        "isActive",
        "errorCode",
        "errorCount",
    ]
)


def _texts(value: Any) -> list[tuple[str, str]]:
    """The texts in a record, each with the name of its field; without what is kept as sent."""
    texts = []
    for field in fields(value):
        inner = getattr(value, field.name)
        for item in inner if isinstance(inner, tuple) else (inner,):
            if isinstance(item, str):
                texts.append((field.name, item))
            elif is_dataclass(item):
                texts += _texts(item)
            else:
                assert item is None or isinstance(item, bool | int | datetime | Mapping)
    return texts


@pytest.mark.parametrize("read", KINDS)
@given(row=st.dictionaries(names, anything, max_size=12), has_id=st.booleans())
def test_any_row_gives_a_clean_record_or_none(read: Any, row: dict[str, Any], has_id: bool) -> None:
    record = read(row | {"id": ID} if has_id else row)
    assert record is not None or not has_id
    for name, text in _texts(record) if record is not None else ():
        text.encode()
        breaks = "\n" if name in ("first", "text") else ""
        assert all(char.isprintable() or char in breaks for char in text if char < "\xa0")
    found = many(read)([row, 7, None, []])
    assert len(found) <= 1


@pytest.mark.parametrize("value", [None, [], "x", 7, {}, {"id": "x"}, {"name": "without an id"}])
def test_a_value_that_is_not_a_record_is_an_error(value: Any) -> None:
    with pytest.raises(ValueError, match="an object with an id was expected"):
        one(ProjectRecord.from_row)(value)


@pytest.mark.parametrize("value", [None, "x", 7, {}, {"id": ID}])
def test_a_value_that_is_not_a_list_is_an_error(value: Any) -> None:
    with pytest.raises(ValueError, match="a list was expected"):
        many(ProjectRecord.from_row)(value)


@pytest.mark.parametrize("uri", [
    "https://relay.example.com/hooks/acme/secret",
    "http://relay:8080/hooks/acme/secret?a=1&b=2",
    "https://user:word@relay.example.com:8443/?x#y",
    "https://[2001:db8::1]:8443/hooks/acme/secret",
    "https://relay.example.com",
])  # fmt: skip
def test_a_webhooks_uri_is_joined_from_its_parts(uri: str) -> None:
    for told in (uri, uri_parts(uri)):
        webhook = WebhookRecord.from_row({"id": ID, "uri": told})
        assert webhook is not None
        assert webhook.uri == uri


def test_a_comment_is_plain_text_and_times_are_in_utc() -> None:
    row = {
        "id": ID.upper(),
        "content": f"Ask @[Ada Lovelace]({ID})\r\nplease",
        "frameId": "00000000-0000-0000-0000-000000000000",
        "seqn": True,
        "createdAt": "2026-07-25T10:17:02+02:00",
    }
    event = thread(row)
    assert event is not None
    assert event.thread == Thread(ID, first="Ask @Ada Lovelace\nplease")
    assert FileRecord.from_row(row) == FileRecord(
        ID, created_at=datetime(2026, 7, 25, 8, 17, 2, tzinfo=UTC)
    )


def test_a_lone_surrogate_is_replaced_as_in_a_webhooks_body() -> None:
    answer = RpcResponse(
        200, {"content-type": "application/json"}, rb'{"\ud83d": ["\uD83Dx", "\u00e9"]}'
    )
    assert answer.values() == {"\ufffd": ["\ufffdx", "\u00e9"]}


JPEG = b"\xff\xd8\xff\xe0\0\x04ab\xff\xc4\0\x03a\xff\xc2\0\x0b\x08" + struct.pack(">HH", 30, 40)
VP8 = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 40 | 0x4000, 30)
VP8L = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + struct.pack("<I", 39 | 29 << 14)
VP8X = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\x27\0\0\x1d\0\0"


@pytest.mark.parametrize(("content", "kind"), [
    (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 40, 30), "image/png"),
    (b"GIF89a" + struct.pack("<HH", 40, 30), "image/gif"),
    (JPEG, "image/jpeg"),
    (VP8, "image/webp"),
    (VP8L, "image/webp"),
    (VP8X, "image/webp"),
])  # fmt: skip
def test_type_and_size_are_read_from_the_bytes(content: bytes, kind: str) -> None:
    found = picture(content)

    assert (found.type, found.width, found.height) == (kind, 40, 30)
    assert found.content == content
    assert Picture(*found).extension == kind.removeprefix("image/")
    for end in range(len(content)):
        with pytest.raises(ValueError, match="picture"):
            picture(content[:end])


@pytest.mark.parametrize("size", [(0, 30), (40, 0), (10_001, 30), (40, 2**31)])
def test_a_picture_of_an_invalid_size_is_an_error(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="pixels"):
        picture(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", *size))
