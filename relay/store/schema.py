"""The schema of both engines, in numbered steps, and the check of a store's steps.

Nothing has been released, so there is one step, which is edited in place; a store made by an
earlier text of it is refused. After the first release a step never changes, and each change of the
schema is a further step.
"""

import hashlib
import sqlite3
from collections.abc import Sequence

from relay.store.records import StoreMissing, StoreUnusable

FIRST_STEP = """
    CREATE TABLE {schema}events (
        id {identity},
        team text NOT NULL,
        digest {bytes} NOT NULL,
        name text NOT NULL,
        content_type text NOT NULL,
        body {bytes} NOT NULL,
        received_at double precision NOT NULL,
        state text NOT NULL,
        reason text NOT NULL
    );
    CREATE UNIQUE INDEX events_once ON {schema}events (team, digest);
    CREATE INDEX events_age ON {schema}events (received_at);
    CREATE INDEX events_stored ON {schema}events (id) WHERE state = 'stored';
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
        thread text NOT NULL DEFAULT '',
        comment text NOT NULL DEFAULT ''
    );
    CREATE INDEX deliveries_waiting ON {schema}deliveries (queue, id) WHERE state = 'waiting';
    CREATE INDEX deliveries_dead ON {schema}deliveries (queue, id) WHERE state = 'dead';
    CREATE INDEX deliveries_dead_events ON {schema}deliveries (event_id) WHERE state = 'dead';
    CREATE INDEX deliveries_of_event ON {schema}deliveries (event_id);
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
        title text NOT NULL,
        PRIMARY KEY (thread, queue)
    ) {without_rowid};
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
        skipped text NOT NULL
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
        error text NOT NULL
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
    CREATE TABLE {schema}probe (at double precision NOT NULL);
    INSERT INTO {schema}probe VALUES (0);
"""
STEPS: tuple[str, ...] = (
    FIRST_STEP.format(
        schema="",
        identity="integer PRIMARY KEY AUTOINCREMENT",
        primary_key="integer PRIMARY KEY",
        bytes="blob",
        without_rowid="WITHOUT ROWID",
        covering=",",
    ),
)


def upgrade(connection: sqlite3.Connection, path: str) -> None:
    """Apply the missing steps in one transaction. Raises ``StoreUnusable``."""
    if _version(connection, path) == len(STEPS):
        return
    connection.execute("BEGIN IMMEDIATE")
    version = _version(connection, path)  # another process may have upgraded before the lock
    if not version:
        connection.execute("CREATE TABLE schema_steps (number INTEGER PRIMARY KEY, hash TEXT)")
    for number, step in enumerate(STEPS[version:], version + 1):
        for statement in step.split(";"):
            connection.execute(statement)
        connection.execute("INSERT INTO schema_steps VALUES (?, ?)", (number, step_hash(step)))
    connection.execute("COMMIT")


def require(connection: sqlite3.Connection, path: str) -> None:
    """Raise ``StoreUnusable`` unless the file has this schema: only the service upgrades it."""
    if _version(connection, path) < len(STEPS):
        raise StoreMissing(f"the store at {path} is not upgraded yet: start `relay serve` first")


def _version(connection: sqlite3.Connection, path: str) -> int:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    if not tables:
        return 0
    hashes: list[str] = []
    if ("schema_steps",) in tables:
        query = "SELECT hash FROM schema_steps ORDER BY number"
        hashes = [hash_ for (hash_,) in connection.execute(query)]
    require_known_steps(hashes, STEPS, path, "delete the file", "file")
    return len(hashes)


def step_hash(step: str) -> str:
    return hashlib.sha256(step.encode()).hexdigest()


def require_known_steps(
    hashes: Sequence[str], steps: Sequence[str], place: str, deletion: str, kind: str
) -> None:
    """Raise ``StoreUnusable`` unless a store with tables has these steps' hashes, or the first of
    them. ``deletion`` says how to delete the store, ``kind`` is its kind of place."""
    if len(hashes) > len(steps):
        raise StoreUnusable(
            f"{place} was written by a newer Relay (schema {len(hashes)}, this one knows "
            f"{len(steps)}): run that version, or name another {kind} in store.url"
        )
    if not hashes or list(hashes) != list(map(step_hash, steps[: len(hashes)])):
        raise StoreUnusable(
            f"{place} was made by another Relay, whose schema differs from this one's: {deletion}, "
            f"or use the Relay that made it"
        )
