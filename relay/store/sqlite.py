"""The store in a SQLite file: the default, for one machine."""

import asyncio
import contextlib
import fcntl
import sqlite3
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from relay.store.base import (
    Delivery,
    Entry,
    FactKey,
    FannedOut,
    NewEvent,
    StoredEvent,
    StoreMisfit,
    StoreMissing,
    StoreUnavailable,
    ThreadPlace,
)
from relay.store.schema import require, upgrade
from relay.store.writer import Writer, unavailable

T = TypeVar("T")

LOCK_WAIT = 3.0
"""Seconds to wait for another process's write; Penpot waits 4 for its answer."""
AT_ONCE = 4 * 1024 * 1024
"""Bytes of bodies after which no further event is read in one go."""
EXCERPT = 1000
"""Bytes of a body that the log shows."""
_EVENT = "id, team, content_type, body, name, state, reason, received_at"
_DELIVERY = "id, event_id, lane, key, message, state, attempts, next_at, error, receipt, created_at"
_SETTLE = (
    "UPDATE deliveries SET state = ?, error = ?, receipt = ?, next_at = ?,"
    " attempts = attempts + 1 WHERE id = ?"
)
_JOIN = (
    "INSERT INTO threads (lane, thread, root, last, title) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO UPDATE SET last = excluded.last,"
    " title = iif(root = '', excluded.title, title), root = iif(root = '', excluded.root, root)"
)
_EVENT_STATES = ("stored", "fanned-out", "ignored", "unreadable")


