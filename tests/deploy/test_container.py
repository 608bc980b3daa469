"""The image as CI can have it without a Docker engine: built by buildah on a Debian root, run by
podman under the same confinement as in deploy/compose.yaml."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from tests.service import free_ports

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("buildah", "podman", "runc", "mmdebstrap")
ABSENT = [tool for tool in NEEDED if not shutil.which(tool)] + ["root"] * (os.geteuid() != 0)
IMAGE = "localhost/relay:test"
SECRET = "a-secret-of-the-container-test"
COMMENT = {
    "name": "create-comment",
    "profileId": "5f1c9f1e-3b6c-80f5-8006-1a2b3c4d5e6f",
    "createdAt": "2026-07-25T08:17:02.555Z",
    "trackedAt": "2026-07-25T08:17:02.541Z",
    "props": {
        "id": "0c6a64d0-6f9f-80b1-8006-0a0b0c0d0e0f",
        "threadId": "0c6a64d0-6f9f-80b1-8006-000000000001",
        "fileId": "0c6a64d0-6f9f-80b1-8006-000000000002",
        "content": "Shall this be told from within the container?",
        "ownerFullname": "Ada Lovelace",
    },
}

pytestmark = [
    pytest.mark.skipif(bool(ABSENT), reason=f"the container needs {', '.join(ABSENT)}"),
    pytest.mark.timeout(600),  # the first build makes two Debian roots and loads the packages
]

Podman = Callable[..., str]
T = TypeVar("T")


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    """Runs podman on a storage of its own that holds the image, and gives what it printed."""
    storage = Path(tempfile.mkdtemp(prefix="relay-image-", dir="/var/tmp"))
    places = ["--root", f"{storage}/root", "--runroot", f"{storage}/run", "--storage-driver", "vfs"]

    def run(*arguments: str) -> str:
        outcome = subprocess.run(
            # Without systemd, podman would tell with each command that it has no timers.
            ["podman", "--log-level", "fatal", "--runtime", "runc", *places, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        assert outcome.returncode == 0, f"{arguments}: {outcome.stdout}"
        return outcome.stdout

    try:
        build = ROOT / "tests" / "deploy" / "build-image"
        outcome = subprocess.run(
            [build, storage, IMAGE], capture_output=True, text=True, check=False
        )
        assert outcome.returncode == 0, outcome.stdout + outcome.stderr
        yield run
    finally:
        if (storage / "root").exists():
            run("rm", "--all", "--force", "--time", "0")
        shutil.rmtree(storage)


class Container:
    """A running Relay: where it listens, and podman's view of it."""

    def __init__(self, podman: Podman, port: int, admin_port: int) -> None:
        self.podman = podman
        self.admin = f"http://127.0.0.1:{admin_port}"
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)

    def shell(self, script: str) -> str:
        return self.podman("exec", "relay", "sh", "-c", script)

    def python(self, script: str) -> str:
        return self.podman("exec", "relay", "/opt/relay/bin/python", "-c", script)

    def state(self) -> dict[str, Any]:
        (found,) = json.loads(self.podman("inspect", "relay"))
        return dict(found["State"])

    def logs_with(self, text: str) -> str:
        """What it printed, as soon as ``text`` is part of it."""
        return _until(lambda: logs if text in (logs := self.podman("logs", "relay")) else "")

    def answers(self) -> bool:
        """Waits until the container is healthy."""
        return _until(self._healthy)

    def _healthy(self) -> bool:
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def container(podman: Podman) -> Iterator[Container]:
    port, admin_port = free_ports(2)
    podman(
        *("run", "--detach", "--name", "relay", "--network", "host", "--log-driver", "k8s-file"),
        *("--read-only", "--read-only-tmpfs=false", "--volume", "data:/data"),
        *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
        *("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"),
        *("--env", f"RELAY_PORT={port}", "--env", "RELAY_HOST=127.0.0.1"),
        *("--env", f"RELAY_ADMIN_PORT={admin_port}"),
        *("--env", f"RELAY_SECRET={SECRET}", "--env", "RELAY_STDOUT=1"),
        IMAGE,
    )
    running = Container(podman, port, admin_port)
    with running.http:
        assert running.answers(), podman("logs", "relay")
        yield running


def test_a_posted_comment_is_printed(container: Container) -> None:
    answer = container.http.post(f"/hooks/default/{SECRET}", json=COMMENT)
    assert answer.status_code == 204
    assert "Shall this be told" in container.logs_with("Shall this be told")


