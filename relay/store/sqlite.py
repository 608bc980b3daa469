"""The store in a SQLite file: the default, for one machine."""

import asyncio
import contextlib
import fcntl
import queue
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

from relay.store.engine import INSERT_EVENTS_SQL, Engine, Rows, Statement, Steps, Work
from relay.store.records import NewEvent, StoreMissing, StoreUnavailable, StoreUnusable
from relay.store.schema import sqlite_schema
from relay.store.store import SqlStore

T = TypeVar("T")

LOCK_TIMEOUT = 3.0  # seconds to wait for another process's write; Penpot's timeout is 4
WAL_SIZE_LIMIT = 32 * 1024 * 1024
"""Bytes to which SQLite truncates the write-ahead log; a long read makes it grow beyond."""
ACCEPT_TIMEOUT = 3.5  # seconds until ``accept`` gives up; Penpot's timeout is 4
ACCEPT_BATCH_SIZE = 64  # events in one statement; Python caches one prepared statement per size
_EVENT_VALUES_SQL = f"({', '.join('?' for _ in NewEvent._fields)})"

_UNNEST_PATTERN = re.compile(r"(?: FROM|,) unnest\([^()]*\) AS new \((?P<columns>[^()]*)\)")
_INSERT_PATTERN = re.compile(
    r" SELECT (?P<values>.+) FROM unnest\(.+\) AS new \([^()]*\)(?: WHERE true)?"
)
_DIALECT_PATTERN = re.compile(
    r"= ANY\(\$(?P<each>\d+)::\w+\[\]\)|\$(?P<number>\d+)|\bnew\.(?P<column>\w+)"
    r"|\b(?P<strpos>strpos)\(|::\w+|\brelay\."
)


class SqliteStore(SqlStore):
    """A store for one service at a time."""

    def __init__(self, path: Path) -> None:
        super().__init__(SqliteEngine(path))


