"""The sandbox: a child process that runs the templates which users write.

Jinja's sandbox restricts what a template may access, not how much it computes: nested loops,
recursive macros, ``10 ** (10 ** 8)``, ``"x" * 10**9``. Most of the latter are a single call into C,
which no hook in the compiled template and no exception raised from a signal handler interrupts, and
a list of forbidden operations would never be complete. So compiling, rendering and parsing the
resulting Markdown happen in a process with limits on time and memory, which is killed when it
exceeds them. It holds no secret and can open nothing, so that code which escapes from Jinja's
sandbox gains little; it asks for each template over its pipe. It starts with the first user
template, serves one job after the other at a cost of less than a millisecond each, and exits when
idle. Teams whose templates take long have another process, so that nobody else waits for them. The
built-in templates are trusted and run in the main process. The process itself is in
``sandbox_worker.py``.
"""

import contextlib
import json
import os
import pickle
import subprocess
import sys
import time
import weakref
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from relay.messages.budget import SandboxBudget
from relay.messages.environments import OverrideFormat, TemplateFiles
from relay.messages.lint import OutputError, Problem, RenderError, Variables
from relay.messages.locale import current
from relay.messages.rendering import Sections, check_output, longest_suffix
from relay.messages.sandbox_worker import limit_exceeded, timeout_text
from relay.messages.times import zone_file

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
_START_SECONDS = 0.3  # of processor time, for a process after one that a job has ended
_MAX_LOADS = 200  # templates that one job may load
_PASSED_VARIABLES = ("LD_LIBRARY_PATH",)
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[4:]; from relay.messages.sandbox_worker import main; main()"
)


class _WorkerProcess:
    """One process, and the pipe to it."""

    def __init__(self) -> None:
        """Raises ``OSError`` if the process does not start."""
        from multiprocessing.connection import Pipe  # needed only with user templates

        self.pipe, child_pipe = Pipe()
        with child_pipe:
            settings = (TEMPLATE_TIMEOUT, MAX_GROWTH_BYTES, IDLE_TIMEOUT)
            # Isolated and without the environment, which holds the service's secrets.
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-IBc", _PROGRAM, *map(str, settings), *sys.path],
                stdin=child_pipe.fileno(),
                stdout=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ},
                start_new_session=True,  # Ctrl-C must reach only the service
            )
        self.kill = weakref.finalize(self, _kill, self.process, self.pipe)
        started = b""
        with contextlib.suppress(EOFError):
            if self.pipe.poll(_START_TIMEOUT):
                started = self.pipe.recv_bytes()
        if not started:
            self.kill()
            raise OSError("the process for users' templates does not start")


def _kill(process: subprocess.Popen[bytes], pipe: "Connection[Any, Any]") -> None:
    pipe.close()
    process.kill()
    process.wait()


def _loaded(files: TemplateFiles, template: str) -> bytes:
    """A template's source and path, or the error, as the worker gets them."""
    try:
        return pickle.dumps(files.read(template)[:2])
    except Exception as error:  # noqa: BLE001 - the worker waits for an answer
        return pickle.dumps(error)


class Sandbox:
    """The processes, one for slow teams and one for all others."""

    def __init__(self, budget: SandboxBudget) -> None:
        self._budget = budget
        self._jobs, self._slow_jobs = _Jobs(), _Jobs()

    def run(self, team: str, job: tuple[Any, ...], files: TemplateFiles) -> Any:
        """The result of a job (see the worker) with the templates of ``files``. Raises
        ``RenderError``, or ``OSError`` if the process does not start."""
        jobs = self._slow_jobs if self._budget.is_slow(team) else self._jobs
        answer = jobs.run(pickle.dumps(job), files)
        self._budget.spend(team, answer["seconds"] + _START_SECONDS * answer["exits"])
        if "problem" in answer:
            problem = Problem(*answer["problem"])
            raise RenderError(problem, exceeded_limits=answer["exceeded_limits"])
        return answer["result"]

    def close(self) -> None:
        """Kill the processes; the next job starts another."""
        self._jobs.close()
        self._slow_jobs.close()


