"""Bodies of synthetic events about the thread and the reply of Penpot's payloads."""

import json
from pathlib import Path
from typing import Any

PAYLOADS = Path(__file__).parent / "payloads"
THREAD = (PAYLOADS / "create-comment-thread" / "plain.json").read_bytes()
REPLY = (PAYLOADS / "create-comment" / "plain.json").read_bytes()
ADA = "6eaf5050-5d0e-81a4-8006-9a5f00000001"
ZOE = "6eaf5050-5d0e-81a4-8006-9a5f00000002"

_PLACE = {
    "fileName": "Landing page",
    "projectId": "3b7c2d20-5d0e-81a4-8006-9a2f00000001",
    "teamId": "2f6a1c10-5d0e-81a4-8006-9a1f00000001",
    "pageId": "5d9e4f40-5d0e-81a4-8006-9a4f00000001",
    "pageName": "Page 1",
    "seqn": 15,
}
_ROW_ONLY = ("commentId", "position", "participants", "mentions", "ownerPhotoId")


def thread(name: str, **changes: Any) -> bytes:
    """An event of the thread, with the fields of its row in Penpot's API."""
    props = {key: value for key, value in _props(THREAD).items() if key not in _ROW_ONLY}
    return _body(name, props | _PLACE, changes)


def reply(name: str, **changes: Any) -> bytes:
    return _body(name, _props(REPLY) | _PLACE | {"isFirst": False}, changes)


def first(name: str, **changes: Any) -> bytes:
    """An event of the thread's first comment, as a comment."""
    props = _props(THREAD)
    own = {"id": props["commentId"], "threadId": props["id"], "isFirst": True}
    return _body(name, props | _PLACE | own, changes)


_numbers = iter(range(10_000))


def _body(name: str, props: dict[str, Any], changes: dict[str, Any]) -> bytes:
    number = next(_numbers)  # makes each body unique
    at = f"2026-07-25T09:{number // 60 % 60:02}:{number % 60:02}.000Z"
    return json.dumps(
        {"name": name, "props": props | changes, "createdAt": at, "trackedAt": at}
    ).encode()


def _props(body: bytes) -> dict[str, Any]:
    props: dict[str, Any] = json.loads(body)["props"]
    return props