class SqliteEngine(Engine):
    """The file in WAL mode with ``synchronous=FULL``, with a writer thread, a reader thread for
    queues and one for the inspector.

    Other processes, such as ``relay log`` and ``relay resend``, may have it open as well.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader_thread = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._inspector_thread = ThreadPoolExecutor(1, thread_name_prefix="store-inspector")
        self._inspector: sqlite3.Connection | None = None

    def index_hint(self, index: str) -> str:
        return f" INDEXED BY {index}"

    async def open(self, *, service: bool) -> None:
        """The service creates the file and its folder, and locks out any second service.

        Raises ``StoreUnusable``.
        """
        with contextlib.ExitStack() as resources:
            try:
                if service:
                    self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    resources.enter_context(self._lock())
                    self._path.touch(mode=0o600)  # it will hold people's comments
                elif not self._path.exists():
                    raise StoreMissing(f"there is no store at {self._path.absolute()} yet")
                connection = await asyncio.to_thread(self._connect, upgrading=service)
                resources.callback(connection.close)
                self._reader = await asyncio.to_thread(self._connect)
                resources.callback(self._reader.close)
            except (OSError, sqlite3.Error) as error:
                raise StoreUnusable(f"{self._path} can't be opened: {error}") from error
            self._opened_inode = _inode(self._path)
            self._writer = SqliteWriter(connection, self._require_in_place)
            self._resources = resources.pop_all()

    async def close(self) -> None:
        await self._writer.close()
        await asyncio.to_thread(self._reader_thread.shutdown)
        await asyncio.to_thread(self._inspector_thread.shutdown)
        if self._inspector is not None:
            self._inspector.close()
        self._resources.close()

    def _require_in_place(self) -> None:
        """Raise ``StoreUnavailable`` unless the path leads to the opened file: writes to a removed
        file would be lost at the next start."""
        if _inode(self._path) != self._opened_inode:
            raise StoreUnavailable(
                f"{self._path} was removed or replaced: put it back, or restart Relay"
            )

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        with self._path.with_name(self._path.name + "-lock").open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreUnusable(
                    f"{self._path} is in use by another `relay serve`: stop that one, or name "
                    "another file in store.url"
                ) from error
            yield

    def _connect(self, *, upgrading: bool = False) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=LOCK_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_SIZE_LIMIT}")
            if upgrading:
                connection.execute("PRAGMA journal_mode = WAL")  # stored in the file
                upgrade(connection, str(self._path))
            else:
                _run(connection, sqlite_schema().require(str(self._path)))
        except BaseException:
            connection.close()
            raise
        return connection

    async def accept(self, event: NewEvent) -> None:
        await self._writer.accept(event)

    async def fetch(self, *statements: Statement) -> list[Rows]:
        return await self._in_thread(
            self._reader_thread, lambda: [_execute(self._reader, each) for each in statements]
        )

    async def fetch_for_inspector(self, *statements: Statement) -> list[Rows]:
        def work() -> list[Rows]:
            if self._inspector is None:
                self._inspector = self._connect()
            db = self._inspector
            return [_execute(db, each) for each in statements]

        return await self._in_thread(self._inspector_thread, work)

    async def _in_thread(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, work)
        except sqlite3.DatabaseError as error:
            if _is_unavailable(error):
                raise StoreUnavailable(str(error)) from error
            raise

    async def execute(self, statement: Statement) -> None:
        def work() -> Steps[None]:
            yield statement

        await self._writer.do(work)

    async def write(self, work: Work[T]) -> T:
        return await self._writer.do(work)

    async def backup(self, path: Path) -> None:
        await self._in_thread(self._reader_thread, lambda: _copy(self._reader, path))

    async def probe(self) -> None:
        now = time.time()
        await self.execute(Statement("UPDATE probe SET at = $1", (now,)))
        ((row,),) = await self.fetch(Statement("SELECT at FROM probe"))
        if row[0] < now:
            raise StoreUnavailable("the file does not contain what was written to it")


def upgrade(connection: sqlite3.Connection, path: str) -> None:
    """Raises ``StoreUnusable``."""
    schema = sqlite_schema()
    if _run(connection, schema.read_version(path)) < len(schema.steps):
        connection.execute("BEGIN IMMEDIATE")
        _run(connection, schema.upgrade(path))
        connection.execute("COMMIT")


def _run(connection: sqlite3.Connection, steps: Steps[T]) -> T:
    try:
        statement = next(steps)
        while True:
            statement = steps.send(_execute(connection, statement))
    except StopIteration as end:
        result: T = end.value
        return result


def _execute(connection: sqlite3.Connection, statement: Statement) -> Rows:
    source, values, rows = statement
    sql, has_rows = translated(source)
    if rows is None:
        return connection.execute(sql, values).fetchall()
    if len(rows) == 1:
        return connection.execute(sql, (*rows[0], *values)).fetchall()
    if values:
        rows = [(*row, *values) for row in rows]
    if has_rows:
        return [row for each in rows for row in connection.execute(sql, each)]
    connection.executemany(sql, rows)
    return []


@lru_cache(1024)
def translated(sql: str) -> tuple[str, bool]:
    """A statement in SQLite's dialect, for one row at a time; and whether it returns rows."""
    columns: list[str] = []
    if match := _UNNEST_PATTERN.search(sql):
        columns = match["columns"].split(", ")
        sql = _INSERT_PATTERN.sub(r" VALUES (\g<values>)", sql)  # faster than SELECT
        sql = sql.replace(match[0], "")

    def in_dialect(match: re.Match[str]) -> str:
        if column := match["column"]:
            return f"?{columns.index(column) + 1}"
        if each := match["each"]:
            return f"= ?{each}"
        if number := match["number"]:
            return f"?{number}"
        return "instr(" if match["strpos"] else ""

    has_rows = sql.startswith("SELECT") or " RETURNING " in sql
    return _DIALECT_PATTERN.sub(in_dialect, sql), has_rows


def _inode(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _copy(db: sqlite3.Connection, path: Path) -> None:
    try:
        path.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise StoreUnusable(f"{path} can't be created: {error.strerror}") from error
    with contextlib.closing(sqlite3.connect(path)) as copy:
        db.backup(copy)


@dataclass(slots=True)
class WriteJob(Generic[T]):
    work: Work[T] | NewEvent
    done: "asyncio.Future[T]"


class SqliteWriter:
    """Runs jobs on a connection of its own, in order, many in one transaction.

    A job is ``Work``, or a ``NewEvent``. Consecutive events are inserted by
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
        self._thread = threading.Thread(target=self._work_off, name="store-writer", daemon=True)
        self._thread.start()

    async def do(self, work: Work[T]) -> T:
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

    def _work_off(self) -> None:
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
            if _is_unavailable(error):
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
                results.append(_run(self._connection, job.work()))
        self._insert(events)
        return results

    def _insert(self, events: list[NewEvent]) -> None:
        for first in range(0, len(events), ACCEPT_BATCH_SIZE):
            part = events[first : first + ACCEPT_BATCH_SIZE]
            sql = _insert_events_sql(len(part))
            self._connection.execute(sql, list(chain.from_iterable(part)))


@lru_cache(ACCEPT_BATCH_SIZE)
def _insert_events_sql(count: int) -> str:
    values = ", ".join([_EVENT_VALUES_SQL] * count)
    return INSERT_EVENTS_SQL.format(f"VALUES {values}").replace("relay.", "")


def _is_unavailable(error: Exception) -> bool:
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
