"""The comment threads of Penpot as the sync last saw them."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from relay.store.engine import (
    EVENT_COLUMNS,
    INSERT_EVENTS_SQL,
    Engine,
    Parameters,
    Statement,
    Steps,
)
from relay.store.records import NewEvent, StoredEvent

MAX_RECENT_BODY_BYTES = 64 * 1024  # ``recent_events`` leaves out larger bodies
SYNC_LEASE = "sync"

_SAVE_THREADS_SQL = (
    "INSERT INTO relay.sync_threads (team, thread, file, fingerprint, gone_at, state)"
    " SELECT new.team, new.thread, new.file, new.fingerprint, new.gone_at, new.state"
    " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::float8[], $6::text[])"
    " AS new (team, thread, file, fingerprint, gone_at, state)"
    " WHERE true ON CONFLICT (team, thread) DO UPDATE SET file = excluded.file,"
    " fingerprint = excluded.fingerprint, gone_at = excluded.gone_at, state = excluded.state"
)


class ThreadFingerprint(NamedTuple):
    """What the sync compares to detect a change of a thread."""

    thread: str
    file: str
    fingerprint: str
    gone_at: float
    """When the thread was first missing in Penpot, in seconds since 1970; 0 if it exists."""


class SyncThread(NamedTuple):
    """A thread as the sync last saw it."""

    thread: str
    file: str
    fingerprint: str
    gone_at: float
    state: str
    """Everything else that the sync stores of it, in its own format."""


class SyncThreads:
    """All methods raise ``StoreUnavailable``; ``save`` and ``delete_gone`` also ``LeaseLost``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def fingerprints(self, team: str, file: str = "") -> list[ThreadFingerprint]:
        """The threads of a file, or of the whole team."""
        values = Parameters()
        where = values.equal(team=team, file=file or None)
        sql = f"SELECT thread, file, fingerprint, gone_at FROM relay.sync_threads WHERE {where}"
        rows = await self._engine.fetch(sql, *values)
        return [ThreadFingerprint(*row) for row in rows]

    async def get(self, team: str, threads: Collection[str]) -> dict[str, SyncThread]:
        """Threads by id; unknown ones are left out."""
        sql = (
            "SELECT thread, file, fingerprint, gone_at, state FROM relay.sync_threads"
            " WHERE thread = ANY($1::text[]) AND team = $2"
        )
        ids = [(thread,) for thread in threads]
        rows = await self._engine.fetch(sql, team, rows=ids)
        return {thread.thread: thread for thread in (SyncThread(*row) for row in rows)}

    async def save(
        self, team: str, events: Sequence[NewEvent], threads: Sequence[SyncThread]
    ) -> int:
        """Store events as ``Store.accept`` does, and threads, in one transaction; returns the
        number of new events."""
        sql = f"{INSERT_EVENTS_SQL} RETURNING id"
        rows = list({thread.thread: (team, *thread) for thread in threads}.values())

        def work() -> Steps[int]:
            yield from self._engine.require_lease(SYNC_LEASE)
            inserted = yield Statement(sql, rows=events)
            if events:
                yield from self._engine.notify_events()
            yield Statement(_SAVE_THREADS_SQL, rows=rows)
            return len(inserted)

        return await self._engine.write(work)

    async def delete_gone(self, team: str, before: float) -> None:
        """Delete the threads with a ``gone_at`` before that time, in seconds since 1970."""
        sql = "DELETE FROM relay.sync_threads WHERE team = $1 AND gone_at > 0 AND gone_at < $2"

        def work() -> Steps[None]:
            yield from self._engine.require_lease(SYNC_LEASE)
            yield Statement(sql, (team, before))

        await self._engine.write(work)

    async def delete_teams_except(self, key_prefix: str, teams: Collection[str] = ()) -> None:
        """Delete all threads of all other teams, and their values whose key is ``key_prefix`` and
        the team. It requires no lease, because no replica syncs those teams."""
        keys_sql = "SELECT key FROM relay.key_values WHERE substr(key, 1, length($1)) = $1"

        def work() -> Steps[None]:
            rows = yield Statement("SELECT DISTINCT team FROM relay.sync_threads")
            others = [(team,) for (team,) in rows if team not in teams]
            sql = "DELETE FROM relay.sync_threads WHERE team = ANY($1::text[])"
            yield Statement(sql, rows=others)
            kept = {key_prefix + team for team in teams}
            rows = yield Statement(keys_sql, (key_prefix,))
            keys = [(key,) for (key,) in rows if key not in kept]
            yield Statement("DELETE FROM relay.key_values WHERE key = ANY($1::text[])", rows=keys)

        await self._engine.write(work)

    async def recent_events(
        self, names: Collection[str], since: float, limit: int
    ) -> list[StoredEvent]:
        """The newest events of these names since that time (seconds since 1970), oldest first,
        without bodies over ``MAX_RECENT_BODY_BYTES``."""
        values = Parameters()
        sql = (
            f"SELECT {EVENT_COLUMNS} FROM relay.events WHERE received_at >= {values.add(since)}"
            f" AND name IN ({values.add_all(names)}) AND length(body) <= {MAX_RECENT_BODY_BYTES}"
            f" ORDER BY received_at DESC LIMIT {values.add(limit)}"
        )
        rows = await self._engine.fetch(sql, *values)
        return [StoredEvent(*row) for row in reversed(rows)]
