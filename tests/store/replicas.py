"""Replicas on one PostgreSQL, for its tests."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from relay.store.postgres import PostgresStore
from relay.store.records import FanOutResult, NewDelivery, NewEvent, StoreUnavailable

T = TypeVar("T")

CUT = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'relay' AND datname = current_database()"
)


@asynccontextmanager
async def replica(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def event(number: int, **changes: Any) -> NewEvent:
    digest = number.to_bytes(24, "big")
    fields = {"team": "acme", "content_type": "c", "body": b"b", "digest": digest, "name": "n"}
    return NewEvent(**(fields | {"received_at": time.time()} | changes))


async def with_delivery(store: PostgresStore, *queues: str) -> list[int]:
    await store.accept(event(1))
    (stored,) = await store.stored_events(1)
    assert await store.acquire_lease("fan-out")
    new = [NewDelivery(queue, f"k{number}", "m") for number, queue in enumerate(queues)]
    await store.save_fan_out([FanOutResult(stored.id, "acme", "fanned-out", "", new)])
    return [
        delivery.id for queue in queues for delivery in await store.waiting_deliveries(queue, 9)
    ]


async def stop_heartbeats(store: PostgresStore) -> None:
    """The replica hangs: its heartbeats end and its leases expire."""
    assert store.leases._heartbeat_task is not None
    store.leases._heartbeat_task.cancel()
    async with store.pool.connection() as connection:
        await connection.execute("UPDATE relay.replicas SET expires_at = now()")


async def retry(ask: Callable[[], Awaitable[T]]) -> T:
    """Retry until a connection works."""
    while True:
        try:
            return await ask()
        except StoreUnavailable:
            await asyncio.sleep(0.05)
