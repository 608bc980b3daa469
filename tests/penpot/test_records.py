"""Records from arbitrary rows."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.penpot.client import RpcResponse
from relay.penpot.records import (
    FileRecord,
    ProfileRecord,
    ProjectRecord,
    TemplateRecord,
    ThreadRecord,
    WebhookRecord,
    record_from,
    records_from,
)
from tests.penpot.rows import uri_parts

KINDS = [ThreadRecord, FileRecord, ProfileRecord, ProjectRecord, TemplateRecord, WebhookRecord]
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


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple):
        return [text for inner in value for text in _texts(inner)]
    if isinstance(value, ProfileRecord):
        return [value.id, value.name, value.email]
    assert value is None or isinstance(value, bool | int | datetime)
    return []


@pytest.mark.parametrize("kind", KINDS)
@given(row=st.dictionaries(names, anything, max_size=12), has_id=st.booleans())
def test_any_row_gives_a_clean_record_or_none(kind: Any, row: dict[str, Any], has_id: bool) -> None:
    record = kind.from_row(row | {"id": ID} if has_id else row)
    assert record is not None or not has_id
    for field in fields(record) if record is not None else ():
        for text in _texts(getattr(record, field.name)):
            text.encode()
            breaks = "\n" if field.name == "first" else ""
            assert all(char.isprintable() or char in breaks for char in text if char < "\xa0")
    found = records_from([row, 7, None, []], kind.from_row)
    assert len(found) <= 1


@pytest.mark.parametrize("value", [None, [], "x", 7, {}, {"id": "x"}, {"name": "without an id"}])
def test_a_value_that_is_not_a_record_is_an_error(value: Any) -> None:
    with pytest.raises(ValueError, match="an object with an id was expected"):
        record_from(value, ProjectRecord.from_row)


@pytest.mark.parametrize("value", [None, "x", 7, {}, {"id": ID}])
def test_a_value_that_is_not_a_list_is_an_error(value: Any) -> None:
    with pytest.raises(ValueError, match="a list was expected"):
        records_from(value, ProjectRecord.from_row)


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
    thread = ThreadRecord.from_row(
        {
            "id": ID.upper(),
            "content": f"Ask @[Ada Lovelace]({ID})\r\nplease",
            "frameId": "00000000-0000-0000-0000-000000000000",
            "seqn": True,
            "createdAt": "2026-07-25T10:17:02+02:00",
        }
    )
    assert thread == ThreadRecord(
        ID,
        first="Ask @Ada Lovelace\nplease",
        created_at=datetime(2026, 7, 25, 8, 17, 2, tzinfo=UTC),
    )


def test_a_lone_surrogate_is_replaced_as_in_a_webhooks_body() -> None:
    answer = RpcResponse(
        200, {"content-type": "application/json"}, rb'{"\ud83d": ["\uD83Dx", "\u00e9"]}'
    )
    assert answer.values() == {"\ufffd": ["\ufffdx", "\u00e9"]}
