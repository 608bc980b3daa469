"""The columns that both stores read and write, in the order of the types that hold them."""

from dataclasses import fields
from typing import Any

from relay.store.base import Delivery, NewEvent, StoredEvent

ACCEPTED = ", ".join(NewEvent._fields)
EVENT = ", ".join(field.name for field in fields(StoredEvent))
DELIVERY = ", ".join(field.name for field in fields(Delivery))
EVENT_STATES = ("stored", "fanned-out", "ignored", "unreadable")
"""The states of an event; all others are those of a delivery."""


def fit(value: Any) -> Any:
    """A value as PostgreSQL can keep it: its text takes no NUL."""
    return value.replace("\x00", "\ufffd") if isinstance(value, str) else value
