"""The store in a SQLite file: the default, for one machine."""

import asyncio
import contextlib
import fcntl
import os
import queue
import re
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from relay.store.base import Store
from relay.store.engine import INSERT_EVENTS_SQL, Rows, Statement, Steps, Work
from relay.store.records import DiskSpace, NewEvent, StoreMissing, StoreUnavailable, StoreUnusable
from relay.store.schema import sqlite_schema
from relay.store.sqlite_files import require_usable

T = TypeVar("T")
Job = Callable[[sqlite3.Cursor], T] | NewEvent

LOCK_TIMEOUT = 3.0  # seconds to wait for another process's write; Penpot's timeout is 4
WAL_SIZE_LIMIT = 32 * 1024 * 1024
"""Bytes to which SQLite truncates the write-ahead log; a long read makes it grow beyond."""
ACCEPT_TIMEOUT = 3.5  # seconds until ``accept`` gives up; Penpot's timeout is 4
PROBE_LENGTH = 50_000
"""Bytes of a probe, more than of most events: a full disk may have room for a few pages."""
INSERT_BATCH_SIZE = 64  # rows in one statement, of which there is one for each number of rows
SHRINK_PAGES_COUNT = 200  # pages of 4 KB in one step, which takes some milliseconds
MAX_FREE_SHARE = 10
"""A tenth of the file may be free: events to come fill it, and moving pages costs writes."""
PREPARED_STATEMENTS_COUNT = 256  # of one connection
_REMEDIES = {
    sqlite3.SQLITE_CORRUPT: ": move it away, and restore a backup",
    sqlite3.SQLITE_NOTADB: ": store.url names another file, or its content is lost",
}

_UNNEST_PATTERN = re.compile(r"(?: FROM|,) unnest\([^()]*\) AS new \((?P<columns>[^()]*)\)")
_INSERT_PATTERN = re.compile(
    r" SELECT (?P<values>.+) FROM unnest\(.+\) AS new \([^()]*\)(?: WHERE true)?"
)
_DIALECT_PATTERN = re.compile(
    r"= ANY\(\$(?P<each>\d+)::\w+\[\]\)|\$(?P<number>\d+)|\bnew\.(?P<column>\w+)"
    r"|\b(?P<strpos>strpos)\(|::\w+|\brelay\."
)


