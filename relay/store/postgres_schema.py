"""PostgreSQL's schema, in numbered steps as in ``relay.store.schema``. All tables are in a schema
named ``relay``, so that the database can hold other applications."""

from typing import TYPE_CHECKING, Any

from relay.store.records import StoreMissing
from relay.store.schema import FIRST_STEP, require_known_steps, step_hash

if TYPE_CHECKING:
    from asyncpg import Connection

STEPS: tuple[str, ...] = (
    FIRST_STEP.format(
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
STEP_TIMEOUT = 3600.0  # seconds; a step can rewrite a large table
_LOCK_SQL = "SELECT pg_advisory_xact_lock(7305884302)"  # an arbitrary number of Relay's own


async def prepare(connection: "Connection[Any]", place: str, *, service: bool) -> None:
    """Check the schema; the service creates or upgrades it, in one transaction.

    Raises ``StoreUnusable`` for a schema of another Relay, and ``StoreMissing`` if the schema is
    missing or older and ``service`` is false.
    """
    async with connection.transaction():
        await connection.execute(_LOCK_SQL)
        version = await _version(connection, place)
        if version == len(STEPS):
            return
        if not service:
            raise StoreMissing(f"there is no store of this schema at {place} yet")
        if not version:
            await connection.execute(
                "CREATE SCHEMA IF NOT EXISTS relay;"
                " CREATE TABLE relay.schema_steps (number integer PRIMARY KEY, hash text)"
            )
        for number, step in enumerate(STEPS[version:], version + 1):
            await connection.execute(step, timeout=STEP_TIMEOUT)
            await connection.execute(
                "INSERT INTO relay.schema_steps VALUES ($1, $2)", number, step_hash(step)
            )


async def _version(connection: "Connection[Any]", place: str) -> int:
    tables = {
        row["tablename"]
        for row in await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'relay'"
        )
    }
    if not tables:
        return 0
    hashes: list[str] = []
    if "schema_steps" in tables:
        query = "SELECT hash FROM relay.schema_steps ORDER BY number"
        hashes = [row["hash"] for row in await connection.fetch(query)]
    deletion = "drop the schema (DROP SCHEMA relay CASCADE)"
    require_known_steps(hashes, STEPS, f"the schema relay in {place}", deletion, "database")
    return len(hashes)
