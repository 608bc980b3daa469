"""A store of any earlier schema is brought up, whichever the engine; a newer one is refused."""

import hashlib
import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from relay.store import OpenStore, postgres_schema, schema, store_at
from relay.store.base import FannedOut, NewDelivery, NewEvent, StoreMisfit

pytestmark = pytest.mark.anyio

Rows = dict[str, list[dict[str, Any]]]
"""What a store holds: each table's rows."""
VALUES = {
    ("events", "state"): "stored",
    ("deliveries", "state"): "waiting",
    ("deliveries", "event_id"): 1,
    ("deliveries", "queue"): "a",
    ("replicas", "owner"): "gone",
    ("leases", "owner"): "gone",
}
"""What a row of an old store says where any value of the type will not do."""
BREAKS = "CREATE TABLE {}more (x integer); INSERT INTO {}nowhere VALUES (1);"


class Engine(ABC):
    """A place for a store, and ways past ``Store`` to it."""

    steps: tuple[str, ...]
    where: str
    url: str
    breaks: str

    @abstractmethod
    async def make(self) -> None:
        """Make the schema of the steps that there are now, without opening a store."""

    @abstractmethod
    async def fill(self) -> None:
        """Put a row into every table that has none."""

    @abstractmethod
    async def rows(self) -> Rows: ...

    @abstractmethod
    async def set_version(self, version: int) -> None: ...


class Sqlite(Engine):
    steps = schema.STEPS
    where = "relay.store.schema.STEPS"
    breaks = BREAKS.format("", "")

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self.path = path

    def connect(self) -> closing[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, isolation_level=None)
        connection.row_factory = sqlite3.Row
        return closing(connection)

    async def make(self) -> None:
        with self.connect() as db:
            schema.upgrade(db, str(self.path))

    async def fill(self) -> None:
        values = {"INTEGER": 1, "REAL": 1.0, "TEXT": "x", "BLOB": b"x"}
        with self.connect() as db:
            for table, rows in (await self.rows()).items():
                columns = db.execute(f"PRAGMA table_info({table})").fetchall()
                names = [one["name"] for one in columns]
                row = [VALUES.get((table, one["name"]), values[one["type"]]) for one in columns]
                marks = ", ".join("?" for _ in row)
                if not rows:
                    db.execute(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", row)

    async def rows(self) -> Rows:
        own = "SELECT name FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        with self.connect() as db:
            names = db.execute(own).fetchall()
            tables = {name: db.execute(f"SELECT * FROM {name}").fetchall() for (name,) in names}
            tables["version"] = db.execute("PRAGMA user_version").fetchall()
        return {table: [dict(row) for row in rows] for table, rows in tables.items()}

    async def set_version(self, version: int) -> None:
        with self.connect() as db:
            db.execute(f"PRAGMA user_version = {version}")


class Postgresql(Engine):
    steps = postgres_schema.STEPS
    where = "relay.store.postgres_schema.STEPS"
    breaks = BREAKS.format("relay.", "relay.")

    def __init__(self, url: str) -> None:
        self.url = url

    async def make(self) -> None:
        connection = await asyncpg.connect(self.url)
        await postgres_schema.prepare(connection, urlsplit(self.url).path, service=True)
        await connection.close()

    async def fill(self) -> None:
        values = {
            "bigint": "1",
            "integer": "1",
            "double precision": "1",
            "text": "'x'",
            "bytea": "'x'",
            "boolean": "true",
            "timestamp with time zone": "now()",
        }
        connection = await asyncpg.connect(self.url)
        for table, rows in (await self.rows()).items():
            columns = await connection.fetch(
                "SELECT column_name AS name, data_type AS type FROM information_schema.columns"
                " WHERE table_schema = 'relay' AND table_name = $1 AND is_identity = 'NO'"
                " AND is_generated = 'NEVER'",
                table,
            )
            names = [one["name"] for one in columns]
            row = [
                repr(VALUES[table, one["name"]])
                if (table, one["name"]) in VALUES
                else values[one["type"]]
                for one in columns
            ]
            if not rows:
                await connection.execute(
                    f"INSERT INTO relay.{table} ({', '.join(names)}) VALUES ({', '.join(row)})"
                )
        await connection.close()

    async def rows(self) -> Rows:
        connection = await asyncpg.connect(self.url)
        names = await connection.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'relay'"
        )
        found = {
            name: [dict(row) for row in await connection.fetch(f"SELECT * FROM relay.{name}")]
            for (name,) in names
        }
        await connection.close()
        return found

    async def set_version(self, version: int) -> None:
        connection = await asyncpg.connect(self.url)
        await connection.execute("UPDATE relay.version SET at = $1", version)
        await connection.close()


