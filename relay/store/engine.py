"""What the store needs of an engine: it runs statements on one kind of database.

The SQL is written once, in PostgreSQL's dialect; the SQLite engine translates it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from relay.store.records import Delivery, NewEvent, StoredEvent

T = TypeVar("T")

# columns in the order of the fields of the records that hold them
EVENT_COLUMNS = ", ".join(field.name for field in fields(StoredEvent))
DELIVERY_COLUMNS = ", ".join(field.name for field in fields(Delivery))
_NEW_EVENT_COLUMNS = ", ".join(NewEvent._fields)

INSERT_EVENTS_SQL = (
    f"INSERT INTO relay.events ({_NEW_EVENT_COLUMNS}) {{}} ON CONFLICT (team, digest) DO NOTHING"
)
"""``{}`` is the source of the rows."""
INSERT_ALL_EVENTS_SQL = INSERT_EVENTS_SQL.format(
    f"SELECT {', '.join(f'new.{field}' for field in NewEvent._fields)}"
    " FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::text[], $6::text[],"
    f" $7::text[], $8::float8[]) AS new ({_NEW_EVENT_COLUMNS}) WHERE true"
)
"""With ``NewEvent`` as ``Statement.rows``."""

Rows = list[Any]
"""Rows by column position, of any sequence type."""


class Statement(NamedTuple):
    """``sql`` with its parameters ``$1``, ``$2`` …

    With ``rows`` it runs for each of them: the first parameters are arrays, one for each column of
    the rows, and ``values`` follow. The SQL reads the arrays by ``= ANY``, or by ``unnest(…) AS new
    (…)`` with each column as ``new.column``. PostgreSQL runs it once: one message to the server, so
    a replica that hangs can't leave the server in the middle of a batch. SQLite runs it row by row.
    """

    sql: str
    values: Sequence[Any] = ()
    rows: Sequence[Sequence[Any]] | None = None


Steps = Generator[Statement, Rows, T]
"""Statements that run in one transaction; each yields its rows, which later ones may depend on."""
Work = Callable[[], Steps[T]]
"""Starts the steps, possibly again: SQLite repeats those of a batch in which others failed."""


class Parameters(list[Any]):
    """The values of a statement under construction."""

    def add(self, value: Any) -> str:
        """Returns the placeholder."""
        self.append(value)
        return f"${len(self)}"

    def add_all(self, values: Collection[Any]) -> str:
        return ", ".join(map(self.add, values))


class Engine(ABC):
    """All methods raise ``StoreUnavailable``. What is not abstract is for a database that only one
    process serves."""

    shared = False
    skip_locked_sql = ""
    """After a SELECT of rows that another replica may be deleting."""
    unserved_sql = "true"
    """Condition for ``busy.queue``: no other replica serves this queue."""

    def index_hint(self, index: str) -> str:
        """After a table's name, for a database that has no row counts to plan by."""
        return ""

    @abstractmethod
    async def open(self, *, service: bool) -> None:
        """Raises ``StoreUnusable``."""

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def accept(self, event: NewEvent) -> None:
        """Insert the event together with others that arrive at the same time."""

    @abstractmethod
    async def fetch(self, *statements: Statement) -> list[Rows]:
        """The rows of each statement, all read on one connection."""

    async def fetch_for_inspector(self, *statements: Statement) -> list[Rows]:
        """Like ``fetch``; long reads must not delay the queues."""
        return await self.fetch(*statements)

    @abstractmethod
    async def execute(self, statement: Statement) -> None:
        """Run one statement as a transaction."""

    @abstractmethod
    async def write(self, work: Work[T]) -> T:
        """Run the steps in one transaction; returns their result once it is on disk."""

    def require_lease(self, name: str) -> Steps[None]:
        """Prevent a take-over until the transaction ends. Raises ``LeaseLost``."""
        yield from ()

    def require_queue_leases(self, delivery_ids: Sequence[int]) -> Steps[None]:
        """The same for the queues of these deliveries."""
        yield from ()

    def notify_events(self) -> Steps[None]:
        yield from ()

    def notify_queues(self, queues: Collection[str]) -> Steps[None]:
        yield from ()

    async def acquire_lease(self, name: str) -> bool:
        return True

    def holds_lease(self, name: str) -> bool:
        return True

    async def release_lease(self, name: str) -> None:
        return None

    def listen(
        self, on_events: Callable[[], None], on_queues: Callable[[Collection[str]], None]
    ) -> None:
        return None

    @abstractmethod
    async def backup(self, path: Path) -> None: ...

    @abstractmethod
    async def probe(self) -> None: ...
