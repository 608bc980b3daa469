"""Group commit: one thread that writes to a SQLite file all that has gathered at once."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from relay.store.base import NewEvent, StoreUnavailable
from relay.store.columns import ACCEPTED

T = TypeVar("T")

ACCEPT = f"INSERT INTO events ({ACCEPTED}) VALUES {{}} ON CONFLICT (team, digest) DO NOTHING"
"""With as many ``ROW``s as there are events."""
ROW = f"({', '.join('?' for _ in NewEvent._fields)})"
IN_TIME = 3.5
"""Seconds until who wants an event kept is answered, whatever the disk does: Penpot waits 4."""
AT_ONCE = 64
"""Events in one statement, at the most. Python keeps each statement of its size prepared."""


@dataclass(slots=True)
class _Job(Generic[T]):
    work: Callable[[sqlite3.Connection], T] | NewEvent
    done: "asyncio.Future[T]"


class Writer:
    """Runs jobs on a connection of its own, in order, many in one transaction.

    A job is a function of the connection, or a ``NewEvent``. Events that stand next to each
    other go into one statement: SQLite then lets go of the interpreter's lock once for all of
    them, and the event loop beside it is not slowed down.
    """

    def __init__(self, connection: sqlite3.Connection, require: Callable[[], None]) -> None:
        """``connection`` must be in autocommit mode, and nobody else may use it. ``require`` raises
        ``StoreUnavailable`` where nothing may be written."""
        self._connection = connection
        self._require = require
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run one job; returns its result when it is on disk.

        Raises ``StoreUnavailable`` where the file can't be written.
        """
        job: _Job[T] = _Job(work, self._loop.create_future())
        self._jobs.put(job)
        return await job.done

    async def accept(self, event: NewEvent) -> None:
        """Keep an event, unless the team's same body is kept already; returns and raises as
        ``do``. One that takes too long is given up, and may be kept all the same."""
        job: _Job[None] = _Job(event, self._loop.create_future())
        self._jobs.put(job)
        try:
            async with asyncio.timeout(IN_TIME):
                await job.done
        except TimeoutError:
            raise StoreUnavailable("the file was not written in time") from None

    async def close(self) -> None:
        """Run what was asked for, then end the thread."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        open_ = True
        while open_:
            batch: list[_Job[Any]] = []
            job = self._jobs.get()
            while job is not None:
                batch.append(job)
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            open_ = job is not None
            if batch:
                outcome = self._commit(batch)
                self._loop.call_soon_threadsafe(_resolve, batch, outcome)

    def _commit(self, batch: list[_Job[Any]]) -> list[Any]:
        alone = len(batch) <= AT_ONCE and all(isinstance(job.work, NewEvent) for job in batch)
        try:
            self._require()
            if alone:  # one statement is a transaction by itself
                return self._work(batch)
            self._connection.execute("BEGIN IMMEDIATE")
            outcome = self._work(batch)
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - it is told to who asked
            self._roll_back()
            if isinstance(error, StoreUnavailable):
                return [error] * len(batch)
            if unavailable(error):
                return [StoreUnavailable(str(error))] * len(batch)
            if len(batch) == 1:
                return [error]
            return [result for job in batch for result in self._commit([job])]
        return outcome

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # SQLite may have done so by itself
            self._connection.execute("ROLLBACK")

    def _work(self, batch: list[_Job[Any]]) -> list[Any]:
        outcome: list[Any] = []
        events: list[NewEvent] = []
        for job in batch:
            if isinstance(job.work, NewEvent):
                events.append(job.work)
                outcome.append(None)
            else:
                self._accept(events)
                events.clear()
                outcome.append(job.work(self._connection))
        self._accept(events)
        return outcome

    def _accept(self, events: list[NewEvent]) -> None:
        for first in range(0, len(events), AT_ONCE):
            part = events[first : first + AT_ONCE]
            rows = ", ".join([ROW] * len(part))
            self._connection.execute(ACCEPT.format(rows), list(chain.from_iterable(part)))


def unavailable(error: Exception) -> bool:
    """Whether an error is the file's (full, locked, corrupt) and not that of what was asked."""
    wrong = sqlite3.DataError, sqlite3.IntegrityError, sqlite3.ProgrammingError
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, wrong)


def _resolve(batch: list[_Job[Any]], outcome: list[Any]) -> None:
    for job, result in zip(batch, outcome, strict=True):
        if job.done.cancelled():
            continue
        if isinstance(result, Exception):
            job.done.set_exception(result)
        else:
            job.done.set_result(result)