def test_the_admin_port_is_open_and_the_inspector_off(container: Container) -> None:
    assert "relay_requests_total" in httpx.get(f"{container.admin}/metrics", trust_env=False).text
    assert httpx.get(f"{container.admin}/readyz", trust_env=False).status_code == 200
    assert httpx.get(f"{container.admin}/inspector", trust_env=False).status_code == 404
    assert "RELAY_INSPECTOR_PASSWORD" in container.logs_with("inspector: off")
    assert "RELAY_ADMIN_HOST=0.0.0.0" in container.shell("env")


def test_the_health_check_tells_a_running_relay_from_none(container: Container) -> None:
    container.podman("healthcheck", "run", "relay")
    container.podman("exec", "relay", "relay", "health")
    outcome = container.shell("RELAY_PORT=1 relay health >/dev/null 2>&1 || echo failed: $?")
    assert outcome == "failed: 1\n"


def test_it_runs_without_rights_and_writes_only_into_its_volume(container: Container) -> None:
    assert container.shell("id -u; id -g").split() == ["10001", "10001"]
    assert container.shell("grep ^CapEff /proc/self/status").split()[1] == "0" * 16
    places = "/ /etc /opt/relay /tmp /var/tmp /run /data"
    writable = container.shell(
        f"for place in {places}; do (: > $place/probe) 2>/dev/null && echo $place; done; true"
    )
    assert writable.split() == ["/data"]
    assert "relay.db" in container.shell("ls /data").split()


def test_neither_compiler_nor_installer_is_in_it(container: Container) -> None:
    tools = "cc gcc c++ make ld pip pip3 uv"
    assert container.shell(f"for tool in {tools}; do command -v $tool; done; true") == ""
    modules = "pip setuptools wheel hatchling ensurepip pytest"
    found = container.python(
        f"import importlib.util as u; print([m for m in '{modules}'.split() if u.find_spec(m)])"
    )
    assert found == "[]\n"
    assert container.shell("ls -p /var/lib/apt/lists | grep -v -e / -e lock; true") == ""


def test_every_module_is_compiled_and_taken_without_a_look_at_its_source(
    container: Container,
) -> None:
    script = """
import importlib.util as util, pathlib, struct, sysconfig
sources = list(pathlib.Path(sysconfig.get_path("purelib")).rglob("*.py"))
faults = []
for source in sources:
    cache = pathlib.Path(util.cache_from_source(source))
    head = cache.read_bytes()[:16] if cache.exists() else b""
    unchecked_hash = struct.pack("<I", 1) + util.source_hash(source.read_bytes())
    if head != util.MAGIC_NUMBER + unchecked_hash:
        faults.append(str(source))
print(len(sources), faults)
"""
    count, faults = container.python(script).split(maxsplit=1)
    assert int(count) > 500
    assert faults == "[]\n"


def test_the_wheel_brings_the_templates(container: Container) -> None:
    listed = container.shell("cd /opt/relay/lib/python3.*/site-packages/relay/templates && find .")
    there = {line.removeprefix("./") for line in listed.split()}
    for pattern in ("templates/*.j2", "templates/languages/*.mo"):
        ours = {str(path.relative_to(ROOT / "templates")) for path in ROOT.glob(pattern)}
        assert ours
        assert ours <= there


def test_it_stops_within_five_seconds_and_starts_again_on_its_data(container: Container) -> None:
    before = container.shell("ls -i /data/relay.db")
    started = time.monotonic()
    container.podman("stop", "--time", "10", "relay")
    assert time.monotonic() - started < 5
    assert container.state()["ExitCode"] == 0
    container.podman("start", "relay")
    assert container.answers()
    assert container.shell("ls -i /data/relay.db") == before


def test_the_image_says_what_it_is_and_stays_small(podman: Podman) -> None:
    (image,) = json.loads(podman("image", "inspect", IMAGE))
    config = image["Config"]
    assert config["User"] == "10001:10001"
    assert list(config["Volumes"]) == ["/data"]
    assert config["Labels"]["org.opencontainers.image.licenses"] == "MIT"
    assert image["HealthCheck" if "HealthCheck" in image else "Healthcheck"]["Test"] == [
        "CMD",
        "relay",
        "health",
    ]
    (base,) = json.loads(podman("image", "inspect", "localhost/relay-base"))
    added = (image["Size"] - base["Size"]) / 1e6
    print(f"\nimage: {image['Size'] / 1e6:.0f} MB, of which Relay and its packages {added:.0f} MB")
    assert added < 82


def _until(probe: Callable[[], T]) -> T:
    """What ``probe`` gives as soon as it is true; the last it gave after ten seconds."""
    deadline = time.monotonic() + 10
    while not (found := probe()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
