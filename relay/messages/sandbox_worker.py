"""The program of the sandbox's process (``sandbox.py``): one job after the other, within limits.

It can open no file and no socket and start no process: the service sends it the templates.
"""

import json
import os
import pickle
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, TypeAlias

from relay.messages.environments import OverrideFormat, TemplateFiles
from relay.messages.lint import Problem, to_problem
from relay.messages.locale import load_catalogs, using
from relay.messages.rendering import InProcessTemplates
from relay.messages.times import add_zone

MAX_PARSE_SECONDS = 0.2
"""Processor time for parsing the rendered Markdown, which every channel parses again in the main
process. The longest comment of punctuation only takes 0.06."""
_REPORT_BYTES = 8 * 1024 * 1024  # additional memory for reporting that the memory ran out
_LATE_IMPORTS = (
    "_strptime",
    "encodings.unicode_escape",
    "jinja2.constants",
    "jinja2.debug",
    "pprint",
    "relay.penpot.events",  # by pickle, for a template's variables
    "textwrap",
)
"""Modules that would be imported during a job, when no file can be opened any more."""
_ORPHAN_SECONDS = 10.0  # processor time for a job beyond its timeout, if the service has ended


class _JobTimeout(BaseException):
    """Not an ``Exception``: no ``except Exception`` on its way may catch it."""


_Load: TypeAlias = Callable[[str], tuple[str, str] | Exception]
"""Gets a template's source and path, or why it can't be read, from the service."""


class _SentFiles(TemplateFiles):
    """Templates that the service reads."""

    def __init__(self, load: _Load) -> None:
        super().__init__((), "")
        self.current_state = 0
        self._load = load

    def read(self, template: str) -> tuple[str, str, Callable[[], bool]]:
        state = self.current_state
        loaded = self._load(template)
        if isinstance(loaded, Exception):
            raise loaded
        source, path = loaded
        return source, path, lambda: self.current_state == state