@pytest.fixture
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    if request.param == "sqlite":
        return Sqlite(tmp_path / "relay.db")
    return Postgresql(request.getfixturevalue("postgres").fresh())


async def at_step(engine: Engine, number: int, monkeypatch: pytest.MonkeyPatch) -> Rows:
    """Make a store of an earlier schema with a row in every table; what it holds."""
    with monkeypatch.context() as then:
        then.setattr(engine.where, engine.steps[:number])
        await engine.make()
    await engine.fill()
    rows = await engine.rows()
    assert all(rows.values())
    return rows


async def opened(engine: Engine) -> OpenStore:
    store = store_at(engine.url)
    await store.open()
    return store


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "step" in metafunc.fixturenames:
        steps = {"sqlite": schema.STEPS, "postgresql": postgres_schema.STEPS}
        cases = [(name, step) for name, all_ in steps.items() for step in range(1, len(all_))]
        metafunc.parametrize(("engine", "step"), cases, indirect=["engine"])
    elif "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", ["sqlite", "postgresql"], indirect=True)


async def test_an_earlier_store_opens_keeps_its_rows_and_works(
    engine: Engine, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await at_step(engine, step, monkeypatch)

    store = await opened(engine)
    after = await engine.rows()
    for table, rows in before.items():
        if table in after and table not in ("version", "replicas"):
            columns = after[table][0].keys()
            for row in rows:
                kept = {column: value for column, value in row.items() if column in columns}
                assert any(kept.items() <= other.items() for other in after[table]), table
    assert list(after["version"][0].values()) == [len(engine.steps)]

    await store.accept(NewEvent("acme", "application/json", b"{}", b"new", "x"))
    old, new = await store.stored(9)
    assert (old.team, old.body, new.body) == ("x", b"x", b"{}")
    assert await store.lease("fan-out")
    await store.fanned_out(
        [
            FannedOut(one.id, "acme", "fanned-out", "", [NewDelivery("a", f"k{one.id}", "m")])
            for one in (old, new)
        ]
    )
    waiting = await store.waiting("a", 9)
    assert [one.key for one in waiting] == ["x", f"k{old.id}", f"k{new.id}"]
    assert await store.lease("queue:a")
    await store.sent([waiting[0].id], "receipt", queue="a", thread="t", title="T")
    await store.dead(waiting[1].id, "gone")
    await store.resend_dead()
    entries = await store.log(team=None, state=None, limit=9)
    states = [[one.state for one in entry.deliveries] for entry in entries]
    assert states == [["waiting"], ["sent", "waiting"]]
    await store.keep_note("n", "v")
    await store.probe()
    await store.close()


async def test_an_upgrade_that_fails_half_way_changes_nothing(
    engine: Engine, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await at_step(engine, step, monkeypatch)

    with monkeypatch.context() as then:
        then.setattr(engine.where, (*engine.steps, engine.breaks))
        with pytest.raises(StoreMisfit, match=r"can't be opened"):
            await opened(engine)
    assert await engine.rows() == before

    await (await opened(engine)).close()


async def test_a_newer_store_is_refused_and_left_alone(engine: Engine) -> None:
    await (await opened(engine)).close()
    newer = len(engine.steps) + 1
    await engine.set_version(newer)
    before = await engine.rows()

    for service in (True, False):
        with pytest.raises(StoreMisfit, match=rf"a newer Relay \(schema {newer}, this one knows"):
            await store_at(engine.url).open(service=service)
    assert await engine.rows() == before


@pytest.mark.parametrize(
    ("steps", "landed"),
    [
        (schema.STEPS, ["66971f089103", "22913654cd4c", "4d64a8dcc4cc", "6165d1e37420"]),
        (postgres_schema.STEPS, ["25dce89c1860", "25bccc8a8779"]),
    ],
)
def test_a_step_that_stores_have_taken_never_changes(
    steps: tuple[str, ...], landed: list[str]
) -> None:
    """More may follow these: a new step needs no entry until a store out there has taken it."""
    digests = [hashlib.sha256(step.encode()).hexdigest()[:12] for step in steps]
    assert digests[: len(landed)] == landed
