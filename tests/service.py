"""``relay serve`` as a subprocess."""

import contextlib
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

SECRET = "a-secret-of-24-characters"
JSON = {"content-type": "application/json"}


def relay(*arguments: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command in ``folder`` with only these ``RELAY_`` variables."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RELAY_")}
    return subprocess.run(
        [sys.executable, "-m", "relay", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        env=clean | environ,
    )


class Service:
    """``relay serve`` with a config, started and stopped at will on the same ports and store."""

    def __init__(
        self,
        folder: Path,
        channels: str,
        *,
        extra: str = "",
        penpot: str = 'url = "http://penpot.example"',
        store: str = "",
    ) -> None:
        """``channels``, ``extra`` and ``penpot`` are TOML: the tables of team acme's channels, more
        tables, and the keys of ``[penpot]``. ``store`` is the store's address, a file in
        ``folder`` without one."""
        self.folder = folder
        self.store = store or f"sqlite:///{folder}/relay.db"
        self.port, self.admin_port = free_ports(2)
        self.config = folder / "relay.toml"
        self.config.write_text(
            f'[server]\nhost = "127.0.0.1"\nport = {self.port}\n'
            f"[admin]\nport = {self.admin_port}\n"
            f'[store]\nurl = "{self.store}"\n'
            f"[penpot]\n{penpot}\n{extra}\n"
            f'[teams.acme]\nsecret = "{SECRET}"\n{channels}'
        )
        self.output = folder / "stdout"
        self.log = folder / "stderr"
        self.process: subprocess.Popen[bytes] | None = None
        self.environ: dict[str, str] = {}
        self.command = [sys.executable, "-m", "relay"]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def admin(self) -> str:
        return f"http://127.0.0.1:{self.admin_port}"

    @property
    def hook(self) -> str:
        return f"{self.url}/hooks/acme/{SECRET}"

    def start(self) -> None:
        self.begin()
        wait_until(self.is_ready, 30)

    def begin(self) -> None:
        """Start it without waiting until it is ready."""
        with self.output.open("ab") as output, self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "serve", "--config", str(self.config)],
                stdout=output,
                stderr=log,
                env=os.environ | self.environ,
            )

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            # without certificates: loading them takes longer than Relay's start
            return httpx.get(f"{self.admin}/readyz", timeout=1, verify=False).status_code == 200
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Kill it if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def stop(self) -> float:
        """Stop it as a container runtime does; returns the seconds that it took."""
        assert self.process is not None
        started = time.monotonic()
        self.process.terminate()
        self.process.wait(20)
        return time.monotonic() - started

    def post(self, body: bytes, **headers: str) -> int:
        return httpx.post(self.hook, content=body, headers=JSON | headers, timeout=35).status_code

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A relay command with the same config."""
        return subprocess.run(
            [sys.executable, "-m", "relay", *command, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=30,
            env=os.environ | self.environ,
        )

    def memory(self) -> int:
        """Resident memory now, in bytes."""
        return self._status("VmRSS")

    def peak_memory(self) -> int:
        """Resident memory at its highest, in bytes."""
        return self._status("VmHWM")

    def _status(self, key: str) -> int:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{key}:"))
        return int(line.split()[1]) * 1024


@contextlib.contextmanager
def running(
    folder: Path, channels: str, *, environ: dict[str, str] | None = None, **tables: str
) -> Iterator[Service]:
    service = Service(folder, channels, **tables)
    service.environ = environ or {}
    service.start()
    try:
        yield service
    finally:
        if service.process is not None and service.process.poll() is None:
            service.stop()


def free_ports(count: int) -> list[int]:
    """Different ones, below those that the system gives to outgoing connections: one of these could
    be taken before a service listens there."""
    chance, ports = random.SystemRandom(), list[int]()
    with contextlib.ExitStack() as stack:
        while len(ports) < count:
            probe, port = stack.enter_context(socket.socket()), chance.randrange(10_000, 32_000)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                ports.append(port)
    return ports


def free_port() -> int:
    return free_ports(1)[0]


def wait_until(condition: object, seconds: float) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)
