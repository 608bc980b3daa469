"""A SQLite file, opened for a service or beside one: a thread that writes, a thread that reads."""

import asyncio
import contextlib
import fcntl
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from relay.store.base import NewEvent, StoreMisfit, StoreMissing, StoreUnavailable
from relay.store.schema import require, upgrade
from relay.store.writer import Writer, unavailable

T = TypeVar("T")

LOCK_WAIT = 3.0
"""Seconds to wait for another process's write; Penpot waits 4 for its answer."""
WAL_SIZE = 32 * 1024 * 1024
"""Bytes that SQLite's log beside the file has at rest, at the most; a long reader makes it grow."""


class SqliteFile:
    """The file in WAL mode with ``synchronous=FULL``.

    Other processes, such as ``relay log`` and ``relay resend``, may have it open as well.
    """

    def __init__(self, path: Path) -> None:
        """``path`` names the file; it and its folder are made where they are missing."""
        self._path = path
        self._reading = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._looking = ThreadPoolExecutor(1, thread_name_prefix="store-looker")
        self._looker: sqlite3.Connection | None = None

    async def open(self, *, service: bool = True) -> None:
        """Open for the service, which makes the file, upgrades it and keeps every other service
        out; with ``service`` false only look, beside a service that may run.

        Raises ``StoreMisfit``.
        """
        with contextlib.ExitStack() as opened:
            try:
                if service:
                    self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    opened.enter_context(self._lock())
                    self._path.touch(mode=0o600)  # people's comments will stand in it
                elif not self._path.exists():
                    raise StoreMissing(f"there is no store at {self._path.absolute()} yet")
                writing = await asyncio.to_thread(self._connect, upgrading=service)
                opened.callback(writing.close)
                self._reader = await asyncio.to_thread(self._connect)
                opened.callback(self._reader.close)
            except (OSError, sqlite3.Error) as error:
                raise StoreMisfit(f"{self._path} can't be opened: {error}") from error
            self._opened_file = _identity(self._path)
            self._writer = Writer(writing, self._require_in_place)
            self._opened = opened.pop_all()

    async def close(self) -> None:
        """Finish what was asked for, then close."""
        await self._writer.close()
        await asyncio.to_thread(self._reading.shutdown)
        await asyncio.to_thread(self._looking.shutdown)
        if self._looker is not None:
            self._looker.close()
        self._opened.close()

    def _require_in_place(self) -> None:
        """Raise ``StoreUnavailable`` unless the path leads to what was opened: what is written to a
        file that was removed is gone at the next start."""
        if _identity(self._path) != self._opened_file:
            raise StoreUnavailable(
                f"{self._path} was removed or replaced: put it back, or restart Relay"
            )

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
            connection.execute(f"PRAGMA journal_size_limit = {WAL_SIZE}")
            if upgrading:
                connection.execute("PRAGMA journal_mode = WAL")  # the file keeps it
                upgrade(connection, str(self._path))
            else:
                require(connection, str(self._path))
        except BaseException:
            connection.close()
            raise
        return connection

    async def accept(self, event: NewEvent) -> None:
        """Keep an event. Raises ``StoreUnavailable``."""
        await self._writer.accept(event)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in a transaction; returns its result when it is on disk.

        Raises ``StoreUnavailable``.
        """
        return await self._writer.do(work)

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``query``. Raises ``StoreUnavailable``."""
        return await self._run(self._reading, lambda: query(self._reader))

    async def look(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """The same on a connection of its own, made at the first time: people look at much at
        once, and no queue is to wait for that."""

        def work() -> T:
            if self._looker is None:
                self._looker = self._connect()
            return query(self._looker)

        return await self._run(self._looking, work)

    async def _run(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, work)
        except sqlite3.DatabaseError as error:
            if unavailable(error):
                raise StoreUnavailable(str(error)) from error
            raise


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from every other; None without one."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
