"""Where a SQLite file may be: other users' folders, read-only and network file systems."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import pytest

from relay.store import sqlite_files, store_at
from relay.store.records import StoreMissing, StoreUnusable
from relay.store.sqlite_files import file_system, require_usable

pytestmark = pytest.mark.anyio
NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may enter."""
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def nobody(folder: Path) -> Iterator[None]:
    """The test runs as another user; ``folder`` still belongs to root."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


async def refusal(path: Path) -> str:
    """What the service and a command say, which is the same."""
    texts = []
    for service in (True, False):
        with pytest.raises(StoreUnusable) as caught:
            await store_at(f"sqlite:///{path}").open(service=service)
        assert not isinstance(caught.value, StoreMissing)
        texts.append(str(caught.value))
    assert texts[0] == texts[1]
    return texts[0]


@pytest.mark.usefixtures("nobody")
async def test_the_folder_of_another_user_is_refused_with_the_command(folder: Path) -> None:
    cause = "can't be written by user 65534, as whom Relay runs"
    assert await refusal(folder / "relay.db") == f"{folder} {cause}: chown 65534:65534 {folder}"
    assert await refusal(folder / "a b/c/relay.db") == (
        f"{folder} {cause}: mkdir -p '{folder}/a b/c' && chown 65534:65534 '{folder}/a b/c'"
    )


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-lock"])
async def test_a_file_of_another_user_is_refused_with_the_command(
    folder: Path, suffix: str, request: pytest.FixtureRequest
) -> None:
    """Such as after a command that ran as root."""
    file = folder / f"relay.db{suffix}"
    file.touch(mode=0o600)
    folder.chmod(0o777)
    request.getfixturevalue("nobody")
    assert await refusal(folder / "relay.db") == (
        f"{file} can't be written by user 65534, as whom Relay runs: chown 65534:65534 {file}"
    )


async def test_a_folder_that_can_not_be_entered_is_named(
    folder: Path, request: pytest.FixtureRequest
) -> None:
    (folder / "closed/data").mkdir(parents=True)
    (folder / "closed").chmod(0o700)
    request.getfixturevalue("nobody")
    assert await refusal(folder / "closed/data/relay.db") == (
        f"{folder}/closed can't be entered by user 65534: chmod a+x {folder}/closed"
    )


async def test_the_users_own_folder_needs_the_right_to_write(
    folder: Path, request: pytest.FixtureRequest
) -> None:
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        request.getfixturevalue("nobody")
    folder.chmod(0o500)
    text = await refusal(folder / "relay.db")
    folder.chmod(0o700)
    assert text.endswith(f", as whom Relay runs: chmod u+rwX {folder}")
    store = store_at(f"sqlite:///{folder}/relay.db")
    await store.open()
    await store.probe()
    await store.close()


async def test_a_read_only_file_system_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda _, mode, **__: mode in (os.F_OK, os.X_OK))
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    with pytest.raises(StoreUnusable, match="is on a read-only file system: mount it for writing"):
        require_usable(tmp_path / "relay.db")


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3"])
async def test_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    device = tmp_path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:1 / /proc rw - proc proc rw\n"
        f"36 35 {number} / {tmp_path} rw,noatime shared:1 master:2 - {kind} host:/export rw,a=b\n"
    )
    monkeypatch.setattr(sqlite_files, "MOUNTS", mounts)
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "there.db")
    for path in (tmp_path / "relay.db", tmp_path / "new/relay.db", link):
        assert await refusal(path) == (
            f"{path} is on a network file system ({kind}), where SQLite loses or corrupts data: "
            "use a local disk, or PostgreSQL"
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.db", "mountinfo"]


async def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="is a folder: name a file in it"):
        await store_at(f"sqlite:///{tmp_path}").open()


def test_the_kind_of_a_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert file_system(Path("/proc")) == "proc"
    assert file_system(Path("/dev/shm")) == "tmpfs"
    monkeypatch.setattr(sqlite_files, "MOUNTS", tmp_path / "none")  # not Linux
    assert file_system(Path("/proc")) == ""
