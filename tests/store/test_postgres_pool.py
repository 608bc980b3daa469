"""A database that fails, and what its errors mean."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import asyncpg
import pytest

from relay.store import postgres_pool, store_at
from relay.store.postgres import PostgresStore
from relay.store.records import (
    StoreMissing,
    StoreUnavailable,
    StoreUnusable,
)
from relay.store.schema import POSTGRES_STEPS
from tests.servers.fixtures import Authority
from tests.servers.loopback import Answer, in_thread
from tests.servers.pgbouncer import PASSWORD, pgbouncer
from tests.servers.postgres import Postgres
from tests.store.replicas import CUT, event, replica, retry, with_delivery

pytestmark = pytest.mark.anyio


async def test_cut_connections_are_replaced_within_penpots_timeout(url: str) -> None:
    async with replica(url) as store:
        admin = await asyncpg.connect(url)
        for number in range(20):
            if not number % 5:
                await admin.execute(CUT)
            await store.accept(event(number))
        await admin.close()
        assert len(await retry(lambda: store.stored_events(99))) == 20


async def test_an_exhausted_pool_is_unavailable_in_time(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.postgres_pool.MAX_CONNECTIONS", 2)
    monkeypatch.setattr("relay.store.postgres_pool.CONNECTION_TIMEOUT", 0.3)
    async with replica(url) as store:
        async with store.pool.connection(), store.pool.connection():
            with pytest.raises(StoreUnavailable):
                await store.get_value("x")
        assert await store.get_value("x") is None


async def test_busy_queues_delay_neither_intake_nor_heartbeats(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.postgres_pool.MAX_CONNECTIONS", 1)
    async with replica(url) as store, store.pool.connection():
        started = time.monotonic()
        await store.accept(event(1))
        await store.leases._heartbeat()
        await store.probe()
        assert time.monotonic() - started < 1


async def test_a_read_only_database_is_unavailable(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.store.postgres.ACCEPT_TIMEOUT", 0.5)
    async with replica(url) as store:
        admin = await asyncpg.connect(url)
        database = await admin.fetchval("SELECT current_database()")
        await admin.execute(f"ALTER DATABASE {database} SET default_transaction_read_only = on")
        await admin.execute(CUT)
        with pytest.raises(StoreUnavailable, match=r"cannot execute .* in a read-only transaction"):
            await store.accept(event(1))
        await admin.execute("SET default_transaction_read_only = off")
        await admin.execute(f"ALTER DATABASE {database} RESET default_transaction_read_only")
        await admin.execute(CUT)
        await admin.close()
        await store.accept(event(2))


async def test_connections_that_stay_read_only_are_replaced(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a failover, with sessions of the former primary that nobody ends."""
    monkeypatch.setattr("relay.store.postgres.ACCEPT_TIMEOUT", 0.5)
    async with replica(url) as store:
        for pool in (store.pool, store.intake_pool):
            async with pool.connection() as connection:
                await connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(StoreUnavailable, match="in a read-only transaction"):
            await store.put_value("key", "value")
        await store.put_value("key", "value")
        await store.accept(event(1))


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_an_encoding_that_lacks_characters_is_refused(url: str, encoding: str) -> None:
    admin = await asyncpg.connect(url)
    database = await admin.fetchval("SELECT current_database()")
    other = f"{database}_{encoding.lower()}"
    await admin.execute(
        f"CREATE DATABASE {other} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    )
    store = store_at(url.replace(database, other, 1))
    try:
        if encoding == "SQL_ASCII":
            await store.open()
            await store.put_value("key", "\N{CHEESE WEDGE} \u0395\u03bb")
            stored = await store.get_value("key")
            assert stored is not None
            assert stored.value == "\N{CHEESE WEDGE} \u0395\u03bb"
        else:
            text = "has the encoding LATIN1, which lacks most characters: create a database with "
            with pytest.raises(StoreUnusable, match=text) as caught:
                await store.open()
            better, options = f"{other}_better", str(caught.value).partition(text)[2]
            await admin.execute(f"CREATE DATABASE {better} {options}")
            other_store = store_at(url.replace(database, better, 1))
            await other_store.open()
            await other_store.close()
            await admin.execute(f"DROP DATABASE {better} WITH (FORCE)")
    finally:
        await store.close()
        await admin.execute(f"DROP DATABASE {other} WITH (FORCE)")
        await admin.close()


async def test_the_service_and_the_commands_name_a_right_that_is_missing(url: str) -> None:
    admin = await asyncpg.connect(url)
    database = await admin.fetchval("SELECT current_database()")
    role = f"Role of {database}"
    await admin.execute(f'CREATE ROLE "{role}" LOGIN')
    store = store_at(url.replace("//postgres:", f"//{quote(role)}:", 1))

    async def refusals() -> set[str]:
        """Of the service, and of a command such as doctor."""
        texts = set()
        for service in (True, False):
            with pytest.raises(StoreUnusable) as caught:
                await store.open(service=service)
            texts.add(str(caught.value).partition(": Relay's role ")[2])
        return texts

    try:
        grant = f'GRANT CREATE ON DATABASE {database} TO "{role}"'
        assert await refusals() == {f"may not create the schema relay: {grant}"}
        await admin.execute("CREATE SCHEMA relay")
        grant = f'GRANT CREATE, USAGE ON SCHEMA relay TO "{role}"'
        assert await refusals() == {f"may not create tables in the schema relay: {grant}"}
        await admin.execute(grant)
        with pytest.raises(StoreMissing):
            await store.open(service=False)
        await store.open()
        await store.put_value("key", "value")
        await store.close()
        await store.open(service=False)
    finally:
        await store.close()
        await admin.execute("DROP SCHEMA relay CASCADE")
        await admin.execute(f'DROP ROLE "{role}"')
        await admin.close()


async def test_missing_privileges_are_unavailable(url: str) -> None:
    async with replica(url) as store:
        with pytest.raises(StoreUnavailable, match="permission denied for schema relay"):
            await as_another_role(store)


async def as_another_role(store: PostgresStore) -> None:
    async with store.pool.transaction() as connection:
        await connection.execute("SET LOCAL ROLE pg_monitor")
        await connection.execute("SELECT FROM relay.events")


async def test_commits_are_synchronous_whatever_the_database_setting(url: str) -> None:
    admin = await asyncpg.connect(url)
    database = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    await admin.close()
    async with replica(url) as store, store.intake_pool.connection() as connection:
        assert await connection.fetchval("SHOW synchronous_commit") == "on"


async def test_an_upgrade_may_exceed_the_statement_timeout(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with replica(url) as store:
        await store.accept(event(1))
    monkeypatch.setattr("relay.store.postgres_pool.CONNECTION_TIMEOUT", 0.5)
    monkeypatch.setattr(
        "relay.store.schema.POSTGRES_STEPS", (*POSTGRES_STEPS, "SELECT pg_sleep(1.5)")
    )
    async with replica(url) as store:
        assert len(await store.stored_events(9)) == 1


async def test_no_error_contains_the_password(caplog: pytest.LogCaptureFixture) -> None:
    with in_thread(lambda _: Answer(cut=True)) as server:
        port = server.url.rpartition(":")[2]
        for address in (f"127.0.0.1:{port}", "127.0.0.1:1", "no-such-host.invalid"):
            with pytest.raises(StoreUnusable) as caught:
                await store_at(f"postgresql://relay:hunter2@{address}/db").open()
            assert "hunter2" not in str(caught.value) + caplog.text
            assert address in str(caught.value)


async def test_nul_characters_are_replaced(url: str) -> None:
    async with replica(url) as store:
        (delivery,) = await with_delivery(store, "a")
        assert await store.acquire_lease("queue:a")
        await store.mark_failed(delivery, "a\x00b", 0)
        (waiting,) = await store.waiting_deliveries("a", 9)
        assert waiting.error == "a\ufffdb"


async def without_durable_commits(postgres: Postgres) -> str:
    """The URL of a database that loses commits in a crash, unless a client asks for more. It keeps
    the setting with which each event was inserted."""
    url = postgres.fresh()
    admin = await asyncpg.connect(url)
    database = await admin.fetchval("SELECT current_database()")
    await admin.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    await admin.close()
    return url


async def record_commits(url: str) -> None:
    admin = await asyncpg.connect(url)
    await admin.execute(
        "CREATE TABLE public.commits (setting text);"
        "CREATE FUNCTION public.record() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO"
        " public.commits VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;"
        "CREATE TRIGGER record BEFORE INSERT ON relay.events FOR EACH ROW"
        " EXECUTE FUNCTION public.record()"
    )
    await admin.close()


async def recorded_commits(url: str) -> set[str]:
    admin = await asyncpg.connect(url)
    rows = await admin.fetch("SELECT setting FROM public.commits")
    await admin.close()
    return {setting for (setting,) in rows}


@pytest.mark.parametrize(
    ("mode", "ignored", "parameters"),
    [
        ("session", "", ""),
        # with which PgBouncer accepts settings of a connection that starts, and drops them
        ("session", "synchronous_commit, statement_timeout", ""),
        ("session", "", "?pgbouncer=true"),
        ("transaction", "", "?pgbouncer=true"),
    ],
)
async def test_commits_are_synchronous_behind_a_pooler(
    postgres: Postgres, tmp_path: Path, mode: str, ignored: str, parameters: str
) -> None:
    url = await without_durable_commits(postgres)
    settings = {"ignore_startup_parameters": ignored} if ignored else {}
    with pgbouncer(postgres, tmp_path, mode, **settings) as pooled:
        async with replica(pooled(url) + parameters) as store:
            await record_commits(url)
            if mode == "transaction":  # another client leaves its own setting behind
                other = await asyncpg.connect(pooled(url), statement_cache_size=0)
                await other.execute("SET synchronous_commit = off")
                await other.close()
            for number in range(5):
                await store.accept(event(number))
            assert len(await store.stored_events(9)) == 5
    assert await recorded_commits(url) == {"on"}


async def test_settings_that_do_not_apply_are_reported(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a pooler answered SET by itself."""
    url = await without_durable_commits(postgres)
    monkeypatch.setattr(postgres_pool, "_set_sql", lambda _: "SELECT 1")
    for parameters in ("", "&pgbouncer=true"):
        with pytest.raises(StoreUnusable, match="synchronous_commit is 'off' after Relay has set"):
            await store_at(url + parameters).open()


async def test_a_pooler_in_transaction_mode_is_recognized(
    postgres: Postgres, tmp_path: Path
) -> None:
    url = postgres.fresh()
    for size in (1, 20):
        with pgbouncer(postgres, tmp_path, "transaction", default_pool_size=size) as pooled:
            for service in (True, False):
                with pytest.raises(StoreUnusable, match="in transaction mode: add pgbouncer=true"):
                    await store_at(pooled(url)).open(service=service)
    with pgbouncer(postgres, tmp_path, "transaction", server_round_robin=1) as pooled:
        others = [await asyncpg.connect(pooled(url), statement_cache_size=0) for _ in range(3)]
        open_transactions = [other.transaction() for other in others]
        for each in open_transactions:
            await each.start()
        for each in open_transactions:
            await each.rollback()
        with pytest.raises(StoreUnusable, match="in transaction mode"):
            await store_at(pooled(url)).open()
        for other in others:
            await other.close()
    with (
        pgbouncer(postgres, tmp_path, "statement") as pooled,
        pytest.raises(StoreUnusable, match="transaction blocks not allowed in statement pooling"),
    ):
        await store_at(pooled(url)).open()


async def test_a_pooler_that_is_set_to_transaction_mode_later_is_reported(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no event is accepted whose commit is not on disk."""
    monkeypatch.setattr("relay.store.postgres.ACCEPT_TIMEOUT", 1.0)
    url = await without_durable_commits(postgres)
    async with replica(url):
        pass
    with pgbouncer(postgres, tmp_path, "transaction") as pooled:
        other = await asyncpg.connect(pooled(url), statement_cache_size=0)
        for accepts_before, words in (
            (False, "synchronous_commit is off.*add pgbouncer=true"),
            (True, "prepared statement .* does not exist.*add pgbouncer=true"),
        ):
            store = PostgresStore(pooled(url))
            await store.intake_pool.open()  # in session mode until here
            async with store.intake_pool.connection():
                pass
            if accepts_before:
                await store.accept(event(1))
            async with other.transaction():  # occupies the server's connection that has been set up
                with pytest.raises(StoreUnavailable, match=words):
                    await store.accept(event(2))
            await store.close()
        await other.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder in which PgBouncer's user can read."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def test_the_servers_sentence_is_in_the_error(postgres: Postgres, open_folder: Path) -> None:
    url = postgres.fresh()
    database = url.partition("/relay_")[2].partition("?")[0]
    with pytest.raises(StoreUnusable, match=f'database "relay_{database}_no" does not exist'):
        await store_at(url.replace(database, f"{database}_no")).open()
    (open_folder / "users").write_text('"postgres" "right"\n')
    settings = {"auth_type": "plain", "auth_file": f"{open_folder}/users"}
    with (
        pgbouncer(postgres, open_folder, "session", **settings) as pooled,
        pytest.raises(StoreUnusable, match="can't be opened: password authentication failed") as no,
    ):
        await store_at(pooled(url)).open()
    assert PASSWORD not in str(no.value)
    assert "Error" not in str(no.value)


async def test_tls_is_verified(postgres: Postgres, open_folder: Path, authority: Authority) -> None:
    url = postgres.fresh()
    certificate = authority.ca.issue_cert("localhost")
    key, chain = open_folder / "key.pem", open_folder / "chain.pem"
    certificate.private_key_pem.write_to_path(key)
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(chain, append=True)
    for path in (key, chain):
        path.chmod(0o644)
    tls = {"client_tls_sslmode": "require", "client_tls_key_file": str(key)}
    with pgbouncer(
        postgres, open_folder, "session", **tls, client_tls_cert_file=str(chain)
    ) as pooled:
        address = pooled(url)
        named = address.replace("127.0.0.1", "localhost")
        full = f"sslmode=verify-full&sslrootcert={authority.ca_file}"
        for good in (
            f"{named}?{full}",
            f"{address}?sslmode=require",
            f"{address}?{full.replace('full', 'ca')}",
        ):
            async with replica(good) as store:
                await store.probe()
        for bad, words in (
            (
                f"{address}?{full}",
                "the server's certificate is not accepted: .*IP address mismatch",
            ),
            (f"{named}?sslmode=verify-full&sslrootcert=system", "certificate is not accepted: "),
            (f"{named}?sslmode=disable", "SSL required"),
        ):
            with pytest.raises(StoreUnusable, match=words) as caught:
                await store_at(bad).open()
            assert PASSWORD not in str(caught.value)


async def test_a_command_can_write_too(url: str, transaction_pooler: Callable[[str], str]) -> None:
    async with replica(url) as service:
        for each in (url, transaction_pooler(url)):
            command = store_at(each)
            await command.open(service=False)
            await command.probe()
            await command.accept(event(1))
            await command.close()
        assert len(await service.stored_events(9)) == 1
