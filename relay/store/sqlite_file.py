"""A SQLite file with a writer thread, a reader thread for queues and one for the inspector."""

import asyncio
import contextlib
import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from relay.store.records import NewEvent, StoreMissing, StoreUnavailable, StoreUnusable
from relay.store.schema import require, upgrade
from relay.store.sqlite_writer import SqliteWriter, unavailable

T = TypeVar("T")

LOCK_TIMEOUT = 3.0  # seconds to wait for another process's write; Penpot's timeout is 4
WAL_SIZE_LIMIT = 32 * 1024 * 1024
"""Bytes to which SQLite truncates the write-ahead log; a long read makes it grow beyond."""


class SqliteFile:
    """The file in WAL mode with ``synchronous=FULL``.

    Other processes, such as ``relay log`` and ``relay resend``, may have it open as well.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader_thread = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._inspector_thread = ThreadPoolExecutor(1, thread_name_prefix="store-inspector")
        self._inspector: sqlite3.Connection | None = None

    async def open(self, *, service: bool = True) -> None:
        """Open for the service, which creates the file and its folder and locks out any second
        service; with ``service`` false open beside a running one.

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
                require(connection, str(self._path))
        except BaseException:
            connection.close()
            raise
        return connection

    async def accept(self, event: NewEvent) -> None:
        await self._writer.accept(event)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a transaction; returns its result once it is on disk.

        Raises ``StoreUnavailable``.
        """
        return await self._writer.do(work)

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Raises ``StoreUnavailable``."""
        return await self._run(self._reader_thread, lambda: query(self._reader))

    async def read_for_inspector(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Like ``read``, on a connection of its own that is opened on first use: the inspector's
        queries read many rows and must not delay a queue."""

        def work() -> T:
            if self._inspector is None:
                self._inspector = self._connect()
            return query(self._inspector)

        return await self._run(self._inspector_thread, work)

    async def _run(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, work)
        except sqlite3.DatabaseError as error:
            if unavailable(error):
                raise StoreUnavailable(str(error)) from error
            raise


def _inode(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
