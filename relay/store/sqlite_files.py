"""Whether SQLite can work on a file: rights of the process, and the kind of file system."""

import os
import shlex
from pathlib import Path

from relay.store.records import StoreUnusable

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs"}
)
"""SQLite's log needs memory that all processes share, and reliable locks:
https://www.sqlite.org/wal.html, https://www.sqlite.org/faq.html#q5."""
MOUNTS = Path("/proc/self/mountinfo")  # proc_pid_mountinfo(5); Linux only


def require_usable(path: Path) -> None:
    """Raises ``StoreUnusable`` with the cause and a command, if this process can't create or write
    the store at ``path``, or must not."""
    target = path.resolve()
    folder = _existing_folder(target)
    if (kind := file_system(folder)) in NETWORK_FILE_SYSTEMS:
        raise StoreUnusable(
            f"{path} is on a network file system ({kind}), where SQLite loses or corrupts data: "
            "use a local disk, or PostgreSQL"
        )
    if not os.access(folder, os.W_OK, effective_ids=True):
        raise StoreUnusable(_problem(folder, missing=target.parent))
    if target.is_dir():
        raise StoreUnusable(
            f"{path} is a folder: name a file in it (Docker creates a folder where the file to "
            "mount is missing)"
        )
    for name in (target, *(Path(f"{target}{suffix}") for suffix in ("-wal", "-shm")), _lock(path)):
        if name.exists() and not os.access(name, os.R_OK | os.W_OK, effective_ids=True):
            raise StoreUnusable(_problem(name))


def _lock(path: Path) -> Path:
    return path.absolute().with_name(f"{path.name}-lock")


def _existing_folder(target: Path) -> Path:
    """The folder of a file, or the innermost one above it that exists. Raises ``StoreUnusable``
    if the process may not enter it."""
    existing = Path(target.anchor)
    for folder in reversed(target.parents):
        if not os.access(folder, os.F_OK, effective_ids=True):
            break
        if not os.access(folder, os.X_OK, effective_ids=True):
            user, name = os.geteuid(), shlex.quote(str(folder))
            raise StoreUnusable(f"{folder} can't be entered by user {user}: chmod a+x {name}")
        existing = folder
    return existing


def _problem(name: Path, missing: Path | None = None) -> str:
    """``missing``: the folder to create, if ``name`` is a folder above it."""
    user, group = os.geteuid(), os.getegid()
    if os.statvfs(name).f_flag & os.ST_RDONLY:
        return f"{name} is on a read-only file system: mount it for writing"
    text = f"{name} can't be written by user {user}, as whom Relay runs"
    if missing not in (None, name):
        new = shlex.quote(str(missing))
        return f"{text}: mkdir -p {new} && chown {user}:{group} {new}"
    if name.stat().st_uid == user:
        return f"{text}: chmod u+rwX {shlex.quote(str(name))}"
    return f"{text}: chown {user}:{group} {shlex.quote(str(name))}"


def file_system(folder: Path) -> str:
    """The kind of file system, as Linux names it; empty if that is not known."""
    device = os.stat(folder).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == number:
            return source.split()[0]
    return ""
