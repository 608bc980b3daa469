"""Conversion of Penpot's JSON values; a value of the wrong type counts as absent."""

from datetime import UTC, datetime
from typing import Any

from relay.penpot.text import uuid


def ids(values: Any) -> set[str]:
    if not isinstance(values, list | tuple):
        return set()
    return {value for value in map(uuid, values) if value}


def number(value: Any) -> int | None:
    """A whole number from 0 to 999,999,999."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 1_000_000_000 else None


def instant(value: Any) -> datetime | None:
    """A time in UTC, from ISO 8601."""
    if not isinstance(value, str) or len(value) > 40:
        return None
    try:
        at = datetime.fromisoformat(value)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
