"""The store: the only package that contains SQL."""

from pathlib import Path

from relay.store.base import Store
from relay.store.records import StoreUnusable
from relay.store.sqlite import SqliteStore


def store_at(url: str) -> Store:
    """The store at a config's ``store.url``: ``sqlite:///relative/path.db``,
    ``sqlite:////absolute/path.db`` or ``postgresql://…``.

    Raises ``StoreUnusable`` if the PostgreSQL driver is not installed.
    """
    if url.startswith("sqlite:///"):
        return SqliteStore(Path(url.removeprefix("sqlite:///")))
    try:
        from relay.store.postgres import PostgresStore
    except ImportError as error:
        text = f"PostgreSQL requires {error.name}, which is not installed: pip install {error.name}"
        raise StoreUnusable(f"store.url: {text}") from None
    return PostgresStore(url)
