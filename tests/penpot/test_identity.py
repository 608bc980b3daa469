"""A new comment is the same however it got here; all else is what was sent."""

import json
from pathlib import Path
from typing import Any

import pytest

from relay.penpot.identity import digest
from relay.penpot.wire import decode
from tests.penpot.world import PAYLOADS

ROWS = sorted(
    path
    for event in ("create-comment", "create-comment-thread")
    for path in (PAYLOADS / event).glob("*.transit.json")
)
PLAIN = PAYLOADS / "create-comment" / "plain.json"


def key(body: dict[str, Any]) -> bytes:
    return digest(body, json.dumps(body).encode())


@pytest.mark.parametrize("path", ROWS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_comment_in_json_and_in_transit_is_the_same(path: Path) -> None:
    other = Path(str(path).replace(".transit", ""))
    transit, plain = path.read_bytes(), other.read_bytes()
    found = digest(decode(plain, "application/json"), plain)
    assert digest(decode(transit, "application/transit+json"), transit) == found


def test_all_comments_of_the_payloads_are_different() -> None:
    bodies = [Path(str(path).replace(".transit", "")).read_bytes() for path in ROWS]
    ids = {json.loads(body)["props"].get("commentId") or json.loads(body)["props"]["id"]
           for body in bodies}  # fmt: skip
    assert len({digest(json.loads(body), body) for body in bodies}) == len(ids) > 10


def test_the_comment_alone_counts_and_not_what_stands_around_it() -> None:
    body = json.loads(PLAIN.read_bytes())
    again = body | {"createdAt": "2027-01-01T00:00:00Z", "profileId": None, "more": 1}
    again["props"] = body["props"] | {"content": "edited by then", "modifiedAt": "x"}
    assert key(again) == key(body)
    assert key(body).startswith(b"2026-07-25T08")
    other = body | {"props": body["props"] | {"id": body["props"]["threadId"]}}
    assert key(other) != key(body)


@pytest.mark.parametrize("lacking", ["id", "createdAt"])
def test_a_comment_of_an_older_penpot_is_known_by_its_body(lacking: str) -> None:
    body = json.loads(PLAIN.read_bytes())
    del body["props"][lacking]
    assert key(body).startswith(b"2026-07-25T08:33:22.299Z")
    assert key(body) == key(body)
    assert key(body) != key(body | {"more": 1})


@pytest.mark.parametrize("body", [{}, {"name": []}, {"name": "create-comment", "props": 7}])
def test_anything_has_a_digest(body: dict[str, Any]) -> None:
    assert len(key(body)) == 16
