"""The sandbox: a child process that runs the templates which users write.

Jinja's sandbox restricts what a template may access, not how much it computes: nested loops,
recursive macros, ``10 ** (10 ** 8)``, ``"x" * 10**9``. Most of the latter are a single call into C,
which no hook in the compiled template and no exception raised from a signal handler interrupts, and
a list of forbidden operations would never be complete. So compiling, rendering and parsing the
resulting Markdown happen in a process with limits on time and memory, which is killed when it
exceeds them. It starts with the first user template, serves one job after the other at a cost of
less than a millisecond each, and exits when idle. The built-in templates are trusted and run in the
main process. The process itself is in ``sandbox_worker.py``.
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
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from relay.messages.rendering import Problem, RenderError, Sections, Variables
from relay.messages.sets import InProcessTemplates

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

TEMPLATE_TIMEOUT = 1.0  # seconds for one job
MAX_GROWTH_BYTES = 48 * 1024 * 1024  # memory that the process may allocate
IDLE_TIMEOUT = 300.0  # seconds without a job, after which the process exits
QUARANTINE_TTL = 600.0
"""Seconds after which an unchanged template that exceeded a limit is tried again: the machine may
have been under load."""
_REPORT_TIMEOUT = 0.2  # seconds for the process to report the line in which the time ran out
_START_TIMEOUT = 30.0  # seconds
_PASSED_VARIABLES = ("LD_LIBRARY_PATH",)
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[6:]; from relay.messages.sandbox_worker import main; main()"
)


class _WorkerProcess:
    """One process, and the pipe to it."""

    def __init__(self, modules: Iterable[str]) -> None:
        """``modules`` are imported at the start. Raises ``OSError`` if the process does not
        start."""
        from multiprocessing.connection import Pipe  # needed only with user templates

        self.pipe, child_pipe = Pipe()
        with child_pipe:
            settings = (child_pipe.fileno(), TEMPLATE_TIMEOUT, MAX_GROWTH_BYTES, IDLE_TIMEOUT)
            names = ",".join(modules)
            # Isolated and without the environment, which holds the service's secrets.
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-IBc", _PROGRAM, *map(str, settings), names, *sys.path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ},
                pass_fds=[child_pipe.fileno()],
                start_new_session=True,  # Ctrl-C must reach only the service
            )
        self.kill = weakref.finalize(self, _kill, self._process, self.pipe)
        started = b""
        with contextlib.suppress(EOFError):
            if self.pipe.poll(_START_TIMEOUT):
                started = self.pipe.recv_bytes()
        if not started:
            self.kill()
            raise OSError("the process for users' templates does not start")

    def is_running(self) -> bool:
        return self._process.poll() is None

    def exit_code(self) -> int:
        """Waits for the exit; call it only after the pipe was closed from the other side."""
        return self._process.wait()


def _kill(process: subprocess.Popen[bytes], pipe: "Connection[Any, Any]") -> None:
    pipe.close()
    process.kill()
    process.wait()


class Sandbox:
    """Starts the process when it is needed. Concurrent callers wait for each other."""

    def __init__(self, modules: Iterable[str] = ()) -> None:
        """``modules`` have functions that jobs refer to."""
        self._modules = tuple(modules)
        self._lock = threading.Lock()
        self._process: _WorkerProcess | None = None

    def run(self, job: tuple[Any, ...]) -> Any:
        """The result of a job (see the worker). Raises ``RenderError``, or ``OSError`` if the
        process does not start."""
        work = pickle.dumps(job)
        with self._lock:
            while (result := self._try_run(work)) is None:
                pass
        return result

    def close(self) -> None:
        """Kill the process; the next job starts another."""
        with self._lock:
            self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _try_run(self, work: bytes) -> Any:
        """None if the process exited before it took the job."""
        if self._process is None or not self._process.is_running():
            self._kill()
            self._process = _WorkerProcess(self._modules)
        pipe = self._process.pipe
        try:
            pipe.send_bytes(work)
            if not pipe.poll(TEMPLATE_TIMEOUT + _REPORT_TIMEOUT):
                self._kill()
                text = timeout_text(TEMPLATE_TIMEOUT)
                raise RenderError(Problem("", 0, text), exceeded_limits=True)
            answer = json.loads(pipe.recv_bytes())
        except (EOFError, ConnectionError):
            code = self._process.exit_code()
            self._kill()
            if code:
                # SIGPROF: the kernel's timer ended the process where Python could not.
                timed_out = code == -signal.SIGPROF
                text = f"ends the process that runs it ({code})"
                text = timeout_text(TEMPLATE_TIMEOUT) if timed_out else text
                raise RenderError(Problem("", 0, text), exceeded_limits=True) from None
            return None
        if "problem" in answer:
            problem = Problem(*answer["problem"])
            raise RenderError(problem, exceeded_limits=answer["exceeded_limits"])
        return answer["result"]


def timeout_text(seconds: float) -> str:
    return f"takes longer than {seconds:g} s"


@dataclass(frozen=True, slots=True)
class _Quarantined:
    problem: Problem
    files_state: tuple[object, ...]
    since: float
    """As ``time.monotonic`` counts."""


class SandboxedTemplates:
    """A template set that runs in a sandbox.

    A template that exceeded a limit is quarantined until a file of the set changes or
    ``QUARANTINE_TTL`` passes: in a flood of events it would use up its limit for each one.
    """

    def __init__(self, templates: InProcessTemplates, sandbox: Sandbox) -> None:
        self.files = templates.files
        self.formats, self.suffixes = templates.formats, templates.suffixes
        self._sandbox = sandbox
        self._quarantined: dict[str, _Quarantined] = {}

    def sections(self, name: str, variables: Variables, digest: bool = False) -> Sections:
        values = self._run("sections", name, variables, digest)
        return Sections(**(values | {"digest": tuple(values["digest"])}))

    def override(self, name: str, variables: Variables) -> str:
        return str(self._run("override", name, variables))

    def lint(
        self, path: str, known: Collection[str], samples: Sequence[Variables]
    ) -> list[Problem]:
        try:
            return [Problem(*fields) for fields in self._run("lint", path, known, samples)]
        except RenderError as error:
            return [error.problem]

    def _run(self, task: str, name: str, *arguments: Any) -> Any:
        files = self.files
        quarantined = self._quarantined.pop(name, None)
        if (
            quarantined
            and time.monotonic() - quarantined.since < QUARANTINE_TTL
            and files.state() == quarantined.files_state
        ):
            self._quarantined[name] = quarantined
            raise RenderError(quarantined.problem, exceeded_limits=True)
        places = files.folders, files.builtin, self.formats, files.drafts
        job = (task, *places, name, *arguments)
        try:
            return self._sandbox.run(job)
        except RenderError as error:
            problem = error.problem
            if problem.file in ("", name):
                problem = replace(problem, file=files.find(name) or name)
            if error.exceeded_limits:
                self._quarantined[name] = _Quarantined(problem, files.state(), time.monotonic())
            raise RenderError(problem, exceeded_limits=error.exceeded_limits) from None
