"""The key by which an event is recognized when it arrives twice."""

import hashlib
from collections.abc import Mapping
from typing import Any

from relay.penpot import values
from relay.penpot.text import uuid

# Where the events about new comments have the comment's id (Penpot 2.5 and later).
_COMMENT_ID = {"create-comment-thread": "commentId", "create-comment": "id"}


def deduplication_key(body: Mapping[str, Any], sent: bytes) -> bytes:
    """Equal for every copy of an event, from a webhook or from sync. ``body`` is ``sent``, decoded.

    A new comment is identified by its id, which webhook and API share; any other event by the bytes
    sent. The key begins with the event's time, so that new keys go to the end of an index.
    """
    name, props = body.get("name"), body.get("props")
    if isinstance(name, str) and name in _COMMENT_ID and isinstance(props, Mapping):
        comment = uuid(props.get(_COMMENT_ID[name]))
        created_at = values.instant(props.get("createdAt"))
        if comment and created_at is not None:
            hour = created_at.strftime("%Y-%m-%dT%H").encode()
            return hour + hashlib.sha256(f"comment {comment}".encode()).digest()[:16]
    at = str(body.get("createdAt", ""))[:24]
    return at.encode() + hashlib.sha256(sent).digest()[:16]
