"""Values of Penpot's as Relay's own; what has a wrong type counts as absent."""

from datetime import UTC, datetime
from typing import Any

from relay.penpot.text import uuid


def ids(values: Any) -> set[str]:
    """The UUIDs of a set."""
    if not isinstance(values, list | tuple):
        return set()
    return {found for found in map(uuid, values) if found}


def number(value: Any) -> int | None:
    """A small whole number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 1_000_000_000 else None


def instant(value: Any) -> datetime | None:
    """A time in UTC, from Penpot's ISO 8601."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        at = datetime.fromisoformat(value)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
