"""Fills a store with SQL: a million messages in seconds."""

import contextlib
import sqlite3
import time

import asyncpg

from relay.messages.message import Content, Message
from relay.store import store_at

BODY = b'{"name": "create-comment", "props": {"content": "%s"}}' % (b"Looks off. " * 20)
MESSAGE = Message(
    "Ada comments", Content("This is NUMBER. " + "Looks off. " * 20), event="create-comment"
)
_EVENTS = (
    "INSERT INTO {schema}events (id, team, digest, name, content_type, body, received_at, state,"
    " reason) {over} SELECT i, 'acme', {digest}, 'create-comment', 'application/json', {body},"
    " {at}, 'fanned-out', '' FROM {numbers}"
)
_DELIVERIES = (
    "INSERT INTO {schema}deliveries (event_id, queue, key, message, state, attempts, next_at,"
    " error, receipt, created_at, digest) SELECT i, 'acme/c0', 'key-' || i, {message}, {state},"
    " 0, 0, '', '', {at}, '' FROM {numbers}"
)


async def fill(url: str, count: int, *, age: float = 0.0, state: str = "waiting") -> None:
    """Insert ``count`` events, ``age`` seconds old, each with a delivery for ``acme/c0`` in that
    ``state``."""
    store = store_at(url)
    await store.open()
    await store.close()
    if not count:
        return
    at = time.time() - age
    if url.startswith("sqlite:"):
        _fill_file(url.removeprefix("sqlite:///"), count, at, state)
    else:
        await _fill_database(url, count, at, state)


async def waiting(url: str) -> int:
    """The number of waiting deliveries."""
    store = store_at(url)
    await store.open()
    counted = await store.waiting_queues()
    await store.close()
    return sum(counted.values())


def _fill_file(path: str, count: int, at: float, state: str) -> None:
    parts = {
        "schema": "",
        "over": "",
        "digest": "CAST(printf('%024d', i) AS BLOB)",
        "body": ":body",
        "message": "replace(:message, 'NUMBER', i)",
        "state": ":state",
        "at": ":at",
        "numbers": "(WITH RECURSIVE n (i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n"
        " WHERE i < :last) SELECT i FROM n)",
    }
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        (last,) = db.execute("SELECT coalesce(max(id), 0) FROM events").fetchone()
        values = {"first": last + 1, "last": last + count, "at": at, "state": state}
        values |= {"body": BODY, "message": MESSAGE.dumps()}
        for statement in (_EVENTS, _DELIVERIES):
            db.execute(statement.format(**parts), values)


async def _fill_database(url: str, count: int, at: float, state: str) -> None:
    parts = {
        "schema": "relay.",
        "over": "OVERRIDING SYSTEM VALUE",
        "digest": "convert_to(lpad(i::text, 24, '0'), 'UTF8')",
        "body": "$3::bytea",
        "message": "replace($3::text, 'NUMBER', i::text)",
        "state": "$5::text",
        "at": "$4::float8",
        "numbers": "generate_series($1::int8, $2::int8) AS i",
    }
    db = await asyncpg.connect(url)
    last = await db.fetchval("SELECT coalesce(max(id), 0) FROM relay.events")
    span = last + 1, last + count
    await db.execute(_EVENTS.format(**parts), *span, BODY, at)
    await db.execute(_DELIVERIES.format(**parts), *span, MESSAGE.dumps(), at, state)
    await db.execute("SELECT setval('relay.events_id_seq', $1)", last + count)
    await db.execute("VACUUM ANALYZE relay.events, relay.deliveries")
    await db.close()
