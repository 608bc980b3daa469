"""The schema in both engines, in numbered steps, and the check of a store's steps.

Nothing has been released, so there is one step, which is edited in place; a store made by an
earlier text of it is refused. After the first release a step never changes, and each change of the
schema is a further step.
"""

import hashlib
from dataclasses import dataclass

from relay.store.engine import Statement, Steps
from relay.store.records import StoreMissing, StoreUnusable

_FIRST_STEP = """
    CREATE TABLE {schema}events (
        id {identity},
        team text NOT NULL,
        digest {bytes} NOT NULL,
        name text NOT NULL,
        content_type text NOT NULL,
        body {bytes} NOT NULL,
        received_at double precision NOT NULL,
        state text NOT NULL,
        reason text NOT NULL,
        truncated_from integer NOT NULL DEFAULT 0
    );
    CREATE UNIQUE INDEX events_once ON {schema}events (team, digest);
    CREATE INDEX events_age ON {schema}events (received_at);
    CREATE INDEX events_stored ON {schema}events (id) WHERE state = 'stored';
    CREATE INDEX events_stored_of_team ON {schema}events (team, id) WHERE state = 'stored';
    CREATE INDEX events_unreadable ON {schema}events (id) WHERE state = 'unreadable';
    CREATE TABLE {schema}deliveries (
        id {identity},
        event_id bigint NOT NULL,
        queue text NOT NULL,
        key text NOT NULL,
        message text NOT NULL,
        state text NOT NULL,
        attempts integer NOT NULL,
        next_at double precision NOT NULL,
        error text NOT NULL,
        receipt text NOT NULL,
        created_at double precision NOT NULL,
        digest text NOT NULL DEFAULT '',
        died_at double precision NOT NULL DEFAULT 0,
        thread text NOT NULL DEFAULT '',
        comment text NOT NULL DEFAULT '',
        held_until double precision NOT NULL DEFAULT 0,
        held_with text NOT NULL DEFAULT '',
        undecided text NOT NULL DEFAULT ''
    );
    CREATE INDEX deliveries_waiting ON {schema}deliveries (queue, id) WHERE state = 'waiting';
    CREATE INDEX deliveries_undecided ON {schema}deliveries (queue)
        WHERE state = 'waiting' AND undecided <> '';
    CREATE INDEX deliveries_held ON {schema}deliveries (queue, held_with, id) WHERE state = 'held';
    CREATE INDEX deliveries_released ON {schema}deliveries (held_until, id) WHERE state = 'held';
    CREATE INDEX deliveries_dead ON {schema}deliveries (queue, id) WHERE state = 'dead';
    CREATE INDEX deliveries_died ON {schema}deliveries (queue, died_at) WHERE state = 'dead';
    CREATE INDEX deliveries_dead_events ON {schema}deliveries (event_id) WHERE state = 'dead';
    CREATE INDEX deliveries_of_event ON {schema}deliveries (event_id);
    CREATE INDEX deliveries_of_queue ON {schema}deliveries (queue, event_id);
    CREATE INDEX deliveries_of_thread ON {schema}deliveries (thread, queue) WHERE thread <> '';
    CREATE TABLE {schema}facts (
        team text NOT NULL,
        kind text NOT NULL,
        id text NOT NULL,
        fields text NOT NULL,
        updated_at double precision NOT NULL,
        PRIMARY KEY (team, kind, id)
    ) {without_rowid};
    CREATE TABLE {schema}threads (
        queue text NOT NULL,
        thread text NOT NULL,
        root text NOT NULL,
        last text NOT NULL,
        subject text NOT NULL,
        PRIMARY KEY (thread, queue)
    ) {without_rowid};
    CREATE TABLE {schema}activity (
        queue text NOT NULL,
        line text NOT NULL,
        counts text NOT NULL,
        at double precision NOT NULL,
        PRIMARY KEY (line, queue)
    ) {without_rowid};
    CREATE INDEX activity_age ON {schema}activity (at);
    CREATE TABLE {schema}key_values (
        key text NOT NULL PRIMARY KEY,
        value text NOT NULL,
        at double precision NOT NULL
    ) {without_rowid};

    -- The inspector's list reads many rows for a filter, so it has a table without the bodies.
    CREATE TABLE {schema}summaries (
        event_id {primary_key},
        team text NOT NULL,
        name text NOT NULL,
        state text NOT NULL,
        reason text NOT NULL,
        received_at double precision NOT NULL,
        person text NOT NULL,
        about text NOT NULL,
        search_text text NOT NULL,
        skipped text NOT NULL,
        counted text NOT NULL
    );
    CREATE INDEX summaries_of_team ON {schema}summaries (team, event_id);
    CREATE INDEX summaries_of_name ON {schema}summaries (name, event_id);
    CREATE TABLE {schema}attempts (
        delivery_id bigint NOT NULL,
        number integer NOT NULL,
        at double precision NOT NULL,
        seconds double precision NOT NULL,
        outcome text NOT NULL,
        detail text NOT NULL,
        PRIMARY KEY (delivery_id, number)
    ) {without_rowid};
    CREATE TABLE {schema}queues (
        queue text NOT NULL PRIMARY KEY,
        sent_at double precision NOT NULL,
        failed_at double precision NOT NULL,
        error text NOT NULL,
        sending bigint NOT NULL DEFAULT 0,
        unfinished integer NOT NULL DEFAULT 0
    ) {without_rowid};

    CREATE TABLE {schema}sync_threads (
        team text NOT NULL,
        thread text NOT NULL,
        file text NOT NULL,
        fingerprint text NOT NULL,
        gone_at double precision NOT NULL,
        state text NOT NULL,
        PRIMARY KEY (team, thread)
    );
    CREATE INDEX sync_threads_of_file
        ON {schema}sync_threads (team, file{covering} thread, fingerprint, gone_at);
    CREATE TABLE {schema}usage (
        team text NOT NULL PRIMARY KEY,
        bytes bigint NOT NULL
    ) {without_rowid};
    CREATE TABLE {schema}probe (at double precision NOT NULL, filler text NOT NULL DEFAULT '');
    INSERT INTO {schema}probe (at) VALUES (0);
"""
SQLITE_STEPS = (
    _FIRST_STEP.format(
        schema="",
        identity="integer PRIMARY KEY AUTOINCREMENT",
        primary_key="integer PRIMARY KEY",
        bytes="blob",
        without_rowid="WITHOUT ROWID",
        covering=",",
    ),
)
POSTGRES_STEPS = (
    _FIRST_STEP.format(
        schema="relay.",
        identity="bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        primary_key="bigint PRIMARY KEY",
        bytes="bytea",
        without_rowid="",
        covering=") INCLUDE (",
    )
    + """
    CREATE TABLE relay.replicas (owner text PRIMARY KEY, expires_at timestamptz NOT NULL);
    CREATE TABLE relay.leases (name text PRIMARY KEY, owner text NOT NULL);
    """,
)


