"""Filling a store directly, past Relay: a million messages in seconds."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator

import asyncpg

from relay.messages.message import Message
from relay.store import store_at

EVENTS = ("team", "digest", "name", "content_type", "body", "received_at", "state", "reason")
DELIVERIES = (
    "event_id", "lane", "key", "message", "state", "attempts", "next_at", "error", "receipt",
    "created_at", "digest",
)  # fmt: skip
AT_ONCE = 100_000


async def fill(url: str, count: int, *, age: float = 0.0, state: str = "waiting") -> None:
    """Put so many events, each with a delivery for ``acme/c0``, into the store: of some ``age`` in
    seconds, and with deliveries in that ``state``."""
    store = store_at(url)
    await store.open()
    await store.close()
    for first in range(0, count, AT_ONCE):
        some = min(AT_ONCE, count - first)
        if url.startswith("sqlite:"):
            _fill_file(url.removeprefix("sqlite:///"), some, time.time() - age, state)
        else:
            await _fill_database(url, some, time.time() - age, state)


async def waiting(url: str) -> int:
    """How many deliveries wait."""
    store = store_at(url)
    await store.open()
    counted = await store.waiting_lanes()
    await store.close()
    return sum(counted.values())


def _events(first: int, count: int, at: float) -> Iterator[tuple[object, ...]]:
    body = b'{"name": "create-comment", "props": {"content": "%s"}}' % (b"Looks off. " * 20)
    for number in range(first, first + count):
        digest = number.to_bytes(24, "big")
        yield "acme", digest, "create-comment", "application/json", body, at, "fanned-out", ""


def _deliveries(first: int, count: int, at: float, state: str) -> Iterator[tuple[object, ...]]:
    for id_ in range(first, first + count):
        message = Message(f"Ada comments {id_}", "Looks off. " * 20, event="create-comment")
        yield id_, "acme/c0", f"key-{id_}", message.dumps(), state, 0, 0.0, "", "", at, ""


def _fill_file(path: str, count: int, at: float, state: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        first = db.execute("SELECT coalesce(max(id), 0) + 1 FROM events").fetchone()[0]
        db.executemany(_insert("events", ("id", *EVENTS)), (
            (first + number, *row) for number, row in enumerate(_events(first, count, at))
        ))  # fmt: skip
        db.executemany(_insert("deliveries", DELIVERIES), _deliveries(first, count, at, state))


def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


async def _fill_database(url: str, count: int, at: float, state: str) -> None:
    db = await asyncpg.connect(url)
    first = await db.fetchval("SELECT coalesce(max(id), 0) + 1 FROM relay.events")
    into = {"schema_name": "relay", "timeout": 120}
    await db.copy_records_to_table(
        "events", records=_events(first, count, at), columns=EVENTS, **into
    )
    first = await db.fetchval("SELECT max(id) FROM relay.events") - count + 1
    await db.copy_records_to_table(
        "deliveries", records=_deliveries(first, count, at, state), columns=DELIVERIES, **into
    )
    await db.execute("VACUUM ANALYZE")
    await db.close()
