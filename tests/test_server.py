"""How many connections the listener takes, and that no other process reads the service."""

import resource
import socket
import subprocess
import sys

import pytest

from relay import server
from relay.config.settings import Config
from relay.server import AddressUnavailable, max_connections


@pytest.mark.parametrize(
    ("descriptors", "expected"),
    [
        (256, (86, 42)),
        (1024, (256, 128)),
        (resource.RLIM_INFINITY, (256, 128)),
        (64, (32, 16)),
    ],
)
def test_connections_leave_descriptors_for_the_rest(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, expected: tuple[int, int]
) -> None:
    monkeypatch.setattr(server.resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert max_connections() == expected


class Lifespan:
    """Another process listens at the address while the application starts."""

    should_exit = False

    def __init__(self, other: socket.socket) -> None:
        self.state: dict[str, object] = {}
        self.is_started = False
        self._other = other

    async def startup(self) -> None:
        self._other.listen()
        self.is_started = True

    async def shutdown(self) -> None:
        self.is_started = False


@pytest.mark.anyio
async def test_an_address_that_is_lost_while_the_application_starts_stops_it() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        with socket.create_server(("127.0.0.1", 0)) as free:
            admin_port = free.getsockname()[1]
        listeners = {
            "server": {"host": "127.0.0.1", "port": port},
            "admin": {"port": admin_port},
        }
        teams = {"acme": {"secret": "a-secret-of-24-characters"}}
        config = Config.model_validate({"teams": teams, **listeners})
        started = server.server(config)
        started.lifespan = Lifespan(other)  # type: ignore[assignment]
        with pytest.raises(AddressUnavailable, match=f"server.port = {port}: .* already in use"):
            await started.startup()
        assert not started.lifespan.is_started  # type: ignore[attr-defined]
        assert not any(opened.sockets for opened in started.servers)


TRACING = """
import ctypes, os, sys
from relay.server import deny_tracing

def opened():
    if (child := os.fork()) == 0:
        for name in ("environ", "mem"):
            try:
                open(f"/proc/{os.getppid()}/{name}").close()
                print(name, "is open")
            except PermissionError:
                print(name, "is closed")
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)

if os.getuid() == 0:  # who may read everything
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # readable again, as after a start by that user
opened()
deny_tracing()
opened()
"""


def test_a_process_of_the_same_user_reads_neither_environment_nor_memory() -> None:
    command = [sys.executable, "-c", TRACING]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # A hardened kernel keeps a child from reading its parent's memory at any time.
    before, _, after = output.partition("environ is closed\n")
    assert before.startswith("environ is open\n")
    assert after == "mem is closed\n"


SERVE = """
import ctypes
from relay.cli import main, service

def load(path):
    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))  # PR_GET_DUMPABLE
    raise SystemExit

service.load = load
main(["serve"])
"""


def test_serve_denies_tracing_before_it_reads_secrets() -> None:
    command = [sys.executable, "-c", SERVE]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0\n"
