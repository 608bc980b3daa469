"""What the store needs of a database: it runs statements.

The SQL is written once, in PostgreSQL's dialect; SQLite's engine translates it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from relay.store.records import Delivery, DiskSpace, NewEvent, StoredEvent

T = TypeVar("T")

# columns in the order of the fields of the records that hold them
EVENT_COLUMNS = ", ".join(field.name for field in fields(StoredEvent))
DELIVERY_COLUMNS = ", ".join(field.name for field in fields(Delivery))
_NEW_EVENT_COLUMNS = ", ".join(NewEvent._fields)

INSERT_EVENTS_SQL = (
    f"INSERT INTO relay.events ({_NEW_EVENT_COLUMNS})"
    f" SELECT {', '.join(f'new.{field}' for field in NewEvent._fields)}"
    " FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bytea[], $5::text[], $6::text[],"
    f" $7::text[], $8::float8[], $9::int4[]) AS new ({_NEW_EVENT_COLUMNS}) WHERE true"
    " ON CONFLICT (team, digest) DO NOTHING"
)
"""With ``NewEvent`` as ``Statement.rows``."""

Rows = list[Any]
"""Rows by column position, of any sequence type."""


class Statement(NamedTuple):
    """``sql`` with its parameters ``$1``, ``$2`` …

    With ``rows`` it runs for each of them: the first parameters are arrays, one for each column of
    the rows, and ``values`` follow. The SQL reads the arrays by ``= ANY``, or by ``unnest(…) AS new
    (…)`` with each column as ``new.column``. PostgreSQL runs it once: one message to the server, so
    a replica that hangs can't leave the server in the middle of a batch. SQLite runs it row by row,
    but for an INSERT of nothing but the rows.
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

    def equal(self, **columns: Any) -> str:
        """The condition that each of these columns has its value; None allows all values."""
        given = (
            f"{name} = {self.add(value)}" for name, value in columns.items() if value is not None
        )
        return " AND ".join(given) or "true"


class Engine(ABC):
    """All methods raise ``StoreUnavailable``. What is not abstract is for a database that only one
    process serves."""

    shared = False
    """Whether several replicas may use it."""
    skip_locked_sql = ""
    """After a SELECT of rows that another replica may be deleting."""
    unserved_sql = "true"
    """Condition for ``busy.queue``: no other replica serves this queue."""

    def index_hint(self, index: str) -> str:
        """After a table's name, for a database that has no row counts to plan by."""
        return ""

    @abstractmethod
    async def open(self, *, service: bool = True) -> None:
        """Open for the service: create or upgrade the schema, and exclude any second service of a
        store that is not ``shared``. With ``service`` false open beside a running service, for
        commands.

        Raises ``StoreUnusable``.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish pending writes, then close."""

    @abstractmethod
    async def accept(self, event: NewEvent) -> None:
        """Store an event, unless the team has an event of this digest, together with others that
        arrive at the same time. If it raises, the event may be stored all the same."""

    @abstractmethod
    async def fetch(
        self, sql: str, *values: Any, rows: Sequence[Sequence[Any]] | None = None
    ) -> Rows:
        """The rows of a ``Statement``."""

    @abstractmethod
    async def fetch_for_inspector(self, *statements: Statement) -> list[Rows]:
        """The rows of each statement; long reads must not delay the queues."""

    @abstractmethod
    async def execute(self, sql: str, *values: Any) -> None:
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
        """Acquire or keep a lease; False while another live replica holds it. The lease is renewed
        until it is released or the store is closed."""
        return True

    def holds_lease(self, name: str) -> bool:
        """Whether no other replica can have acquired the lease since this one did, judged without
        a query."""
        return True

    async def release_lease(self, name: str) -> None:
        return None

    def listen(
        self, on_events: Callable[[], None], on_queues: Callable[[Collection[str]], None]
    ) -> None:
        """Call these, from ``open`` on, when another process stores events or deliveries for
        queues. Best effort: a notification may be lost, so callers also poll."""
        return

    @abstractmethod
    async def backup(self, path: Path) -> None:
        """Write a consistent copy into a new file.

        Raises ``StoreUnusable`` if this engine has another way to back up; the text names it.
        """

    async def shrink(self) -> bool:
        """Return some of the space of deleted rows to the file system; whether there is more."""
        return False

    @abstractmethod
    async def disk_space(self) -> DiskSpace:
        """What the store uses."""

    @abstractmethod
    async def probe(self) -> None:
        """Write what an event may need, and read back, for ``/readyz``."""