class SqliteStore:
    """Events, deliveries and names in one file, in WAL mode with ``synchronous=FULL``.

    One thread writes (``Writer``), another reads. Other processes, such as ``relay log`` and
    ``relay resend``, may have the file open at the same time.
    """

    def __init__(self, path: Path) -> None:
        """``path`` names the file; it and its folder are made where they are missing."""
        self._path = path
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="store-reader")

    async def open(self, *, service: bool = True) -> None:
        """See ``Store``; with ``service`` false beside a running service."""
        with contextlib.ExitStack() as opened:
            try:
                if service:
                    self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    opened.enter_context(self._lock())
                    self._path.touch(mode=0o600)  # people's comments will stand in it
                elif not self._path.exists():
                    raise StoreMissing(f"there is no store at {self._path} yet")
                writing = await asyncio.to_thread(self._connect, upgrading=service)
                opened.callback(writing.close)
                self._reader = await asyncio.to_thread(self._connect)
                opened.callback(self._reader.close)
            except (OSError, sqlite3.Error) as error:
                raise StoreMisfit(f"{self._path} can't be opened: {error}") from error
            self._writer = Writer(writing)
            self._opened = opened.pop_all()

    async def close(self) -> None:
        """See ``Store``."""
        await self._writer.close()
        await asyncio.to_thread(self._reading.shutdown)
        self._opened.close()

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep every other service out."""
        with self._path.with_name(self._path.name + "-lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreMisfit(
                    f"{self._path} is in use by another `relay serve`: stop that one, or name "
                    "another file in store.url"
                ) from error
            yield

    def _connect(self, *, upgrading: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=LOCK_WAIT, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            if upgrading:
                connection.execute("PRAGMA journal_mode = WAL")  # the file keeps it
                upgrade(connection, str(self._path))
            else:
                require(connection, str(self._path))
        except BaseException:
            connection.close()
            raise
        return connection

    async def _read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._reading, query, self._reader)
        except sqlite3.DatabaseError as error:
            if unavailable(error):
                raise StoreUnavailable(str(error)) from error
            raise

    async def accept(self, event: NewEvent) -> None:
        """See ``Store``."""
        await self._writer.accept(event)

    async def stored(self, limit: int) -> list[StoredEvent]:
        """See ``Store``."""
        sql = f"SELECT {_EVENT} FROM events WHERE state = 'stored' ORDER BY id LIMIT ?"

        def query(db: sqlite3.Connection) -> list[StoredEvent]:
            found: list[StoredEvent] = []
            size = 0
            for row in db.execute(sql, (limit,)):
                found.append(StoredEvent(*row))
                size += len(found[-1].body)
                if size > AT_ONCE:
                    break
            return found

        return await self._read(query)

    async def fanned_out(self, batch: Sequence[FannedOut]) -> None:
        """See ``Store``."""
        now = time.time()
        states = [(item.state, item.reason, item.event_id) for item in batch]
        deliveries = [
            (item.event_id, new.lane, new.key, new.message, now)
            for item in batch
            for new in item.deliveries
        ]
        threads = [
            (new.lane, new.thread) for item in batch for new in item.deliveries if new.thread
        ]
        facts = [
            (item.team, kind, id_, fields, now)
            for item in batch
            for (kind, id_), fields in (item.facts or {}).items()
        ]

        def work(db: sqlite3.Connection) -> None:
            db.executemany("UPDATE events SET state = ?, reason = ? WHERE id = ?", states)
            db.executemany(
                "INSERT INTO deliveries (event_id, lane, key, message, state, attempts, next_at,"
                " error, receipt, created_at) VALUES (?, ?, ?, ?, 'waiting', 0, 0, '', '', ?)",
                deliveries,
            )
            db.executemany(
                "INSERT INTO threads (lane, thread, root, last, title) VALUES (?, ?, '', '', '')"
                " ON CONFLICT DO NOTHING",
                threads,
            )
            db.executemany(
                "INSERT INTO facts (team, kind, id, fields, learned_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET fields = excluded.fields,"
                " learned_at = excluded.learned_at",
                facts,
            )

        await self._writer.do(work)

    async def facts(self, team: str, keys: Collection[FactKey]) -> dict[FactKey, str]:
        """See ``Store``."""
        sql = "SELECT fields FROM facts WHERE team = ? AND kind = ? AND id = ?"

        def query(db: sqlite3.Connection) -> dict[FactKey, str]:
            found = {key: db.execute(sql, (team, *key)).fetchone() for key in keys}
            return {key: row[0] for key, row in found.items() if row is not None}

        return await self._read(query)

    async def waiting(self, lane: str, limit: int) -> list[Delivery]:
        """See ``Store``."""
        sql = (
            f"SELECT {_DELIVERY} FROM deliveries"
            " WHERE state = 'waiting' AND lane = ? ORDER BY id LIMIT ?"
        )
        rows = await self._read(lambda db: db.execute(sql, (lane, limit)).fetchall())
        return [Delivery(*row) for row in rows]

    async def waiting_lanes(self) -> dict[str, int]:
        """See ``Store``."""
        sql = "SELECT lane, count(*) FROM deliveries WHERE state = 'waiting' GROUP BY lane"
        return dict(await self._read(lambda db: db.execute(sql).fetchall()))

    async def sent(
        self, delivery_id: int, receipt: str, *, lane: str = "", thread: str = "", title: str = ""
    ) -> None:
        """See ``Store``."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(_SETTLE, ("sent", "", receipt, 0.0, delivery_id))
            if thread:
                db.execute(_JOIN, (lane, thread, receipt, receipt, title))

        await self._writer.do(work)

    async def thread(self, lane: str, thread: str) -> ThreadPlace | None:
        """See ``Store``."""
        sql = "SELECT root, last, title FROM threads WHERE lane = ? AND thread = ? AND root <> ''"
        row = await self._read(lambda db: db.execute(sql, (lane, thread)).fetchone())
        return None if row is None else ThreadPlace(*row)

    async def threads(self, thread: str) -> set[str]:
        """See ``Store``."""
        sql = "SELECT lane FROM threads WHERE thread = ?"
        rows = await self._read(lambda db: db.execute(sql, (thread,)).fetchall())
        return {lane for (lane,) in rows}

    async def forget_thread(self, lane: str, thread: str) -> None:
        """See ``Store``."""
        sql = "DELETE FROM threads WHERE lane = ? AND thread = ?"
        await self._writer.do(lambda db: db.execute(sql, (lane, thread)) and None)

    async def failed(self, delivery_id: int, error: str, next_at: float) -> None:
        """See ``Store``."""
        await self._settle(delivery_id, "waiting", error=error, next_at=next_at)

    async def dead(self, delivery_id: int, error: str) -> None:
        """See ``Store``."""
        await self._settle(delivery_id, "dead", error=error)

    async def _settle(
        self,
        delivery_id: int,
        state: str,
        *,
        error: str = "",
        next_at: float = 0.0,
    ) -> None:
        values = (state, error, "", next_at, delivery_id)
        await self._writer.do(lambda db: db.execute(_SETTLE, values) and None)

    async def resend(self, delivery_ids: Sequence[int]) -> list[int]:
        """See ``Store``."""

        def work(db: sqlite3.Connection) -> list[int]:
            # a new key: servers that know the old one would take it for a repetition
            sql = (
                "UPDATE deliveries SET state = 'waiting', key = ?, attempts = 0, next_at = 0,"
                " created_at = ? WHERE id = ?"
            )
            now = time.time()
            return [
                id_
                for id_ in delivery_ids
                if db.execute(sql, (uuid.uuid4().hex, now, id_)).rowcount
            ]

        return await self._writer.do(work)

    async def resend_dead(self, lane: str | None = None) -> list[int]:
        """See ``Store``."""
        sql = "SELECT id FROM deliveries WHERE state = 'dead' AND (? IS NULL OR lane = ?)"
        rows = await self._read(lambda db: db.execute(sql, (lane, lane)).fetchall())
        return await self.resend([id_ for (id_,) in rows])

    async def log(self, *, team: str | None, state: str | None, limit: int) -> list[Entry]:
        """See ``Store``."""
        where, values = ["1"], list[Any]()
        if team is not None:
            where.append("team = ?")
            values.append(team)
        if state in _EVENT_STATES:
            where.append("state = ?")
            values.append(state)
        elif state is not None:
            where.append(
                "EXISTS (SELECT 1 FROM deliveries WHERE event_id = events.id AND state = ?)"
            )
            values.append(state)
        columns = _EVENT.replace("body", f"coalesce(substr(body, 1, {EXCERPT}), x'')")
        sql = f"SELECT {columns} FROM events WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
        of_event = f"SELECT {_DELIVERY} FROM deliveries WHERE event_id = ? ORDER BY id"

        def query(db: sqlite3.Connection) -> list[Entry]:
            events = [StoredEvent(*row) for row in db.execute(sql, (*values, limit))]
            return [
                Entry(event, [Delivery(*row) for row in db.execute(of_event, (event.id,))])
                for event in events
            ]

        return await self._read(query)

    async def prune(self, before: float, limit: int) -> int:
        """See ``Store``."""

        def work(db: sqlite3.Connection) -> int:
            ids = db.execute(
                "SELECT id FROM events WHERE received_at < ? AND state <> 'stored' AND NOT EXISTS"
                " (SELECT 1 FROM deliveries WHERE event_id = events.id AND state = 'waiting'"
                " AND created_at >= ?) ORDER BY received_at LIMIT ?",
                (before, before, limit),
            ).fetchall()
            db.executemany("DELETE FROM deliveries WHERE event_id = ?", ids)
            db.executemany("DELETE FROM events WHERE id = ?", ids)
            return len(ids)

        return await self._writer.do(work)

    async def probe(self) -> None:
        """See ``Store``."""
        now = time.time()
        await self._writer.do(lambda db: db.execute("UPDATE probe SET at = ?", (now,)) and None)
        (at,) = await self._read(lambda db: db.execute("SELECT at FROM probe").fetchone())
        if at < now:
            raise StoreUnavailable("what was written is not what is read")
