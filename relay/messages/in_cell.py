"""What runs inside a cell (``cell.py``): one job after the other, each within its limits."""

import json
import os
import pickle
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, astuple
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from relay.messages.cell import took_too_long
from relay.messages.rendering import Problem, Sections, problem
from relay.messages.sets import Environments

READING = 0.2
"""Seconds that reading the Markdown that came out may take: each channel reads it once more, beside
all else. The longest comment of nothing but punctuation takes 0.06."""
_SPARE = 8 * 1024 * 1024
"""Bytes more than it may take for telling that it took too much."""


class _OutputTooLong(BaseException):
    """A job's time is over. No ``except Exception`` on its way takes it for something else."""


class SandboxWorker:
    """Does jobs with the templates of any set."""

    def __init__(self, seconds: float, room: int) -> None:
        """``room``: bytes by which the process may grow from here on."""
        self._seconds = seconds
        self._room = room
        self._begun = _size()
        self._sets: dict[tuple[Any, ...], Environments] = {}
        signal.signal(signal.SIGALRM, self._ring)
        self._limit(room)

    def answer(self, work: bytes) -> tuple[bytes, bool]:
        """The answer to a job, and whether it was the last one of this process.

        A job is a task, the folders, the folder of the built-in templates, those that are typed,
        and what the task takes.
        """
        task, folders, builtin, typed, name, *given = pickle.loads(work)  # noqa: S301 - our own
        # The first timer has Python stop the job and tell where; the kernel heeds the other.
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        signal.setitimer(signal.ITIMER_PROF, 3 * self._seconds)
        last = False
        try:
            try:
                templates = self._templates(folders, builtin, typed)
                text = self._outcome(templates, task, name, given)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.setitimer(signal.ITIMER_PROF, 0)
        except _OutputTooLong as error:  # it comes anywhere, also while another fault is told
            text = _failed(problem(error, name), took_too_long(self._seconds))
            last = True
        self._limit(self._room)
        return text.encode(), last or _size() > self._begun + self._room // 4

    def _outcome(self, templates: Environments, task: str, name: str, given: list[Any]) -> str:
        try:
            return json.dumps({"given": _plain(getattr(templates, task)(name, *given))})
        except MemoryError as error:
            self._limit(self._room + _SPARE)
            needs = f"needs more than {self._room // 2**20} MB of memory"
            return _failed(problem(error, name), needs)
        except Exception as error:  # noqa: BLE001 - templates run a user's code
            return json.dumps({"problem": astuple(problem(error, name)), "overran": False})

    def _templates(
        self, folders: tuple[str, ...], builtin: str, typed: Mapping[str, str]
    ) -> Environments:
        # Kept by the names of what is typed: the next text under one takes the place of the last,
        # and what it builds on need not be compiled anew for each key that somebody presses.
        key = folders, builtin, tuple(sorted(typed))
        if key not in self._sets:
            places = tuple(map(Path, folders))
            self._sets[key] = Environments(places, Path(builtin), typed, READING)
        self._sets[key].files.typed = typed
        return self._sets[key]

    def _ring(self, *_: object) -> None:
        raise _OutputTooLong

    def _limit(self, room: int) -> None:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = self._begun + room
        wanted = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


def _failed(found: Problem, text: str) -> str:
    return json.dumps({"problem": (found.file, found.line, text), "overran": True})


def _plain(found: Sections | str | list[Problem]) -> object:
    if isinstance(found, Sections):
        return asdict(found)
    return found if isinstance(found, str) else [astuple(one) for one in found]


def _size() -> int:
    """The process's memory in bytes, as its limit counts it."""
    with open("/proc/self/statm", "rb") as numbers:
        return int(numbers.readline().split()[0]) * os.sysconf("SC_PAGESIZE")


def main() -> None:
    """Serve the pipe that the command line names, until it is closed."""
    pipe = Connection(int(sys.argv[1]))
    seconds, room, idle = float(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the pipe says when to end
    worker = SandboxWorker(seconds, room)
    pipe.send_bytes(b"ready")
    last = False
    while not last and pipe.poll(idle):
        try:
            work = pipe.recv_bytes()
        except EOFError:
            return
        answer, last = worker.answer(work)
        pipe.send_bytes(answer)