class _Jobs:
    """The jobs of one process, which starts when it is needed, and the thread that runs them in the
    order of their calls."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "sandbox")
        self._worker: _WorkerProcess | None = None

    def run(self, work: bytes, files: TemplateFiles) -> dict[str, Any]:
        """The worker's answer. Raises ``OSError``."""
        return self._thread.submit(self._run, work, files).result()

    def close(self) -> None:
        if self._worker is not None:
            self._thread.submit(self._kill).result()

    def _run(self, work: bytes, files: TemplateFiles) -> dict[str, Any]:
        while (answer := self._try_run(work, files)) is None:
            pass
        return answer

    def _kill(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def _try_run(self, work: bytes, files: TemplateFiles) -> dict[str, Any] | None:
        """The worker's answer; None if the process exited before it took the job."""
        if self._worker is None or self._worker.process.poll() is not None:
            self._kill()
            self._worker = _WorkerProcess()
        pipe = self._worker.pipe
        text, loads, started = timeout_text(TEMPLATE_TIMEOUT), 0, time.monotonic()
        deadline = started + TEMPLATE_TIMEOUT + _REPORT_TIMEOUT
        try:
            pipe.send_bytes(work)
            while (rest := deadline - time.monotonic()) > 0 and pipe.poll(rest):
                answer = dict(json.loads(pipe.recv_bytes()))
                if "load" not in answer:
                    return answer
                loads += 1
                if loads > _MAX_LOADS:
                    text = f"loads more than {_MAX_LOADS} templates"
                    break
                pipe.send_bytes(_loaded(files, str(answer["load"])))
        except (EOFError, ConnectionError):
            code = self._worker.process.wait()
            text = f"ends the process that runs it ({code})" if code else ""
        self._kill()
        ended = {"seconds": time.monotonic() - started, "exits": True}
        return limit_exceeded(Problem("", 0, text)) | ended if text else None


class SandboxedTemplates:
    """Templates that run in a sandbox, otherwise as ``InProcessTemplates``.

    A template that exceeded a limit is quarantined until a file of the set changes or
    ``QUARANTINE_TTL`` passes: in a flood of events it would use up its limit for each one.
    """

    def __init__(
        self, files: TemplateFiles, formats: Collection[OverrideFormat], sandbox: Sandbox, team: str
    ) -> None:
        """``team``: the key of the team whose budget its jobs use."""
        self.files = files
        self._team = team
        self._formats = formats
        self._sandbox = sandbox
        self._quarantined: dict[str, tuple[Problem, object, float]] = {}

    def sections(
        self,
        name: str,
        variables: Variables,
        digest: bool = False,
        content_only: bool = False,  # all parts come from one run
    ) -> Sections:
        return Sections(*self._run("sections", name, variables, digest))

    def override(self, name: str, variables: Variables) -> str:
        text = str(self._run("override", name, variables))
        forms = {form.suffix: form for form in self._formats}
        form = forms[longest_suffix(name, forms)]
        try:
            check_output(form, text)
        except OutputError as error:
            problem = Problem(self.files.find(name) or name, 0, str(error))
            raise RenderError(problem, exceeded_limits=False) from None
        return text

    def lint(
        self, path: str, known: Collection[str], samples: Sequence[Variables]
    ) -> list[Problem]:
        try:
            return [Problem(*fields) for fields in self._run("lint", path, known, samples)]
        except RenderError as error:
            return [error.problem]

    def _run(self, task: str, name: str, *arguments: Any) -> Any:
        files = self.files
        if quarantined := self._quarantined.get(name):
            problem, state, since = quarantined
            if time.monotonic() - since < QUARANTINE_TTL and files.state() == state:
                raise RenderError(problem, exceeded_limits=True)
            self._quarantined.pop(name, None)  # another thread may have done so
        formats = tuple(replace(form, validate=None) for form in self._formats)
        folders = (*files.folders, files.builtin)
        locale = (current(), zone_file(current().zone))
        job = (task, folders, files.state(), formats, files.drafts, locale, name, *arguments)
        try:
            return self._sandbox.run(self._team, job, files)
        except RenderError as error:
            problem = error.problem
            if problem.file in ("", name):
                problem = problem._replace(file=files.find(name) or name)
            if error.exceeded_limits:
                self._quarantined[name] = problem, files.state(), time.monotonic()
            raise RenderError(problem, exceeded_limits=error.exceeded_limits) from None
