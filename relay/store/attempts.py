"""The statements that count attempts and record their results."""

import time
from collections.abc import Iterable, Sequence

from relay.store.engine import Statement, Steps
from relay.store.queries import FIRST_ATTEMPTS_COUNT, LAST_ATTEMPTS_COUNT, MAX_DETAIL_LENGTH
from relay.store.records import INTERRUPTED

_END_ATTEMPT_SQL = (
    "UPDATE relay.deliveries SET state = $2, error = $3, receipt = $4, next_at = $5,"
    " died_at = $6, attempts = attempts + 1 WHERE id = ANY($1::int8[])"
)
_INSERT_ATTEMPTS_SQL = (
    "INSERT INTO relay.attempts (delivery_id, at, seconds, outcome, detail, number)"
    " SELECT new.id, $2::float8, $3::float8, $4::text, $5::text,"
    " 1 + coalesce((SELECT max(number) FROM relay.attempts WHERE delivery_id = new.id), 0)"
    " FROM unnest($1::int8[]) AS new (id)"
)
_PRUNE_ATTEMPTS_SQL = (
    f"DELETE FROM relay.attempts WHERE delivery_id = $1 AND number > {FIRST_ATTEMPTS_COUNT}"
    f" AND number <= (SELECT max(number) - {LAST_ATTEMPTS_COUNT} FROM relay.attempts"
    " WHERE delivery_id = $1)"
)
_SAVE_QUEUE_SQL = (
    "INSERT INTO relay.queues (queue, sent_at, failed_at, error, sending, unfinished)"
    " SELECT queue, $2::float8, $3::float8, $4::text, $5::int8, CASE $5 WHEN 0 THEN 0 ELSE 1 END"
    " FROM relay.deliveries WHERE id = $1 ON CONFLICT (queue) DO UPDATE SET"
    " sending = excluded.sending, unfinished = excluded.unfinished,"
)
_SAVE_QUEUE_SENT_SQL = f"{_SAVE_QUEUE_SQL} sent_at = excluded.sent_at"
_SAVE_QUEUE_FAILED_SQL = f"{_SAVE_QUEUE_SQL} failed_at = excluded.failed_at, error = excluded.error"
_SAVE_UNFINISHED_SQL = (
    "INSERT INTO relay.queues (queue, sent_at, failed_at, error, sending, unfinished)"
    " VALUES ($1, 0, 0, '', $2, $3) ON CONFLICT (queue) DO UPDATE SET"
    " sending = excluded.sending, unfinished = excluded.unfinished"
)
_FORGET_UNFINISHED_SQL = "UPDATE relay.queues SET sending = 0, unfinished = 0 WHERE sending = $1"
_SAVE_THREAD_SQL = (
    "INSERT INTO relay.threads (queue, thread, root, last, subject) VALUES ($1, $2, $3, $3, $4)"
    " ON CONFLICT (thread, queue) DO UPDATE SET last = excluded.last, subject ="
    " CASE threads.subject WHEN '' THEN excluded.subject ELSE threads.subject END"
)


def begins(
    queue: str, delivery_id: int, unfinished: int, *, interrupted: bool = False
) -> Steps[None]:
    """With ``interrupted`` the attempt before is recorded as failed."""
    if interrupted:
        rows = id_rows([delivery_id])
        yield Statement(_END_ATTEMPT_SQL, ("waiting", INTERRUPTED, "", 0.0, 0.0), rows)
        yield Statement(_INSERT_ATTEMPTS_SQL, (time.time(), 0.0, "failed", INTERRUPTED), rows)
    yield Statement(_SAVE_UNFINISHED_SQL, (queue, delivery_id, unfinished))


def succeeded(
    delivery_ids: Sequence[int],
    receipt: str,
    seconds: float,
    thread_values: Sequence[str],
    next_id: int,
) -> Steps[None]:
    """The deliveries belong to one queue, ``next_id`` as well."""
    now, rows = time.time(), id_rows(delivery_ids)
    attempt = now, round(seconds, 3), "sent", receipt[:MAX_DETAIL_LENGTH]
    yield Statement(_END_ATTEMPT_SQL, ("sent", "", receipt, 0.0, 0.0), rows)
    yield Statement(_INSERT_ATTEMPTS_SQL, attempt, rows)
    yield Statement(_SAVE_QUEUE_SENT_SQL, (delivery_ids[0], now, 0.0, "", next_id))
    if thread_values:
        yield Statement(_SAVE_THREAD_SQL, thread_values)


def failed(
    delivery_id: int, outcome: str, next_at: float, error: str, seconds: float
) -> Steps[None]:
    """``outcome`` is failed, dead or skipped, which says nothing about the queue."""
    now, rows, excerpt = time.time(), id_rows([delivery_id]), error[:MAX_DETAIL_LENGTH]
    state = "waiting" if outcome == "failed" else outcome
    died_at = now if outcome == "dead" else 0.0
    yield Statement(_END_ATTEMPT_SQL, (state, error, "", next_at, died_at), rows)
    yield Statement(_INSERT_ATTEMPTS_SQL, (now, round(seconds, 3), outcome, excerpt), rows)
    yield Statement(_PRUNE_ATTEMPTS_SQL, (delivery_id,))
    if outcome == "skipped":
        yield from forget(delivery_id)
    else:
        yield Statement(_SAVE_QUEUE_FAILED_SQL, (delivery_id, 0.0, now, excerpt, 0))


def forget(delivery_id: int) -> Steps[None]:
    """Its unfinished attempts do not count."""
    yield Statement(_FORGET_UNFINISHED_SQL, (delivery_id,))


def id_rows(ids: Iterable[int]) -> list[tuple[int]]:
    return [(id_,) for id_ in ids]
