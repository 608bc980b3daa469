"""Faults of the store under a running service: the hook answers 503 before Penpot's timeout, no
acknowledged event is lost, and the service recovers by itself."""

import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest

from tests.faults.account import Ledger, Line
from tests.faults.places import Place, Places
from tests.faults.stage import Load, account, comment, drained, entries, service
from tests.service import Service, wait_until

pytestmark = pytest.mark.timeout(300)
Report = Callable[[str, list[Line]], None]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a separate file system of 16 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "none", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"needs the right to mount: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def in_small_disk(relay: Service, folder: Path) -> None:
    """Move the store there, before the service starts."""
    text = relay.config.read_text().replace(relay.store, f"sqlite:///{folder}/relay.db")
    relay.config.write_text(text)
    relay.store = f"sqlite:///{folder}/relay.db"


@contextmanager
def full(folder: Path) -> Iterator[None]:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def locked(file: Path) -> Iterator[None]:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def immutable(file: Path) -> Iterator[None]:
    """Nobody can write to the store, not even root or a process that has it open: as on a file
    system that the kernel remounted read-only after a disk error."""
    files = [f"{file}{more}" for more in ("", "-wal")]
    set_ = subprocess.run(["chattr", "+i", *files], capture_output=True, text=True)
    try:
        if set_.returncode:
            pytest.skip(f"needs chattr +i: {set_.stderr.strip()}")
        yield
    finally:
        subprocess.run(["chattr", "-i", *files], capture_output=True)


@contextmanager
def failing_to_sync(relay: Service) -> Iterator[None]:
    """fsync fails with EIO."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    assert relay.process is not None
    fault = "inject=fsync,fdatasync:error=EIO"
    command = ["strace", "-qq", "-f", "-p", f"{relay.process.pid}", "-e", "trace=fsync,fdatasync"]
    with subprocess.Popen([*command, "-e", fault, "-o", "/dev/null"]) as tracer:
        try:
            status = Path(f"/proc/{relay.process.pid}/status")
            wait_until(lambda: f"TracerPid:\t{tracer.pid}\n" in status.read_text(), 60)
            time.sleep(0.2)  # for its other threads
            yield
        finally:
            tracer.send_signal(signal.SIGINT)


@contextmanager
def moved(file: Path) -> Iterator[None]:
    """Move the file of a running service away and back."""
    away = file.rename(file.with_name("away.db"))
    yield
    away.rename(file)


def run_with_fault(
    relay: Service, places: list[Place], fault: Callable[[], object], words: str = ""
) -> list[Line]:
    """A run with the fault in the middle, under load."""
    ledger = Ledger()
    relay.start()
    with Load([relay.hook], ledger, senders=3, words=words):
        time.sleep(0.5)
        with fault():  # type: ignore[attr-defined]
            wait_until(lambda: len(ledger.refused) >= 3, 60)
            answer = httpx.get(f"{relay.admin}/readyz", timeout=8)
            assert (answer.status_code, answer.text[:26]) == (503, "the store can't be written")
            before = len(ledger.acknowledged)
        wait_until(relay.is_ready, 60)
        wait_until(lambda: len(ledger.acknowledged) >= before + 10, 60)
    assert ledger.unanswered == []  # within Penpot's timeout
    drained(relay, within=120)
    assert relay.log.read_text().count("\n") < 3000
    return account(relay, ledger, places)


@pytest.fixture
def channels(places: Places) -> list[Place]:
    return places.of_each_kind()


@pytest.fixture
def relay(tmp_path: Path, channels: list[Place], running: ExitStack) -> Service:
    found = service(tmp_path / "relay", channels)
    running.callback(found.end)
    return found


def test_a_full_disk(
    relay: Service, channels: list[Place], small_disk: Path, report: Report
) -> None:
    in_small_disk(relay, small_disk)
    report("a full disk", run_with_fault(relay, channels, lambda: full(small_disk), "word " * 200))


def test_a_locked_store(relay: Service, channels: list[Place], report: Report) -> None:
    file = relay.folder / "relay.db"
    report("a locked store", run_with_fault(relay, channels, lambda: locked(file)))


def test_a_read_only_store(relay: Service, channels: list[Place], report: Report) -> None:
    file = relay.folder / "relay.db"
    report("a store that is read-only", run_with_fault(relay, channels, lambda: immutable(file)))


def test_a_disk_that_fails_to_sync(relay: Service, channels: list[Place], report: Report) -> None:
    report("a disk that fails", run_with_fault(relay, channels, lambda: failing_to_sync(relay)))


@pytest.mark.long
def test_a_moved_store(relay: Service, channels: list[Place], report: Report) -> None:
    file = relay.folder / "relay.db"
    report("a store that is moved away", run_with_fault(relay, channels, lambda: moved(file)))


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    """As by a restored copy: the same content in another file."""
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.rename(path)


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("away"))


def replace_folder(path: Path) -> None:
    folder = path.parent
    move_folder(path)
    shutil.copytree(folder.with_name("away"), folder)


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        (remove, "relay.db-wal"),
        (replace, "relay.db-wal"),
        (remove, "relay.db"),
        (replace, "relay.db"),
        (move_folder, "relay.db"),
        (replace_folder, "relay.db"),
    ],
)
def test_no_event_is_acknowledged_after_a_file_was_removed(
    tmp_path: Path, running: ExitStack, harm: Callable[[Path], None], name: str
) -> None:
    folder = tmp_path / "data"
    channel = '[[teams.acme.channels]]\nname = "log"\ntype = "stdout"\n'
    relay = Service(tmp_path, channel, store=f"sqlite:///{folder}/relay.db")
    running.callback(relay.end)
    relay.start()
    assert relay.post(comment(1)) == 204
    harm(folder / name)
    assert [relay.post(comment(2)), relay.post(comment(3))] == [503, 503]
    problem = f"{folder / name} was removed or replaced: put it back, or restart Relay"
    assert f"an event could not be stored: {problem}" in relay.log.read_text()
    answer = httpx.get(f"{relay.admin}/readyz", timeout=8)
    assert (answer.status_code, problem in answer.text) == (503, True)
    relay.stop()
    if name == "relay.db-wal":  # whose content a stop writes into the file
        relay.start()
        assert relay.post(comment(2)) == 204
        assert len(entries(relay)) == 2
