"""A real PgBouncer (Debian's package) in front of a PostgreSQL."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.servers.postgres import Postgres

PASSWORD = "hunter2"  # which this pooler does not ask for
START_TIMEOUT = 20.0  # seconds
_PATH = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def pgbouncer(
    postgres: Postgres, folder: Path, mode: str, **settings: str | int
) -> Iterator[Callable[[str], str]]:
    """Run a pooler in this mode, with further ``settings`` of it. Yields a function that takes the
    URL of one of the server's databases, and returns the URL through the pooler."""
    if _PATH is None:
        pytest.skip("needs PgBouncer; on Debian: apt install pgbouncer")
    sockets = postgres.sockets
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    values: dict[str, str | int] = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": mode,
        "max_client_conn": 200,
        "server_idle_timeout": 1,  # the tests use many databases of one server
        **settings,
    }
    config, log = folder / f"pgbouncer-{port}.ini", folder / f"pgbouncer-{port}.log"
    text = "\n".join(f"{name} = {value}" for name, value in values.items())
    config.write_text(f"[databases]\n* = host={sockets} user=postgres\n[pgbouncer]\n{text}\n")
    # it refuses to run as root; the server's user may open the server's socket
    user = sockets.stat().st_uid if os.geteuid() == 0 else None
    with config.open("rb") as opened, log.open("wb") as output:
        descriptor = opened.fileno()
        process = subprocess.Popen(
            [_PATH, f"/proc/self/fd/{descriptor}"],
            user=user,
            pass_fds=[descriptor],
            stdout=output,
            stderr=output,
        )
    try:
        _wait(process, port, log)
        address = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}"
        yield lambda url: f"{address}{urlsplit(url).path}"
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return
