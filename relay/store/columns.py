"""Columns and limits that both engines share. The columns are in the order of the fields of the
records that hold them."""

from dataclasses import fields
from typing import Any

from relay.store.records import Delivery, NewEvent, StoredEvent

NEW_EVENT_COLUMNS = ", ".join(NewEvent._fields)
EVENT_COLUMNS = ", ".join(field.name for field in fields(StoredEvent))
DELIVERY_COLUMNS = ", ".join(field.name for field in fields(Delivery))

MAX_BATCH_BYTES = 4 * 1024 * 1024
"""``stored_events`` stops reading after bodies of this total size."""
LOG_BODY_BYTES = 1000  # of each body in the log


def without_nul(value: Any) -> Any:
    """PostgreSQL's text type has no NUL character."""
    return value.replace("\x00", "\ufffd") if isinstance(value, str) else value
