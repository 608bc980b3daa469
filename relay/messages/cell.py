"""The cell: a process of its own, in which the templates run that users write.

A template is a program. Jinja's sandbox keeps it from what it must not see, but not from working
without end: loops within loops, macros that call themselves twice, ``10 ** (10 ** 8)``,
``"x" * 10**9``, a list within a list fifty deep. Most of the latter are one call into C, which
neither a hook in the compiled template nor an exception thrown into it from a signal would end, and
the list of operations that Python grows in is too long to forbid them one by one: whatever were
forgotten would stop the whole service. So all of it (compiling, running, and reading the Markdown
that came out) happens in a process that may use a second and some memory, and that is ended when
it wants more. It is started for the first template that a user wrote, serves one after the other
at the cost of a fraction of a millisecond, and ends when there was nothing to do for a while. The
built-in templates are ours, and run where they are asked for. ``in_cell.py`` is the other end.
"""

import contextlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from relay.messages.rendering import Problem, RenderError, Sections
from relay.messages.sets import Environments

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SECONDS = 1.0
"""Time that one template may take."""
ROOM = 48 * 1024 * 1024
"""Bytes by which the process may grow."""
IDLE = 300.0
"""Seconds without work after which the process ends."""
AGAIN = 600.0
"""Seconds after which a template that took too much is tried again though it is the same: the
machine may have been busy."""
_LATE = 0.2
"""Seconds that the process has to say by itself that a template took too long, and where."""
_START = 30.0
"""Seconds that the process has to start."""
_NEEDED = ("LD_LIBRARY_PATH",)
_PROGRAM = "import sys; sys.path[:] = sys.argv[5:]; from relay.messages.in_cell import main; main()"


class _WorkerProcess:
    """One process, and the pipe to it."""

    def __init__(self) -> None:
        """Raises ``OSError`` where it does not start."""
        from multiprocessing.connection import Pipe  # only where a user has templates

        self.pipe, theirs = Pipe()
        with theirs:
            settings = map(str, (theirs.fileno(), SECONDS, ROOM, IDLE))
            # Isolated, and without the environment: the service's secrets are no business of it.
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-IBc", _PROGRAM, *settings, *sys.path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _NEEDED if name in os.environ},
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for the service
            )
        self.end = weakref.finalize(self, _end, self._process, self.pipe)
        started = b""
        with contextlib.suppress(EOFError):
            if self.pipe.poll(_START):
                started = self.pipe.recv_bytes()
        if not started:
            self.end()
            raise OSError("the process for users' templates does not start")

    def runs(self) -> bool:
        """Whether it takes a job; it ends when there was nothing to do for a while."""
        return self._process.poll() is None

    def ended(self) -> int:
        """How it ended, when its pipe says that it did."""
        return self._process.wait()


def _end(process: subprocess.Popen[bytes], pipe: "Connection[Any, Any]") -> None:
    pipe.close()
    process.kill()
    process.wait()


class Sandbox:
    """The process while there is one. Callers in several threads are served in turn."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: _WorkerProcess | None = None

    def run(self, job: tuple[Any, ...]) -> Any:
        """What a job gives; see ``in_cell.py``. Raises ``RenderError``, or ``OSError`` where there
        can be no process."""
        work = pickle.dumps(job)
        with self._lock:
            while (answer := self._answer(work)) is None:
                pass
        return answer

    def close(self) -> None:
        """End the process; another is started where one is needed."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None

    def _answer(self, work: bytes) -> Any:
        """None where the process ended before it took the job."""
        if self._process is None or not self._process.runs():
            self._end()
            self._process = _WorkerProcess()
        pipe = self._process.pipe
        try:
            pipe.send_bytes(work)
            if not pipe.poll(SECONDS + _LATE):
                self._end()
                raise RenderError(Problem("", 0, took_too_long(SECONDS)), overran=True)
            answer = json.loads(pipe.recv_bytes())
        except (EOFError, ConnectionError):
            code = self._process.ended()
            self._end()
            if code:
                out_of_time = code == -signal.SIGPROF  # the kernel's word, where Python had none
                text = f"ends the process that runs it ({code})"
                text = took_too_long(SECONDS) if out_of_time else text
                raise RenderError(Problem("", 0, text), overran=True) from None
            return None
        if "problem" in answer:
            raise RenderError(Problem(*answer["problem"]), overran=answer["overran"])
        return answer["given"]


def took_too_long(seconds: float) -> str:
    """What is said of a template that takes too long."""
    return f"takes longer than {seconds:g} s"


@dataclass(frozen=True, slots=True)
class _Quarantined:
    """A template that took too much, and when; ``state`` is that of all files then."""

    problem: Problem
    state: tuple[object, ...]
    at: float


class SandboxedTemplates:
    """A set of templates of which those by users run in a cell.

    What took too much is not tried again before a file of the set has changed, or ``AGAIN`` has
    passed: in a flood of events it would take as much for each.
    """

    def __init__(self, environments: Environments, cell: Sandbox) -> None:
        self.files = environments.files
        self._cell = cell
        self._aside: dict[str, _Quarantined] = {}

    def sections(self, name: str, variables: Mapping[str, Any]) -> Sections:
        """See ``TemplateSet``."""
        return Sections(**self._run("sections", name, variables))

    def override(self, name: str, variables: Mapping[str, Any]) -> str:
        """See ``TemplateSet``."""
        return str(self._run("override", name, variables))

    def faults(
        self, path: str, known: Collection[str], samples: Sequence[Mapping[str, Any]]
    ) -> list[Problem]:
        """See ``TemplateSet``."""
        try:
            return [Problem(*one) for one in self._run("faults", path, known, samples)]
        except RenderError as failed:
            return [failed.problem]

    def _run(self, task: str, name: str, *given: Any) -> Any:
        aside = self._aside.pop(name, None)
        if aside and time.monotonic() - aside.at < AGAIN and self.files.state() == aside.state:
            self._aside[name] = aside
            raise RenderError(aside.problem, overran=True)
        files = self.files
        job = (task, files.folders, files.builtin, files.typed, name, *given)
        try:
            return self._cell.run(job)
        except RenderError as failed:
            problem = failed.problem
            if problem.file in ("", name):
                problem = replace(problem, file=files.find(name) or name)
            if failed.overran:
                self._aside[name] = _Quarantined(problem, files.state(), time.monotonic())
            raise RenderError(problem, overran=failed.overran) from None
