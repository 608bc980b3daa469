"""What makes an event the same event, however it got here."""

import hashlib
from collections.abc import Mapping
from typing import Any

from relay.penpot import values
from relay.penpot.text import uuid

_COMMENT = {"create-comment-thread": "commentId", "create-comment": "id"}
"""Where the events about new comments tell the comment's id (Penpot 2.5 and later)."""


def digest(body: Mapping[str, Any], sent: bytes) -> bytes:
    """Equal for what is the same event of a team, to be told once.

    A new comment is known by its id, as Penpot's API tells of it too; everything else by the bytes
    that were ``sent``, which ``body`` was decoded from. The digest begins with the event's time,
    which both ways tell alike: an index over keys that grow stays quick.
    """
    name, props = body.get("name"), body.get("props")
    if isinstance(name, str) and name in _COMMENT and isinstance(props, Mapping):
        comment, created_at = (
            uuid(props.get(_COMMENT[name])),
            values.instant(props.get("createdAt")),
        )
        if comment and created_at is not None:
            hour = created_at.strftime("%Y-%m-%dT%H").encode()
            return hour + hashlib.sha256(f"comment {comment}".encode()).digest()[:16]
    at = str(body.get("createdAt", ""))[:24]
    return at.encode() + hashlib.sha256(sent).digest()[:16]
