"""The schema's steps, on both engines: upgrades, and stores of another schema."""

import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from relay.store import schema, store_at
from relay.store.records import NewEvent, StoreMissing, StoreUnusable

pytestmark = pytest.mark.anyio

Rows = dict[str, list[dict[str, Any]]]
"""The rows of each table."""


class Engine(ABC):
    """A place for a store, and access to it that bypasses ``Store``."""

    steps: tuple[str, ...]
    steps_name: str
    """For ``monkeypatch``."""
    prefix: str
    """Of table names."""
    url: str

    @abstractmethod
    async def execute(self, sql: str) -> None: ...

    @abstractmethod
    async def rows(self) -> Rows: ...


class Sqlite(Engine):
    steps = schema.SQLITE_STEPS
    steps_name = "relay.store.schema.SQLITE_STEPS"
    prefix = ""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self.path = path

    def connect(self) -> closing[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.row_factory = sqlite3.Row
        return closing(connection)

    async def execute(self, sql: str) -> None:
        with self.connect() as db:
            db.execute(sql)

    async def rows(self) -> Rows:
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        with self.connect() as db:
            names = db.execute(query).fetchall()
            tables = {name: db.execute(f"SELECT * FROM {name}").fetchall() for (name,) in names}
        return {table: [dict(row) for row in rows] for table, rows in tables.items()}


class Postgresql(Engine):
    steps = schema.POSTGRES_STEPS
    steps_name = "relay.store.schema.POSTGRES_STEPS"
    prefix = "relay."

    def __init__(self, url: str) -> None:
        self.url = url

    async def execute(self, sql: str) -> None:
        connection = await asyncpg.connect(self.url)
        await connection.execute(sql)
        await connection.close()

    async def rows(self) -> Rows:
        connection = await asyncpg.connect(self.url)
        names = await connection.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'relay'"
            " AND table_name <> 'replicas'"
        )
        tables = {
            name: [dict(row) for row in await connection.fetch(f"SELECT * FROM relay.{name}")]
            for (name,) in names
        }
        await connection.close()
        return tables


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    if request.param == "sqlite":
        return Sqlite(tmp_path / "relay.db")
    return Postgresql(request.getfixturevalue("postgres").fresh())


async def open_and_close(engine: Engine, *, service: bool = True) -> None:
    store = store_at(engine.url)
    await store.open(service=service)
    await store.close()


async def store_of_first_step(engine: Engine) -> Rows:
    """A store of the current schema with an event and a value."""
    store = store_at(engine.url)
    await store.open()
    await store.accept(NewEvent("acme", "application/json", b"{}", b"1", "x"))
    await store.put_value("key", "value")
    await store.close()
    return await engine.rows()


def two_more_steps(engine: Engine, *, last: str) -> tuple[str, ...]:
    added = f"ALTER TABLE {engine.prefix}events ADD COLUMN added integer NOT NULL DEFAULT 7"
    return (*engine.steps, added, last.format(engine.prefix))


async def test_an_upgrade_applies_the_missing_steps_and_keeps_the_rows(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await store_of_first_step(engine)
    create = "CREATE TABLE {0}more (x integer); INSERT INTO {0}more VALUES (1);"
    monkeypatch.setattr(engine.steps_name, two_more_steps(engine, last=create))

    with pytest.raises(StoreMissing):
        await open_and_close(engine, service=False)
    for _ in range(2):
        await open_and_close(engine)
    await open_and_close(engine, service=False)

    after = await engine.rows()
    assert after["events"] == [row | {"added": 7} for row in before["events"]]
    assert after["key_values"] == before["key_values"]
    assert after["more"] == [{"x": 1}]
    steps = [row["number"] for row in after["schema_steps"]]
    assert steps == list(range(1, len(engine.steps) + 3))


async def test_a_failing_step_changes_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await store_of_first_step(engine)
    fail = "CREATE TABLE {0}more (x integer); INSERT INTO {0}nowhere VALUES (1);"

    with monkeypatch.context() as patch:
        patch.setattr(engine.steps_name, two_more_steps(engine, last=fail))
        with pytest.raises(StoreUnusable, match=r"can't be opened"):
            await open_and_close(engine)
    assert await engine.rows() == before

    await open_and_close(engine)
    assert await engine.rows() == before


async def test_a_newer_store_is_refused_and_left_unchanged(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(engine.steps_name, two_more_steps(engine, last="SELECT 1"))
        await open_and_close(engine)
    before = await engine.rows()

    newer = len(engine.steps) + 2
    for service in (True, False):
        with pytest.raises(StoreUnusable, match=rf"a newer Relay \(schema {newer}, this one knows"):
            await open_and_close(engine, service=service)
    assert await engine.rows() == before


@pytest.mark.parametrize("other", ["edited step", "no hash"])
async def test_a_store_of_another_schema_is_refused_by_name(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    before = await store_of_first_step(engine)
    if other == "no hash":
        await engine.execute(f"DROP TABLE {engine.prefix}schema_steps")
        del before["schema_steps"]
    else:
        edited = tuple(step + " " for step in engine.steps)
        monkeypatch.setattr(engine.steps_name, edited)

    name, remedy = (
        (engine.path.name, "delete the file")
        if isinstance(engine, Sqlite)
        else ("the schema relay in postgresql://", "DROP SCHEMA relay CASCADE")
    )
    for service in (True, False):
        with pytest.raises(StoreUnusable) as caught:
            await open_and_close(engine, service=service)
        assert not isinstance(caught.value, StoreMissing)
        assert name in str(caught.value)
        assert remedy in str(caught.value)
        assert "use the Relay that made it" in str(caught.value)
    assert await engine.rows() == before


async def test_a_store_of_one_step_works(engine: Engine) -> None:
    assert len(engine.steps) == 1, "after the first release keep fixtures of the released steps"
    assert [row["number"] for row in (await store_of_first_step(engine))["schema_steps"]] == [1]
