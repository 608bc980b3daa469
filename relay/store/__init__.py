"""The only rooms that know SQL."""

from pathlib import Path
from typing import Protocol

from relay.store.base import Store, StoreMisfit
from relay.store.sqlite import SqliteStore


class OpenStore(Store, Protocol):
    """A store that can also be opened beside a service that runs."""

    async def open(self, *, service: bool = True) -> None:
        """See ``Store``; with ``service`` false only to look, and to put deliveries back."""
        ...


def store_at(url: str) -> OpenStore:
    """The store that a config's ``store.url`` names: ``sqlite:///relative/path.db``,
    ``sqlite:////absolute/path.db`` or ``postgresql://…``.

    Raises ``StoreMisfit`` where what PostgreSQL needs is not installed.
    """
    if url.startswith("sqlite:///"):
        return SqliteStore(Path(url.removeprefix("sqlite:///")))
    try:
        from relay.store.postgres import PostgresStore
    except ImportError as error:
        text = f"a PostgreSQL takes {error.name}, which is missing: pip install {error.name}"
        raise StoreMisfit(f"store.url: {text}") from None
    return PostgresStore(url)