class SqliteStore(Store):
    """A store for one service at a time, with a thread that writes, one that reads for the queues
    and one that reads for the inspector.

    Other processes, such as ``relay log`` and ``relay resend``, may have it open as well.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def index_hint(self, index: str) -> str:
        return f" INDEXED BY {index}"

    async def open(self, *, service: bool = True) -> None:
        with contextlib.ExitStack() as resources:
            try:
                require_usable(self._path)
                if service:
                    self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    resources.enter_context(self._lock())
                    self._path.touch(mode=0o600)  # it will hold people's comments
                elif not self._path.exists():
                    raise StoreMissing(
                        f"there is no store at {self._path.absolute()} yet: `relay serve` makes "
                        "it; a relative store.url begins at the working directory"
                    )
                connections = []
                for upgrading in (service, False, False):
                    connection = await asyncio.to_thread(self._connect, upgrading=upgrading)
                    resources.callback(connection.close)
                    connections.append(connection)
            except (OSError, sqlite3.Error) as error:
                remedy = _REMEDIES.get(getattr(error, "sqlite_errorcode", 0), "")
                raise StoreUnusable(f"{self._path} can't be opened: {error}{remedy}") from error
            wal = f"{self._path.resolve()}-wal"  # beside the target of a symbolic link
            self._opened = {path: _inode(path) for path in (str(self._path.absolute()), wal)}
            self._writer = SqliteWriter(connections[0], self._require_in_place)
            self._reader = SqliteThread("store-reader", connections[1])
            self._inspector = SqliteThread("store-inspector", connections[2])
            self._resources = resources.pop_all()

    async def close(self) -> None:
        for thread in (self._writer, self._reader, self._inspector):
            await thread.close()
        self._resources.close()

    def _require_in_place(self) -> None:
        """Raise ``StoreUnavailable`` unless both paths lead to the opened files, also through the
        folder: writes to a removed file would be lost at the next start."""
        for path, inode in self._opened.items():
            if _inode(path) != inode:
                raise StoreUnavailable(
                    f"{path} was removed or replaced: put it back, or restart Relay"
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
            self._path,
            timeout=LOCK_TIMEOUT,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=PREPARED_STATEMENTS_COUNT,
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_SIZE_LIMIT}")
            if upgrading:
                # both are stored in the file, the first one only before anything else is
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("PRAGMA journal_mode = WAL")
                upgrade(connection, str(self._path))
            else:
                _run(sqlite_schema().require(str(self._path)), connection.cursor())
        except BaseException:
            connection.close()
            raise
        return connection

    async def accept(self, event: NewEvent) -> None:
        try:
            async with asyncio.timeout(ACCEPT_TIMEOUT):
                await self._writer.submit(event)
        except TimeoutError:
            raise StoreUnavailable("the file was not written in time") from None

    async def fetch(
        self, sql: str, *values: Any, rows: Sequence[Sequence[Any]] | None = None
    ) -> Rows:
        statement = Statement(sql, values, rows)
        return await self._reader.submit(partial(_execute, statement))

    async def fetch_for_inspector(self, *statements: Statement) -> list[Rows]:
        return await self._inspector.submit(
            lambda cursor: [_execute(statement, cursor) for statement in statements]
        )

    async def execute(self, sql: str, *values: Any) -> None:
        await self._writer.submit(partial(_execute, Statement(sql, values)))

    async def write(self, work: Work[T]) -> T:
        return await self._writer.submit(lambda cursor: _run(work(), cursor))

    async def backup(self, path: Path) -> None:
        await self._reader.submit(lambda cursor: _copy(cursor.connection, path))

    async def shrink(self) -> bool:
        return await self._writer.submit(_shrink)

    async def disk_space(self) -> DiskSpace:
        try:
            return await asyncio.to_thread(self._disk_space)
        except OSError as error:
            raise StoreUnavailable(f"{self._path}: {error.strerror}") from None

    def _disk_space(self) -> DiskSpace:
        wal = Path(f"{self._path.resolve()}-wal")
        used = self._path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
        volume = os.statvfs(self._path)
        free, total = (volume.f_frsize * count for count in (volume.f_bavail, volume.f_blocks))
        return DiskSpace(used, free, total)

    async def probe(self) -> None:
        now = time.time()
        filler = f"{now:<20}" * (PROBE_LENGTH // 20)  # SQLite does not write equal pages
        await self.execute("UPDATE probe SET at = $1, filler = $2", now, filler)
        ((at,),) = await self.fetch("SELECT at FROM probe")
        if at < now:
            raise StoreUnavailable("the file does not contain what was written to it")


def upgrade(connection: sqlite3.Connection, path: str) -> None:
    """Raises ``StoreUnusable``."""
    schema, cursor = sqlite_schema(), connection.cursor()
    if _run(schema.read_version(path), cursor) < len(schema.steps):
        cursor.execute("BEGIN IMMEDIATE")
        _run(schema.upgrade(path), cursor)
        cursor.execute("COMMIT")


def _run(steps: Steps[T], cursor: sqlite3.Cursor) -> T:
    rows: Any = None
    try:
        while True:
            rows = _execute(steps.send(rows), cursor)
    except StopIteration as end:
        result: T = end.value
        return result


def _execute(statement: Statement, cursor: sqlite3.Cursor) -> Rows:
    sql, values, rows = statement
    if rows is None:
        return cursor.execute(translated(sql), values).fetchall()
    if len(rows) == 1:
        return cursor.execute(translated(sql), (*values, *rows[0])).fetchall()
    if " RETURNING " in sql or sql.startswith("SELECT"):
        each = translated(sql)
        return [row for new in rows for row in cursor.execute(each, (*values, *new))]
    if not _inserts_rows(sql):
        cursor.executemany(translated(sql), [(*values, *new) for new in rows])
        return []
    for first in range(0, len(rows), INSERT_BATCH_SIZE):
        batch = rows[first : first + INSERT_BATCH_SIZE]
        cursor.execute(translated(sql, len(batch)), (*values, *chain.from_iterable(batch)))
    return []


@lru_cache
def _inserts_rows(sql: str) -> bool:
    """Whether it inserts nothing but the rows, so that one statement can insert many."""
    return bool(_INSERT_PATTERN.search(sql))


@lru_cache(1024)
def translated(sql: str, count: int = 1) -> str:
    """The statement in SQLite's dialect for one row, or an INSERT for ``count`` of them; its
    parameters are the values, then the rows."""
    unnest = _UNNEST_PATTERN.search(sql)
    columns = unnest["columns"].split(", ") if unnest else ["each"] if "= ANY($1" in sql else []
    values_count = max(map(int, re.findall(r"\$(\d+)", sql)), default=0) - len(columns)

    def in_dialect(part: str, row: int = 0) -> str:
        first = values_count + row * len(columns) + 1

        def replacement(match: re.Match[str]) -> str:
            if column := match["column"]:
                return f"?{first + columns.index(column)}"
            if number := match["number"]:
                return f"?{int(number) - len(columns)}"
            if match["each"]:
                return f"= ?{first}"
            return "instr(" if match["strpos"] else ""

        return _DIALECT_PATTERN.sub(replacement, part)

    if insert := _INSERT_PATTERN.search(sql):
        values = f"({insert['values']})"
        rows = ", ".join(in_dialect(values, row) for row in range(count))
        return f"{in_dialect(sql[: insert.start()])} VALUES {rows}{in_dialect(sql[insert.end() :])}"
    return in_dialect(sql.replace(unnest[0], "") if unnest else sql)


def _shrink(cursor: sqlite3.Cursor) -> bool:
    def free_pages() -> int:
        ((free,),) = cursor.execute("PRAGMA freelist_count")
        ((total,),) = cursor.execute("PRAGMA page_count")
        return int(free) - int(total) // MAX_FREE_SHARE

    before = free_pages()
    if before < SHRINK_PAGES_COUNT:
        return False
    for _ in range(SHRINK_PAGES_COUNT):  # the module ends the statement after one page
        cursor.execute("PRAGMA incremental_vacuum(1)")
    return SHRINK_PAGES_COUNT <= free_pages() < before


def _inode(path: str) -> tuple[int, int] | None:
    """Device and inode of a file; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _copy(connection: sqlite3.Connection, path: Path) -> None:
    try:
        path.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise StoreUnusable(f"{path} can't be created: {error.strerror}") from error
    with contextlib.closing(sqlite3.connect(path)) as copy:
        connection.backup(copy)