class SandboxWorker:
    """Runs jobs, each with the template set that it names."""

    def __init__(self, timeout: float, max_growth: int, load: _Load) -> None:
        """``timeout`` in seconds for a job; ``max_growth`` in bytes from here on."""
        self._timeout = timeout
        self._max_growth = max_growth
        self._load = load
        self._is_loading = False
        self._statm = os.open("/proc/self/statm", os.O_RDONLY)  # stays open: see ``restrict``
        self._initial_size = self._process_size()
        self._sets: dict[tuple[Any, ...], tuple[_SentFiles, InProcessTemplates]] = {}
        signal.signal(signal.SIGALRM, self._on_timeout)
        self._limit_memory(max_growth)

    def answer(self, work: bytes) -> tuple[bytes, bool]:
        """The answer to a job, and whether the process has to exit after it.

        A job is a pickled tuple: task (a method of ``InProcessTemplates``), folders, their state,
        override formats, drafts, locale and the file of its zone, template name, and the task's
        further arguments.
        """
        started = time.process_time()
        task, folders, state, formats, drafts, (locale, zone), name, *arguments = pickle.loads(work)  # noqa: S301 - our own
        # Python handles this timer and can report the line. The service kills a process that does
        # not answer in time, and the kernel one whose service has ended.
        signal.setitimer(signal.ITIMER_PROF, self._timeout + _ORPHAN_SECONDS)
        signal.setitimer(signal.ITIMER_REAL, self._timeout)
        must_exit = False
        try:
            try:
                templates = self._templates(folders, state, formats, drafts)
                add_zone(locale.zone, zone)
                with using(locale):
                    answer = self._run(templates, task, name, arguments)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except _JobTimeout as error:  # raised anywhere, also while another error is reported
            problem = to_problem(error, name)._replace(text=timeout_text(self._timeout))
            answer, must_exit = json.dumps(limit_exceeded(problem)), True
        self._limit_memory(self._max_growth)
        signal.setitimer(signal.ITIMER_PROF, 0)
        # After a load that ended early the rest of its answer is still in the pipe.
        must_exit = must_exit or self._is_loading or self._has_grown()
        costs = {"seconds": time.process_time() - started, "exits": must_exit}
        # The answer, which may be long, is not encoded again.
        return f"{json.dumps(costs)[:-1]}, {answer[1:]}".encode(), must_exit

    def _run(
        self, templates: InProcessTemplates, task: str, name: str, arguments: list[Any]
    ) -> str:
        try:
            return json.dumps({"result": getattr(templates, task)(name, *arguments)})
        except MemoryError as error:
            self._limit_memory(self._max_growth + _REPORT_BYTES)
            text = f"needs more than {self._max_growth // 2**20} MB of memory"
            return json.dumps(limit_exceeded(to_problem(error, name)._replace(text=text)))
        except Exception as error:  # noqa: BLE001 - templates run a user's code
            return json.dumps({"problem": to_problem(error, name), "exceeded_limits": False})

    def _templates(
        self,
        folders: tuple[str, ...],
        state: int,
        formats: tuple[OverrideFormat, ...],
        drafts: Mapping[str, str],
    ) -> InProcessTemplates:
        # Cached by the names of the drafts: the next text of a draft replaces the last one, and the
        # templates that it extends need no new compilation for every key press.
        key = folders, tuple(sorted(drafts))
        if key not in self._sets:
            files = _SentFiles(self._load_whole)
            self._sets[key] = files, InProcessTemplates(files, formats, MAX_PARSE_SECONDS)
        files, templates = self._sets[key]
        files.drafts, files.current_state = drafts, state
        return templates

    def _load_whole(self, template: str) -> tuple[str, str] | Exception:
        self._is_loading = True
        loaded = self._load(template)
        self._is_loading = False
        return loaded

    def _on_timeout(self, *_: object) -> None:
        raise _JobTimeout

    def _has_grown(self) -> bool:
        return self._process_size() > self._initial_size + self._max_growth // 4

    def _limit_memory(self, max_growth: int) -> None:
        _, hard_limit = resource.getrlimit(resource.RLIMIT_AS)
        limit = self._initial_size + max_growth
        if hard_limit != resource.RLIM_INFINITY:
            limit = min(limit, hard_limit)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard_limit))

    def _process_size(self) -> int:
        """Bytes of address space, as ``RLIMIT_AS`` counts them."""
        return int(os.pread(self._statm, 100, 0).split()[0]) * os.sysconf("SC_PAGESIZE")


def restrict() -> None:
    """Give up opening files and sockets, writing to files, starting processes (which root still
    can) and dumping core. What is open stays usable."""
    for limit in ("NOFILE", "FSIZE", "NPROC", "CORE"):
        resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (0, 0))


def timeout_text(seconds: float) -> str:
    return f"takes longer than {seconds:g} s"


def limit_exceeded(problem: Problem) -> dict[str, Any]:
    return {"problem": problem, "exceeded_limits": True}


def main() -> None:
    """Serve the pipe at standard input, until it is closed or idle."""
    from multiprocessing.connection import Connection  # the service needs only the functions above

    pipe = Connection(sys.stdin.fileno())
    timeout, max_growth, idle_timeout = float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])

    def load(template: str) -> tuple[str, str] | Exception:
        pipe.send_bytes(json.dumps({"load": template}).encode())
        loaded: tuple[str, str] | Exception = pickle.loads(pipe.recv_bytes())  # noqa: S301 - our own
        return loaded

    for module in _LATE_IMPORTS:
        import_module(module)
    load_catalogs()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the closed pipe ends the process
    worker = SandboxWorker(timeout, max_growth, load)
    restrict()
    pipe.send_bytes(b"ready")
    must_exit = False
    # Not ``pipe.poll``, which fails if no file can be opened.
    while not must_exit and select.select([pipe], [], [], idle_timeout)[0]:
        try:
            work = pipe.recv_bytes()
        except EOFError:
            return
        answer, must_exit = worker.answer(work)
        pipe.send_bytes(answer)
