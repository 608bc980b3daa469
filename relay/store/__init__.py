"""The only rooms that know SQL."""

from pathlib import Path

from relay.store.sqlite import SqliteStore


def store_at(url: str) -> SqliteStore:
    """The store that a config's ``store.url`` names: ``sqlite:///relative/path.db`` or
    ``sqlite:////absolute/path.db``."""
    return SqliteStore(Path(url.removeprefix("sqlite:///")))
