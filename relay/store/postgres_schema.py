"""PostgreSQL's schema, in numbered steps; all of it stands in a schema named ``relay``, so that it
may share a database with others."""

from typing import TYPE_CHECKING, Any

from relay.store.base import StoreMisfit, StoreMissing

if TYPE_CHECKING:
    from asyncpg import Connection

STEPS = (
    """
    CREATE TABLE relay.events (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        team text NOT NULL,
        digest bytea NOT NULL,
        name text NOT NULL,
        content_type text NOT NULL,
        body bytea NOT NULL,
        received_at double precision NOT NULL,
        state text NOT NULL,
        reason text NOT NULL
    );
    CREATE UNIQUE INDEX events_once ON relay.events (team, digest);
    CREATE INDEX events_age ON relay.events (received_at);
    CREATE INDEX events_stored ON relay.events (id) WHERE state = 'stored';
    CREATE TABLE relay.deliveries (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
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
        digest text NOT NULL
    );
    CREATE INDEX deliveries_waiting ON relay.deliveries (queue, id) WHERE state = 'waiting';
    CREATE INDEX deliveries_dead ON relay.deliveries (queue, id) WHERE state = 'dead';
    CREATE INDEX deliveries_of_event ON relay.deliveries (event_id);
    CREATE TABLE relay.facts (
        team text NOT NULL,
        kind text NOT NULL,
        id text NOT NULL,
        fields text NOT NULL,
        learned_at double precision NOT NULL,
        PRIMARY KEY (team, kind, id)
    );
    CREATE TABLE relay.threads (
        thread text NOT NULL,
        queue text NOT NULL,
        root text NOT NULL,
        last text NOT NULL,
        title text NOT NULL,
        PRIMARY KEY (thread, queue)
    );
    CREATE TABLE relay.notes (
        key text PRIMARY KEY,
        value text NOT NULL,
        at double precision NOT NULL
    );
    CREATE TABLE relay.probe (at double precision NOT NULL);
    INSERT INTO relay.probe VALUES (0);
    CREATE TABLE relay.replicas (owner text PRIMARY KEY, expires_at timestamptz NOT NULL);
    CREATE TABLE relay.leases (name text PRIMARY KEY, owner text NOT NULL);
    """,
    """
    ALTER TABLE relay.deliveries ADD COLUMN thread text NOT NULL DEFAULT '';
    ALTER TABLE relay.deliveries ADD COLUMN comment text NOT NULL DEFAULT '';
    CREATE INDEX deliveries_of_thread ON relay.deliveries (thread, queue) WHERE thread <> '';
    """,
    """
    CREATE TABLE relay.summaries (
        event_id bigint PRIMARY KEY,
        team text NOT NULL,
        name text NOT NULL,
        state text NOT NULL,
        reason text NOT NULL,
        received_at double precision NOT NULL,
        person text NOT NULL,
        about text NOT NULL,
        words text NOT NULL,
        passed text NOT NULL
    );
    INSERT INTO relay.summaries
        SELECT id, team, name, state, reason, received_at, '', '', name, '{}' FROM relay.events
        WHERE state IN ('fanned-out', 'ignored');
    CREATE INDEX summaries_of_team ON relay.summaries (team, event_id);
    CREATE INDEX summaries_of_name ON relay.summaries (name, event_id);
    CREATE INDEX events_unreadable ON relay.events (id) WHERE state = 'unreadable';
    CREATE INDEX deliveries_dead_events ON relay.deliveries (event_id) WHERE state = 'dead';
    CREATE TABLE relay.attempts (
        delivery_id bigint NOT NULL,
        number integer NOT NULL,
        at double precision NOT NULL,
        seconds double precision NOT NULL,
        outcome text NOT NULL,
        words text NOT NULL,
        PRIMARY KEY (delivery_id, number)
    );
    CREATE TABLE relay.queues (
        queue text PRIMARY KEY,
        sent_at double precision NOT NULL,
        failed_at double precision NOT NULL,
        error text NOT NULL
    );
    """,
    """
    CREATE TABLE relay.seen (
        team text NOT NULL,
        thread text NOT NULL,
        file text NOT NULL,
        mark text NOT NULL,
        gone_at double precision NOT NULL,
        state text NOT NULL,
        PRIMARY KEY (team, thread)
    );
    CREATE INDEX seen_marks ON relay.seen (team, file) INCLUDE (thread, mark, gone_at);
    """,
)
UPGRADE = 3600.0
"""Seconds that a step may take on a large database."""
_LOCK = 7_305_884_302  # any number that no other program uses for its own


async def prepare(connection: "Connection[Any]", place: str, *, service: bool) -> None:
    """Have today's schema: the service makes or upgrades it, in one transaction.

    Raises ``StoreMisfit`` where a newer Relay wrote it, ``StoreMissing`` where it is not there and
    this is no service.
    """
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        known = await connection.fetchval("SELECT to_regclass('relay.version')")
        version = await connection.fetchval("SELECT at FROM relay.version") if known else 0
        if version > len(STEPS):
            raise StoreMisfit(
                f"{place} was written by a newer Relay (schema {version}, this one knows "
                f"{len(STEPS)}): run that version, or name another database in store.url"
            )
        if version == len(STEPS):
            return
        if not service:
            raise StoreMissing(f"there is no store of today's schema at {place} yet")
        if not known:
            await connection.execute(
                "CREATE SCHEMA IF NOT EXISTS relay;"
                " CREATE TABLE relay.version (at integer NOT NULL);"
                " INSERT INTO relay.version VALUES (0)"
            )
        for step in STEPS[version:]:
            await connection.execute(step, timeout=UPGRADE)
        await connection.execute("UPDATE relay.version SET at = $1", len(STEPS))