@dataclass(frozen=True, slots=True)
class Schema:
    """The steps for one engine."""

    steps: tuple[str, ...]
    tables_sql: str
    kind: str
    """Of the place of a store."""
    deletion: str
    """How to delete a store."""

    def read_version(self, place: str) -> Steps[int]:
        """The number of the last step of the store at ``place``; 0 if there is no store.

        Raises ``StoreUnusable`` for the schema of another Relay.
        """
        tables = [name for (name,) in (yield Statement(self.tables_sql))]
        if not tables:
            return 0
        hashes: list[str] = []
        if "schema_steps" in tables:
            rows = yield Statement("SELECT hash FROM relay.schema_steps ORDER BY number")
            hashes = [hash_ for (hash_,) in rows]
        if len(hashes) > len(self.steps):
            raise StoreUnusable(
                f"{place} was written by a newer Relay (schema {len(hashes)}, this one knows "
                f"{len(self.steps)}): run that version, or name another {self.kind} in store.url"
            )
        if not hashes or hashes != list(map(_hash, self.steps[: len(hashes)])):
            raise StoreUnusable(
                f"{place} was made by another Relay, whose schema differs from this one's: "
                f"{self.deletion}, or use the Relay that made it"
            )
        return len(hashes)

    def require(self, place: str) -> Steps[None]:
        """Raise ``StoreUnusable`` unless the store has all steps: only the service adds them."""
        if (yield from self.read_version(place)) < len(self.steps):
            text = "holds no store of this schema yet: start `relay serve` first"
            raise StoreMissing(f"{place} {text}")

    def upgrade(self, place: str) -> Steps[None]:
        """Apply the missing steps. Raises ``StoreUnusable``."""
        version = yield from self.read_version(place)
        if not version:
            yield Statement(
                "CREATE TABLE relay.schema_steps (number integer PRIMARY KEY, hash text)"
            )
        for number, step in enumerate(self.steps[version:], version + 1):
            yield from _script(step)
            yield Statement("INSERT INTO relay.schema_steps VALUES ($1, $2)", (number, _hash(step)))


def sqlite_schema() -> Schema:
    tables_sql = "SELECT name FROM sqlite_master WHERE type = 'table'"
    return Schema(SQLITE_STEPS, tables_sql, "file", "delete the file")


def postgres_schema() -> Schema:
    """All tables are in a schema of their own, so that the database can hold other applications. It
    must exist."""
    tables_sql = "SELECT tablename FROM pg_tables WHERE schemaname = 'relay'"
    deletion = "drop the schema (DROP SCHEMA relay CASCADE)"
    return Schema(POSTGRES_STEPS, tables_sql, "database", deletion)


def _script(text: str) -> Steps[None]:
    for statement in text.split(";"):
        if statement.strip():
            yield Statement(statement)


def _hash(step: str) -> str:
    return hashlib.sha256(step.encode()).hexdigest()