class SqliteThread:
    """A thread that runs jobs in order, with a cursor that nothing else uses."""

    batch_size = 1
    """Jobs that ``_run`` gets at once, if so many are pending."""

    def __init__(self, name: str, connection: sqlite3.Connection) -> None:
        """``connection`` must be in autocommit mode."""
        self._cursor = connection.cursor()
        self._jobs: queue.SimpleQueue[tuple[Job[Any], asyncio.Future[Any]] | None]
        self._jobs = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work_off, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Job[T]) -> "asyncio.Future[T]":
        """The result may be ``StoreUnavailable``."""
        done: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put((job, done))
        return done

    async def close(self) -> None:
        """Run all pending jobs, then end the thread."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        # its last statement would keep the connection open, and the log would stay unwritten
        self._cursor.close()

    def _work_off(self) -> None:
        while (item := self._jobs.get()) is not None:
            batch = [item]
            while len(batch) < self.batch_size and not self._jobs.empty():
                if (item := self._jobs.get()) is None:
                    self._jobs.put(None)
                    break
                batch.append(item)
            results = self._run([job for job, _ in batch])
            self._loop.call_soon_threadsafe(_resolve, batch, results)

    def _run(self, jobs: list[Any]) -> list[Any]:
        """The result or the exception of each job."""
        try:
            return [job(self._cursor) for job in jobs]
        except Exception as error:  # noqa: BLE001 - the caller receives it
            return [_store_error(error)]


class SqliteWriter(SqliteThread):
    """Group commit: writes all pending jobs in one transaction.

    Consecutive events are inserted by one statement: SQLite then releases Python's global lock once
    for all of them, which leaves more time to the event loop.
    """

    batch_size = sys.maxsize

    def __init__(self, connection: sqlite3.Connection, require: Callable[[], None]) -> None:
        """``require`` raises ``StoreUnavailable`` if nothing may be written."""
        self._require = require
        super().__init__("store-writer", connection)

    def _run(self, jobs: list[Job[Any]]) -> list[Any]:
        is_one_statement = len(jobs) <= INSERT_BATCH_SIZE and all(
            isinstance(job, NewEvent) for job in jobs
        )
        try:
            self._require()
            if is_one_statement:  # which is a transaction by itself
                return self._work(jobs)
            self._cursor.execute("BEGIN IMMEDIATE")
            results = self._work(jobs)
            self._cursor.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - each caller receives it
            self._roll_back()
            error = _store_error(error)
            if isinstance(error, StoreUnavailable) or len(jobs) == 1:
                return [error] * len(jobs)
            return [result for job in jobs for result in self._run([job])]
        return results

    def _roll_back(self) -> None:
        with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back by itself
            self._cursor.execute("ROLLBACK")

    def _work(self, jobs: list[Job[Any]]) -> list[Any]:
        results: list[Any] = []
        events: list[NewEvent] = []
        for job in jobs:
            if isinstance(job, NewEvent):
                events.append(job)
                results.append(None)
            else:
                self._insert(events)
                events.clear()
                results.append(job(self._cursor))
        self._insert(events)
        return results

    def _insert(self, events: list[NewEvent]) -> None:
        if events:
            _execute(Statement(INSERT_EVENTS_SQL, (), events), self._cursor)


def _store_error(error: Exception) -> Exception:
    """``StoreUnavailable`` if the file caused the error (full, locked, corrupt), not the statement
    or its data."""
    by_statement = sqlite3.DataError, sqlite3.IntegrityError, sqlite3.ProgrammingError
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, by_statement):
        return StoreUnavailable(str(error))
    return error


def _resolve(batch: list[tuple[Any, "asyncio.Future[Any]"]], results: list[Any]) -> None:
    for (_, done), result in zip(batch, results, strict=True):
        if done.cancelled():
            continue
        if isinstance(result, Exception):
            done.set_exception(result)
        else:
            done.set_result(result)
