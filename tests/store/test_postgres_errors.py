"""What a real server's errors mean, and what Relay says about them."""

import socket

import asyncpg
import pytest

from relay.store.postgres_errors import MAX_SENTENCE_LENGTH, available, sentence, without
from relay.store.records import StoreUnavailable

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT FROM relay.events", 'PostgreSQL: relation "relay.events" does not exist'),
        ("PREPARE one AS SELECT 1; PREPARE one AS SELECT 1", 'statement "one" already exists.*'),
        ("EXECUTE two", 'prepared statement "two" does not exist.*pgbouncer=true'),
        ("SET statement_timeout = '1ms'; SELECT pg_sleep(9)", "due to statement timeout"),
        ("BEGIN READ ONLY; CREATE TABLE x ()", "cannot execute CREATE TABLE in a read-only tran"),
    ],
)
async def test_what_can_be_fixed_is_unavailable_with_the_servers_sentence(
    url: str, sql: str, words: str
) -> None:
    connection = await asyncpg.connect(url)
    with pytest.raises(StoreUnavailable, match=words) as caught, available():
        await connection.execute(sql)
    assert "Error" not in str(caught.value)
    await connection.close()


async def test_the_error_of_a_statement_is_raised_as_it_is(url: str) -> None:
    connection = await asyncpg.connect(url)
    with pytest.raises(asyncpg.SyntaxOrAccessError), available():
        await connection.execute("SELEC 1")
    await connection.execute("CREATE TABLE x (y text UNIQUE); INSERT INTO x VALUES ('hunter2')")
    with pytest.raises(asyncpg.UniqueViolationError) as caught, available():
        await connection.execute("INSERT INTO x VALUES ('hunter2')")
    assert "hunter2" in str(caught.value)  # in the detail
    assert sentence(caught.value).startswith("duplicate key value violates unique constraint")
    assert "hunter2" not in sentence(caught.value)
    await connection.close()


def test_an_error_without_a_text_has_one() -> None:
    refused = OSError(111, "Connect call failed ('127.0.0.1', 1)")
    assert sentence(refused) == "Connect call failed ('127.0.0.1', 1)"
    assert sentence(TimeoutError()) == "no answer in time"
    unknown = socket.gaierror(-2, "Name or service not known")
    assert sentence(unknown) == "Name or service not known"
    assert sentence(KeyError()) == "KeyError"
    assert sentence(ValueError("two\nlines " + "x" * 999)).startswith("two lines x")
    assert len(sentence(ValueError("x" * 999))) == MAX_SENTENCE_LENGTH


def test_a_password_is_removed_in_every_spelling() -> None:
    assert without(("hunter%2F2", "hunter/2"), "hunter/2 or hunter%2F2") == "*** or ***"
