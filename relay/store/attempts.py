"""Writes for the inspector: summaries of events, attempts of deliveries, statistics of queues."""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from relay.store.columns import without_nul
from relay.store.queries import FIRST_ATTEMPTS_COUNT, LAST_ATTEMPTS_COUNT, MAX_DETAIL_LENGTH
from relay.store.records import FanOutResult

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

_SUMMARY_COLUMNS = (
    "event_id, team, name, state, reason, received_at, person, about, search_text, skipped"
)
_QUEUE_UPDATES = {
    "sent": " sent_at = excluded.sent_at",
    "failed": " failed_at = excluded.failed_at, error = excluded.error",
}

_SQLITE_SUMMARY_SQL = (
    f"INSERT OR REPLACE INTO summaries ({_SUMMARY_COLUMNS})"
    " SELECT id, team, name, ?2, ?3, received_at, ?4, ?5, name || ' ' || ?6, ?7"
    " FROM events WHERE id = ?1"
)
_SQLITE_ATTEMPT_SQL = (
    "INSERT INTO attempts (delivery_id, number, at, seconds, outcome, detail)"
    " SELECT ?1, coalesce(max(number), 0) + 1, ?2, ?3, ?4, ?5 FROM attempts WHERE delivery_id = ?1"
)
_SQLITE_PRUNE_SQL = (
    f"DELETE FROM attempts WHERE delivery_id = ?1 AND number > {FIRST_ATTEMPTS_COUNT} AND number"
    f" <= (SELECT max(number) - {LAST_ATTEMPTS_COUNT} FROM attempts WHERE delivery_id = ?1)"
)
_SQLITE_QUEUE_SQL = (
    "INSERT INTO queues (queue, sent_at, failed_at, error)"
    " SELECT queue, ?2, ?3, ?4 FROM deliveries WHERE id = ?1 ON CONFLICT (queue) DO UPDATE SET"
)

_POSTGRES_SUMMARY_SQL = (
    f"INSERT INTO relay.summaries ({_SUMMARY_COLUMNS})"
    " SELECT id, team, name, new.state, new.reason, received_at, new.person, new.about,"
    " name || ' ' || new.search_text, new.skipped FROM unnest($1::int8[], $2::text[], $3::text[],"
    " $4::text[], $5::text[], $6::text[], $7::text[])"
    " AS new (event, state, reason, person, about, search_text, skipped)"
    " JOIN relay.events ON id = new.event ON CONFLICT (event_id) DO NOTHING"
)
_POSTGRES_ATTEMPT_SQL = (
    "INSERT INTO relay.attempts (delivery_id, number, at, seconds, outcome, detail)"
    " SELECT id, 1 + coalesce((SELECT max(number) FROM relay.attempts WHERE delivery_id = id), 0),"
    " $2::float8, $3::float8, $4::text, $5::text FROM unnest($1::int8[]) AS id"
)
_POSTGRES_PRUNE_SQL = (
    f"DELETE FROM relay.attempts WHERE delivery_id = $1 AND number > {FIRST_ATTEMPTS_COUNT}"
    f" AND number <= (SELECT max(number) - {LAST_ATTEMPTS_COUNT} FROM relay.attempts"
    " WHERE delivery_id = $1)"
)
_POSTGRES_QUEUE_SQL = (
    "INSERT INTO relay.queues (queue, sent_at, failed_at, error)"
    " SELECT queue, $2::float8, $3::float8, $4::text FROM relay.deliveries WHERE id = $1"
    " ON CONFLICT (queue) DO UPDATE SET"
)


def sqlite_save_summaries(db: sqlite3.Connection, batch: Iterable[FanOutResult]) -> None:
    db.executemany(_SQLITE_SUMMARY_SQL, _summaries(batch))


def sqlite_save_attempts(
    db: sqlite3.Connection, ids: Sequence[int], outcome: str, seconds: float, detail: str
) -> None:
    """The deliveries belong to one queue; a failed attempt has one delivery."""
    now, detail = time.time(), detail[:MAX_DETAIL_LENGTH]
    attempts = [(id_, now, round(seconds, 3), outcome, detail) for id_ in ids]
    db.executemany(_SQLITE_ATTEMPT_SQL, attempts)
    if outcome == "sent":
        db.execute(_SQLITE_QUEUE_SQL + _QUEUE_UPDATES["sent"], (ids[0], now, 0.0, ""))
    else:
        db.execute(_SQLITE_PRUNE_SQL, (ids[0],))
        db.execute(_SQLITE_QUEUE_SQL + _QUEUE_UPDATES["failed"], (ids[0], 0.0, now, detail))


async def postgres_save_summaries(
    connection: "PoolConnectionProxy[Any]", batch: Iterable[FanOutResult]
) -> None:
    if rows := _summaries(batch):
        columns = [list(map(without_nul, column)) for column in zip(*rows, strict=True)]
        await connection.execute(_POSTGRES_SUMMARY_SQL, *columns)


async def postgres_save_attempts(
    connection: "PoolConnectionProxy[Any]",
    ids: Sequence[int],
    outcome: str,
    seconds: float,
    detail: str,
) -> None:
    now, detail = time.time(), without_nul(detail[:MAX_DETAIL_LENGTH])
    await connection.execute(_POSTGRES_ATTEMPT_SQL, ids, now, round(seconds, 3), outcome, detail)
    if outcome == "sent":
        sql = _POSTGRES_QUEUE_SQL + _QUEUE_UPDATES["sent"]
        await connection.execute(sql, ids[0], now, 0.0, "")
    else:
        sql = _POSTGRES_QUEUE_SQL + _QUEUE_UPDATES["failed"]
        await connection.execute(_POSTGRES_PRUNE_SQL, ids[0])
        await connection.execute(sql, ids[0], 0.0, now, detail)


def _summaries(batch: Iterable[FanOutResult]) -> list[tuple[Any, ...]]:
    return [
        (
            result.event_id,
            result.state,
            result.reason,
            result.person,
            result.about,
            f"{result.person} {result.about}".casefold(),
            json.dumps(result.skipped or {}, ensure_ascii=False),
        )
        for result in batch
        if result.state in ("fanned-out", "ignored")
    ]
