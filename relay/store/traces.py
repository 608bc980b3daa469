"""What is written beside events and deliveries, for the inspector: summaries, tries, queues."""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from relay.store.base import FannedOut
from relay.store.columns import fit
from relay.store.reading import FIRST_ATTEMPTS, LAST_ATTEMPTS, MOST_WORDS

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

_COLUMNS = "event_id, team, name, state, reason, received_at, person, about, words, passed"
_SUMMARY = (
    f"INSERT OR REPLACE INTO summaries ({_COLUMNS})"
    " SELECT id, team, name, ?2, ?3, received_at, ?4, ?5, name || ' ' || ?6, ?7"
    " FROM events WHERE id = ?1"
)
_TRY = (
    "INSERT INTO attempts (delivery_id, number, at, seconds, outcome, words)"
    " SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5 FROM attempts WHERE delivery_id = ?1"
)
_FORGET = (
    f"DELETE FROM attempts WHERE delivery_id = ?1 AND number > {FIRST_ATTEMPTS} AND number <="
    f" (SELECT max(number) - {LAST_ATTEMPTS} FROM attempts WHERE delivery_id = ?1)"
)
_QUEUE = (
    "INSERT INTO queues (queue, sent_at, failed_at, error)"
    " SELECT queue, ?2, ?3, ?4 FROM deliveries WHERE id = ?1 ON CONFLICT (queue) DO UPDATE SET"
)
_QUEUE_ENDS = {
    "sent": " sent_at = excluded.sent_at",
    "failed": " failed_at = excluded.failed_at, error = excluded.error",
}

_POST_SUMMARIES = (
    f"INSERT INTO relay.summaries ({_COLUMNS})"
    " SELECT id, team, name, new.state, new.reason, received_at, new.person, new.about,"
    " name || ' ' || new.words, new.passed FROM unnest($1::int8[], $2::text[], $3::text[],"
    " $4::text[], $5::text[], $6::text[], $7::text[])"
    " AS new (event, state, reason, person, about, words, passed)"
    " JOIN relay.events ON id = new.event ON CONFLICT (event_id) DO NOTHING"
)
_POST_TRIES = (
    "INSERT INTO relay.attempts (delivery_id, number, at, seconds, outcome, words)"
    " SELECT id, 1 + coalesce((SELECT max(number) FROM relay.attempts WHERE delivery_id = id), 0),"
    " $2::float8, $3::float8, $4::text, $5::text FROM unnest($1::int8[]) AS id"
)
_POST_FORGET = (
    f"DELETE FROM relay.attempts WHERE delivery_id = $1 AND number > {FIRST_ATTEMPTS} AND number <="
    f" (SELECT max(number) - {LAST_ATTEMPTS} FROM relay.attempts WHERE delivery_id = $1)"
)
_POST_QUEUE = (
    "INSERT INTO relay.queues (queue, sent_at, failed_at, error)"
    " SELECT queue, $2::float8, $3::float8, $4::text FROM relay.deliveries WHERE id = $1"
    " ON CONFLICT (queue) DO UPDATE SET"
)


def note_events(db: sqlite3.Connection, batch: Iterable[FannedOut]) -> None:
    """Keep what the list shows of events that were fanned out."""
    db.executemany(_SUMMARY, _summaries(batch))


def note_tries(
    db: sqlite3.Connection, ids: Sequence[int], outcome: str, seconds: float, words: str
) -> None:
    """Keep how a try at these deliveries, all of one queue, ended."""
    now, words = time.time(), words[:MOST_WORDS]
    db.executemany(_TRY, [(id_, now, round(seconds, 3), outcome, words) for id_ in ids])
    if outcome == "sent":
        db.execute(_QUEUE + _QUEUE_ENDS["sent"], (ids[0], now, 0.0, ""))
    else:
        db.executemany(_FORGET, [(id_,) for id_ in ids])
        db.execute(_QUEUE + _QUEUE_ENDS["failed"], (ids[0], 0.0, now, words))


async def post_events(connection: "PoolConnectionProxy[Any]", batch: Iterable[FannedOut]) -> None:
    """``note_events`` in a PostgreSQL."""
    if rows := _summaries(batch):
        columns = [list(map(fit, column)) for column in zip(*rows, strict=True)]
        await connection.execute(_POST_SUMMARIES, *columns)


async def post_tries(
    connection: "PoolConnectionProxy[Any]",
    ids: Sequence[int],
    outcome: str,
    seconds: float,
    words: str,
) -> None:
    """``note_tries`` in a PostgreSQL."""
    now, words = time.time(), fit(words[:MOST_WORDS])
    await connection.execute(_POST_TRIES, ids, now, round(seconds, 3), outcome, words)
    if outcome == "sent":
        await connection.execute(_POST_QUEUE + _QUEUE_ENDS["sent"], ids[0], now, 0.0, "")
    else:
        await connection.execute(_POST_FORGET, ids[0])
        await connection.execute(_POST_QUEUE + _QUEUE_ENDS["failed"], ids[0], 0.0, now, words)


def _summaries(batch: Iterable[FannedOut]) -> list[tuple[Any, ...]]:
    return [
        (
            one.event_id,
            one.state,
            one.reason,
            one.person,
            one.about,
            f"{one.person} {one.about}".casefold(),
            json.dumps(one.passed or {}, ensure_ascii=False),
        )
        for one in batch
        if one.state in ("fanned-out", "ignored")
    ]
