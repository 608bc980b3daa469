"""Group commit: one thread writes all pending jobs to a SQLite file in one transaction."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from relay.store.columns import NEW_EVENT_COLUMNS
from relay.store.records import NewEvent, StoreUnavailable

T = TypeVar("T")

INSERT_EVENTS_SQL = (
    f"INSERT INTO events ({NEW_EVENT_COLUMNS}) VALUES {{}} ON CONFLICT (team, digest) DO NOTHING"
)
"""With one ``EVENT_VALUES_SQL`` for each event."""
EVENT_VALUES_SQL = f"({', '.join('?' for _ in NewEvent._fields)})"
ACCEPT_TIMEOUT = 3.5  # seconds until ``accept`` gives up; Penpot's timeout is 4
ACCEPT_BATCH_SIZE = 64  # events in one statement; Python caches one prepared statement per size


@dataclass(slots=True)
class WriteJob(Generic[T]):
    work: Callable[[sqlite3.Connection], T] | NewEvent
    done: "asyncio.Future[T]"


class SqliteWriter:
    """Runs jobs on a connection of its own, in order, many in one transaction.

    A job is a function of the connection, or a ``NewEvent``. Consecutive events are inserted by
    one statement: SQLite then releases Python's global lock once for all of them, which leaves
    more time to the event loop.
    """

    def __init__(self, connection: sqlite3.Connection, require: Callable[[], None]) -> None:
        """``connection`` must be in autocommit mode and is used only here. ``require`` raises
        ``StoreUnavailable`` if nothing may be written."""
        self._connection = connection
        self._require = require
        self._jobs: queue.SimpleQueue[WriteJob[Any] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run one job; returns its result once it is on disk. Raises ``StoreUnavailable``."""
        job: WriteJob[T] = WriteJob(work, self._loop.create_future())
        self._jobs.put(job)
        return await job.done

    async def accept(self, event: NewEvent) -> None:
        """Raises ``StoreUnavailable``, also after ``ACCEPT_TIMEOUT``: the event may then be stored
        all the same."""
        job: WriteJob[None] = WriteJob(event, self._loop.create_future())
        self._jobs.put(job)
        try:
            async with asyncio.timeout(ACCEPT_TIMEOUT):
                await job.done
        except TimeoutError:
            raise StoreUnavailable("the file was not written in time") from None

    async def close(self) -> None:
        """Run all pending jobs, then end the thread."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        is_open = True
        while is_open:
            batch: list[WriteJob[Any]] = []
            job = self._jobs.get()
            while job is not None:
                batch.append(job)
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            is_open = job is not None
            if batch:
                results = self._commit(batch)
                self._loop.call_soon_threadsafe(_resolve, batch, results)

    def _commit(self, batch: list[WriteJob[Any]]) -> list[Any]:
        is_one_statement = len(batch) <= ACCEPT_BATCH_SIZE and all(
            isinstance(job.work, NewEvent) for job in batch
        )
        try:
            self._require()
            if is_one_statement:  # which is a transaction by itself
                return self._work(batch)
            self._connection.execute("BEGIN IMMEDIATE")
            results = self._work(batch)
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - each caller receives it
            self._roll_back()
            if isinstance(error, StoreUnavailable):
                return [error] * len(batch)
            if unavailable(error):
                return [StoreUnavailable(str(error))] * len(batch)
            if len(batch) == 1:
                return [error]
            return [result for job in batch for result in self._commit([job])]
        return results

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself
            self._connection.execute("ROLLBACK")

    def _work(self, batch: list[WriteJob[Any]]) -> list[Any]:
        results: list[Any] = []
        events: list[NewEvent] = []
        for job in batch:
            if isinstance(job.work, NewEvent):
                events.append(job.work)
                results.append(None)
            else:
                self._insert(events)
                events.clear()
                results.append(job.work(self._connection))
        self._insert(events)
        return results

    def _insert(self, events: list[NewEvent]) -> None:
        for first in range(0, len(events), ACCEPT_BATCH_SIZE):
            part = events[first : first + ACCEPT_BATCH_SIZE]
            values = ", ".join([EVENT_VALUES_SQL] * len(part))
            sql = INSERT_EVENTS_SQL.format(values)
            self._connection.execute(sql, list(chain.from_iterable(part)))


def unavailable(error: Exception) -> bool:
    """Whether the file caused the error (full, locked, corrupt), not the statement or its data."""
    by_statement = sqlite3.DataError, sqlite3.IntegrityError, sqlite3.ProgrammingError
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, by_statement)


def _resolve(batch: list[WriteJob[Any]], results: list[Any]) -> None:
    for job, result in zip(batch, results, strict=True):
        if job.done.cancelled():
            continue
        if isinstance(result, Exception):
            job.done.set_exception(result)
        else:
            job.done.set_result(result)
