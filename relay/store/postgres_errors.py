"""The meaning of the PostgreSQL driver's errors, and what their texts say."""

import contextlib
import ssl
from collections.abc import Iterator

import asyncpg

from relay.store.records import StoreUnavailable

MAX_SENTENCE_LENGTH = 300  # characters
POOLER_ADVICE = "add pgbouncer=true to store.url, or set the pooler to session mode"

# Errors of a statement or its data. All other server errors (it starts, stops, is full, or
# cancelled the statement) may be temporary.
_STATEMENT_ERRORS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.SyntaxOrAccessError,
    asyncpg.InvalidTransactionStateError,
)
# Prepared statements that are there before they are made, or are gone: the pooler gives each
# transaction another connection of the server.
_POOLER_ERRORS = (asyncpg.DuplicatePreparedStatementError, asyncpg.InvalidSQLStatementNameError)
# Subclasses of these that a person or time can fix: the server is a standby, ended an idle
# transaction, the role's privileges or Relay's tables are missing, or the pooler was changed.
_TEMPORARY_ERRORS = (
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedTableError,
    *_POOLER_ERRORS,
)
DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # raised if the connection ends as a statement begins
    OSError,  # also of a timeout
)


def sentence(error: Exception) -> str:
    """What the server says, or else the driver or the system, on one line. Without the details of
    a server's error, which may contain rows."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"the server's certificate is not accepted: {error.verify_message}"
    elif isinstance(error, OSError):
        text = error.strerror or str(error) or "no answer in time"
    else:
        text = str(error.args[0]) if error.args else ""
    if isinstance(error, _POOLER_ERRORS):
        text += f". If there is a pooler in transaction mode, {POOLER_ADVICE}"
    text = " ".join((text or type(error).__name__).split())
    return text if len(text) <= MAX_SENTENCE_LENGTH else f"{text[: MAX_SENTENCE_LENGTH - 1]}…"


@contextlib.contextmanager
def available(secrets: tuple[str, ...] = ()) -> Iterator[None]:
    """Turn temporary errors into ``StoreUnavailable`` with the server's own sentence."""
    try:
        yield
    except DRIVER_ERRORS as error:
        if isinstance(error, _STATEMENT_ERRORS) and not isinstance(error, _TEMPORARY_ERRORS):
            raise
        raise StoreUnavailable(f"PostgreSQL: {without(secrets, sentence(error))}") from None


def without(secrets: tuple[str, ...], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return text
