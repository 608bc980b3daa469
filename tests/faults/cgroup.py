"""A control group with little memory and no swap, as a container has: cgroup v1 or v2, as root."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


class MemoryGroup:
    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._is_v1 = folder.is_relative_to(_V1)
        limits = {"memory.max": max_bytes, "memory.swap.max": 0}
        if self._is_v1:
            limits = {"memory.limit_in_bytes": max_bytes, "memory.memsw.limit_in_bytes": max_bytes}
        for name, value in limits.items():
            (folder / name).write_text(f"{value}")

    @property
    def prefix(self) -> list[str]:
        """Of a command that runs in the group."""
        return ["sh", "-c", 'echo $$ >"$0" && exec "$@"', str(self._folder / "cgroup.procs")]

    def kills(self) -> int:
        """How many processes the kernel has killed because memory ran out."""
        events = self._folder / ("memory.oom_control" if self._is_v1 else "memory.events")
        counts = dict(line.split() for line in events.read_text().splitlines())
        return int(counts["oom_kill"])


@contextlib.contextmanager
def memory_group(max_bytes: int) -> Iterator[MemoryGroup]:
    """Raises ``OSError`` where this machine permits no such group. Its processes have to have ended
    when it ends."""
    folder = (_V1 if _V1.is_dir() else _V2) / f"relay-test-{os.getpid()}"
    folder.mkdir()
    try:
        yield MemoryGroup(folder, max_bytes)
    finally:
        for _ in range(100):  # the kernel takes a moment to forget a process
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.05)
