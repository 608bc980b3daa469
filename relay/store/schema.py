"""SQLite's schema, in numbered steps: an older file is brought up step by step at the start."""

import sqlite3

from relay.store.base import StoreMisfit, StoreMissing

STEPS = (
    # 1: events, deliveries, and what events taught
    """
    CREATE TABLE events (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        team TEXT NOT NULL,
        digest BLOB NOT NULL,
        name TEXT NOT NULL,
        content_type TEXT NOT NULL,
        body BLOB NOT NULL,
        received_at REAL NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL
    );
    CREATE UNIQUE INDEX events_once ON events (team, digest);
    CREATE INDEX events_age ON events (received_at);
    CREATE INDEX events_stored ON events (id) WHERE state = 'stored';
    CREATE TABLE deliveries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        event_id INTEGER NOT NULL REFERENCES events (id),
        queue TEXT NOT NULL,
        key TEXT NOT NULL,
        message TEXT NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL,
        next_at REAL NOT NULL,
        error TEXT NOT NULL,
        receipt TEXT NOT NULL,
        created_at REAL NOT NULL
    );
    CREATE INDEX deliveries_waiting ON deliveries (queue, id) WHERE state = 'waiting';
    CREATE INDEX deliveries_dead ON deliveries (queue, id) WHERE state = 'dead';
    CREATE INDEX deliveries_of_event ON deliveries (event_id);
    CREATE TABLE facts (
        team TEXT NOT NULL,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        fields TEXT NOT NULL,
        learned_at REAL NOT NULL,
        PRIMARY KEY (team, kind, id)
    ) WITHOUT ROWID;
    CREATE TABLE probe (at REAL NOT NULL);
    INSERT INTO probe VALUES (0);
    """,
    # 2: where Penpot's comment threads stand in the queues
    """
    CREATE TABLE threads (
        queue TEXT NOT NULL,
        thread TEXT NOT NULL,
        root TEXT NOT NULL,
        last TEXT NOT NULL,
        title TEXT NOT NULL,
        PRIMARY KEY (thread, queue)
    ) WITHOUT ROWID;
    """,
    # 3: digests, and what parts of Relay remember; threads stand in their table once they are sent
    """
    ALTER TABLE deliveries ADD COLUMN digest TEXT NOT NULL DEFAULT '';
    CREATE TABLE notes (
        key TEXT NOT NULL PRIMARY KEY,
        value TEXT NOT NULL,
        at REAL NOT NULL
    ) WITHOUT ROWID;
    DELETE FROM threads WHERE root = '';
    """,
    # 4: which comment a delivery shows, so that its message can be changed
    """
    ALTER TABLE deliveries ADD COLUMN thread TEXT NOT NULL DEFAULT '';
    ALTER TABLE deliveries ADD COLUMN comment TEXT NOT NULL DEFAULT '';
    CREATE INDEX deliveries_of_thread ON deliveries (thread, queue) WHERE thread <> '';
    """,
    # 5: what the inspector shows: of events in short, of each try, of queues. Bodies are in
    # the way of those who look through many events: what is looked through has its own table.
    """
    CREATE TABLE summaries (
        event_id INTEGER PRIMARY KEY,
        team TEXT NOT NULL,
        name TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL,
        received_at REAL NOT NULL,
        person TEXT NOT NULL,
        about TEXT NOT NULL,
        words TEXT NOT NULL,
        passed TEXT NOT NULL
    );
    INSERT INTO summaries
        SELECT id, team, name, state, reason, received_at, '', '', name, '{}' FROM events
        WHERE state IN ('fanned-out', 'ignored');
    CREATE INDEX summaries_of_team ON summaries (team, event_id);
    CREATE INDEX summaries_of_name ON summaries (name, event_id);
    CREATE INDEX events_unreadable ON events (id) WHERE state = 'unreadable';
    CREATE INDEX deliveries_dead_events ON deliveries (event_id) WHERE state = 'dead';
    CREATE TABLE attempts (
        delivery_id INTEGER NOT NULL,
        number INTEGER NOT NULL,
        at REAL NOT NULL,
        seconds REAL NOT NULL,
        outcome TEXT NOT NULL,
        words TEXT NOT NULL,
        PRIMARY KEY (delivery_id, number)
    ) WITHOUT ROWID;
    CREATE TABLE queues (
        queue TEXT NOT NULL PRIMARY KEY,
        sent_at REAL NOT NULL,
        failed_at REAL NOT NULL,
        error TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    # 6: comment threads as the watch saw them
    """
    CREATE TABLE seen (
        team TEXT NOT NULL,
        thread TEXT NOT NULL,
        file TEXT NOT NULL,
        mark TEXT NOT NULL,
        gone_at REAL NOT NULL,
        state TEXT NOT NULL,
        PRIMARY KEY (team, thread)
    );
    CREATE INDEX seen_marks ON seen (team, file, thread, mark, gone_at);
    """,
)


def upgrade(connection: sqlite3.Connection, path: str) -> None:
    """Bring the file to today's schema, in one transaction.

    Raises ``StoreMisfit`` where a newer Relay wrote it.
    """
    if check(connection, path) < len(STEPS):
        connection.execute("BEGIN IMMEDIATE")
        version = check(connection, path)  # another may have done it while we waited
        for step in "".join(STEPS[version:]).split(";"):
            connection.execute(step)
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        connection.execute("COMMIT")


def require(connection: sqlite3.Connection, path: str) -> None:
    """Raise ``StoreMisfit`` unless the file has today's schema: only the service upgrades it."""
    if check(connection, path) < len(STEPS):
        raise StoreMissing(f"the store at {path} has not been brought up to date yet")


def check(connection: sqlite3.Connection, path: str) -> int:
    """The file's version of the schema. Raises ``StoreMisfit`` where it is a newer one."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(STEPS):
        raise StoreMisfit(
            f"{path} was written by a newer Relay (schema {version}, this one knows "
            f"{len(STEPS)}): run that version, or name another file in store.url"
        )
    return int(version)
